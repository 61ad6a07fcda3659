//! What bulk requests come to, in tables and however they are cut.

use proptest::collection::vec;
use proptest::prelude::Just;
use proptest::prelude::Strategy;
use proptest::prelude::any;
use proptest::prop_assert_eq;
use proptest::prop_oneof;
use proptest::proptest;

use super::*;

const DOCUMENT_BYTES_MAX: usize = 40;

/// Documents handed on, the answer, and the fault.
fn run(reads: &[&[u8]]) -> (String, String, Option<Fault>) {
    run_in(Bulk::new("path", DOCUMENT_BYTES_MAX), reads)
}

fn run_in(mut bulk: Bulk, reads: &[&[u8]]) -> (String, String, Option<Fault>) {
    let mut out = Vec::new();
    for read in reads {
        bulk.feed(read, &mut out);
        assert!(bulk.carried_bytes() <= 4 * ACTION_BYTES_MAX, "{} bytes are carried", bulk.carried_bytes());
    }
    bulk.finish(&mut out);
    let fault = bulk.fault();
    let mut answer = bulk.into_answer(7);
    let mut text = Vec::new();
    while let Some(piece) = answer.piece() {
        text.extend(piece);
    }
    (String::from_utf8_lossy(&out).into_owned(), String::from_utf8(text).expect("text"), fault)
}

/// Checks what is handed on, and action, index and status of each item.
#[track_caller]
fn check(body: &str, documents: &str, want: &[(&str, &str, u64)]) {
    let (out, answer, fault) = run(&[body.as_bytes()]);
    assert_eq!((out.as_str(), fault), (documents, None), "{body}");
    let answer: Value = serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{error}: {answer}"));
    assert_eq!((&answer["took"], &answer["errors"]), (&7.into(), &want.iter().any(|item| item.2 != 201).into()));
    let items: Vec<_> = answer["items"].as_array().expect("items").iter().map(item).collect();
    assert_eq!(items, want.iter().map(|(word, index, status)| ((*word).into(), (*index).into(), *status)).collect::<Vec<_>>());
}

fn item(item: &Value) -> (String, String, u64) {
    let (word, details) = item.as_object().expect("an object").iter().next().expect("a member");
    let status = details["status"].as_u64().expect("a status");
    assert_eq!(details["error"]["reason"].is_string(), status != 201, "{item}");
    (word.clone(), details["_index"].as_str().expect("an index").to_owned(), status)
}

#[track_caller]
fn check_fault(body: &str, documents: &str, line: u64, what: &str) {
    let (out, _, fault) = run(&[body.as_bytes()]);
    let fault = fault.unwrap_or_else(|| panic!("{body} is taken"));
    assert_eq!((out.as_str(), fault.line, fault.what), (documents, line, what), "{body}");
}

#[test]
fn documents_are_handed_on_as_they_stand() {
    check("", "", &[]);
    check("{\"index\":{}}\n{\"a\": 1}\n", "{\"a\": 1}\n", &[("index", "path", 201)]);
    check("{\"create\":{\"_index\":\"x\"}}\r\nno JSON\r\n", "no JSON\n", &[("create", "x", 201)]);
    let both = "\n{\"index\":{}}\n{\"index\":{}}\n\r\n{ \"create\" : {\"_id\":\"7\",\"_type\":\"_doc\"}}\n[]";
    check(both, "{\"index\":{}}\n[]\n", &[("index", "path", 201), ("create", "path", 201)]);
}

#[test]
fn what_cannot_be_done_is_said_of_its_item_alone() {
    let body = "{\"update\":{\"_index\":\"u\"}}\n{\"doc\":{}}\n{\"delete\":{\"_index\":\"d\"}}\n{\"index\":{}}\n{}\n";
    check(body, "{}\n", &[("update", "u", 400), ("delete", "d", 400), ("index", "path", 201)]);
    check("{\"index\":{}}\n \n{\"index\":{}}\n{}\n", "{}\n", &[("index", "path", 400), ("index", "path", 201)]);
    check("{\"index\":{}}", "", &[("index", "path", 400)]);
    check("{\"index\":{}}\n", "", &[("index", "path", 400)]);
    let (fits, over) = ("x".repeat(DOCUMENT_BYTES_MAX), "x".repeat(DOCUMENT_BYTES_MAX + 1));
    let both = [("index", "path", 201), ("index", "path", 413)];
    check(&format!("{{\"index\":{{}}}}\n{fits}\r\n{{\"index\":{{}}}}\n{over}\n"), &format!("{fits}\n"), &both);
    let (over, longer) = (over.clone(), over.repeat(9));
    let both = [("index", "path", 413), ("index", "path", 413)];
    check(&format!("{{\"index\":{{}}}}\n{longer}\n{{\"index\":{{}}}}\n{over}"), "", &both);
}

