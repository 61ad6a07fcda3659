//! How a plain connection begins: with lines, or with a sender's TLS, which would become lines of rubbish.

/// How every TLS connection begins: with a record of the type handshake and of the versions 3.x (RFC 8446, section 5.1). As
/// text it is a control character and another one.
const TLS: [u8; 2] = [0x16, 0x03];

/// What is known of how a connection begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum FirstBytes {
    /// Nothing yet.
    #[default]
    Awaited,
    /// One byte has come, which may be the first of TLS. It is kept back.
    Kept,
    /// With lines.
    Lines,
    /// With TLS.
    Tls,
}

impl FirstBytes {
    /// What was read and is kept back; it goes before what is read next.
    pub(super) fn kept(self) -> &'static [u8] {
        if self == Self::Kept { &TLS[..1] } else { &[] }
    }

    /// Looks at a read together with what was kept back.
    pub(super) fn look(&mut self, read: &[u8]) {
        if matches!(self, Self::Awaited | Self::Kept) {
            *self = match read {
                [] => return,
                [one] if *one == TLS[0] => Self::Kept,
                read if read.starts_with(&TLS) => Self::Tls,
                _ => Self::Lines,
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(reads: &[&[u8]], wanted: FirstBytes) {
        let mut first = FirstBytes::default();
        for read in reads {
            first.look(&[first.kept(), read].concat());
        }
        assert_eq!(first, wanted, "{reads:?}");
    }

    #[test]
    fn tls_is_known_by_its_first_two_bytes_however_they_come() {
        check(&[b"\x16\x03\x01"], FirstBytes::Tls);
        check(&[b"\x16", b"\x03"], FirstBytes::Tls);
        check(&[b"\x16", b"", b"\x03"], FirstBytes::Tls);
        check(&[b"\x16"], FirstBytes::Kept);
        check(&[b"\x16", b"a"], FirstBytes::Lines);
        check(&[b"a", b"\x16\x03"], FirstBytes::Lines);
        check(&[b"\n", b"\x16\x03"], FirstBytes::Lines);
        check(&[b""], FirstBytes::Awaited);
    }
}
