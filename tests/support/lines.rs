//! Lines with a number in them, and the number again out of whatever document they have become.

use memchr::memmem;

/// Stands before the number, in lines and in documents.
const MARK: &[u8] = b"Root=1-65f00000-";

/// Digits of the number.
const DIGITS: usize = 24;

/// An ALB line, newline included; its trace id carries the number. About 500 bytes.
pub(crate) fn alb(id: u64) -> String {
    alb_padded(id, 0)
}

/// The same with a URL longer by `padding` bytes.
pub(crate) fn alb_padded(id: u64, padding: usize) -> String {
    format!(
        "https 2026-03-01T10:20:30.123456Z app/web/0123456789abcdef 192.0.2.10:40001 10.0.1.5:8080 0.001 0.025 0.000 200 200 512 \
         2048 \"GET https://www.example.com:443/index.html?a={} HTTP/1.1\" \"curl/8.5.0\" TLS_AES_128_GCM_SHA256 TLSv1.3 \
         arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/web/0a1b2c3d4e5f6071 \"{}{id:024x}\" \
         \"www.example.com\" \"session-reused\" 10 2026-03-01T10:20:30.097000Z \"forward\" \"-\" \"-\" \"10.0.1.5:8080\" \"200\" \
         \"-\" \"-\" TID_00112233445566778899aabbccddeeff\n",
        "x".repeat(padding),
        str::from_utf8(MARK).expect("text"),
    )
}

/// ALB lines with the numbers `ids`.
pub(crate) fn albs(ids: impl IntoIterator<Item = u64>) -> String {
    ids.into_iter().map(alb).collect()
}

/// A line of JSON as the original sender wrote it: a finished document, newline included.
pub(crate) fn json(id: u64) -> String {
    format!(
        "{{\"EventReceivedTime\":\"2026-03-01T10:20:30.123456Z\",\"Type\":\"logs\",\"TraceId\":\"{}{id:024x}\"}}\n",
        str::from_utf8(MARK).expect("text")
    )
}

/// The number of the line a document was made from.
pub(crate) fn id_of(document: &[u8]) -> Option<u64> {
    let start = memmem::find(document, MARK)? + MARK.len();
    let digits = str::from_utf8(document.get(start..start + DIGITS)?).ok()?;
    u64::from_str_radix(digits, 16).ok()
}

/// The number of the `line`-th line of a connection.
pub(crate) fn id(connection: usize, line: u64) -> u64 {
    (connection as u64) << 32 | line
}

/// Asserts that every number of `sent` arrived, and nothing else; gives how many came again.
#[track_caller]
pub(crate) fn all_arrived(sent: impl IntoIterator<Item = u64>, arrived: &[u64]) -> usize {
    let mut sent: Vec<u64> = sent.into_iter().collect();
    let mut seen = arrived.to_vec();
    sent.sort_unstable();
    seen.sort_unstable();
    seen.dedup();
    let missing: Vec<_> = sent.iter().filter(|id| seen.binary_search(id).is_err()).collect();
    assert!(missing.is_empty(), "{} of {} lines did not arrive, the first is {:x}", missing.len(), sent.len(), missing[0]);
    let foreign: Vec<_> = seen.iter().filter(|id| sent.binary_search(id).is_err()).collect();
    assert!(foreign.is_empty(), "{} documents arrived that nobody sent, the first is {:x}", foreign.len(), foreign[0]);
    arrived.len() - seen.len()
}

/// Asserts that the lines of each connection arrived in the order they were sent, from the first one on and without a gap.
#[track_caller]
pub(crate) fn in_order_by_connection(arrived: &[u64], connections: usize) {
    let mut next = vec![0_u64; connections];
    for &got in arrived {
        let connection = usize::try_from(got >> 32).expect("few connections");
        let line = got & u64::from(u32::MAX);
        assert_eq!(line, next[connection], "connection {connection} is out of order");
        next[connection] += 1;
    }
}
