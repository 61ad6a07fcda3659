//! Items as servers write them of a document that they have stored, where only id and status were asked for: nearly all there are.

use crate::batch::EventId;

/// What stands before the id …
const HEAD: &[u8; 18] = br#"{"create":{"_id":""#;

/// … and behind it.
const TAIL: &[u8; 16] = br#"","status":201}}"#;

/// Bytes of such an item.
pub(super) const BYTES: usize = HEAD.len() + 32 + TAIL.len();

/// Whether a text begins with the one for this id.
#[inline(always)]
pub(super) fn is_first(text: &[u8], id: EventId) -> bool {
    let Some((head, text)) = text.split_first_chunk() else { return false };
    let Some((digits, text)) = text.split_first_chunk() else { return false };
    head == HEAD && *digits == id.hex() && text.first_chunk() == Some(TAIL)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_else_is_one() {
        let id = EventId([0xa5; 16]);
        let item = format!(r#"{{"create":{{"_id":"{}","status":201}}}}"#, "a5".repeat(16));
        assert!(item.len() == BYTES && is_first(item.as_bytes(), id) && is_first(format!("{item},").as_bytes(), id));
        assert!(!is_first(item.as_bytes(), EventId([0xa4; 16])));
        for at in 0..item.len() {
            assert!(!is_first(&item.as_bytes()[..at], id));
            let mut other = item.clone().into_bytes();
            other[at] ^= 1;
            assert!(!is_first(&other, id), "at {at}");
        }
    }
}
