//! What streams fall into, and that it does not matter how they were cut.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

type Seen = Vec<(String, Piece)>;

/// The pieces of a stream that refuses, bytes refused, and bytes lost at its end.
fn run(reads: &[&[u8]], most: usize, clean: bool) -> (Seen, u64, usize) {
    run_in(Values::new(most).refusing(), reads, most, clean)
}

/// The same of one that cuts, with the bytes skipped.
fn run_cutting(reads: &[&[u8]], most: usize, clean: bool) -> (Seen, u64, usize) {
    run_in(Values::new(most), reads, most, clean)
}

fn run_in(mut values: Values, reads: &[&[u8]], most: usize, clean: bool) -> (Seen, u64, usize) {
    let mut seen = Seen::new();
    let mut each =
        |chunk: &[u8], start: usize, end: usize, piece| seen.push((chunk[start..end].escape_ascii().to_string(), piece));
    let mut skipped = 0;
    let mut refused = false;
    for read in reads {
        let fed = values.feed(read, &mut each);
        assert!(fed.refused || !refused, "a refusal lasts");
        refused = fed.refused;
        skipped += fed.skipped_bytes;
        assert!(values.held_bytes() <= 2 * (most + read.len()).max(8), "what is held is bounded by the limit");
    }
    let lost = values.finish(clean, &mut each);
    assert_eq!(values.held_bytes(), 0);
    (seen, skipped, lost)
}

/// A stream, and its pieces as kind, line, index and text.
#[track_caller]
fn check(stream: &str, want: &[(Kind, u64, u32, &str)]) {
    let (seen, skipped, lost) = run(&[stream.as_bytes()], 1000, true);
    let seen: Vec<_> = seen.iter().map(|(text, piece)| (piece.kind, piece.line, piece.index, text.as_str())).collect();
    assert_eq!(seen, want, "{stream}");
    assert_eq!((skipped, lost), (0, 0), "{stream}");
}

use Kind::Broken;
use Kind::Cut;
use Kind::Element;
use Kind::Line;
use Kind::Value;

#[test]
fn arrays_are_elements_and_objects_are_values() {
    check("", &[]);
    check(" \n ", &[]);
    check("[]", &[]);
    check("{}", &[(Value, 0, 0, "{}")]);
    check("[{\"a\":1},{\"b\":[2,{}]}]", &[(Element, 0, 0, "{\\\"a\\\":1}"), (Element, 0, 1, "{\\\"b\\\":[2,{}]}")]);
    check(
        "\n[\n {} ,\n 7, \"x]\" , null,[1]\n]\n{}",
        &[
            (Element, 1, 0, "{}"),
            (Element, 1, 1, "7"),
            (Element, 1, 2, "\\\"x]\\\""),
            (Element, 1, 3, "null"),
            (Element, 1, 4, "[1]"),
            (Value, 5, 0, "{}"),
        ],
    );
    check("{}{} {}\n\n{}\r\n", &[(Value, 0, 0, "{}"), (Value, 0, 1, "{}"), (Value, 0, 2, "{}"), (Value, 2, 0, "{}")]);
    check("{\n\"a\"\n:\n{}\n}\n{}", &[(Value, 0, 0, "{\\n\\\"a\\\"\\n:\\n{}\\n}"), (Value, 5, 0, "{}")]);
}

#[test]
fn brackets_in_strings_are_text() {
    let object = r#"{"a}\"{":"[\\"}"#;
    check(
        &format!("[{object},{object}]"),
        &[(Element, 0, 0, &object.escape_default().to_string()), (Element, 0, 1, &object.escape_default().to_string())],
    );
}

#[test]
fn what_is_no_json_is_lines() {
    check("one\n two \n{}\nthree", &[(Line, 0, 0, "one"), (Line, 1, 0, "two "), (Value, 2, 0, "{}"), (Line, 3, 0, "three")]);
    check(
        "[error] it\n[1,2]\n[\"a\"]\n[",
        &[(Line, 0, 0, "[error] it"), (Line, 1, 0, "[1,2]"), (Line, 2, 0, "[\\\"a\\\"]"), (Line, 3, 0, "[")],
    );
    check("{} rest\n{}", &[(Value, 0, 0, "{}"), (Line, 0, 1, "rest"), (Value, 1, 0, "{}")]);
}

