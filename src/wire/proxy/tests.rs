//! Headers as they should be and as they should not, cut anywhere; and the `proxy-header` package as a second opinion.

use proptest::prelude::*;
use proxy_header::ParseConfig;
use proxy_header::ProxiedAddress;
use proxy_header::ProxyHeader;
use proxy_header::Tlv;

use super::*;

/// A header of version 2 with these two bytes behind the signature, and this behind its length.
fn v2(command: u8, protocol: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len()).expect("it fits");
    [&V2_SIGNATURE[..], &[command, protocol], &length.to_be_bytes(), body].concat()
}

/// From 192.0.2.1:49152 to 198.51.100.2:5000.
const IPV4: [u8; 12] = [192, 0, 2, 1, 198, 51, 100, 2, 0xC0, 0x00, 0x13, 0x88];

fn addition(kind: u8, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(value.len()).expect("it fits");
    [&[kind][..], &length.to_be_bytes(), value].concat()
}

/// A header over IPv4 with these additions.
fn with(additions: &[Vec<u8>]) -> Vec<u8> {
    v2(0x21, 0x11, &[&IPV4[..], &additions.concat()].concat())
}

/// The same with a checksum behind them, changed by so much.
fn with_checksum(additions: &[Vec<u8>], change: u32) -> Vec<u8> {
    let mut header = with(&[additions, &[addition(CHECKSUM, &[0; 4])]].concat());
    let sum = crc32c::crc32c(&header) ^ change;
    let at = header.len() - 4;
    header[at..].copy_from_slice(&sum.to_be_bytes());
    header
}

/// What a header is read as when it comes with a sender's bytes behind it; cut anywhere it is partial, and fed byte by byte
/// it is the same.
#[track_caller]
fn check(header: &[u8], versions: Versions, sender: Option<&str>, endpoint: Option<&str>) {
    let bytes = [header, b"\r\n\r\n\0\r\nQUIT\nPROXY {}\n"].concat();
    let expected = Header { sender: sender.map(|text| text.parse().expect("an address")), endpoint: endpoint.map(Box::from) };
    assert_eq!(read(&bytes, versions), Ok(Progress::Whole(expected, header.len())));
    for cut in 0..header.len() {
        assert_eq!(read(&bytes[..cut], versions), Ok(Progress::Partial), "cut at {cut}");
    }
}

#[track_caller]
fn check_refused(bytes: &[u8], versions: Versions, refusal: Refusal) {
    assert_eq!(read(bytes, versions), Err(refusal), "{}", bytes.escape_ascii());
    assert_eq!(first_verdict(bytes, versions), Some(Err(refusal)), "{}", bytes.escape_ascii());
}

/// What is said of the shortest beginning of which anything is said.
fn first_verdict(bytes: &[u8], versions: Versions) -> Option<Result<Progress, Refusal>> {
    (0..=bytes.len()).map(|cut| read(&bytes[..cut], versions)).find(|verdict| *verdict != Ok(Progress::Partial))
}

#[test]
fn headers_of_version_1() {
    let sender = Some("192.0.2.1:49152");
    for versions in [Versions::V1, Versions::Any] {
        check(b"PROXY TCP4 192.0.2.1 198.51.100.2 49152 5000\r\n", versions, sender, None);
        check(b"PROXY TCP6 2001:db8::1 2001:db8::2 0 65535\r\n", versions, Some("[2001:db8::1]:0"), None);
        check(b"PROXY UNKNOWN\r\n", versions, None, None);
        check(b"PROXY UNKNOWN what \xff ever\r\n", versions, None, None);
        let longest = format!("PROXY UNKNOWN {}\r\n", "f".repeat(V1_BYTES_MAX - 16));
        check(longest.as_bytes(), versions, None, None);
    }
}

