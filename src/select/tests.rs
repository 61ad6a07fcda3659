//! Tests of selections: what each condition takes, how fields are found, and that a part of a batch is that part.

use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::Value;
use serde_json::json;

use super::*;
use crate::batch::EventId;

fn batch(lines: &[(String, Option<Origin>)]) -> Batch {
    let (mut docs, mut marks) = (Vec::new(), Vec::new());
    for (line, origin) in lines {
        docs.extend_from_slice(line.as_bytes());
        docs.push(b'\n');
        marks.push(Mark { end: docs.len() as u32, id: EventId([marks.len() as u8; 16]), time: 7, origin: *origin });
    }
    let (tenant, source) = (Some("web".into()), SourceId(1));
    Batch { docs: docs.into(), marks: marks.into(), source, received: 9, tenant, sink: Some("one".into()), is_rejects: false }
}

fn when(subject: Subject) -> ConditionPlan {
    ConditionPlan { subject, negate: false }
}

fn unless(subject: Subject) -> ConditionPlan {
    ConditionPlan { subject, negate: true }
}

fn field(path: &str, test: Test) -> Subject {
    Subject::Field { path: path.to_owned(), test }
}

fn equals(text: &str) -> Test {
    Test::Equals(vec![text.to_owned()])
}

fn select(conditions: Vec<ConditionPlan>) -> Select {
    Select::new(SelectPlan { conditions })
}

fn tenants(names: &[Option<&str>]) -> Subject {
    Subject::Tenant(names.iter().map(|name| name.map(str::to_owned)).collect())
}

/// Which documents of a batch are wanted, by their places.
fn picked(select: &Select, batch: &Batch) -> Vec<usize> {
    match select.pick(batch) {
        Picked::All => (0..batch.len()).collect(),
        Picked::Nothing => Vec::new(),
        Picked::Some(part) => part.marks.iter().map(|mark| usize::from(mark.id.0[0])).collect(),
    }
}

/// What a condition says of one document, plain and negated.
#[track_caller]
fn check(path: &str, test: Test, document: &str, want: (bool, bool)) {
    let batch = batch(&[(document.to_owned(), None)]);
    let asked = [when, unless].map(|make| !picked(&select(vec![make(field(path, test.clone()))]), &batch).is_empty());
    assert_eq!((asked[0], asked[1]), want, "{path} {test:?} in {document}");
}

const PASSES: (bool, bool) = (true, false);
const FAILS: (bool, bool) = (false, true);
const IS_MISSING: (bool, bool) = (false, false);

#[test]
fn tenants_and_sources_are_asked_once_for_a_batch() {
    for (subject, tenant, source, want) in [
        (tenants(&[Some("shop"), Some("web")]), Some("web"), 0, true),
        (tenants(&[Some("shop"), Some("web")]), Some("lab"), 0, false),
        (tenants(&[Some("shop")]), None, 0, false),
        (tenants(&[None, Some("shop")]), None, 0, true),
        (tenants(&[Some("shop"), None]), Some("shop"), 0, true),
        (tenants(&[None]), Some("web"), 0, false),
        (Subject::Source(vec![SourceId(2), SourceId(0)]), None, 0, true),
        (Subject::Source(vec![SourceId(2), SourceId(0)]), None, 1, false),
        // A number behind those that are configured: a source of before.
        (Subject::Source(vec![SourceId(0)]), None, 9, false),
    ] {
        assert_eq!(select(vec![when(subject.clone())]).concerns(tenant, SourceId(source)), want, "{subject:?}");
        assert_eq!(select(vec![unless(subject.clone())]).concerns(tenant, SourceId(source)), !want, "not {subject:?}");
    }
}

#[test]
fn formats_are_asked_of_what_is_kept_beside_documents() {
    let origins: Vec<Option<Origin>> = Origin::ALL.into_iter().map(Some).chain([None]).collect();
    let batch = batch(&origins.iter().map(|origin| ("{}".to_owned(), *origin)).collect::<Vec<_>>());
    let of = |conditions: Vec<ConditionPlan>| -> Vec<Option<Origin>> {
        picked(&select(conditions), &batch).into_iter().map(|at| origins[at]).collect()
    };
    let formats = |of: &[Origin]| Subject::Format(of.to_vec());
    assert_eq!(of(vec![when(formats(&[Origin::Nlb, Origin::Alb]))]), [Some(Origin::Alb), Some(Origin::Nlb)]);
    assert_eq!(of(vec![unless(formats(&Origin::ALL))]), [None], "what is not known is none of them");
    let not_json = unless(formats(&[Origin::Json]));
    assert_eq!(of(vec![when(formats(&[Origin::Json, Origin::Text])), not_json]), [Some(Origin::Text)]);
    assert_eq!(of(Vec::new()), origins);
}

