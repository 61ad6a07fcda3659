//! Letters are made by the parser itself, and parsed again by one whose plan has changed.

use super::*;
use crate::batch::EventId;
use crate::buffer::sift::events;
use crate::elb::Schema;
use crate::framing::lines::Whole;
use crate::pipeline::plan::Format;
use crate::pipeline::plan::Redact;

const CLASSIC: &str = "2018-07-02T22:23:00.186641Z my-loadbalancer 192.168.131.39:2817 10.0.0.1:80 0.000073 0.001048 0.000057 200 200 \
                       0 29 \"GET http://www.example.com:80/?token=abc HTTP/1.1\" \"curl/7.38.0\" - -";

fn plan(format: Format) -> ParsePlan {
    ParsePlan { on_reject: OnReject::DeadLetter, redact: Redact::Mask, ..ParsePlan::plain(format, Schema::Aws) }
}

fn lookups() -> Lookups {
    Lookups::load(&[]).expect("nothing to load")
}

/// The letters that lines become, received at this time.
fn letters(plan: &ParsePlan, lines: &[&str], whole: Whole, received: Micros) -> Entry {
    let look = Arc::new(look(plan, IdKey::PUBLISHED, &lookups()).expect("a look"));
    let mut parser = LineParser::new(plan, look, Ids::new(IdKey::PUBLISHED, [1; 12], SourceId(0), 0));
    let mut out = BatchBuilder::default();
    for line in lines {
        parser.line(line.as_bytes(), 0, line.len(), whole, Received::at(received), &mut out);
    }
    let letters = std::mem::take(&mut parser.letters).build(SourceId(0), received, |mut buf, used| {
        buf.truncate(used);
        Bytes::from(buf)
    });
    Entry { seq: Seq(0), batch: Arc::new(Batch { is_rejects: true, ..letters }) }
}

/// What becomes of an entry's letters under this plan: the fates, and documents with their ids.
fn again(plan: &ParsePlan, entry: &Entry) -> (Vec<Again>, Vec<(Value, EventId)>) {
    let mut source = source_of(plan, IdKey::PUBLISHED, &TenantsPlan::default(), &lookups(), SourceId(0)).expect("a look");
    let (mut fates, mut documents) = (Vec::new(), Vec::new());
    let mut out = BatchBuilder::default();
    for event in events(entry) {
        let letter = Letter::read(event.document).expect("a letter");
        let fate = source.again(&letter, &event, &mut out);
        fates.push(fate);
        let mut start = 0;
        for mark in out.marks().iter().filter(|_| fate == Again::Documents) {
            let document = &out.documents()[start..mark.end as usize];
            documents.push((serde_json::from_slice(document).expect("JSON"), mark.id));
            start = mark.end as usize;
        }
    }
    (fates, documents)
}

fn hex(id: EventId) -> String {
    String::from_utf8(id.hex().to_vec()).expect("digits")
}

#[test]
fn a_letter_is_the_event_it_was_once_its_line_is_good() {
    let lines = [CLASSIC, "no log", "{\"a\":1}", "[{\"a\":1},{\"a\":2}]", "[{},3]"];
    let entry = letters(&plan(Format::Nlb), &lines, Whole::Yes, 1_600_000_000_000_000);
    let (fates, documents) = again(&plan(Format::Elb), &entry);
    let [good, bad] = [Again::Documents, Again::Rejected];
    assert_eq!(fates, [good, bad, good, good, bad], "a line stands or falls as a whole");
    let ids: Vec<EventId> = entry.batch.marks.iter().map(|mark| mark.id).collect();
    assert_eq!(documents[..3].iter().map(|(_, id)| *id).collect::<Vec<_>>(), [ids[0], ids[2], ids[3]]);
    assert_eq!(documents[0].0["event"]["id"], hex(ids[0]));
    assert_eq!(documents[0].0["request_url"], "http://www.example.com:80/?token=REDACTED");
    assert_eq!(documents[1].0["@timestamp"], "2020-09-13T12:26:40.000Z", "it was received then");
    assert_eq!((documents.len(), &documents[3].0["a"]), (4, &Value::from(2)));
    assert!(!ids.contains(&documents[3].1), "the second event of a line is another one");
    assert_eq!(again(&plan(Format::Elb), &entry).1[3].1, documents[3].1, "and always the same");
    assert_eq!(again(&plan(Format::Nlb), &entry).0, [bad; 5]);
}

#[test]
fn hashed_secrets_are_not_hashed_again() {
    let hashing = |format| ParsePlan { redact: Redact::Hash, ..plan(format) };
    let entry = letters(&hashing(Format::Nlb), &[CLASSIC], Whole::Yes, 0);
    let letter = Letter::read(entry.batch.documents().next().expect("one").0).expect("a letter");
    let (_, token) = letter.message.split_once("token=").expect("it is there");
    let token = token.split(' ').next().expect("its value");
    assert!(token.starts_with("h:"), "{token}");
    let (_, documents) = again(&hashing(Format::Classic), &entry);
    assert!(documents[0].0["request_url"].as_str().expect("a URL").ends_with(token), "{}", documents[0].0);
}

#[test]
fn fields_are_those_of_the_source_now_and_those_the_sender_named() {
    let preamble = r#"{"@elbow":{"fields":{"Team":"a","Stage":"old"},"object":"s3://bucket/k"}}"#;
    let with = |format, stage: &str| {
        let fields = vec![("Stage".to_owned(), Value::from(stage))];
        ParsePlan { fields, ..plan(format) }
    };
    let entry = letters(&with(Format::Nlb, "ci"), &[preamble, CLASSIC, "no log"], Whole::Unterminated, 0);
    assert_eq!(entry.batch.len(), 2);
    let (_, documents) = again(&with(Format::Auto, "live"), &entry);
    for (document, _) in &documents {
        let fields = ["Team", "Stage", "s3_bucket", "s3_key"].map(|name| document[name].as_str().unwrap_or_default());
        assert_eq!(fields, ["a", "live", "bucket", "k"], "{document}");
        assert_eq!(document["tags"], serde_json::json!(["unterminated"]));
    }
    assert_eq!(documents.len(), 2, "where any line is taken text is one, too");
}

#[test]
fn an_unknown_line_of_a_load_balancers_log_is_no_text() {
    let key = "AWSLogs/123456789012/elasticloadbalancing/eu-west-1/2026/03/01/\
               123456789012_elasticloadbalancing_eu-west-1_app.web.0123456789abcdef_20260301T1020Z_192.0.2.1_abcdefgh.log.gz";
    assert!(ObjectKey::parse(key).is_some());
    let preamble = format!("{{\"@elbow\":{{\"object\":\"s3://bucket/{key}\",\"etag\":\"e\"}}}}");
    for schema in [Schema::Aws, Schema::Ecs] {
        let plan = ParsePlan { schema, ..plan(Format::Auto) };
        let entry = letters(&plan, &[&preamble, "no log"], Whole::Yes, 0);
        assert_eq!(entry.batch.len(), 1);
        assert_eq!(again(&plan, &entry).0, [Again::Rejected]);
    }
}

#[test]
fn what_is_no_letter_is_not_taken_for_one() {
    for document in ["", "{}", "{\"message\":\"x\"}", "{\"message\":1,\"elbow\":{\"reason\":\"r\"}}", "[1]"] {
        assert_eq!(Letter::read(document.as_bytes()), None, "{document}");
    }
}
