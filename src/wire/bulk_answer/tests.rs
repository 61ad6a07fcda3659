//! Answers that are true, however they are written, and answers that lie.

use proptest::prelude::*;
use serde::de::IgnoredAny;
use serde_json::Value;
use serde_json::json;

use super::*;

fn id(number: usize) -> EventId {
    EventId((number as u128).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_0c2b_5a6d_1e4f).to_be_bytes())
}

fn hex(number: usize) -> String {
    String::from_utf8(id(number).hex().to_vec()).expect("digits are ASCII")
}

fn ids(count: usize) -> impl ExactSizeIterator<Item = EventId> {
    (0..count).map(id)
}

/// What one item says, owned.
type Told = (usize, u16, Option<String>, Option<String>);

fn told(body: &[u8], sent: usize) -> Result<Vec<Told>, Implausible> {
    let mut all = Vec::new();
    let result = read(body, ids(sent), |position, item| {
        let Item { status, error_type, reason } = item;
        all.push((position, status, error_type.map(Cow::into_owned), reason.map(Cow::into_owned)));
    });
    if result.is_err() {
        assert!(all.is_empty(), "an answer that does not count tells nothing");
    }
    result.map(|()| all)
}

/// An item as Elasticsearch writes one that it has stored.
fn stored(number: usize) -> String {
    format!(
        concat!(
            r#"{{"create":{{"_index":"logs-elb.alb-default","_id":"{}","_version":1,"result":"created","#,
            r#""_shards":{{"total":2,"successful":1,"failed":0}},"_seq_no":{},"_primary_term":1,"status":201}}}}"#
        ),
        hex(number),
        number
    )
}