#[test]
fn behind_a_broken_line_values_are_found_again() {
    check("{\"a\n{}\n{\"b\":1", &[(Broken, 0, 0, "{\\\"a"), (Value, 1, 0, "{}"), (Broken, 2, 0, "{\\\"b\\\":1")]);
    // The second line shows that the first had no end.
    check("{\"a\":1\n{}\n{}", &[(Broken, 0, 0, "{\\\"a\\\":1"), (Line, 1, 0, "{}"), (Value, 2, 0, "{}")]);
    check("{\"a\":\nb\n{}", &[(Broken, 0, 0, "{\\\"a\\\":"), (Line, 1, 0, "b"), (Value, 2, 0, "{}")]);
    check("[\n{},\n{\"a\":\nb\n]", &[(Element, 0, 0, "{}"), (Broken, 0, 1, "{\\\"a\\\":"), (Broken, 0, 2, "b")]);
    check("[{},{]},{}]\n{}", &[(Element, 0, 0, "{}"), (Broken, 0, 1, "{]},{}]"), (Value, 1, 0, "{}")]);
    check(
        "[\n{},\n{oh},\n{}\n]\n{}",
        &[(Element, 0, 0, "{}"), (Broken, 0, 1, "{oh},"), (Element, 0, 2, "{}"), (Value, 5, 0, "{}")],
    );
    check("[{},,{}]", &[(Element, 0, 0, "{}"), (Broken, 0, 1, ",{}]")]);
    check("[{}", &[(Element, 0, 0, "{}")]);
    check("[{},{\"a", &[(Element, 0, 0, "{}"), (Broken, 0, 1, "{\\\"a")]);
}

#[test]
fn deep_values_are_lines() {
    let depth = DEPTH_MAX as usize;
    let nested = |depth: usize| format!("{{\"a\":{}{}}}", "[".repeat(depth - 1), "]".repeat(depth - 1));
    check(&nested(depth), &[(Value, 0, 0, &nested(depth).escape_default().to_string())]);
    check(&nested(depth + 1), &[(Broken, 0, 0, &nested(depth + 1).escape_default().to_string())]);
}

#[test]
fn the_limit_is_exact() {
    let fits = (vec![("{ }".to_owned(), Piece { kind: Value, line: 0, index: 0 })], 0, 0);
    assert_eq!(run(&[b"{ }\n"], 3, true), fits);
    assert_eq!(run(&[b"{", b" ", b"}"], 3, true), fits);
    assert_eq!(run(&[b"{  }\n{}"], 3, true).0, []);
    assert_eq!(run(&[b"{", b"  ", b"}\n{}"], 3, true).0, []);
    assert_eq!(run(&[b"[{},{\"a\":1}]"], 3, true).0.len(), 1);
    assert_eq!(run(&[b"abc\r\nabcd\nx"], 3, true).0, [("abc\\r".to_owned(), Piece { kind: Line, line: 0, index: 0 })]);
}

#[test]
fn what_is_too_long_is_cut_and_what_follows_is_found() {
    let piece = |text: &str, kind, line, index| (text.to_owned(), Piece { kind, line, index });
    let object = piece("{}", Value, 1, 0);
    assert_eq!(run_cutting(&[b"{  }\n{}"], 3, true), (vec![piece("{  ", Cut, 0, 0), object.clone()], 1, 0));
    assert_eq!(run_cutting(&[b"{", b"  ", b" ", b" }\n{}"], 3, true), (vec![piece("{  ", Cut, 0, 0), object.clone()], 3, 0));
    assert_eq!(run_cutting(&[b"abcdef\n{}"], 3, true), (vec![piece("abc", Cut, 0, 0), object.clone()], 3, 0));
    assert_eq!(run_cutting(&[b"abc\r", b"d\n{}"], 3, true), (vec![piece("abc", Cut, 0, 0), object], 2, 0));
    let array = [piece("{}", Element, 0, 0), piece("{\\\"a", Cut, 0, 1), piece("{}", Element, 0, 2)];
    assert_eq!(run_cutting(&[b"[{},{\"a\":{\n}},", b"{}]"], 3, true), (array.to_vec(), 6, 0));
    // What had begun to be skipped ends with the stream.
    assert_eq!(run_cutting(&[b"{\"abc"], 3, true), (vec![piece("{\\\"a", Cut, 0, 0)], 2, 0));
    assert_eq!(run_cutting(&[b"[", b"    ", b"{}]"], 3, true).0, []);
}

#[test]
fn a_piece_without_end_counts_only_after_a_clean_end() {
    assert_eq!(run(&[b"{}{\"a"], 10, false), (vec![("{}".to_owned(), Piece { kind: Value, line: 0, index: 0 })], 0, 3));
}

