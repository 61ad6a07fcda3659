//! Tables of texts with their secrets, and the quick search held to a plain reading of the same rules.

use std::cmp::Reverse;

use proptest::prelude::*;
use proptest::sample::select;

use super::*;

const JWT: &str = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9P";
const UNSIGNED: &str = "eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0.";
const AKIA: &str = "AKIAIOSFODNN7EXAMPLE";

fn mask(extra: &[&str]) -> Redactor {
    let extra: Vec<String> = extra.iter().map(|&name| name.to_owned()).collect();
    Redactor::new(Replacement::Mask, &extra).expect("the names are good")
}

fn redacted(redactor: &Redactor, text: &[u8]) -> Vec<u8> {
    let mut found = Vec::new();
    redactor.find(text, 0, text.len(), &mut found);
    let mut out = Vec::new();
    let mut at = 0;
    for finding in &found {
        out.extend_from_slice(&text[at..finding.start]);
        redactor.replace(&text[finding.start..finding.end], &mut out);
        at = finding.end;
    }
    out.extend_from_slice(&text[at..]);
    out
}

/// The rules that find something, and the secrets themselves.
#[track_caller]
fn check_with(redactor: &Redactor, text: &str, want: &[(Rule, &str)]) {
    let mut found = Vec::new();
    redactor.find(text.as_bytes(), 0, text.len(), &mut found);
    let found: Vec<_> = found.iter().map(|finding| (finding.rule, &text[finding.start..finding.end])).collect();
    assert_eq!(found, want, "{text}");
    let once = redacted(redactor, text.as_bytes());
    assert_eq!(redacted(redactor, &once), once, "{text}");
}

#[track_caller]
fn check(text: &str, want: &[(Rule, &str)]) {
    check_with(&mask(&[]), text, want);
}

#[test]
fn values_of_sensitive_parameters() {
    check("GET https://h:443/p?a=1&access_token=abc&b=2 HTTP/1.1", &[(Rule::Token, "abc")]);
    check("https://h/cb#access_token=abc&token_type=bearer", &[(Rule::Token, "abc")]);
    check("https://h/p?q=1;api-key=abc;x", &[(Rule::Key, "abc")]);
    check("https://h/p?X-Amz-Credential=a%2Fb&X-Amz-Signature=fe", &[(Rule::Key, "a%2Fb"), (Rule::Signature, "fe")]);
    check("/p;jsessionid=0A?password=x?y", &[(Rule::Session, "0A"), (Rule::Password, "x?y")]);
    check("?sid=a?b", &[(Rule::Session, "a?b")]);
    check("?code=1&otp=2&email=a%40b", &[(Rule::Code, "1"), (Rule::Code, "2"), (Rule::Email, "a%40b")]);
    check("?token=&token=&sig", &[]);
    check("?token=a&&token=b", &[(Rule::Token, "a"), (Rule::Token, "b")]);
    check("token=abc", &[(Rule::Token, "abc")]);
    check("?data=token=abc", &[(Rule::Token, "abc")]);
    check("?token=a=sid=b", &[(Rule::Token, "a=sid=b")]);
    check("https://h/token=abc", &[]);
}

#[test]
fn a_name_is_the_same_however_it_is_written() {
    for name in [
        "access_token",
        "accessToken",
        "ACCESS-TOKEN",
        "access.token",
        "%61ccess_toke%6E",
        "%2561ccesstoken",
        "user[access_token]",
        "user%5Baccess_token%5D",
        "access_token[]",
        "access_token[0]",
        "access_token2",
        "access_to_ke_n",
        "_access_token_",
        "access_token_1_",
        "(access_token)",
    ] {
        check(&format!("GET /path?x=1&{name}=abc&y=1"), &[(Rule::Token, "abc")]);
    }
    check("/path/longer?form[password][first]=abc", &[(Rule::Password, "abc")]);
    check("/path/longer?session[email]=abc&session[locale]=de", &[(Rule::Email, "abc")]);
}