fn short(number: usize, status: u16) -> String {
    format!(r#"{{"create":{{"_id":"{}","status":{status}}}}}"#, hex(number))
}

fn answer(items: &[String]) -> String {
    format!(r#"{{"errors":false,"took":3,"items":[{}]}}"#, items.join(","))
}

#[track_caller]
fn check(body: impl AsRef<[u8]>, sent: usize, statuses: &[u16]) {
    let body = body.as_ref();
    let got = told(body, sent).map(|all| all.iter().map(|told| told.1).collect::<Vec<_>>());
    assert_eq!(got.as_deref(), Ok(statuses), "{}", body.escape_ascii());
}

#[track_caller]
fn check_lie(body: impl AsRef<[u8]>, sent: usize, why: &str) {
    let body = body.as_ref();
    assert_eq!(told(body, sent).expect_err("it lies").to_string(), why, "{}", body.escape_ascii());
}

#[test]
fn what_servers_write_is_read() {
    check(answer(&[stored(0), stored(1), stored(2)]), 3, &[201, 201, 201]);
    check(answer(&[short(0, 200), short(1, 409), short(2, 503)]), 3, &[200, 409, 503]);
    check(r#"{"items":[]}"#, 0, &[]);
}

#[test]
fn how_it_is_written_does_not_matter() {
    let pretty = |text: &str| serde_json::to_string_pretty(&serde_json::from_str::<Value>(text).expect("JSON")).expect("JSON");
    check(pretty(&answer(&[stored(0), stored(1)])), 2, &[201, 201]);
    check(format!(" \n{}\r\n ", answer(&[short(0, 201)])), 1, &[201]);
    let id = hex(0);
    let escaped: String = id.chars().map(|digit| format!("\\u{:04x}", digit as u32)).collect();
    check(format!(r#"{{"items":[{{"create":{{"_id":"{escaped}","status":201}}}}]}}"#), 1, &[201]);
    check(format!(r#"{{"\u0069tems":[{{"cr\u0065ate":{{"st\u0061tus":201,"\u005fid":"{id}"}}}}]}}"#), 1, &[201]);
    check(
        format!(r#"{{"items":[{{"create":{{"x":[[{{}}],"}}"],"status":201,"_id":"{id}","y":"\\\""}}}}],"z":{{}}}}"#),
        1,
        &[201],
    );
}

#[test]
fn the_flag_is_never_believed() {
    for flag in ["true", "false", "null", "\"no\""] {
        let body = format!(r#"{{"took":1,"items":[{}],"errors":{flag}}}"#, short(0, 429));
        check(body, 1, &[429]);
    }
    check_lie(r#"{"took":1,"errors":false}"#, 1, "the answer has no array of items");
}

#[test]
fn an_error_is_told_with_its_kind_and_reason() {
    let item = |error: &str| format!(r#"{{"items":[{{"create":{{"_id":"{}","error":{error},"status":400}}}}]}}"#, hex(0));
    let pair = |error: &str| {
        let all = told(item(error).as_bytes(), 1).expect("it is plausible");
        (all[0].2.clone(), all[0].3.clone())
    };
    let some = |text: &str| Some(text.to_owned());
    let error = r#"{"type":"mapper_parsing_exception","reason":"a \"b\" \u00fc \ud800","caused_by":{"reason":"c","type":"d"}}"#;
    assert_eq!(pair(error), (some("mapper_parsing_exception"), some("a \"b\" \u{fc} \u{fffd}")));
    assert_eq!(pair(r#""MapperParsingException[x]""#), (None, some("MapperParsingException[x]")));
    assert_eq!(pair(r#"{"type":7,"reason":null}"#), (None, None));
    assert_eq!(pair("null"), (None, None));
}

#[test]
fn what_is_stored_has_no_error() {
    let with = |status: u16, error: &str| {
        format!(r#"{{"items":[{},{{"create":{{"_id":"{}","error":{error},"status":{status}}}}}]}}"#, short(0, 201), hex(1))
    };
    for status in [200, 201] {
        for error in [r#"{"type":"x","reason":"y"}"#, "{}", "\"no\""] {
            check_lie(with(status, error), 2, "item 1 of the answer: it is stored and has an error");
        }
        for error in ["null", "false", "0", "[]", "\"\""] {
            check(with(status, error), 2, &[201, status]);
        }
    }
}

#[test]
fn a_conflict_is_one_only_where_it_is_about_the_id() {
    let told = |error: &str| {
        let body = format!(r#"{{"items":[{{"create":{{"_id":"{}","error":{error},"status":409}}}}]}}"#, hex(0));
        let mut all = told(body.as_bytes(), 1).expect("it is plausible");
        let (_, status, kind, reason) = all.remove(0);
        assert_eq!(status, 409);
        (kind, reason)
    };
    let conflict = r#"{"type":"version_conflict_engine_exception","reason":"r"}"#;
    let exists = r#"{"type":"document_already_exists_exception"}"#;
    for error in [conflict, exists, r#"{"type":"duplicate"}"#, r#"{"reason":"r"}"#, "\"old\"", "null", "{}"] {
        assert_eq!(told(error), (None, None), "{error}");
    }
    let other = told(r#"{"type":"cluster_block_exception","reason":"blocked, no version_conflict_engine_exception"}"#);
    assert_eq!(other.0.as_deref(), Some("cluster_block_exception"));
    assert_eq!(other.1.as_deref(), Some("blocked, no version_conflict_engine_exception"));
}

#[test]
fn an_answer_about_each_document_is_none_about_all_of_them() {
    for error in [r#"{"type":"x","reason":"y"}"#, "\"no\"", "{}"] {
        let why = "the answer has items and an error of the whole request";
        check_lie(format!(r#"{{"items":[{}],"error":{error},"status":500}}"#, short(0, 201)), 1, why);
        check_lie(format!(r#"{{"error":{error},"items":[{}]}}"#, short(0, 201)), 1, why);
        check_lie(format!(r#"{{"error":{error},"status":500}}"#), 1, "the answer has no array of items");
    }
    for error in ["null", "false", "\"\""] {
        check(format!(r#"{{"error":{error},"items":[{}]}}"#, short(0, 201)), 1, &[201]);
    }
}

#[test]
fn what_is_in_the_failure_store_has_an_id_of_its_own() {
    let item = |store: &str, id: &str| {
        format!(r#"{{"items":[{{"create":{{"_id":"{id}","status":201,"failure_store":{store}}}}},{}]}}"#, short(1, 201))
    };
    let all = told(item(r#""used""#, "jYAlbpYBmA4QTxGnMuwM").as_bytes(), 2).expect("it is plausible");
    assert_eq!(all, [(0, 201, None, None), (1, 201, None, None)]);
    for store in [r#""failed""#, r#""not_enabled""#, "true", "null"] {
        check_lie(item(store, "jYAlbpYBmA4QTxGnMuwM"), 2, "item 0 of the answer: its id is not the one that was sent");
        check(item(store, &hex(0)), 2, &[201, 201]);
    }
    // What is not stored is not in there either.
    for status in ["400", "409", "429"] {
        let body = item(r#""used""#, "jYAlbpYBmA4QTxGnMuwM").replacen("201", status, 1);
        check_lie(body, 2, "item 0 of the answer: its id is not the one that was sent");
    }
}

#[test]
fn counts_are_compared() {
    check_lie(answer(&[stored(0)]), 2, "the answer has 1 items for 2 documents");
    check_lie(r#"{"items":[]}"#, 2, "the answer has 0 items for 2 documents");
    check_lie(answer(&[stored(0), stored(1), stored(2)]), 2, "the answer has more than 2 items for 2 documents");
    check_lie(answer(&[stored(0)]), 0, "the answer has more than 0 items for 0 documents");
}

#[test]
fn ids_are_compared_by_position() {
    let other = "its id is not the one that was sent";
    check_lie(answer(&[stored(0), stored(7)]), 2, &format!("item 1 of the answer: {other}"));
    check_lie(answer(&[stored(1), stored(0)]), 2, &format!("item 0 of the answer: {other}"));
    check_lie(answer(&[stored(0), stored(0)]), 2, &format!("item 1 of the answer: {other}"));
    let with = |id: &str| format!(r#"{{"items":[{{"create":{{"_id":{id},"status":201}}}}]}}"#);
    check_lie(with(&format!("\"{}\"", hex(1).to_uppercase())), 1, &format!("item 0 of the answer: {other}"));
    check_lie(with(&format!("\"{} \"", hex(0))), 1, &format!("item 0 of the answer: {other}"));
    check_lie(with(r#""""#), 1, &format!("item 0 of the answer: {other}"));
    for id in ["null", "0", "[]", "true"] {
        check_lie(with(id), 1, "item 0 of the answer: it has no id");
    }
    check_lie(r#"{"items":[{"create":{"status":201}}]}"#, 1, "item 0 of the answer: it has no id");
}

#[test]
fn a_status_is_a_whole_number_from_100_to_599() {
    let with = |status: &str| format!(r#"{{"items":[{{"create":{{"status":{status},"_id":"{}"}}}}]}}"#, hex(0));
    for status in ["\"201\"", "201.0", "2.01e2", "20", "99", "600", "2010", "-201", "null", "true", "[201]", "{}"] {
        check_lie(with(status), 1, "item 0 of the answer: it has no status from 100 to 599");
    }
    let missing = format!(r#"{{"items":[{{"create":{{"_id":"{}"}}}}]}}"#, hex(0));
    check_lie(missing, 1, "item 0 of the answer: it has no status from 100 to 599");
    for status in [100, 599] {
        check(with(&status.to_string()), 1, &[status]);
    }
}

#[test]
fn an_item_answers_one_create() {
    for action in ["index", "update", "delete", "creat", "creates", "CREATE", ""] {
        let body = answer(&[short(0, 201)]).replace("create", action);
        check_lie(body, 1, "item 0 of the answer: it answers another action than create");
    }
    let details = format!(r#"{{"_id":"{}","status":201}}"#, hex(0));
    for item in [
        "{}".to_owned(),
        "[]".to_owned(),
        "null".to_owned(),
        "201".to_owned(),
        r#"{"create":[]}"#.to_owned(),
        r#"{"create":201}"#.to_owned(),
        format!(r#"{{"create":{details},"create":{details}}}"#),
        format!(r#"{{"create":{details},"index":{details}}}"#),
    ] {
        check_lie(answer(&[item]), 1, "item 0 of the answer: it is not an object with exactly one object in it");
    }
}

#[test]
fn nothing_is_said_twice() {
    let id = hex(0);
    for details in [
        format!(r#""_id":"{id}","_id":"{id}","status":201"#),
        format!(r#""_id":"{id}","status":201,"status":201"#),
        format!(r#""_id":"{id}","status":400,"st\u0061tus":201"#),
        format!(r#""_id":"{id}","error":{{}},"error":{{}},"status":400"#),
        format!(r#""_id":"{id}","failure_store":"used","failure_store":"used","status":400"#),
    ] {
        let body = format!(r#"{{"items":[{{"create":{{{details}}}}}]}}"#);
        check_lie(body, 1, "item 0 of the answer: it says one thing twice");
    }
    let items = format!(r#""items":[{}]"#, short(0, 201));
    check_lie(format!("{{{items},{items}}}"), 1, "the answer has items twice");
    check_lie(format!(r#"{{{items},"items":[]}}"#), 1, "the answer has items twice");
}

#[test]
fn what_is_not_an_answer_at_all_does_not_count() {
    check_lie("", 1, "the answer is not whole JSON: unexpected_end at byte 0");
    check_lie(" ", 1, "the answer is not whole JSON: unexpected_end at byte 1");
    check_lie("<html><body>502 Bad Gateway</body></html>", 1, "the answer is not whole JSON: unexpected_byte at byte 0");
    check_lie(b"\xef\xbb\xbf{}", 1, "the answer is not whole JSON: unexpected_byte at byte 0");
    check_lie(b"{\"\xff\":1}", 1, "the answer is not whole JSON: invalid_utf8 at byte 2");
    for scalar in ["[]", "[{\"items\":[]}]", "201", "\"items\"", "null", "true"] {
        check_lie(scalar, 1, "the answer is not a JSON object");
    }
    let error = r#"{"error":{"type":"es_rejected_execution_exception","reason":"no"},"status":429}"#;
    for body in [error, "{}", r#"{"items":{}}"#, r#"{"items":null}"#, r#"{"Items":[]}"#, r#"{"a":{"items":[]}}"#] {
        check_lie(body, 1, "the answer has no array of items");
    }
    let whole = answer(&[short(0, 201)]);
    for behind in ["{}", "\0", ",", "]", "}", "x", &whole] {
        let why = format!("the answer is not whole JSON: trailing_bytes at byte {}", whole.len());
        check_lie(format!("{whole}{behind}"), 1, &why);
    }
}

#[test]
fn an_answer_that_is_cut_anywhere_does_not_count() {
    let whole = answer(&[stored(0), short(1, 400).replace("}}", r#","error":{"reason":"\u00e4"}}}"#), stored(2)]);
    assert!(told(whole.as_bytes(), 3).is_ok());
    for cut in 0..whole.len() {
        assert!(told(&whole.as_bytes()[..cut], 3).is_err(), "cut at {cut}");
    }
}

#[test]
fn nesting_has_an_end() {
    let deep = |depth: usize| {
        let value = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        format!(r#"{{"items":[{{"create":{{"x":{value},"_id":"{}","status":201}}}}]}}"#, hex(0))
    };
    check(deep(60), 1, &[201]);
    assert!(matches!(told(deep(65).as_bytes(), 1), Err(Implausible::NotJson(_))));
    assert!(matches!(told("[".repeat(1_000_000).as_bytes(), 1), Err(Implausible::NotJson(_))));
    assert!(matches!(told(r#"{"items":["#.repeat(500_000).as_bytes(), 1), Err(Implausible::Item { position: 0, .. })));
}

#[test]
fn words_repeat_nothing_of_the_answer() {
    let body = r#"{"items":[{"create":{"_id":"hunter2","status":201}}]}"#;
    let error = told(body.as_bytes(), 1).expect_err("it lies");
    assert!(!format!("{error} {error:?}").contains("hunter2"));
}

/// A status, and what kind of error with which reason.
type Written = (u16, Option<(String, String)>);

fn any_item() -> impl Strategy<Value = Written> {
    (100..600u16, proptest::option::of((".{0,40}", ".{0,80}")))
}

proptest! {
    #[test]
    fn any_true_answer_is_read_as_it_was_meant(
        items in proptest::collection::vec(any_item(), 0..20),
        noise in proptest::collection::btree_map("[a-z]{9,12}", ".{0,20}", 0..4),
        pretty in proptest::bool::ANY,
    ) {
        let details = |(number, (status, error)): (usize, &Written)| {
            let mut details = json!({ "_id": hex(number), "status": status });
            for (name, value) in &noise {
                details[name] = json!([value, { "status": value }]);
            }
            if let Some((kind, reason)) = error.as_ref().filter(|_| !matches!(status, 200 | 201)) {
                details["error"] = json!({ "type": kind, "reason": reason, "caused_by": { "type": "t", "reason": "r" } });
            }
            json!({ "create": details })
        };
        let body = json!({ "took": 1, "errors": false, "items": items.iter().enumerate().map(details).collect::<Vec<_>>(), "noise": noise });
        let text = if pretty { serde_json::to_string_pretty(&body) } else { serde_json::to_string(&body) }.expect("JSON");
        let all = told(text.as_bytes(), items.len()).expect("it is plausible");
        prop_assert_eq!(all.len(), items.len());
        for ((position, status, kind, reason), (at, (want, error))) in all.into_iter().zip(items.into_iter().enumerate()) {
            prop_assert_eq!((position, status), (at, want));
            let told = error.filter(|_| !matches!(want, 200 | 201 | 409)).unwrap_or_default();
            prop_assert_eq!((kind.unwrap_or_default(), reason.unwrap_or_default()), told);
        }
    }

    #[test]
    fn a_byte_that_is_changed_never_makes_a_lie_of_more_than_a_status(
        at in 0..400usize, byte in 0..=255u8, drop in proptest::bool::ANY,
    ) {
        let mut body = answer(&[stored(0), stored(1)]).into_bytes();
        let at = at % body.len();
        if drop { body.remove(at); } else { body[at] = byte; }
        if let Ok(all) = told(&body, 2) {
            prop_assert!(serde_json::from_slice::<IgnoredAny>(&body).is_ok());
            prop_assert_eq!(all.len(), 2);
        }
    }

    #[test]
    fn any_bytes_are_survived_and_only_json_counts(body in proptest::collection::vec(any::<u8>(), 0..200), sent in 0..3usize) {
        if told(&body, sent).is_ok() {
            prop_assert!(serde_json::from_slice::<IgnoredAny>(&body).is_ok());
        }
        error_reason(&body);
    }
}