#[test]
fn headers_of_version_2() {
    let sender = Some("192.0.2.1:49152");
    for versions in [Versions::V2, Versions::Any] {
        check(&with(&[]), versions, sender, None);
        let mut ipv6 = [0; 36];
        (ipv6[0], ipv6[1], ipv6[15], ipv6[33]) = (0x20, 0x01, 1, 80);
        check(&v2(0x21, 0x21, &ipv6), versions, Some("[2001::1]:80"), None);
        let unix = [&[b'/'; 216][..], &addition(AWS, b"\x01vpce-1")].concat();
        check(&v2(0x21, 0x31, &unix), versions, None, Some("vpce-1"));
        check(&v2(0x21, 0x00, &[]), versions, None, None);
        check(&with(&[addition(0x04, &[0; 99]), addition(0xEE, b""), addition(0x02, b"\xff")]), versions, sender, None);
        check(&with_checksum(&[addition(0x02, b"logs.example")], 0), versions, sender, None);
        let longest = addition(0x04, &vec![7; V2_LENGTH_MAX - 12 - 3]);
        check(&with(&[longest]), versions, sender, None);
    }
}

#[test]
fn a_proxy_that_speaks_for_itself_is_believed_nothing() {
    check(&v2(0x20, 0x00, &[]), Versions::V2, None, None);
    check(&v2(0x20, 0x11, &IPV4), Versions::V2, None, None);
    check(&v2(0x20, 0x11, &[]), Versions::V2, None, None);
    check(&v2(0x20, 0xFF, &addition(AWS, b"\x01vpce-1")), Versions::V2, None, None);
}

#[test]
fn an_endpoint_is_named_by_the_load_balancer() {
    let named = addition(AWS, b"\x01vpce-08d2bf15fac5001c9");
    check(&with(std::slice::from_ref(&named)), Versions::V2, Some("192.0.2.1:49152"), Some("vpce-08d2bf15fac5001c9"));
    let padded = [addition(0x04, &[0; 36]), named.clone()];
    check(&with_checksum(&padded, 0), Versions::V2, Some("192.0.2.1:49152"), Some("vpce-08d2bf15fac5001c9"));
    // Another of Amazon's additions.
    check(&with(&[addition(AWS, b"\x02vpce-1"), addition(AWS, b"")]), Versions::V2, Some("192.0.2.1:49152"), None);
    check_refused(&with(&[named.clone(), named]), Versions::V2, Refusal::Malformed);
    for name in ["", "vpce 1", "vpce\n1", "vpce-\u{e9}", "<script>", &"v".repeat(ENDPOINT_BYTES_MAX + 1)] {
        let named = addition(AWS, &[b"\x01", name.as_bytes()].concat());
        check_refused(&with(&[named]), Versions::V2, Refusal::Malformed);
    }
}

