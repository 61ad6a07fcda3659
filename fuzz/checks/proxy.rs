//! A PROXY header is read, or refused, in the same way however the bytes come in, and never a byte more of it.
//!
//! The first byte chooses the versions, and whether a checksum is mended so that what lies behind it is reached; the second
//! the size of the pieces; the rest is what a connection says.

use elbow::wire::proxy::Beginning;
use elbow::wire::proxy::ENDPOINT_BYTES_MAX;
use elbow::wire::proxy::HEADER_BYTES_MAX;
use elbow::wire::proxy::Header;
use elbow::wire::proxy::Progress;
use elbow::wire::proxy::Refusal;
use elbow::wire::proxy::V1_BYTES_MAX;
use elbow::wire::proxy::Versions;
use elbow::wire::proxy::beginning;
use elbow::wire::proxy::read;

pub(crate) fn check(input: &[u8]) {
    let [choice, size, said @ ..] = input else { return };
    let versions = Versions::ALL[usize::from(*choice) % Versions::ALL.len()];
    let mut said = said.to_vec();
    if *choice >> 7 == 1 {
        mend_checksum(&mut said);
    }
    let verdict = read(&said, versions);
    // As the socket's reader does: what is partial is taken, and what comes next is looked at behind it.
    let mut held = 0;
    let by_pieces = loop {
        let seen = said.len().min(held + 1 + usize::from(*size));
        match read(&said[..seen], versions) {
            Ok(Progress::Partial) if seen == said.len() => break Ok(Progress::Partial),
            Ok(Progress::Partial) => held = seen,
            Ok(Progress::Whole(header, end)) => {
                assert!(held < end && end <= seen, "{held} bytes were taken of a header of {end}");
                break Ok(Progress::Whole(header, end));
            }
            refused => break refused,
        }
    };
    assert_eq!(by_pieces, verdict);
    assert!(verdict != Ok(Progress::Partial) || said.len() < HEADER_BYTES_MAX, "the longest header is decided on");
    match beginning(&said) {
        Beginning::Other => assert_eq!(verdict, Err(Refusal::Missing)),
        Beginning::Open => assert_eq!(verdict, Ok(Progress::Partial)),
        Beginning::Header => assert_ne!(verdict, Err(Refusal::Missing)),
    }
    if let Ok(Progress::Whole(Header { sender, endpoint }, end)) = verdict {
        let is_text = said[0] == b'P';
        assert!(end <= if is_text { V1_BYTES_MAX } else { HEADER_BYTES_MAX });
        let name = endpoint.unwrap_or_default();
        assert!(
            name.len() <= ENDPOINT_BYTES_MAX && name.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"\\<>&".contains(&byte))
        );
        assert!(!is_text || name.is_empty() && said[..end].ends_with(b"\r\n"));
        assert!(!is_text || sender.is_some() != said.starts_with(b"PROXY UNKNOWN"));
        assert_eq!(read(&said[..end - 1], versions), Ok(Progress::Partial));
    }
}

/// Puts the right checksum into the first addition, behind addresses over IPv4, that looks like one.
fn mend_checksum(said: &mut [u8]) {
    let Some(length) = said.get(14..16).map(|length| usize::from(u16::from_be_bytes([length[0], length[1]]))) else { return };
    let Some(header) = said.get_mut(..16 + length) else { return };
    let Some(at) = header.windows(3).skip(28).position(|window| window == [3, 0, 4]).map(|at| 28 + at + 3) else { return };
    let Some(sum) = header.get_mut(at..at + 4) else { return };
    sum.fill(0);
    let sum = crc32c::crc32c(header);
    header[at..at + 4].copy_from_slice(&sum.to_be_bytes());
}