#[test]
fn a_line_that_is_no_action_ends_the_request() {
    check_fault("{\"index\":{}}\n{}\n{\"field\":1}\n{}\n", "{}\n", 3, "this is no action");
    check_fault("{\"index\":{},\"create\":{}}\n{}\n", "", 1, "this is no action");
    check_fault("{\"index\":[]}\n{}\n", "", 1, "this is no action");
    check_fault("line\n", "", 1, "this is no action");
    let long = format!("{{\"index\":{{\"routing\":\"{}\"}}}}", "r".repeat(ACTION_BYTES_MAX));
    check_fault(&format!("\n{long}\n{{}}\n"), "", 2, "an action is too long");
    check_fault(&long, "", 1, "an action is too long");
}

#[test]
fn where_somebody_else_cuts_documents_that_are_too_long_are_handed_on_as_they_come() {
    let (fits, over) = ("x".repeat(DOCUMENT_BYTES_MAX), "y".repeat(DOCUMENT_BYTES_MAX * 9));
    let body = format!(
        "{{\"index\":{{}}}}\n{over}\r\n{{\"update\":{{}}}}\n{over}\n{{\"index\":{{}}}}\n{fits}\n{{\"create\":{{}}}}\n{over}"
    );
    let whole = run_in(Bulk::new("path", DOCUMENT_BYTES_MAX).passing(true), &[body.as_bytes()]);
    assert_eq!((whole.0.replace('\r', ""), &whole.2), (format!("{over}\n{fits}\n{over}\n"), &None));
    for size in [1, 7, 41, 42, 43, 100] {
        let reads: Vec<&[u8]> = body.as_bytes().chunks(size).collect();
        let pieces = run_in(Bulk::new("path", DOCUMENT_BYTES_MAX).passing(true), &reads);
        assert_eq!((pieces.0.replace('\r', ""), pieces.1, pieces.2), (whole.0.replace('\r', ""), whole.1.clone(), None));
    }
    let statuses: Vec<u64> = serde_json::from_str::<Value>(&whole.1).expect("JSON")["items"]
        .as_array()
        .expect("items")
        .iter()
        .map(|i| item(i).2)
        .collect();
    assert_eq!(statuses, [201, 400, 201, 201]);
}

#[test]
fn names_that_are_too_many_or_too_long_are_not_repeated() {
    let many: String = (0..100).map(|n| format!("{{\"index\":{{\"_index\":\"i{n}\"}}}}\n{{}}\n")).collect();
    let names: Vec<String> = (0..100).map(|n| if n < NAMES_MAX - 1 { format!("i{n}") } else { "path".to_owned() }).collect();
    let want: Vec<_> = names.iter().map(|name| ("index", name.as_str(), 201)).collect();
    check(&many, &"{}\n".repeat(100), &want);
    let long = "i".repeat(INDEX_BYTES_MAX + 1);
    check(&format!("{{\"index\":{{\"_index\":\"{long}\"}}}}\n{{}}\n"), "{}\n", &[("index", "", 201)]);
    check("{\"index\":{\"_index\":\"a\\\"\\n\"}}\n{}\n", "{}\n", &[("index", "a\"\n", 201)]);
}

#[test]
fn memory_for_answers_is_bounded() {
    let turns = "{\"index\":{}}\n{}\n{\"create\":{}}\n{}\n".repeat(RUNS_MAX / 2);
    let (_, _, fault) = run(&[turns.as_bytes()]);
    assert_eq!(fault, None);
    let (_, _, fault) = run(&[turns.as_bytes(), b"{\"index\":{}}\n{}\n"]);
    assert_eq!(fault, Some(Fault { line: 2 * RUNS_MAX as u64 + 2, what: "too many kinds of actions take turns" }));
    assert!(size_of::<Run>() <= 8);
}

fn part() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => Just("{\"index\":{}}\n".to_owned()),
        3 => Just("{\"create\":{\"_index\":\"i\"}}\n".to_owned()),
        1 => Just("{\"delete\":{}}\n".to_owned()),
        1 => Just("{\"update\":{}}\r\n".to_owned()),
        3 => Just("{\"a\":1}\n".to_owned()),
        1 => Just("\n".to_owned()),
        1 => (35_usize..60).prop_map(|length| "x".repeat(length) + "\r\n"),
        1 => (35_usize..60).prop_map(|length| "x".repeat(length)),
        1 => (ACTION_BYTES_MAX - 3..ACTION_BYTES_MAX + 3).prop_map(|length| "y".repeat(length)),
    ]
}

proptest! {
    #[test]
    fn how_a_body_was_cut_into_reads_changes_nothing(parts in vec(part(), 0..20), cuts in vec(any::<u8>(), 1..9)) {
        let body = parts.concat().into_bytes();
        let mut reads = Vec::new();
        let mut rest = body.as_slice();
        for cut in cuts.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (read, behind) = rest.split_at(rest.len().min(usize::from(*cut) + 1));
            reads.push(read);
            rest = behind;
        }
        prop_assert_eq!(run(&reads), run(&[&body]));
    }
}