#[test]
fn what_is_no_header_has_a_word_for_it() {
    let v1 = b"PROXY TCP4 192.0.2.1 198.51.100.2 49152 5000\r\n";
    check_refused(b"https 2026-11-23T00:00:00.000000Z app/web", Versions::Any, Refusal::Missing);
    check_refused(b"\r\n\r\nhello", Versions::Any, Refusal::Missing);
    check_refused(b"PROX_", Versions::Any, Refusal::Missing);
    check_refused(b"proxy TCP4", Versions::Any, Refusal::Missing);
    check_refused(v1, Versions::V2, Refusal::Version);
    check_refused(&with(&[]), Versions::V1, Refusal::Version);
    check_refused(&v2(0x11, 0x11, &IPV4), Versions::V2, Refusal::Version);
    check_refused(&v2(0x31, 0x11, &IPV4), Versions::Any, Refusal::Version);
    check_refused(&v2(0x22, 0x11, &IPV4), Versions::V2, Refusal::Malformed);
    check_refused(&v2(0x21, 0x12, &IPV4), Versions::V2, Refusal::Malformed);
    check_refused(&v2(0x21, 0x10, &IPV4), Versions::V2, Refusal::Malformed);
    check_refused(&v2(0x21, 0x11, &IPV4[..11]), Versions::V2, Refusal::Malformed);
    check_refused(&v2(0x21, 0x21, &[0; 35]), Versions::V2, Refusal::Malformed);
    check_refused(&v2(0x21, 0x31, &[0; 215]), Versions::V2, Refusal::Malformed);
    check_refused(&v2(0x21, 0x11, &vec![0; V2_LENGTH_MAX + 1]), Versions::V2, Refusal::TooLong);
    check_refused(&v2(0x20, 0x00, &vec![0; 65_535]), Versions::V2, Refusal::TooLong);
    check_refused(&with(&[vec![0x02]]), Versions::V2, Refusal::Malformed);
    check_refused(&with(&[vec![0x02, 0, 4, 1, 2, 3]]), Versions::V2, Refusal::Malformed);
    check_refused(&with(&[addition(CHECKSUM, &[0; 3])]), Versions::V2, Refusal::Malformed);
    check_refused(&with_checksum(&[], 1), Versions::V2, Refusal::Checksum);
    let mut twice = with(&[addition(CHECKSUM, &[0; 4]), addition(CHECKSUM, &[0; 4])]);
    let sum = crc32c::crc32c(&twice);
    let at = twice.len() - 7 - 4;
    twice[at..at + 4].copy_from_slice(&sum.to_be_bytes());
    check_refused(&twice, Versions::V2, Refusal::Malformed);
}

#[test]
fn version_1_is_read_strictly() {
    for line in [
        "PROXY TCP4 192.0.2.1 198.51.100.2 49152 5000\n",
        "PROXY \r\n",
        "PROXY TCP4\r\n",
        "PROXY  TCP4 192.0.2.1 198.51.100.2 49152 5000\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 49152\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 49152 5000 \r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 49152 5000 1\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 +49152 5000\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 049152 5000\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 65536 5000\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 49152 \r\n",
        "PROXY TCP4 192.0.2.01 198.51.100.2 49152 5000\r\n",
        "PROXY TCP4 2001:db8::1 2001:db8::2 49152 5000\r\n",
        "PROXY TCP6 192.0.2.1 198.51.100.2 49152 5000\r\n",
        "PROXY UDP4 192.0.2.1 198.51.100.2 49152 5000\r\n",
        "PROXY UNKNOWNS\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 49152 5000\r\r\n",
    ] {
        check_refused(line.as_bytes(), Versions::V1, Refusal::Malformed);
    }
    check_refused(&b"PROXY UNKNOWN ".iter().copied().chain([b'f'; 200]).collect::<Vec<_>>(), Versions::V1, Refusal::TooLong);
    let over = format!("PROXY UNKNOWN {}\r\n", "f".repeat(V1_BYTES_MAX - 15));
    check_refused(over.as_bytes(), Versions::V1, Refusal::TooLong);
}

#[test]
fn labels_are_distinct() {
    let mut labels = Refusal::ALL.map(Refusal::label).to_vec();
    labels.sort_unstable();
    labels.dedup();
    assert_eq!(labels.len(), Refusal::ALL.len());
    for (at, refusal) in Refusal::ALL.into_iter().enumerate() {
        assert_eq!(refusal as usize, at, "the order of counters");
    }
}

/// Bytes that are a header, nearly one, or anything.
fn begun() -> impl Strategy<Value = Vec<u8>> {
    let tail = proptest::collection::vec(any::<u8>(), 0..80);
    let addresses = prop_oneof![Just(IPV4.to_vec()), proptest::collection::vec(any::<u8>(), 0..60)];
    let body = (addresses, tail.clone()).prop_map(|(addresses, tail)| [addresses, tail].concat());
    let binary =
        (prop_oneof![Just(0x21u8), any::<u8>()], prop_oneof![Just(0x11u8), any::<u8>()], body, any::<u16>(), tail.clone())
            .prop_map(|(command, protocol, body, length, tail)| {
                let mut header = v2(command, protocol, &body);
                if length % 3 == 0 {
                    header[14..16].copy_from_slice(&(length % 4200).to_be_bytes());
                }
                [header, tail].concat()
            });
    let text = "PROXY (TCP4|TCP6|UNKNOWN|X)( [0-9a-f.:]{1,15}){0,5}\r?\n?.{0,120}".prop_map(String::into_bytes);
    prop_oneof![binary, text, tail]
}

