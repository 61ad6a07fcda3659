//! Through one value from its first byte to its last, in as many reads as it takes.

use memchr::memchr3;

/// Containers inside one another that are followed. Deeper values are handed on as lines, which nobody takes either.
pub(super) const DEPTH_MAX: u32 = 64;

/// A place in a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum At {
    /// A value comes.
    Value,
    /// A value or the end of the array comes.
    FirstValue,
    /// A key comes.
    Key,
    /// A key or the end of the object comes.
    FirstKey,
    /// A colon comes.
    Colon,
    /// A comma or an end comes.
    Separator,
    /// In a string, and whether it is a key.
    String { is_key: bool },
    /// Behind a backslash in a string.
    Escape { is_key: bool },
    /// In a number or a word.
    Scalar,
}

/// What a step through a value came to.
pub(super) enum Stop {
    /// The read is used up.
    Starved(At),
    /// The value ends before this place.
    End(usize),
    /// The byte at this place cannot stand there.
    Broken(usize),
}

/// The containers a value has open.
#[derive(Debug, Default)]
pub(super) struct Nesting {
    /// One bit for each, the innermost lowest: whether it is an object.
    objects: u64,
    depth: u32,
}

impl Nesting {
    /// A value that begins with this byte, and the place behind that.
    pub(super) fn begin(byte: u8) -> (Self, At) {
        let mut nesting = Self::default();
        let place = match byte {
            b'{' | b'[' => nesting.open(byte),
            b'"' => At::String { is_key: false },
            _ => At::Scalar,
        };
        (nesting, place)
    }

    fn open(&mut self, byte: u8) -> At {
        self.depth += 1;
        self.objects = self.objects << 1 | u64::from(byte == b'{');
        if byte == b'{' { At::FirstKey } else { At::FirstValue }
    }

    /// Walks on from a place, and counts newlines between tokens.
    pub(super) fn walk(&mut self, read: &[u8], mut at: usize, mut place: At, newlines: &mut u64) -> Stop {
        loop {
            match place {
                At::String { is_key } => {
                    let Some(length) = memchr3(b'"', b'\\', b'\n', &read[at..]) else { return Stop::Starved(place) };
                    at += length;
                    match read[at] {
                        b'"' => place = if is_key { At::Colon } else { At::Separator },
                        b'\\' => place = At::Escape { is_key },
                        _ => return Stop::Broken(at),
                    }
                    at += 1;
                    if place == At::Separator && self.depth == 0 {
                        return Stop::End(at);
                    }
                    continue;
                }
                At::Scalar => {
                    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
                    let Some(length) = read[at..].iter().position(|byte| !is_part(byte)) else { return Stop::Starved(place) };
                    at += length;
                    if self.depth == 0 {
                        return Stop::End(at);
                    }
                    place = At::Separator;
                    continue;
                }
                _ => {}
            }
            let Some(&byte) = read.get(at) else { return Stop::Starved(place) };
            place = match (place, byte) {
                (At::Escape { .. }, b'\n') => return Stop::Broken(at),
                (At::Escape { is_key }, _) => At::String { is_key },
                (_, b'\n') => {
                    *newlines += 1;
                    place
                }
                (_, b' ' | b'\t' | b'\r') => place,
                (At::Value | At::FirstValue, b'{' | b'[') if self.depth < DEPTH_MAX => self.open(byte),
                (At::Value | At::FirstValue, b'"') => At::String { is_key: false },
                (At::Value | At::FirstValue, b'-' | b'0'..=b'9' | b't' | b'f' | b'n') => At::Scalar,
                (At::Key | At::FirstKey, b'"') => At::String { is_key: true },
                (At::Colon, b':') => At::Value,
                (At::Separator, b',') if self.objects & 1 == 1 => At::Key,
                (At::Separator, b',') => At::Value,
                (At::Separator | At::FirstKey, b'}') if self.objects & 1 == 1 => self.close(),
                (At::Separator | At::FirstValue, b']') if self.objects & 1 == 0 => self.close(),
                _ => return Stop::Broken(at),
            };
            at += 1;
            if self.depth == 0 && place == At::Separator {
                return Stop::End(at);
            }
        }
    }

    fn close(&mut self) -> At {
        self.depth -= 1;
        self.objects >>= 1;
        At::Separator
    }
}