fn cut<'s>(stream: &'s [u8], cuts: &[usize]) -> Vec<&'s [u8]> {
    let mut cuts: Vec<_> = cuts.iter().map(|&cut| cut.min(stream.len())).collect();
    cuts.extend([0, stream.len()]);
    cuts.sort_unstable();
    cuts.windows(2).map(|pair| &stream[pair[0]..pair[1]]).collect()
}

fn json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<i32>().prop_map(|number| (f64::from(number) / 4.0).into()),
        "[a-z\"\\\\{}\\[\\],\n]{0,6}".prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 20, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Into::into),
            proptest::collection::hash_map("[a-c\"\\\\]{0,2}", inner, 0..4)
                .prop_map(|members| serde_json::Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn any_split_into_reads_gives_the_same_pieces(
        tokens in vec(proptest::sample::select(vec!["{", "}", "[", "]", ",", ":", "\"", "\\", "\n", " ", "1", "a", "\"a\"", "{}", "{\"a\":1}"]), 0..60),
        cuts in vec(0usize..120, 0..12),
        limit in 1usize..30,
        clean: bool,
    ) {
        let stream = tokens.concat();
        let whole = run(&[stream.as_bytes()], limit, clean);
        let (seen, skipped, lost) = run(&cut(stream.as_bytes(), &cuts), limit, clean);
        if whole.1 == 0 {
            prop_assert_eq!((seen, skipped, lost), whole);
        } else {
            // How much of what follows a refusal is counted where does not matter; what is handed on does.
            prop_assert_eq!(seen, whole.0);
            prop_assert!(skipped > 0);
        }
    }

    #[test]
    fn any_split_into_reads_is_cut_alike(
        tokens in vec(proptest::sample::select(vec!["{", "}", "[", "]", ",", ":", "\"", "\\", "\n", "\r", " ", "1", "a", "\"a\"", "{}", "{\"a\":1}"]), 0..60),
        cuts in vec(0usize..120, 0..12),
        limit in 1usize..30,
        clean: bool,
    ) {
        let stream = tokens.concat();
        let whole = run_cutting(&[stream.as_bytes()], limit, clean);
        let split = run_cutting(&cut(stream.as_bytes(), &cuts), limit, clean);
        // Only white space without end ends a stream that cuts; how much of what follows is counted where does not matter.
        prop_assert_eq!(split.0, whole.0.clone());
        let pieces: usize = whole.0.iter().map(|(text, _)| text.len()).sum();
        prop_assert!(pieces as u64 + whole.1 <= 2 * stream.len() as u64);
        prop_assert_eq!(split.1 > 0, whole.1 > 0);
    }

    #[test]
    fn nothing_is_lost_but_white_space_and_what_stands_between_elements(
        tokens in vec(proptest::sample::select(vec!["{", "}", "[", "]", ",", ":", "\"", "\\", "\n", " ", "1", "a", "\"a\"", "{}", "{\"a\":1}"]), 0..60),
    ) {
        let stream = tokens.concat();
        let kept = |text: &str| text.chars().filter(|c| !" \n\r,[]".contains(*c)).collect::<String>();
        let mut values = Values::new(1000);
        let mut out = String::new();
        let mut each = |chunk: &[u8], start: usize, end: usize, _| out += std::str::from_utf8(&chunk[start..end]).expect("ASCII");
        let _ = values.feed(stream.as_bytes(), &mut each);
        prop_assert_eq!(values.finish(true, &mut each), 0);
        prop_assert_eq!(kept(&out), kept(&stream));
    }

    #[test]
    fn arrays_fall_into_their_elements_as_they_were_written(
        elements in vec(json(), 0..5),
        pretty: bool,
        cuts in vec(0usize..300, 0..6),
    ) {
        let mut all = vec![serde_json::json!({})];
        all.extend(elements);
        let array = serde_json::Value::from(all.clone());
        let text = if pretty { format!("{array:#}") } else { array.to_string() };
        let mut values = Values::new(100_000);
        let mut seen = Vec::new();
        for read in cut(text.as_bytes(), &cuts) {
            let _ = values.feed(read, |chunk, start, end, piece| {
                seen.push((piece.kind, serde_json::from_slice::<serde_json::Value>(&chunk[start..end]).expect("JSON")));
            });
        }
        prop_assert_eq!(seen, all.into_iter().map(|value| (Kind::Element, value)).collect::<Vec<_>>());
    }
}