proptest! {
    #[test]
    fn the_first_verdict_stands_whatever_comes_behind(bytes in begun(), more in proptest::collection::vec(any::<u8>(), 0..200)) {
        for versions in Versions::ALL {
            if let Some(first) = first_verdict(&bytes, versions) {
                prop_assert_eq!(&read(&bytes, versions), &first);
                prop_assert_eq!(&read(&[bytes.clone(), more.clone()].concat(), versions), &first);
            }
        }
    }

    #[test]
    fn what_the_package_writes_is_read_as_it_was_meant(
        source in any::<std::net::Ipv6Addr>(), port in any::<u16>(), is_v4 in any::<bool>(), name in "[a-z0-9-]{1,22}",
    ) {
        let other = |ip: IpAddr| SocketAddr::new(ip, 5000);
        let (source, destination) = if is_v4 {
            let [.., a, b, c, d] = source.octets();
            (SocketAddr::new(IpAddr::from([a, b, c, d]), port), other(IpAddr::from([192, 0, 2, 9])))
        } else {
            (SocketAddr::new(source.into(), port), other("2001:db8::9".parse().expect("an address")))
        };
        let addresses = ProxiedAddress::stream(source, destination);
        let mut text = Vec::new();
        ProxyHeader::with_address(addresses.clone()).encode_v1(&mut text).expect("it fits");
        let said = Header { sender: Some(source), endpoint: None };
        prop_assert_eq!(read(&text, Versions::V1), Ok(Progress::Whole(said, text.len())));
        let endpoint = [b"\x01", name.as_bytes()].concat();
        let additions = [Tlv::Noop(3), Tlv::Custom(AWS, endpoint.into()), Tlv::Authority("logs.example".into())];
        let mut binary = Vec::new();
        ProxyHeader::with_tlvs(Some(addresses), additions).encode_v2(&mut binary).expect("it fits");
        let said = Header { sender: Some(source), endpoint: Some(name.into()) };
        prop_assert_eq!(read(&binary, Versions::V2), Ok(Progress::Whole(said, binary.len())));
    }

    #[test]
    fn what_is_taken_is_taken_by_the_package_as_well(bytes in begun()) {
        if let Ok(Progress::Whole(header, end)) = read(&bytes, Versions::Any) {
            let is_local = bytes[0] == b'\r' && bytes[12] == 0x20;
            if !is_local {
                let (theirs, length) = ProxyHeader::parse(&bytes, ParseConfig::default()).expect("a header");
                prop_assert_eq!(length, end);
                prop_assert_eq!(theirs.proxied_address().map(|addresses| addresses.source), header.sender);
            }
        }
    }
}

/// Why headers are not read by that package: each of these it takes, or waits for more of, for ever.
#[test]
fn the_package_is_less_strict() {
    let parse = |bytes: &[u8]| ProxyHeader::parse(bytes, ParseConfig::default()).map(|(_, length)| length);
    let waits = Err(proxy_header::Error::BufferTooShort);
    assert!(parse(b"PROXY.TCP4 192.0.2.1 198.51.100.2 49152 5000\r\n").is_ok());
    assert!(parse(b"PROXY TCP4 192.0.2.1 198.51.100.2 +49152 5000\r\n").is_ok());
    assert_eq!(parse(&v2(0x21, 0x11, &IPV4[..11])), waits, "there is room for no address");
    assert_eq!(parse(&v2(0x20, 0x11, &[])), waits, "a proxy's own header has none");
    assert!(parse(&with_checksum(&[], 1)).is_ok(), "a wrong checksum");
}
