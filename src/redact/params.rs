//! Where a parameter's name starts and its value ends, in a URL and in URLs that stand percent-encoded inside one.
//!
//! It finds places and judges neither names nor values. There are up to three depths: `a=b`, `a%3Db` and `a%253Db`. A
//! delimiter of any depth starts a name; a value is ended by those of its own depth and of the ones around it.

/// Most bytes of a name that are looked at, the last ones. The longest built-in name has far fewer, in any encoding.
pub(super) const NAME_BYTES_MAX: usize = 128;

/// How often a parameter is percent-encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Depth {
    /// `name=value`
    Plain,
    /// `name%3Dvalue`
    Once,
    /// `name%253Dvalue`
    Twice,
}

impl Depth {
    /// The depth of the sign of equality whose digits `3D` are at `digits`, and where the sign starts.
    pub(super) fn of_sign(text: &[u8], start: usize, digits: usize) -> Option<(Self, usize)> {
        let [depth, sign] = [Self::Once, Self::Twice].map(|depth| (depth, digits.wrapping_sub(depth.prefix().len())));
        let preceded =
            |(depth, sign): (Self, usize)| digits >= start + depth.prefix().len() && text[sign..].starts_with(depth.prefix());
        let is_sign = matches!(text.get(digits..digits + 2), Some(b"3D" | b"3d"));
        [depth, sign].into_iter().find(|&at| is_sign && preceded(at))
    }

    /// What stands before the two digits of a byte encoded this often.
    fn prefix(self) -> &'static [u8] {
        match self {
            Self::Plain => b"",
            Self::Once => b"%",
            Self::Twice => b"%25",
        }
    }
}

/// The byte that `%XX` or `%25XX` at the start of this text stands for, and how long that is. `%25` alone is `%`.
pub(super) fn escape(text: &[u8]) -> Option<(u8, usize)> {
    let (&first, rest) = text.split_first()?;
    let twice = rest.strip_prefix(b"25").and_then(byte).map(|byte| (byte, 5));
    if first == b'%' { twice.or_else(|| byte(rest).map(|byte| (byte, 3))) } else { None }
}

/// The byte of two hexadecimal digits.
fn byte(digits: &[u8]) -> Option<u8> {
    let digit = |at: usize| digits.get(at).and_then(|&digit| char::from(digit).to_digit(16));
    u8::try_from(digit(0)? << 4 | digit(1)?).ok()
}

/// The percent-encoded byte that ends right before `end` and does not start before `floor`.
fn byte_before(text: &[u8], floor: usize, end: usize) -> Option<u8> {
    match &text[floor..end] {
        [.., b'%', b'2', b'5', high, low] | [.., b'%', high, low] => byte(&[*high, *low]),
        _ => None,
    }
}

/// Where a name starts, and whether it stands behind `;`, as a parameter of a path does.
pub(super) struct Name {
    pub(super) start: usize,
    pub(super) in_path: bool,
}

/// The name before the sign of equality at `sign`. It starts at `start` or behind a delimiter, however
/// often that is encoded, and another sign of equality is one. `None` behind a slash, where it is part of a path.
pub(super) fn name(text: &[u8], start: usize, sign: usize) -> Option<Name> {
    let floor = start.max(sign.saturating_sub(NAME_BYTES_MAX));
    let mut at = sign;
    while at > floor {
        let delimiter = match text[at - 1] {
            byte @ (b'?' | b'&' | b';' | b'#' | b'=' | b' ' | b'"' | b'/') => Some(byte),
            // The last digit of `%3F`, `%26`, `%3B`, `%23`, `%3D` and `%2F`.
            b'F' | b'f' | b'6' | b'B' | b'b' | b'3' | b'D' | b'd' => {
                byte_before(text, floor, at).filter(|byte| matches!(byte, b'?' | b'&' | b';' | b'#' | b'=' | b'/'))
            }
            _ => None,
        };
        if let Some(byte) = delimiter {
            return (byte != b'/').then_some(Name { start: at, in_path: byte == b';' });
        }
        at -= 1;
    }
    Some(Name { start: floor, in_path: false })
}

/// Where the value that starts at `value` ends. In an AWS log `\"` and `\\` are escapes and part of it. `?` ends it only
/// where asked for: there the query begins behind a parameter of the path.
pub(super) fn value_end(text: &[u8], value: usize, depth: Depth, question_ends: bool) -> usize {
    let mut at = value;
    while at < text.len() {
        match text[at] {
            b'&' | b';' | b'#' | b' ' | b'"' => return at,
            b'?' if question_ends => return at,
            b'\\' if matches!(text.get(at + 1), Some(b'"' | b'\\')) => at += 2,
            b'%' if ends_encoded(&text[at..], depth, question_ends) => return at,
            _ => at += 1,
        }
    }
    text.len()
}

/// Whether a delimiter that ends a value stands here, encoded at most as often as the value.
fn ends_encoded(text: &[u8], depth: Depth, question_ends: bool) -> bool {
    let ends = |at: Depth| {
        let byte = text.strip_prefix(at.prefix()).and_then(byte);
        depth >= at && byte.is_some_and(|byte| matches!(byte, b'&' | b';' | b'#') || byte == b'?' && question_ends)
    };
    ends(Depth::Once) || ends(Depth::Twice)
}
