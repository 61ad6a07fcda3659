//! A second reading of load-balancer log lines: slow, plain, by the written rules, and without a line of the code it is
//! compared with.
//!
//! It knows the `aws` schema alone. It refuses to be clever: a line is cut into owned texts, checked, and turned into a
//! tree.

use core::net::IpAddr;

use super::tree::Tree;

/// What the kinds are called.
pub(crate) const KINDS: [&str; 5] = ["classic", "alb", "nlb", "alb-connection", "alb-health-check"];

/// Every word there is for a line that is none.
pub(crate) const WORDS: [&str; 7] =
    ["empty_line", "control_message", "json", "unterminated_quote", "too_few_fields", "misaligned_fields", "unrecognised_format"];

/// One token, its outer quotes taken off.
#[derive(Clone, Debug)]
struct Token {
    text: String,
    quoted: bool,
}

impl Token {
    fn is_dash(&self) -> bool {
        self.text == "-"
    }
}

/// What a column becomes.
enum Column {
    Text(&'static str),
    Number(&'static str),
    /// `address:port`
    Pair(&'static str, &'static str),
    /// A request line and its parts.
    Request,
    /// A text that keeps its quotes.
    List(&'static str),
}

use Column::List;
use Column::Number;
use Column::Pair;
use Column::Request;
use Column::Text;

const CLASSIC: &[Column] = &[
    Text("time"),
    Text("elb"),
    Pair("client_ip", "client_port"),
    Pair("backend_ip", "backend_port"),
    Number("request_processing_time"),
    Number("backend_processing_time"),
    Number("response_processing_time"),
    Number("elb_status_code"),
    Number("backend_status_code"),
    Number("received_bytes"),
    Number("sent_bytes"),
    Request,
    Text("user_agent"),
    Text("ssl_cipher"),
    Text("ssl_protocol"),
];

const ALB: &[Column] = &[
    Text("type"),
    Text("time"),
    Text("elb"),
    Pair("client_ip", "client_port"),
    Pair("target_ip", "target_port"),
    Number("request_processing_time"),
    Number("target_processing_time"),
    Number("response_processing_time"),
    Number("elb_status_code"),
    Number("target_status_code"),
    Number("received_bytes"),
    Number("sent_bytes"),
    Request,
    Text("user_agent"),
    Text("ssl_cipher"),
    Text("ssl_protocol"),
    Text("target_group_arn"),
    Text("trace_id"),
    Text("domain_name"),
    Text("chosen_cert_arn"),
    Number("matched_rule_priority"),
    Text("request_creation_time"),
    Text("actions_executed"),
    Text("redirect_url"),
    Text("error_reason"),
    Text("target_port_list"),
    Text("target_status_code_list"),
    Text("classification"),
    Text("classification_reason"),
    Text("conn_trace_id"),
    Text("transformed_host"),
    Text("transformed_uri"),
    Text("request_transform_status"),
    Text("ip_address"),
];

const NLB: &[Column] = &[
    Text("type"),
    Text("version"),
    Text("time"),
    Text("elb"),
    Text("listener"),
    Pair("client_ip", "client_port"),
    Pair("destination_ip", "destination_port"),
    Number("connection_time"),
    Number("tls_handshake_time"),
    Number("received_bytes"),
    Number("sent_bytes"),
    Number("incoming_tls_alert"),
    Text("chosen_cert_arn"),
    Text("chosen_cert_serial"),
    Text("tls_cipher"),
    Text("tls_protocol_version"),
    Text("tls_keyexchange"),
    Text("domain_name"),
    Text("alpn_fe_protocol"),
    Text("alpn_be_protocol"),
    List("alpn_client_preference_list"),
    Text("tls_connection_creation_time"),
];

const CONNECTION: &[Column] = &[
    Text("time"),
    Text("client_ip"),
    Number("client_port"),
    Number("listener_port"),
    Text("tls_protocol"),
    Text("tls_cipher"),
    Number("tls_handshake_latency"),
    Text("leaf_client_cert_subject"),
    Text("leaf_client_cert_validity"),
    Text("leaf_client_cert_serial_number"),
    Text("tls_verify_status"),
    Text("conn_trace_id"),
    Text("tls_keyexchange"),
    Text("elb"),
    Text("ip_address"),
];

const HEALTH_CHECK: &[Column] = &[
    Text("type"),
    Text("time"),
    Number("latency"),
    Text("target_addr"),
    Text("target_group_id"),
    Text("status"),
    Number("status_code"),
    Text("reason_code"),
    Text("elb"),
    Text("ip_address"),
];

fn columns(kind: &str) -> &'static [Column] {
    match kind {
        "classic" => CLASSIC,
        "alb" => ALB,
        "nlb" => NLB,
        "alb-connection" => CONNECTION,
        "alb-health-check" => HEALTH_CHECK,
        _ => panic!("{kind} is no kind"),
    }
}

/// The kind and the document of a line, or the word for why there is none.
pub(crate) fn read(line: &str) -> Result<(&'static str, Tree), &'static str> {
    let line = line.strip_prefix('\u{feff}').unwrap_or(line);
    let line = line.trim_end_matches(['\r', '\n']);
    if line.chars().all(|char| char == ' ') {
        return Err("empty_line");
    }
    if line.starts_with("Enable ") && line.contains(" for ELB: ") {
        return Err("control_message");
    }
    if line.starts_with(['{', '[']) {
        return Err("json");
    }
    let first = cut(line, false, true);
    let Some(kind) = kind(line) else {
        return Err(if first.is_err() { "unterminated_quote" } else { "unrecognised_format" });
    };
    let word = match first.and_then(|tokens| document(kind, &tokens)) {
        Ok(document) => return Ok((kind, document)),
        Err(word) => word,
    };
    for (before_space, backslash) in [(true, true), (false, false), (true, false)] {
        if let Ok(document) = cut(line, before_space, backslash).and_then(|tokens| document(kind, &tokens)) {
            return Ok((kind, document));
        }
    }
    Err(word)
}

/// Cuts a line into tokens.
fn cut(line: &str, before_space: bool, backslash: bool) -> Result<Vec<Token>, &'static str> {
    let line: Vec<char> = line.chars().collect();
    let at = |place: usize| line.get(place).copied();
    let mut tokens = Vec::new();
    let mut here = 0;
    while let Some(char) = at(here) {
        if char == ' ' {
            here += 1;
        } else if char == '"' {
            here += 1;
            let mut text = String::new();
            loop {
                let Some(char) = at(here) else { return Err("unterminated_quote") };
                let next = at(here + 1);
                if backslash && char == '\\' && matches!(next, Some('"' | '\\')) {
                    text.push(char);
                    text.extend(next);
                    here += 2;
                } else if char == '"' && next == Some(',') && at(here + 2) == Some('"') {
                    text.push_str("\",\"");
                    here += 3;
                } else if char == '"' && (!before_space || matches!(next, None | Some(' '))) {
                    here += 1;
                    break;
                } else {
                    text.push(char);
                    here += 1;
                }
            }
            tokens.push(Token { text, quoted: true });
        } else {
            let mut text = String::new();
            while let Some(char) = at(here).filter(|&char| char != ' ') {
                text.push(char);
                here += 1;
            }
            tokens.push(Token { text, quoted: false });
        }
    }
    Ok(tokens)
}

/// The kind by the first words of a line. What stands in quotes is none of the things a kind is known by.
fn kind(line: &str) -> Option<&'static str> {
    let mut words = line.split(' ').filter(|word| !word.is_empty());
    let [first, second, third, fourth] = [(); 4].map(|()| words.next().unwrap_or(""));
    let is_word = !first.is_empty() && !first.starts_with('"');
    if is_timestamp(first) {
        let is_connection = second.parse::<IpAddr>().is_ok() && is_digits(third) && is_digits(fourth);
        Some(if is_connection { "alb-connection" } else { "classic" })
    } else if is_word && is_timestamp(second) {
        Some(if is_unsigned(third) { "alb-health-check" } else { "alb" })
    } else if is_word && second.contains('.') && is_unsigned(second) && is_timestamp(third) {
        Some("nlb")
    } else {
        None
    }
}

/// The document of a line's tokens, if they are what their places demand.
fn document(kind: &'static str, tokens: &[Token]) -> Result<Tree, &'static str> {
    check(kind, tokens)?;
    let columns = columns(kind);
    let mut members: Vec<(&str, Tree)> = Vec::new();
    for (column, token) in columns.iter().zip(tokens) {
        let text = || if token.is_dash() { Tree::Null } else { Tree::Text(token.text.clone()) };
        match column {
            Text(name) => members.push((name, text())),
            List(name) if token.quoted && !token.is_dash() => {
                members.push((name, Tree::Text(format!("\"{}\"", token.text))));
            }
            List(name) => members.push((name, text())),
            Number(name) if token.is_dash() => members.push((name, Tree::Null)),
            Number(name) => members.push((name, number(&token.text))),
            Pair(ip, port) => {
                members.extend(pair(token).map(|[left, right]| [(*ip, left), (*port, right)]).into_iter().flatten())
            }
            Request => {
                members.push(("request", Tree::Text(token.text.clone())));
                members.extend(["request_verb", "request_url", "request_proto"].into_iter().zip(request(&token.text)));
            }
        }
    }
    if let Some(unknown @ [_, ..]) = tokens.get(columns.len()..) {
        members.push(("unknown_fields", Tree::List(unknown.iter().map(|token| Tree::Text(token.text.clone())).collect())));
    }
    Ok(Tree::Object(members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()))
}

/// Whether enough tokens are there, and those that can be checked are what their places demand.
fn check(kind: &str, tokens: &[Token]) -> Result<(), &'static str> {
    let fewest = match kind {
        "classic" => 12,
        "alb" => 13,
        "nlb" => 18,
        "alb-connection" => 11,
        _ => 8,
    };
    if tokens.len() < fewest {
        return Err("too_few_fields");
    }
    let good = |place: usize, token: &Token| match (kind, place) {
        ("classic", 0..=1) => !token.quoted,
        ("classic", 2..=3) => !token.quoted && is_address(token),
        ("classic", 4..=6) => !token.quoted && is_number_or_dash(token),
        ("classic", 7..=10) => !token.quoted && is_integer_or_dash(token),
        ("classic", 11) => token.quoted,
        ("classic", 12) => token.quoted || token.is_dash(),
        ("classic", 13..=14) => !token.quoted,
        ("alb", 0..=2) => !token.quoted,
        ("alb", 3..=4) => !token.quoted && is_address(token),
        ("alb", 5..=7) => !token.quoted && is_number_or_dash(token),
        ("alb", 8..=11) => !token.quoted && is_integer_or_dash(token),
        ("alb", 12) => token.quoted,
        ("alb", 13 | 17) => token.quoted || token.is_dash(),
        ("alb", 14..=16) => !token.quoted,
        ("alb", 20) => is_integer_or_dash(token),
        ("alb", 21) => token.is_dash() || is_timestamp(&token.text),
        ("nlb", 5..=6) => !token.quoted && is_address(token),
        ("nlb", 7..=11) => !token.quoted && is_integer_or_dash(token),
        ("nlb", 0..=17) => !token.quoted,
        ("alb-connection", 6) => !token.quoted && is_number_or_dash(token),
        ("alb-connection", 0..=6) => !token.quoted,
        ("alb-connection", 7) => token.quoted,
        ("alb-health-check", 5) => matches!(&*token.text, "PASS" | "FAIL"),
        ("alb-health-check", 6) => is_integer_or_dash(token),
        _ => true,
    };
    let all = tokens.iter().enumerate().all(|(place, token)| good(place, token));
    if all { Ok(()) } else { Err("misaligned_fields") }
}

/// Address and port, cut at the last colon.
fn pair(token: &Token) -> Option<[Tree; 2]> {
    if token.is_dash() {
        return Some([Tree::Null, Tree::Null]);
    }
    let (ip, port) = token.text.rsplit_once(':')?;
    let ip = ip.strip_prefix('[').unwrap_or(ip);
    let ip = ip.strip_suffix(']').unwrap_or(ip);
    let port = if is_digits(port) { number(port) } else { Tree::Null };
    Some([Tree::Text(ip.to_owned()), port])
}

/// Method, URL and protocol of a request line.
fn request(text: &str) -> [Tree; 3] {
    let line = text.trim_end_matches(' ');
    let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
    let (before, last) = rest.rsplit_once(' ').unwrap_or(("", rest));
    let (url, protocol) = if last == "-" || is_http(last) { (before, last) } else { (rest, "") };
    [verb, url, protocol].map(|part| if part.is_empty() || part == "-" { Tree::Null } else { Tree::Text(part.to_owned()) })
}

fn is_http(word: &str) -> bool {
    let Some(version) = word.strip_prefix("HTTP/") else { return false };
    match version.split_once('.') {
        Some((major, minor)) => is_digits(major) && is_digits(minor),
        None => is_digits(version),
    }
}

/// A number as it is written, but for zeros that JSON cannot have in front of it.
fn number(text: &str) -> Tree {
    let (sign, digits) = text.strip_prefix('-').map_or(("", text), |digits| ("-", digits));
    let mut digits = digits;
    while digits.len() > 1 && digits.starts_with('0') && digits.as_bytes()[1] != b'.' {
        digits = &digits[1..];
    }
    Tree::Number(format!("{sign}{digits}"))
}

fn is_address(token: &Token) -> bool {
    token.is_dash() || token.text.contains(':')
}

fn is_integer_or_dash(token: &Token) -> bool {
    token.is_dash() || is_digits(token.text.strip_prefix('-').unwrap_or(&token.text))
}

fn is_number_or_dash(token: &Token) -> bool {
    token.is_dash() || is_unsigned(token.text.strip_prefix('-').unwrap_or(&token.text))
}

/// Digits, and perhaps a point and more digits.
fn is_unsigned(text: &str) -> bool {
    match text.split_once('.') {
        Some((whole, fraction)) => is_digits(whole) && is_digits(fraction),
        None => is_digits(text),
    }
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|char| char.is_ascii_digit())
}

/// Whether a text looks like `YYYY-MM-DDThh:mm:ss`, perhaps with a fraction, perhaps with a `Z`.
pub(crate) fn is_timestamp(text: &str) -> bool {
    let text = text.strip_suffix('Z').unwrap_or(text);
    let (moment, fraction) = match text.split_once('.') {
        Some((moment, fraction)) => (moment, Some(fraction)),
        None => (text, None),
    };
    let shape: String = moment.chars().map(|char| if char.is_ascii_digit() { '0' } else { char }).collect();
    shape == "0000-00-00T00:00:00" && fraction.is_none_or(is_digits)
}