#[test]
fn harmless_names() {
    for name in [
        "page_token",
        "nextToken",
        "continuation-token",
        "$skiptoken",
        "token_type",
        "max_tokens",
        "monkey",
        "keyword",
        "sort_key",
        "mode",
        "version",
        "zipcode",
        "postcode",
        "state",
        "inside",
        "design",
        "passenger",
        "",
        "%",
        "[",
        "[]",
        "]=",
        "0",
        "utm_source",
    ] {
        check(&format!("GET https://h/a/path?x=1&{name}=abc&y=1"), &[]);
    }
}

#[test]
fn a_value_ends_at_delimiters_and_not_at_escaped_quotes() {
    check(r#"/p?token=a\"b\\" x"#, &[(Rule::Token, r#"a\"b\\"#)]);
    check(r#"/p?token=a\"#, &[(Rule::Token, r#"a\"#)]);
    check(r#"/p?token=a" b"#, &[(Rule::Token, "a")]);
    check("/p?token=a b", &[(Rule::Token, "a")]);
    check("/p?token=a#b", &[(Rule::Token, "a")]);
    check("/p?token=a/b?c,d%26e%3Bf%20g", &[(Rule::Token, "a/b?c,d%26e%3Bf%20g")]);
}

#[test]
fn parameters_of_urls_inside_urls() {
    check("?redirect_uri=https%3A%2F%2Fx%3Ftoken%3Dabc%26a%3D1&b=2", &[(Rule::Token, "abc")]);
    check("?redirect_uri=https%3a%2f%2fx%3fa%3d1%26token%3dabc&b=2", &[(Rule::Token, "abc")]);
    check("?r=https%253A%252F%252Fx%253Ftoken%253Dabc%2526a%253D1%26b%3D1", &[(Rule::Token, "abc")]);
    check("?state=token%3Dabc%23x", &[(Rule::Token, "abc")]);
    check("?r=%2Fp%3Bjsessionid%3Dabc%3Fa%3D1", &[(Rule::Session, "abc")]);
    check("?r=%2Ftoken%3Dabc", &[]);
    check("?token=x%26sid%3Dy", &[(Rule::Token, "x%26sid%3Dy")]);
    check("?id=%253&d63d=1&3d=3d", &[]);
    check("?r=a%26token=b%26c", &[(Rule::Token, "b%26c")]);
}

#[test]
fn user_information() {
    check("https://u:p@h/", &[(Rule::Userinfo, "u:p")]);
    check("https://u@v:p@h?x@y", &[(Rule::Userinfo, "u@v:p")]);
    check("see ftp://u@h", &[(Rule::Userinfo, "u")]);
    check("https://u;token=a@h/", &[(Rule::Userinfo, "u;token=a")]);
    check("https://u;token=@h/", &[(Rule::Userinfo, "u;token=")]);
    check("https://h;token=a", &[(Rule::Token, "a")]);
    check("https://u@token=a", &[(Rule::Userinfo, "u"), (Rule::Token, "a")]);
    check(&format!("https://u:p@{}token=a", "-".repeat(116)), &[(Rule::Userinfo, "u:p"), (Rule::Token, "a")]);
    check("ftp://u;token=a?x=ftp://u;b@h", &[(Rule::Token, "a?x=ftp://u")]);
    check("ftp://u@a;token=c?;d@h", &[(Rule::Userinfo, "u"), (Rule::Token, "c?")]);
    check(&format!("https://x:{JWT}@h/"), &[(Rule::Userinfo, &format!("x:{JWT}"))]);
    check("https://@h https://h/@u //u@h a@b mailto:a@b", &[]);
    check("https://REDACTED@h https://REDACTED:REDACTED@h", &[(Rule::Userinfo, "REDACTED:REDACTED")]);
}

#[test]
fn shapes_of_tokens_and_keys() {
    check(&format!("/a/{JWT}/b"), &[(Rule::Jwt, JWT)]);
    check(&format!("?token={JWT}"), &[(Rule::Token, JWT)]);
    check(&format!("?r=%3Fx%3D{JWT}%26"), &[(Rule::Jwt, JWT)]);
    check(&format!("x{JWT}"), &[]);
    check(&format!("/{UNSIGNED}"), &[(Rule::Jwt, UNSIGNED)]);
    check("/eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.", &[]);
    check("/eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0", &[]);
    check("/eyJhbGci.eyJzdWIiOiIxIn0.dozjgNryP4J3jVmNHl0w5N", &[]);
    let encrypted = "eyJhbGciOiJkaXIifQ..48V1_ALb6US04U3b.5eym8TW_c8SuK0lt.XFBoMYUZodetZdvT";
    check(&format!("/{encrypted}.x"), &[(Rule::Jwt, encrypted)]);
    check("/eyJhbGciOiJkaXIifQ.a.b.REDACTED.XFBoMYUZodetZdvT", &[]);
    check(&format!("/{AKIA}/"), &[(Rule::AccessKey, AKIA)]);
    check(
        &format!("?x={AKIA}%2F20240301&y=%2FASIAIOSFODNN7EXAMPLE"),
        &[(Rule::AccessKey, AKIA), (Rule::AccessKey, "ASIAIOSFODNN7EXAMPLE")],
    );
    check(&format!("x{AKIA} {AKIA}7 AROAIOSFODNN7EXAMPLE AKIAIOSFODNN7EXAMPL"), &[]);
}

#[test]
fn a_name_starts_where_a_secret_ends() {
    check("GET https://u:p@pw=a", &[(Rule::Userinfo, "u:p"), (Rule::Password, "a")]);
    check(&format!("{JWT}@pw=a {JWT}.pw=b"), &[(Rule::Jwt, JWT), (Rule::Password, "a"), (Rule::Jwt, JWT), (Rule::Password, "b")]);
    check(&format!("{AKIA}_pw1=a"), &[(Rule::AccessKey, AKIA), (Rule::Password, "a")]);
    let redactor = mask(&["p", "ö"]);
    check_with(&redactor, &format!("{JWT}@p=assertion"), &[(Rule::Jwt, JWT), (Rule::Custom, "assertion")]);
    check_with(&redactor, &format!("{JWT}~p=a"), &[(Rule::Jwt, JWT), (Rule::Custom, "a")]);
    check_with(&redactor, &format!("{JWT}ö=a"), &[(Rule::Jwt, JWT), (Rule::Custom, "a")]);
}

#[test]
fn extra_names_are_compared_as_the_others() {
    let redactor = mask(&["Customer-No", "p", "step2", "tok", "größe", "page_token", "email"]);
    check_with(&redactor, "GET /x?customer_no=1&user[CustomerNo]=2", &[(Rule::Custom, "1"), (Rule::Custom, "2")]);
    check_with(
        &redactor,
        "GET /x/y?p=1&pp=2&step2=3&step=4&t_ok=5",
        &[(Rule::Custom, "1"), (Rule::Custom, "3"), (Rule::Custom, "5")],
    );
    check_with(&redactor, "/x/y?gr%C3%B6%C3%9Fe=1&größe=2&gr=3", &[(Rule::Custom, "1"), (Rule::Custom, "2")]);
    check_with(&redactor, "GET /x/y?page_token=1&next_page_token=1&email=2", &[(Rule::Custom, "1"), (Rule::Custom, "2")]);
    check_with(&redactor, "p=x", &[(Rule::Custom, "x")]);
}

#[test]
fn names_that_could_never_match_are_refused() {
    let refusal = |names: &[String]| Redactor::new(Replacement::Mask, names).err();
    assert_eq!(refusal(&["_-".to_owned()]), Some(NameError::Empty { name: "_-".to_owned() }));
    assert_eq!(refusal(&["x".repeat(65)]), Some(NameError::TooLong { bytes: 65 }));
    assert_eq!(refusal(&["is-redacted".to_owned()]), Some(NameError::Mask { name: "is-redacted".to_owned() }));
    assert_eq!(refusal(&vec!["x".to_owned(); 257]), Some(NameError::TooMany { count: 257 }));
}

#[test]
fn every_name_is_found_and_none_says_what_another_does() {
    let mut seen = std::collections::HashSet::new();
    for (rule, name) in names::all() {
        assert!(seen.insert(name), "{name} is listed twice");
        assert!(name.trim_start_matches('*').bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()), "{name}");
        assert!(!name.starts_with('*') || name.len() > 4, "{name}");
        check(&format!("GET /a/path?x=1&{}=v", name.replace('*', "my_")), &[(rule, "v")]);
        check(&format!("GET /a/path?x=1&{}=v", name.trim_start_matches('*').to_ascii_uppercase()), &[(rule, "v")]);
        let covered =
            |(_, ending): (Rule, &str)| ending != name && ending.strip_prefix('*').is_some_and(|ending| name.ends_with(ending));
        assert!(!names::all().any(covered), "{name} has an ending that counts already");
    }
    for name in names::harmless() {
        check(&format!("GET /a/path?x=1&my_{name}=v"), &[]);
    }
}

/// The hash is a promise as well: a secret must look the same in every later version.
#[test]
fn a_secret_is_replaced_by_the_mask_or_by_its_hash() {
    let hashed = |key: u8, secret: &[u8]| {
        let mut out = b"<".to_vec();
        Redactor::new(Replacement::Hash([key; 32]), &[]).expect("no extra name").replace(secret, &mut out);
        String::from_utf8(out).expect("ASCII")
    };
    assert_eq!(hashed(7, b"abc"), "<h:51b7541056e2b0f0");
    assert_ne!(hashed(7, b"abc"), hashed(7, b"abd"));
    assert_ne!(hashed(7, b"abc"), hashed(8, b"abc"));
    assert_eq!(hashed(7, b"abc").len() - 1, Redactor::REPLACEMENT_BYTES_MAX);
    let mut out = Vec::new();
    mask(&[]).replace(b"abc", &mut out);
    assert_eq!(out, b"REDACTED");
}

#[test]
fn a_hash_is_replaced_under_a_mask_only() {
    let hash = Redactor::new(Replacement::Hash([7; 32]), &[]).expect("no extra name");
    check_with(&hash, "?token=h:0123456789abcdef&sid=h:0123456789ABCDEF", &[(Rule::Session, "h:0123456789ABCDEF")]);
    check("?token=h:0123456789abcdef", &[(Rule::Token, "h:0123456789abcdef")]);
    check_with(&hash, "https://u:p@h?token=REDACTED", &[(Rule::Userinfo, "u:p")]);
}

#[test]
fn the_key_is_never_shown() {
    let redactor = Redactor::new(Replacement::Hash([7; 32]), &[]).expect("no extra name");
    assert_eq!(format!("{redactor:?}"), "Redactor { replacement: Hash(***), .. }");
}

#[test]
fn labels_are_words_of_their_own() {
    let labels: std::collections::HashSet<_> = Rule::ALL.iter().map(|rule| rule.label()).collect();
    assert_eq!(labels.len(), Rule::ALL.len());
}

/// A text that makes every look as long as it can be: what it costs may grow with its length, not with its square.
#[test]
fn long_texts_of_nothing_but_hints_take_no_longer_than_their_length() {
    for piece in [
        "@",
        "=",
        "token=",
        "&token=a",
        "%3D",
        "%253Dtoken",
        "eyJ",
        ".eyJaaaaaaaaaa",
        "://@",
        "://a",
        "AKIA",
        "aaaaoken=",
        "[",
        "&sid=REDACTED",
    ] {
        let text = piece.repeat(1 << 21 >> piece.len().ilog2());
        let mut found = Vec::new();
        mask(&[]).find(text.as_bytes(), 0, text.len(), &mut found);
        assert!(found.len() <= text.len());
    }
}

/// A plain reading of the rules, one byte at a time.
mod plain {
    use super::*;

    fn hex(text: &[u8]) -> Option<u8> {
        let digits = std::str::from_utf8(text.get(..2)?).ok()?;
        if digits.starts_with('+') { None } else { u8::from_str_radix(digits, 16).ok() }
    }

    /// How a byte may stand in a text at a depth.
    fn stands(text: &[u8], at: usize, byte: u8, depth: usize) -> Option<usize> {
        let rest = &text[at..];
        let prefix: &[u8] = [&b""[..], b"%", b"%25"][depth];
        match depth {
            0 => (rest.first() == Some(&byte)).then_some(1),
            _ => (rest.starts_with(prefix) && hex(&rest[prefix.len()..]) == Some(byte)).then_some(prefix.len() + 2),
        }
    }

    fn is_sensitive(extra: &[&str], name: &[u8]) -> Option<Rule> {
        let word = |word: &[u8]| {
            let whole = names::all().find(|(_, name)| name.as_bytes() == word).map(|(rule, _)| rule);
            let custom = extra.iter().any(|name| name.as_bytes() == word).then_some(Rule::Custom);
            let ends = |ending: &str| word.ends_with(ending.trim_start_matches('*').as_bytes());
            let ending = names::all().find(|(_, name)| name.starts_with('*') && ends(name) && !names::harmless().any(ends));
            custom.or(whole).or(ending.map(|(rule, _)| rule))
        };
        let mut decoded = Vec::new();
        let mut at = 0;
        while at < name.len() {
            if name[at..].starts_with(b"%25")
                && let Some(byte) = hex(&name[at + 3..])
            {
                decoded.push(byte);
                at += 5;
            } else if name[at] == b'%'
                && let Some(byte) = hex(&name[at + 1..])
            {
                decoded.push(byte);
                at += 3;
            } else {
                decoded.push(name[at]);
                at += 1;
            }
        }
        let mut parts: Vec<Vec<u8>> =
            decoded.split_inclusive(|byte| b"[]".contains(byte)).map(<[u8]>::to_ascii_lowercase).collect();
        parts.iter_mut().for_each(|part| part.retain(|byte| byte.is_ascii_alphanumeric() || *byte >= 0x80 || *byte == b']'));
        parts.retain(|part| !part.is_empty() && part != b"]");
        let (mut rule, mut is_first) = (None, true);
        for part in parts {
            let bare = part.strip_suffix(b"]").unwrap_or(&part);
            let stem = &bare[..bare.iter().rposition(|byte| !byte.is_ascii_digit()).map_or(0, |last| last + 1)];
            let repeated = rule == Some(Rule::Password) && (part == b"first]" || part == b"second]");
            if !repeated && (is_first || !stem.is_empty()) {
                rule = word(bare).or_else(|| word(stem));
            }
            is_first = false;
        }
        rule
    }

    fn parameter(extra: &[&str], text: &[u8], floor: usize, sign: usize, depth: usize) -> Option<(usize, Finding)> {
        let start = sign + stands(text, sign, b'=', depth)?;
        let region = sign.saturating_sub(128).max(floor);
        let mut name = (region, b' ');
        for at in region..sign {
            for (byte, depth) in b"?&;#= \"/".iter().flat_map(|&byte| (0..3).map(move |depth| (byte, depth))) {
                let counts = depth == 0 || !b" \"".contains(&byte);
                if let Some(length) = stands(&text[..sign], at, byte, depth).filter(|_| counts) {
                    name = name.max((at + length, byte));
                }
            }
        }
        let rule = is_sensitive(extra, &text[name.0..sign]).filter(|_| name.1 != b'/')?;
        let mut end = start;
        while end < text.len() {
            let question = rule == Rule::Session && name.1 == b';';
            let ends_at = |depth| {
                let some: &[u8] = if depth == 0 { b"&;# \"" } else { b"&;#" };
                some.iter().any(|&byte| stands(text, end, byte, depth).is_some())
                    || question && stands(text, end, b'?', depth).is_some()
            };
            if text[end..].starts_with(b"\\\"") || text[end..].starts_with(b"\\\\") {
                end += 2;
            } else if (0..=depth).any(ends_at) {
                break;
            } else {
                end += 1;
            }
        }
        (end > start).then_some((start - 1, Finding { start, end, rule }))
    }

    fn userinfo(text: &[u8], scheme: usize) -> Option<Finding> {
        let start = scheme + 3;
        let authority = text.get(start..)?.split(|byte| b"/?# \"".contains(byte)).next()?;
        let signs = ["=REDACTED", "3DREDACTED", "3dREDACTED"];
        let stops = |at: &usize| signs.iter().any(|sign| authority[*at..].starts_with(sign.as_bytes()));
        let authority = &authority[..(0..authority.len()).find(stops).unwrap_or(authority.len())];
        let end = start + authority.iter().rposition(|&byte| byte == b'@')?;
        (text[scheme..].starts_with(b"://") && end > start).then_some(Finding { start, end, rule: Rule::Userinfo })
    }

    fn edge(text: &[u8], start: usize, more: &[u8]) -> bool {
        let escaped = start >= 3 && text[start - 3] == b'%' && hex(&text[start - 2..]).is_some();
        escaped || start == 0 || !(text[start - 1].is_ascii_alphanumeric() || more.contains(&text[start - 1]))
    }

    fn says_none(header: &[u8]) -> bool {
        const DIGITS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let values = header.iter().take(256).map(|&digit| DIGITS.find(char::from(digit)).expect("a digit"));
        let bits: Vec<usize> = values.flat_map(|value| (0..6).rev().map(move |bit| value >> bit & 1)).collect();
        let bytes = bits.chunks_exact(8).map(|bits| bits.iter().fold(0, |byte, bit| byte << 1 | *bit) as u8);
        let text: String = bytes.map(char::from).collect();
        text.to_ascii_lowercase().contains("\"none\"")
    }

    fn jwt(text: &[u8], start: usize) -> Option<Finding> {
        let digit = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'-' || *byte == b'_';
        let run: Vec<u8> = text[start..].iter().copied().take_while(|byte| digit(byte) || *byte == b'.').collect();
        let parts: Vec<&[u8]> = run.split(|&byte| byte == b'.').collect();
        let ends = |count: usize| start + parts[..count].iter().map(|part| part.len() + 1).sum::<usize>() - 1;
        if !run.starts_with(b"eyJ")
            || !edge(text, start, b"-_")
            || parts.len() < 3
            || parts[0].len() < 10
            || parts.iter().take(5).any(|part| part == b"REDACTED")
        {
            return None;
        }
        let end = if parts.len() >= 5 && !parts[2].is_empty() && !parts[3].is_empty() && parts[4].len() >= 16 {
            ends(5)
        } else if parts[1].len() >= 2 && (parts[2].len() >= 16 || parts[2].is_empty() && says_none(parts[0])) {
            ends(3)
        } else {
            return None;
        };
        Some(Finding { start, end, rule: Rule::Jwt })
    }

    fn access_key(text: &[u8], start: usize) -> Option<Finding> {
        let id = text.get(start..start + 20)?;
        let good = ["AKIA", "ASIA", "ABIA"].iter().any(|prefix| id.starts_with(prefix.as_bytes()))
            && id.iter().all(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase())
            && edge(text, start, b"")
            && !text.get(start + 20).is_some_and(u8::is_ascii_alphanumeric);
        good.then_some(Finding { start, end: start + 20, rule: Rule::AccessKey })
    }

    /// Every finding under a mask.
    pub(super) fn find(extra: &[&str], text: &[u8]) -> Vec<Finding> {
        let mut found: Vec<Finding> = Vec::new();
        loop {
            let floor = found.last().map_or(0, |last| last.end);
            let mut all = Vec::new();
            for at in floor..text.len() {
                all.extend((0..3).filter_map(|depth| parameter(extra, text, floor, at, depth)));
                all.extend(userinfo(text, at).map(|finding| (at, finding)));
                all.extend([jwt(text, at), access_key(text, at)].into_iter().flatten().map(|finding| (at, finding)));
            }
            all.retain(|(_, finding)| &text[finding.start..finding.end] != b"REDACTED");
            match all.into_iter().min_by_key(|(from, finding)| (*from, Reverse(finding.end), finding.rule)) {
                Some((_, finding)) => found.push(finding),
                None => return found,
            }
        }
    }
}

#[track_caller]
fn agree(extra: &[&str], before: &[u8], text: &[u8], behind: &[u8]) {
    let redactor = mask(extra);
    let chunk = [before, text, behind].concat();
    let mut found = Vec::new();
    redactor.find(&chunk, before.len(), before.len() + text.len(), &mut found);
    for finding in &mut found {
        finding.start -= before.len();
        finding.end -= before.len();
    }
    assert_eq!(found, plain::find(extra, text), "{}", String::from_utf8_lossy(text));
    let once = redacted(&redactor, text);
    assert_eq!(String::from_utf8_lossy(&redacted(&redactor, &once)), String::from_utf8_lossy(&once));
}

/// Names of operators: short ones, of digits, of letters outside ASCII, and ones that end like others.
const EXTRA: &[&[&str]] = &[&["p", "tok"], &["x1", "q"], &["3", "25", "3d"], &["ö", "nö"], &["pagetoken", "first"], &[]];

fn pieces() -> impl Strategy<Value = String> {
    let names: Vec<String> = names::all().map(|(_, name)| name.replace('*', "x_")).collect();
    let name = prop_oneof![
        select(names),
        select(vec![
            "page_token",
            "q",
            "utm_source",
            "id",
            "to%6ben",
            "TOKEN",
            "user[password]",
            "pin[]",
            "sid[0]",
            "otp2",
            "mode",
            "p",
            "pw",
            "tok",
            "x1",
            "3",
            "ö",
            "%C3%B6",
            "%2574oken"
        ])
        .prop_map(str::to_owned),
        "[a-z_.%\\[\\]0-9-]{0,6}",
    ];
    let mark = select(vec![
        "?", "&", ";", "#", "=", "=", "=", "%3D", "%3d", "%253D", "%26", "%3F", "%3B", "%2526", "%23", "%2F", "/", "://", "@",
        ":", "\"", "\\", "\\\"", " ", ".", "%", "%25", "eyJ", "3D", "IA", "REDACTED", "-",
    ]);
    let value = prop_oneof![
        select(vec![
            JWT,
            UNSIGNED,
            AKIA,
            "abc",
            "1",
            "https://u:p@h/x",
            "https%3A%2F%2Fx%3Ftoken%3Dabc%26a%3D1",
            "REDACTED",
            "eyJhbGciOiJkaXIifQ..ab.cd.XFBoMYUZodetZdvT"
        ])
        .prop_map(str::to_owned),
        "[a-zA-Z0-9._-]{0,20}",
    ];
    prop_oneof![3 => name, 4 => mark.prop_map(str::to_owned), 2 => value]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn the_quick_search_agrees_with_the_plain_reading(
        extra in select(EXTRA),
        text in proptest::collection::vec(pieces(), 0..16), before in "[=@%a&]{0,70}", behind in "[=@3DdJA.&a]{0,70}",
    ) {
        agree(extra, before.as_bytes(), text.concat().as_bytes(), behind.as_bytes());
    }

    #[test]
    fn the_quick_search_agrees_with_the_plain_reading_on_urls(
        parameters in proptest::collection::vec((select(vec!["&", ";", "?", "#", "%26"]), pieces(), select(vec!["=", "=", "=", "%3D", "%253D"]), pieces()), 0..8),
        length in 0usize..80,
    ) {
        let mut text = format!("GET https://h/{}?q=1", "a".repeat(length));
        for (delimiter, name, sign, value) in &parameters {
            text += &format!("{delimiter}{name}{sign}{value}");
        }
        agree(&[], b"", format!("{text} HTTP/1.1").as_bytes(), b"");
    }

    #[test]
    fn any_bytes_have_their_secrets_in_order(text in proptest::collection::vec(proptest::num::u8::ANY, 0..300)) {
        agree(&[], b"", &text, b"=token");
    }
}

#[test]
fn odd_texts_that_were_read_in_two_ways() {
    let redactor = mask(&[]);
    for text in ["eyJmagic-eyJeyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0.]", "GET https://h/?q=1&assertion=://&@=assertion HTTP/1.1"] {
        let mut found = Vec::new();
        redactor.find(text.as_bytes(), 0, text.len(), &mut found);
        assert_eq!(found, plain::find(&[], text.as_bytes()), "{text}");
    }
}