#[test]
fn a_field_is_found_where_its_path_leads() {
    let found = |path, document| check(path, equals("x"), document, PASSES);
    found("a", r#"{"a":"x"}"#);
    found("a", r#" { "b" : 1 , "a" : "x" } "#);
    found("a.b", r#"{"a":{"b":"x"}}"#);
    found("a.b", r#"{"a.b":"x"}"#);
    found("a.b.c", r#"{"a.b":{"c":"x"}}"#);
    found("a.b.c", r#"{"a":{"b.c":"x"}}"#);
    found("a.b", r#"{"a":1,"a":{"c":[],"b":"x"},"a":{}}"#);
    found("a", r#"{"a":["y",1,"x"]}"#);
    found("a", r#"{"a":[["x"]]}"#);
    found("a.b", r#"{"a":[{"b":"y"},7,{"b":["x"]}]}"#);
    found("a", r#"{"\u0061":"x"}"#);
    found("a", r#"{"a":"\u0078"}"#);
    found("a", r#"{"a":"y","a":"x"}"#);
    found("ü.é", r#"{"ü":{"\u00e9":"x"}}"#);
    let missing = |path, document| check(path, equals("x"), document, IS_MISSING);
    missing("a", "{}");
    missing("a", r#"{"b":"x"}"#);
    missing("a", r#"{"a":null}"#);
    missing("a", r#"{"a":{"a":"x"}}"#);
    missing("a", r#"{"a":[]}"#);
    missing("a", r#"{"a":[{},{"b":1}]}"#);
    missing("a.b", r#"{"a":"x"}"#);
    missing("a.b", r#"{"ab":"x","a":{"c":"x"},"b":"x"}"#);
    missing("a", r#"{"ab":"x"}"#);
    missing("a", "");
    missing("a", r#""a""#);
    missing("a", r#"["a"]"#);
}

#[test]
fn values_are_held_against_tests_as_rules_do() {
    let range = || Test::Range { min: 500, max: 599 };
    check("a", range(), r#"{"a":502}"#, PASSES);
    check("a", range(), r#"{"a":"502"}"#, PASSES);
    check("a", range(), r#"{"a":[200,502]}"#, PASSES);
    check("a", range(), r#"{"a":200}"#, FAILS);
    check("a", range(), r#"{"a":502.0}"#, FAILS);
    check("a", range(), r#"{"a":"-"}"#, FAILS);
    check("a", equals("-"), r#"{"a":"-"}"#, PASSES);
    check("a", equals("1.50"), r#"{"a":1.50}"#, PASSES);
    check("a", equals("true"), r#"{"a":true}"#, PASSES);
    check("a", equals("false"), r#"{"a":true}"#, FAILS);
    check("a", equals(""), r#"{"a":""}"#, PASSES);
    check("a", Test::Prefix(vec!["ELB-".to_owned()]), r#"{"a":"ELB-HealthChecker/2.0"}"#, PASSES);
    check("a", Test::Suffix(vec!["\"é".to_owned()]), r#"{"a":"say \"\u00e9"}"#, PASSES);
    check("a", Test::Cidr(vec!["10.0.0.0/8".parse().unwrap()]), r#"{"a":["192.0.2.1","10.1.2.3"]}"#, PASSES);
    check("a", Test::Equals(Vec::new()), r#"{"a":"x"}"#, FAILS);
}

#[test]
fn what_is_no_json_has_no_fields_from_the_fault_on() {
    check("b", equals("x"), r#"{"a":1 "b":"x"}"#, IS_MISSING);
    check("a", equals("x"), r#"{"a":"x" ?"#, PASSES);
    check("a", equals("x"), r#"{"a":"x"#, IS_MISSING);
    let deep = format!("{{\"b\":{}1{},\"a\":\"x\"}}", "[".repeat(100), "]".repeat(100));
    check("a", equals("x"), &deep, IS_MISSING);
    let deep = format!("{{\"a\":{}\"x\"{}}}", "[".repeat(100), "]".repeat(100));
    check("a", equals("x"), &deep, IS_MISSING);
}

#[test]
fn all_conditions_must_hold() {
    let lines: Vec<(String, Option<Origin>)> = [(200, Origin::Alb), (503, Origin::Alb), (503, Origin::Json)]
        .map(|(status, origin)| (json!({ "status": status, "n": 1 }).to_string(), Some(origin)))
        .into();
    let batch = batch(&lines);
    let of_web = when(tenants(&[Some("web")]));
    let alb = when(Subject::Format(vec![Origin::Alb]));
    let failed = when(field("status", Test::Range { min: 500, max: 599 }));
    assert_eq!(picked(&select(vec![failed.clone(), alb.clone(), of_web.clone()]), &batch), [1]);
    assert_eq!(picked(&select(vec![failed.clone(), alb, unless(tenants(&[Some("web")]))]), &batch), [0; 0]);
    assert_eq!(picked(&select(vec![failed.clone(), when(field("n", equals("2")))]), &batch), [0; 0]);
    assert_eq!(picked(&select(vec![of_web]), &batch), [0, 1, 2]);
    assert_eq!(picked(&select(vec![failed]), &batch), [1, 2]);
}

/// Every value at a path, by a reading of a tree: the members of each beginning of the path, its dots names or steps.
fn values<'v>(value: &'v Value, path: &str, found: &mut Vec<&'v Value>) {
    match value {
        Value::Array(elements) => elements.iter().for_each(|element| values(element, path, found)),
        Value::Object(members) if !path.is_empty() => {
            for (name, inner) in members {
                if name == path {
                    values(inner, "", found);
                } else if let Some(rest) = path.strip_prefix(name.as_str()).and_then(|rest| rest.strip_prefix('.')) {
                    values(inner, rest, found);
                }
            }
        }
        Value::Object(_) | Value::Null => {}
        scalar if path.is_empty() => found.push(scalar),
        _ => {}
    }
}

fn documents() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        Just(json!("x")),
        Just(json!("\u{e9}\n")),
        Just(json!(5)),
        Just(json!(true)),
        Just(json!([])),
    ];
    let names = || prop_oneof![Just("a"), Just("b"), Just("a.b"), Just("\u{e9}")];
    let value = leaf.prop_recursive(4, 24, 4, move |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::Array),
            vec((names(), inner), 0..4)
                .prop_map(|members| members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect::<Value>()),
        ]
    });
    vec((prop_oneof![Just("a"), Just("b"), Just("a.b"), Just("\u{e9}")], value), 0..4)
        .prop_map(|members| members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect::<Value>())
}

proptest! {
    /// Against a tree of the document.
    #[test]
    fn the_walk_finds_what_a_tree_has(
        document in documents(),
        path in prop_oneof![Just("a"), Just("a.b"), Just("a.b.a"), Just("a.a.b"), Just("\u{e9}"), Just("b.\u{e9}")],
        escaped: bool,
    ) {
        let mut found = Vec::new();
        values(&document, path, &mut found);
        let is_x = |value: &&Value| **value == json!("x");
        let want = (found.iter().any(is_x), !found.is_empty() && !found.iter().any(is_x));
        let text = document.to_string();
        let text = if escaped { text.replace('x', "\\u0078").replace('\u{e9}', "\\u00e9") } else { text };
        check(path, equals("x"), &text, want);
    }

    #[test]
    fn a_part_of_a_batch_is_that_part(wanted in vec((any::<bool>(), 0..40_usize), 0..12)) {
        let lines: Vec<(String, Option<Origin>)> = wanted
            .iter()
            .map(|(wanted, length)| ("d".repeat(*length), Some(if *wanted { Origin::Json } else { Origin::Text })))
            .collect();
        let whole = batch(&lines);
        let json = select(vec![when(Subject::Format(vec![Origin::Json]))]);
        let is_wanted = |mark: &Mark| mark.origin == Some(Origin::Json);
        let want: Vec<(&[u8], Mark)> =
            whole.documents().filter(|(_, mark)| is_wanted(mark)).map(|(document, mark)| (document, *mark)).collect();
        match json.pick(&whole) {
            Picked::All => prop_assert!(!want.is_empty() && want.len() == whole.len()),
            Picked::Nothing => prop_assert!(want.is_empty()),
            Picked::Some(part) => {
                prop_assert!(!want.is_empty() && want.len() < whole.len());
                let documents: Vec<&[u8]> = part.documents().map(|(document, _)| document).collect();
                let marks: Vec<_> = part.marks.iter().map(|mark| (mark.id, mark.time, mark.origin)).collect();
                prop_assert_eq!(documents, want.iter().map(|(document, _)| *document).collect::<Vec<_>>());
                prop_assert_eq!(marks, want.iter().map(|(_, mark)| (mark.id, mark.time, mark.origin)).collect::<Vec<_>>());
                prop_assert_eq!(part.marks.last().map(|mark| mark.end as usize), Some(part.docs.len()));
                prop_assert_eq!((part.source, part.received, part.tenant), (whole.source, whole.received, whole.tenant));
            }
        }
    }
}
