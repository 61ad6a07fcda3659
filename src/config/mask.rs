//! What of a configuration may be shown beside a mistake: nothing that may be a secret.
//!
//! A secret may stand behind a misspelt key or in a line that is not even TOML, so it is known by its looks: what stands behind a
//! key whose name is that of a secret or nearly so, or in a table of that name; the user and the query of what may be a host or a
//! URL; and every long run of hexadecimal digits. Better a word too many is hidden than a password shown.

use std::ops::Range;

use crate::config::words::nearest;

/// A line of the file with each character that may belong to a secret replaced by `*`, so that columns stay true.
///
/// `before` is the file up to the line, and `key` what the mistake is about, if that is known.
pub(super) fn line(before: &str, line: &str, key: &str) -> String {
    let equals = |at: usize| line[at..].find('=').map(|equals| at + equals + 1);
    let is_heading = heading(line).is_some();
    let by_key = key.split('.').any(names_secret) && !is_heading;
    let from = match surroundings(before) {
        Some(Around::Text) => Some(0),
        Some(Around::Table) if !is_heading => Some(equals(0).unwrap_or(0)),
        _ if by_key => Some(equals(0).unwrap_or(0)),
        _ => line.match_indices('=').find(|(at, _)| names_secret(key_at_end(&line[..*at]))).map(|(at, _)| at + 1),
    };
    let mut hidden = vec![false; line.len()];
    if let Some(from) = from {
        hide(line, from..line.len(), &mut hidden);
    }
    if let Some((at, _)) = line.match_indices('=').find(|(at, _)| is_user(key_at_end(&line[..*at])))
        && let Some(colon) = line[at..].find(':')
    {
        hide(line, at + colon + 1..line.len(), &mut hidden);
    }
    hide_looks(line, &mut hidden);
    shown(line, &hidden)
}

/// The value of a key, as a flag or a variable says it, with each character that may belong to a secret replaced by `*`.
pub(super) fn value(key: &str, text: &str) -> String {
    let mut hidden = vec![key.split('.').any(names_secret); text.len()];
    if let Some(colon) = text.find(':').filter(|_| is_user(key)) {
        hidden[colon + 1..].fill(true);
    }
    hide_piece(text, 0..text.len(), &mut hidden);
    hide_digits(text, &mut hidden);
    shown(text, &hidden)
}

fn shown(text: &str, hidden: &[bool]) -> String {
    text.char_indices().map(|(at, c)| if hidden[at] { '*' } else { c }).collect()
}

/// What a line stands in, where that is a secret's.
#[derive(Clone, Copy)]
enum Around {
    /// A list or a text: all of the line may be the secret.
    Text,
    /// A table: its keys may be shown.
    Table,
}

/// Finds what encloses the end of a text. Where brackets stand in strings it may see one that is none.
fn surroundings(before: &str) -> Option<Around> {
    let mut table = None;
    let mut open: Vec<(&str, Option<Around>)> = Vec::new();
    for line in before.split_inclusive('\n') {
        let in_text = open.last().is_some_and(|(end, _)| end.len() == 3);
        // A heading ends whatever somebody has forgotten to close; with quotes it may also be a list within a list.
        if let Some(names) = heading(line).filter(|names| !in_text && (open.is_empty() || !names.contains(['"', '\'']))) {
            open.clear();
            table = names.split('.').any(names_secret).then_some(Around::Table);
            continue;
        }
        let mut at = 0;
        while let Some(c) = line[at..].chars().next() {
            let rest = &line[at..];
            at += c.len_utf8();
            if let Some((end, _)) = open.last().filter(|(end, _)| rest.starts_with(end)) {
                at += end.len() - 1;
                open.pop();
                continue;
            }
            let end = match c {
                '#' if !matches!(open.last(), Some((end, _)) if end.len() == 3) => break,
                '{' => "}",
                '[' => "]",
                '"' if rest.starts_with("\"\"\"") => "\"\"\"",
                '\'' if rest.starts_with("'''") => "'''",
                _ => continue,
            };
            let behind = &line[..at - 1];
            let is_secret = behind.rfind('=').is_some_and(|equals| names_secret(key_at_end(&behind[..equals])));
            let around = if end == "}" { Around::Table } else { Around::Text };
            let outer = open.last().and_then(|(_, around)| *around);
            open.push((end, outer.or(is_secret.then_some(around))));
            at += end.len() - 1;
        }
    }
    open.last().and_then(|(_, around)| *around).or(table)
}

/// The names in a heading, where a line is one.
fn heading(line: &str) -> Option<&str> {
    let line = line.split_once('#').map_or(line, |(before, _)| before).trim();
    let names = line.strip_prefix('[')?.strip_suffix(']')?;
    Some(names.trim_matches(['[', ']'])).filter(|names| !names.contains(['=', ',']))
}

/// Parts of the names of keys whose values are secrets.
const PARTS: [&str; 9] = ["pass", "token", "secret", "id_key", "idkey", "api", "authorization", "cookie", "bearer"];

