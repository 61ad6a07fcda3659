//! Signatures of AWS's own test suite, and what it leaves out.
//!
//! Requests and signatures are those of `aws-signing-test-suite/v4` in awslabs/aws-c-auth, where paths are normalized; left out are
//! headers that are there twice or on several lines, which are never sent.

use proptest::prelude::*;

use super::*;

/// 2015-08-30T12:36:00Z.
const TIME: Micros = 1_440_938_160_000_000;

const SCOPE: Scope<'_> = Scope { region: "us-east-1", service: "service" };

/// Name, method, target, headers, body, token, and the signature.
type Vector =
    (&'static str, &'static str, &'static str, &'static [(&'static str, &'static str)], &'static str, &'static str, &'static str);

const VECTORS: &[Vector] = &[
    (
        "get-header-value-trim",
        "GET",
        "/",
        &[("my-header1", " value1"), ("my-header2", " \"a   b   c\"")],
        "",
        "",
        "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736",
    ),
    (
        "get-relative-normalized",
        "GET",
        "/example/..",
        &[],
        "",
        "",
        "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
    ),
    (
        "get-relative-relative-normalized",
        "GET",
        "/example1/example2/../..",
        &[],
        "",
        "",
        "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
    ),
    (
        "get-slash-dot-slash-normalized",
        "GET",
        "/./",
        &[],
        "",
        "",
        "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
    ),
    ("get-slash-normalized", "GET", "//", &[], "", "", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
    (
        "get-slash-pointless-dot-normalized",
        "GET",
        "/./example",
        &[],
        "",
        "",
        "ef75d96142cf21edca26f06005da7988e4f8dc83a165a80865db7089db637ec5",
    ),
    (
        "get-slashes-normalized",
        "GET",
        "//example//",
        &[],
        "",
        "",
        "9a624bd73a37c9a373b5312afbebe7a714a789de108f0bdfe846570885f57e84",
    ),
    (
        "get-space-normalized",
        "GET",
        "/example space/",
        &[],
        "",
        "",
        "652487583200325589f1fba4c7e578f72c47cb61beeca81406b39ddec1366741",
    ),
    (
        "get-unreserved",
        "GET",
        "/-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
        &[],
        "",
        "",
        "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f",
    ),
    ("get-utf8", "GET", "/ሴ", &[], "", "", "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85"),
    ("get-vanilla", "GET", "/", &[], "", "", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
    (
        "get-vanilla-empty-query-key",
        "GET",
        "/?Param1=value1",
        &[],
        "",
        "",
        "a67d582fa61cc504c4bae71f336f98b97f1ea3c7a6bfe1b6e45aec72011b9aeb",
    ),
    ("get-vanilla-query", "GET", "/", &[], "", "", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
    (
        "get-vanilla-query-order-encoded",
        "GET",
        "/?Param-3=Value3&Param=Value2&%E1%88%B4=Value1",
        &[],
        "",
        "",
        "371d3713e185cc334048618a97f809c9ffe339c62934c032af5a0e595648fcac",
    ),
    (
        "get-vanilla-query-order-key-case",
        "GET",
        "/?Param2=value2&Param1=value1",
        &[],
        "",
        "",
        "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
    ),
    (
        "get-vanilla-query-unreserved",
        "GET",
        "/?-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz=-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
        &[],
        "",
        "",
        "9c3e54bfcdf0b19771a7f523ee5669cdf59bc7cc0884027167c21bb143a40197",
    ),
    ("get-vanilla-utf8-query", "GET", "/?ሴ=bar", &[], "", "", "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04"),
    (
        "get-vanilla-with-session-token",
        "GET",
        "/",
        &[],
        "",
        "6e86291e8372ff2a2260956d9b8aae1d763fbf315fa00fa31553b73ebf194267",
        "07ec1639c89043aa0e3e2de82b96708f198cceab042d4a97044c66dd9f74e7f8",
    ),
    ("post-header-key-case", "POST", "/", &[], "", "", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),
    (
        "post-header-key-sort",
        "POST",
        "/",
        &[("my-header1", "value1")],
        "",
        "",
        "c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c",
    ),
    (
        "post-header-value-case",
        "POST",
        "/",
        &[("my-header1", "VALUE1")],
        "",
        "",
        "cdbc9802e29d2942e5e10b5bccfdd67c5f22c7c4e8ae67b53629efa58b974b7d",
    ),
    ("post-vanilla", "POST", "/", &[], "", "", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),
    (
        "post-vanilla-empty-query-value",
        "POST",
        "/?Param1=value1",
        &[],
        "",
        "",
        "28038455d6de14eafc1f9222cf5aa6f1a96197d7deb8263271d420d138af7f11",
    ),
    (
        "post-vanilla-query",
        "POST",
        "/?Param1=value1",
        &[],
        "",
        "",
        "28038455d6de14eafc1f9222cf5aa6f1a96197d7deb8263271d420d138af7f11",
    ),
    (
        "post-x-www-form-urlencoded",
        "POST",
        "/",
        &[("content-type", "application/x-www-form-urlencoded"), ("content-length", "13")],
        "Param1=value1",
        "",
        "d3875051da38690788ef43de4db0d8f280229d82040bfac253562e56c3f20e0b",
    ),
    (
        "post-x-www-form-urlencoded-parameters",
        "POST",
        "/",
        &[("content-type", "application/x-www-form-urlencoded; charset=utf-8"), ("content-length", "13")],
        "Param1=value1",
        "",
        "328d1b9eaadca9f5818ef05e8392801e091653bafec24fcab71e7344e7f51422",
    ),
];

fn credentials(token: &str) -> Credentials {
    Credentials {
        id: "AKIDEXAMPLE".to_owned(),
        key: Secret::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
        token: (!token.is_empty()).then(|| Secret::new(token)),
    }
}

#[test]
fn signatures_are_those_of_the_test_suite() {
    for (name, method, target, more, body, token, signature) in VECTORS {
        let credentials = credentials(token);
        let (date, hash) = (amz_date(TIME), hex_sha256([body.as_bytes()]));
        let mut headers = vec![("x-amz-date", date.as_str()), ("host", "example.amazonaws.com")];
        headers.extend(*more);
        headers.extend(credentials.token.as_ref().map(|token| ("x-amz-security-token", token.reveal())));
        headers.extend((!body.is_empty()).then_some(("x-amz-content-sha256", hash.as_str())));
        let request = Request { method, target, headers: &headers, body: &hash };
        let value = authorization(&request, &credentials, SCOPE, &date);
        assert_eq!(value.rsplit_once("Signature=").map(|(_, signature)| signature), Some(*signature), "{name}: {value}");
    }
}

#[test]
fn the_header_names_the_key_the_scope_and_what_is_signed() {
    let request = Request {
        method: "GET",
        target: "/",
        headers: &[("x-amz-date", "20150830T123600Z"), ("host", "example.amazonaws.com")],
        body: &hex_sha256([""]),
    };
    assert_eq!(
        authorization(&request, &credentials(""), SCOPE, &amz_date(TIME)),
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders=host;x-amz-date, \
         Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"
    );
}

#[test]
fn a_query_is_encoded_in_one_way_however_it_is_written() {
    let want = "filter_path=error%2Citems.%2A._id&pretty=";
    for query in [
        "filter_path=error,items.*._id&pretty",
        "pretty=&filter_path=error%2citems.%2A._id",
        "&pretty&&filter_path=error,items.*._id",
    ] {
        assert_eq!(sorted(query), want);
    }
    assert_eq!(sorted("a=%zz&b=%4&c=%"), "a=%25zz&b=%254&c=%25");
    assert_eq!(sorted("a=%+1"), "a=%25%2B1");
}

#[test]
fn a_path_that_is_encoded_is_encoded_again() {
    assert_eq!(encoded(normal("/a%3Ab/c*"), true), "/a%253Ab/c%2A");
    assert_eq!(normal(""), "/");
    assert_eq!(normal("/../.."), "/");
}

#[test]
fn the_secret_is_in_nothing_that_is_shown() {
    let shown = format!("{:?}", credentials("hunter2"));
    assert!(shown.contains("AKIDEXAMPLE") && !shown.contains("wJalr") && !shown.contains("hunter2"), "{shown}");
}

proptest! {
    #[test]
    fn a_body_in_pieces_is_the_whole_body(pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..6)) {
        let whole = pieces.concat();
        prop_assert_eq!(hex_sha256(pieces.iter().map(Vec::as_slice)), hex_sha256([whole.as_slice()]));
    }

    #[test]
    fn any_target_is_signed(target in "\\PC{0,60}") {
        let request = Request { method: "GET", target: &target, headers: &[("host", "a")], body: "" };
        prop_assert!(authorization(&request, &credentials(""), SCOPE, &amz_date(TIME)).is_ascii());
    }
}
