//! Any bytes as the checkpoint of a buffer: see `opened.rs`, which says what must hold.
//!
//! Of the first byte, the lowest bit makes the CRCs fit what they are for, the second takes all segments away. The second byte
//! has no meaning. The rest is the file.

use elbow::buffer::format::SLOT;

use crate::made;
use crate::opened;
use crate::segment::bound;

/// Makes the CRCs right, with places as large as there can be.
fn mend(slot: &mut [u8]) {
    if slot.len() < 72 {
        return;
    }
    slot[..12].copy_from_slice(b"ELBOWCHK\x01\0\0\0");
    slot[16..32].copy_from_slice(made::UUID);
    bound(&mut slot[32..64]);
    let tail_bytes = u32::from_le_bytes(slot[68..72].try_into().expect("four bytes")) as usize;
    let Some(tail) = slot[72..].get_mut(..tail_bytes) else { return };
    let mut rest = &mut *tail;
    while let Some((&mut length, behind)) = std::mem::take(&mut rest).split_first_mut() {
        let Some(mark) = behind.get_mut(usize::from(length)..usize::from(length) + 24) else { break };
        bound(mark);
        rest = &mut behind[usize::from(length) + 24..];
    }
    let crc = crc32c::crc32c_append(crc32c::crc32c(&slot[..64]), &slot[72..72 + tail_bytes]);
    slot[64..68].copy_from_slice(&crc.to_le_bytes());
}

pub(crate) fn check(input: &[u8]) {
    let [choice, _, bytes @ ..] = input else { return };
    let mut bytes = bytes.to_vec();
    let is_mended = choice & 1 != 0;
    if is_mended {
        bytes.chunks_mut(SLOT).take(2).for_each(mend);
    }
    let mut files = opened::whole().clone();
    if choice & 2 != 0 {
        files.clear();
    }
    files.insert("checkpoint".to_owned(), bytes);
    opened::check(&files, is_mended);
}