/// Keys that are those of secrets, for what is nearly one of them. Whatever is a header may be a secret.
const KEYS: [&str; 7] = ["password", "token", "api_key", "id_key", "aws_secret_access_key", "aws_session_token", "headers"];

/// Whether a key is one of a secret or nearly so, and not of the file that has it.
fn names_secret(key: &str) -> bool {
    let key = key.trim().trim_matches(['"', '\'']).to_lowercase();
    let is_part = PARTS.iter().any(|part| key.contains(part));
    (is_part || nearest(&key, &KEYS).is_some()) && !key.ends_with("file")
}

/// Whether a key is that of a user, who may have a password behind a colon.
fn is_user(key: &str) -> bool {
    nearest(key.trim_matches(['"', '\'']), &["user"]).is_some()
}

/// The key that a text ends with, the last name of it.
fn key_at_end(text: &str) -> &str {
    let text = text.trim_end();
    let ends = |c: char| !c.is_alphanumeric() && !matches!(c, '_' | '-' | '"' | '\'');
    let bare = || text.char_indices().rfind(|(_, c)| ends(*c)).map_or(0, |(at, c)| at + c.len_utf8());
    let quoted = |quote: char| text.strip_suffix(quote).and_then(|inner| inner.rfind(quote));
    let start = quoted('"').or_else(|| quoted('\'')).unwrap_or_else(bare);
    let key = &text[start..];
    // Of `headers.X-Auth` and `headers."X-Auth"` the name before the dot counts as well.
    match text[..start].strip_suffix('.').map(key_at_end).filter(|table| names_secret(table)) {
        Some(table) => table,
        None => key,
    }
}

/// Hides a value but for what shows its shape: spaces, quotes, names of variables, and brackets and commas between strings.
fn hide(text: &str, range: Range<usize>, hidden: &mut [bool]) {
    let mut quote = open_quote(&text[..range.start]);
    let mut at = range.start;
    while let Some(c) = text[at..range.end].chars().next() {
        if let Some(length) = variable(&text[at..range.end]) {
            at += length;
            continue;
        }
        let is_shape = match (quote, c) {
            (None, '"' | '\'') => {
                quote = Some(c);
                true
            }
            (Some(open), _) if c == open => {
                quote = None;
                true
            }
            (None, '=') => text[at..].starts_with("= "),
            (None, _) => matches!(c, ' ' | '\t' | '[' | ']' | '{' | '}' | ','),
            (Some(_), _) => c == ' ',
        };
        hidden[at] |= !is_shape;
        at += c.len_utf8();
    }
}

/// The quote of the string that a text ends in.
fn open_quote(text: &str) -> Option<char> {
    let mut at = 0;
    loop {
        let quote = at + text[at..].find(['"', '\''])?;
        let mark = text[quote..].chars().next()?;
        let Some(end) = closing(&text[quote + 1..], mark) else { return Some(mark) };
        at = quote + end + 2;
    }
}

/// Hides what looks like a secret whatever it is called.
fn hide_looks(line: &str, hidden: &mut [bool]) {
    let mut at = 0;
    while at < line.len() {
        let quote = line[at..].find(['"', '\'']).map_or(line.len(), |quote| at + quote);
        // Without its quotes a value begins behind its equals sign.
        let bare = line[at..quote].find('=').map_or(at, |equals| at + equals + 1);
        hide_piece(line, bare..quote, hidden);
        let Some(mark) = line[quote..].chars().next() else { break };
        let end = closing(&line[quote + 1..], mark).map_or(line.len(), |end| quote + 1 + end);
        hide_piece(line, quote + 1..end, hidden);
        at = end + 1;
    }
    hide_digits(line, hidden);
}

/// Where a string ends whose opening quote stands before the text.
fn closing(text: &str, quote: char) -> Option<usize> {
    let mut is_escaped = false;
    text.char_indices().find_map(|(at, c)| {
        let ends = c == quote && !is_escaped;
        is_escaped = c == '\\' && !is_escaped && quote == '"';
        ends.then_some(at)
    })
}

/// Hides the user and the query of what may be a host or a URL.
fn hide_piece(text: &str, range: Range<usize>, hidden: &mut [bool]) {
    let piece = &text[range.clone()];
    let host = piece.find("://").map_or(0, |at| at + 3);
    if let Some(end) = piece[host..].rfind('@') {
        cover(text, range.start + host..range.start + host + end, hidden);
    }
    if let Some(query) = piece[host..].find(['?', '#']).filter(|at| piece[host + at..].starts_with('?') || host > 0) {
        cover(text, range.start + host + query + 1..range.end, hidden);
    }
}

/// Hides a stretch but for the names of variables and the spaces in it.
fn cover(text: &str, range: Range<usize>, hidden: &mut [bool]) {
    let mut at = range.start;
    while let Some(c) = text[at..range.end].chars().next() {
        let length = variable(&text[at..range.end]);
        hidden[at] |= length.is_none() && c != ' ';
        at += length.unwrap_or(c.len_utf8());
    }
}

/// Hides long runs of hexadecimal digits.
fn hide_digits(text: &str, hidden: &mut [bool]) {
    let bytes = text.as_bytes();
    let mut start = 0;
    while start < bytes.len() {
        let run = bytes[start..].iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        if run >= RUN_MIN {
            hidden[start..start + run].fill(true);
        }
        start += run + 1;
    }
}

/// Bytes of the name of a variable and what stands around it, where a text goes on with one; its default is not among them.
fn variable(text: &str) -> Option<usize> {
    let name = text.strip_prefix("${")?.bytes().take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'_').count();
    let behind = &text[2 + name..];
    ["}", ":-"].iter().find(|end| behind.starts_with(**end)).map(|end| 2 + name + end.len())
}

/// Half of an `id_key`: a key cut short by a slip is still a secret.
const RUN_MIN: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, want: &str) {
        assert_eq!(line("", text, ""), want);
    }

    #[test]
    fn secrets_are_hidden_and_what_stands_around_them_is_not() {
        check("password = \"hush\"", "password = \"****\"");
        check("pasword = \"hush\"", "pasword = \"****\"");
        check("aws_sesion_tokn = \"hush\"", "aws_sesion_tokn = \"****\"");
        check("tokn = \"hush\" # why", "tokn = \"****\" * ***");
        check("headers = { Authorization = \"Bearer hush\" }", "headers = { ************* = \"****** ****\" }");
        check("header = { \"X Bad\" = \"hush\", b = 'h\"u' }", "header = { \"* ***\" = \"****\", * = '***' }");
        check("headers.X-Auth = \"hush\"", "headers.X-Auth = \"****\"");
        check("sink.headers.\"X Auth\" = \"hush\"", "sink.headers.\"X Auth\" = \"****\"");
        check("user = \"u:hush\"", "user = \"u:****\"");
        check("hosts = [\"u:hu,sh@h:5000\", \"b:1\"]", "hosts = [\"*******@h:5000\", \"b:1\"]");
        check("hosts = [\"https://u:hu/sh@h/x\"]", "hosts = [\"https://*******@h/x\"]");
        check("hosts = [\"https://${U}:${P:-hush}@h\"]", "hosts = [\"https://${U}*${P:-*****@h\"]");
        check("hosts = [\"https://h/x?api_key=hush\"]", "hosts = [\"https://h/x?************\"]");
        check("hosts = [u:hush@h]", "hosts = *******@h]");
        check("token = \"hüsh\"", "token = \"****\"");
    }

    #[test]
    fn what_is_no_secret_is_shown() {
        for text in [
            "id_key = \"${ELBOW_ID_KEY}\"",
            "token_file = \"/run/token\"",
            "key = \"/etc/key.pem\"",
            "type = \"kafka\"",
            "hosts = [\"http://host:9200\", \"[::1]:5000\"]",
            "user = \"somebody\"",
            "user_timeout = \"1:2\"",
            "client_auth = \"requird\"",
            "aws_access_key_id = \"AKID\"",
            "aws_service = \"ess\"",
            "aws_credentials = \"key\"",
            "aws_region = \"\"",
            "field = \"@timestamp\"",
        ] {
            check(text, text);
        }
    }

    #[test]
    fn what_a_line_stands_in_counts() {
        let before = |before: &str, text: &str| line(before, text, "");
        assert_eq!(before("[sink.headers]\n", "X-Auth = \"hush\\q\""), "X-Auth = \"******\"");
        assert_eq!(before("[sink.'headers'] # why = \"x\"\n", "X-Auth = \"hush\\q\""), "X-Auth = \"******\"");
        assert_eq!(before("[sink.headers]\n[[sink]] # why = \"x\"\n", "name = \"x\""), "name = \"x\"");
        assert_eq!(before("token = [\n[\"a\"],\n", "[\"hush\"]"), "[\"****\"]");
        assert_eq!(before("[sink.headers]\n[[sink]]\n", "name = \"x\""), "name = \"x\"");
        assert_eq!(before("headers = {\n a = \"b\",\n", "c = \"hush\" }"), "c = \"****\" }");
        assert_eq!(before("token = \"\"\"\n", "aHVzaA==\"\"\""), "********\"\"\"");
        assert_eq!(before("tokens = [\n \"a\",\n", "\"hush\\q\""), "\"******\"");
        assert_eq!(before("tokens = [\n \"a\",\n]\n", "name = \"x\""), "name = \"x\"");
        assert_eq!(before("token = \"\"\"a\"\"\"\n", "name = \"x\""), "name = \"x\"");
        assert_eq!(line("", "  \"hush\",", "sink.password"), "  \"****\",");
        assert_eq!(line("", "[[sink]]", "sink.password"), "[[sink]]");
    }

    #[test]
    fn values_that_are_given_are_shown_the_same_way() {
        assert_eq!(value("sink", "kafka://u:hush@x"), "kafka://******@x");
        assert_eq!(value("hosts", "u:hush@a:5000"), "******@a:5000");
        assert_eq!(value("hosts", "https://h/x?key=hush"), "https://h/x?********");
        assert_eq!(value("hosts", "[::1]:x"), "[::1]:x");
        assert_eq!(value("user", "u:hush"), "u:****");
        assert_eq!(value("password", "hush"), "****");
    }
}
