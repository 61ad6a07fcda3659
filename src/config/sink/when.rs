//! `when` of a `[[sink]]`: which documents it gets.
//!
//! Names of tenants and sources are those of the same file. A field can be anything that documents have, so that its name is
//! not checked beyond its shape.

use toml::de::DeTable;

use crate::batch::Origin;
use crate::batch::SourceId;
use crate::config::complaint::Complaint;
use crate::config::complaint::Place;
use crate::config::condition::TESTS;
use crate::config::condition::decide_test;
use crate::config::decide::Shared;
use crate::config::reader::Reader;
use crate::config::reader::Written;
use crate::config::words::nearest;
use crate::config::words::quoted;
use crate::elb::format::Kind;
use crate::metrics::NOBODY;
use crate::select::ConditionPlan;
use crate::select::SelectPlan;
use crate::select::Subject;

/// The keys of a condition that say what it is about.
pub const SUBJECTS: [&str; 4] = ["tenant", "source", "format", "field"];

/// Reads what a sink is to have; none where nothing says so, and where there is a mistake.
pub(super) fn decide(sink: &mut Reader<'_, '_>, shared: &Shared) -> Option<SelectPlan> {
    let is_written = sink.has("when");
    let tables = sink.tables("when");
    if tables.len() > CONDITIONS_MAX {
        sink.refuse_key("when", "too many conditions", "at most 16 are possible");
    }
    if is_written && tables.is_empty() {
        let remedy = "name one, such as { tenant = \"web\" }, or leave the key out: the sink gets every document then";
        sink.refuse_key("when", "lists no condition", remedy);
    }
    let mut conditions = Vec::new();
    for (table, span) in tables {
        conditions.extend(decide_condition(sink, table, Place::File(span), shared));
    }
    is_written.then_some(SelectPlan { conditions })
}

fn decide_condition<'t>(
    sink: &mut Reader<'_, 't>,
    table: &'t DeTable<'t>,
    place: Place,
    shared: &Shared,
) -> Option<ConditionPlan> {
    let mut condition = Reader::new(sink.desk(), Some(table), place, "sink.when");
    let given: Vec<&'static str> = SUBJECTS.into_iter().filter(|key| condition.has(key)).collect();
    if given.len() != 1 {
        let what = if given.is_empty() { "a condition about nothing" } else { "a condition about several things" };
        let remedy = "write exactly one of tenant, source, format and field; all conditions of a sink must hold";
        let complaint = Complaint::wrong(condition.place(), "sink.when", what);
        condition.desk().complaints.push(complaint.remedy(remedy));
    }
    // Recorded below, in one line with what it negates.
    let negate = condition.is_on("not").is_some_and(|(on, _)| on);
    let decided = [
        decide_names(&mut condition, "tenant", |condition, names| tenants(condition, names, shared)),
        decide_names(&mut condition, "source", |condition, names| sources(condition, names, shared)),
        decide_names(&mut condition, "format", formats),
        decide_field(&mut condition),
    ];
    condition.finish();
    let Decided { subject, words, written } = decided.into_iter().flatten().next()?;
    let not = if negate { "not " } else { "" };
    let (name, rest) = words;
    sink.record("when", format!("{name} {not}{rest}"), written.origin());
    (given.len() == 1).then_some(ConditionPlan { subject, negate })
}

/// What a condition is about, that in words for the report, and where it stands.
struct Decided {
    subject: Subject,
    words: (String, String),
    written: Written,
}

/// A condition that lists names.
fn decide_names<'d, 't>(
    condition: &mut Reader<'d, 't>,
    key: &'static str,
    resolve: impl FnOnce(&mut Reader<'d, 't>, &[Written]) -> Subject,
) -> Option<Decided> {
    let names = condition.texts(key)?;
    if names.is_empty() {
        condition.refuse_key(key, "lists nothing, and nothing would match", "name what is looked for");
    }
    let texts: Vec<&str> = names.iter().map(|written| written.text.as_str()).collect();
    for (at, written) in names.iter().enumerate() {
        if texts[..at].contains(&written.text.as_str()) {
            condition.refuse(key, written, "named twice", None, None);
        }
    }
    let subject = resolve(condition, &names);
    let words = (key.to_owned(), texts.join(", "));
    Some(Decided { subject, words, written: names.into_iter().next()? })
}

fn tenants(condition: &mut Reader<'_, '_>, names: &[Written], shared: &Shared) -> Subject {
    let known: Vec<&str> = shared.tenants.iter().map(String::as_str).chain([NOBODY]).collect();
    for written in names.iter().filter(|written| !known.contains(&written.text.as_str())) {
        // Tenants come and go while the relay runs, and the sinks stay as they were when it started.
        if !shared.is_running {
            let allowed = format!("the name of a [[tenant]], or {NOBODY:?} for what is no tenant's");
            unknown(condition, "tenant", written, &known, Some(allowed));
        }
    }
    let name = |written: &Written| Some(written.text.clone()).filter(|name| name != NOBODY);
    Subject::Tenant(names.iter().map(name).collect())
}

fn sources(condition: &mut Reader<'_, '_>, names: &[Written], shared: &Shared) -> Subject {
    let known: Vec<&str> = shared.sources.iter().map(String::as_str).filter(|name| !name.is_empty()).collect();
    let mut ids = Vec::new();
    for written in names {
        match shared.sources.iter().position(|name| *name == written.text && !name.is_empty()) {
            Some(at) => ids.extend(u16::try_from(at).ok().map(SourceId)),
            None => {
                let allowed = (!known.is_empty()).then(|| quoted(&known));
                unknown(condition, "source", written, &known, allowed);
            }
        }
    }
    Subject::Source(ids)
}

fn formats(condition: &mut Reader<'_, '_>, names: &[Written]) -> Subject {
    let known: Vec<&str> = [ELB].into_iter().chain(Origin::ALL.map(Origin::label)).collect();
    let mut origins = Vec::new();
    for written in names {
        match Origin::ALL.into_iter().find(|origin| origin.label() == written.text) {
            Some(origin) => origins.push(origin),
            None if written.text == ELB => origins.extend(Kind::ALL.map(Kind::origin)),
            None => unknown(condition, "format", written, &known, Some(quoted(&known))),
        }
    }
    Subject::Format(origins)
}

fn unknown(condition: &mut Reader<'_, '_>, key: &str, written: &Written, known: &[&str], allowed: Option<String>) {
    let remedy = nearest(&written.text, known).map(|name| format!("did you mean {name:?}?"));
    condition.refuse(key, written, format!("there is no {key} {:?}", written.text), allowed, remedy);
}

/// A condition on a field and its one test.
fn decide_field(condition: &mut Reader<'_, '_>) -> Option<Decided> {
    if !condition.has("field") {
        condition.known("field");
        condition.belongs(&TESTS, "conditions with a field");
        return None;
    }
    let field = condition.string("field");
    let given: Vec<&'static str> = TESTS.into_iter().filter(|key| condition.has(key)).collect();
    let mut test = None;
    for key in TESTS {
        test = decide_test(condition, key, &NO_EMPTY).or(test);
    }
    if given.len() != 1 {
        let what = if given.is_empty() { "a field without a test" } else { "a field with several tests" };
        let remedy = "write exactly one of equals, prefix, suffix, range and cidr; all conditions of a sink must hold";
        let complaint = Complaint::wrong(condition.place(), "sink.when", what);
        condition.desk().complaints.push(complaint.remedy(remedy));
    }
    let field = field?;
    let path = field.text.as_str();
    if path.len() > FIELD_BYTES_MAX || path.chars().any(char::is_control) || path.split('.').any(str::is_empty) {
        let allowed = "names with dots between them, such as \"elb_status_code\" or \"http.response.status_code\"".to_owned();
        condition.refuse("field", &field, "not the name of a field", Some(allowed), None);
    }
    let (test, texts) = test?;
    let words = (path.to_owned(), format!("{} {}", given.first()?, texts.join(", ")));
    Some(Decided { subject: Subject::Field { path: path.to_owned(), test }, words, written: field })
}

/// The word for everything that load balancers write.
const ELB: &str = "elb";

/// Every text begins and ends so.
const NO_EMPTY: [(&str, &str); 2] = [("prefix", EVERY_TEXT), ("suffix", EVERY_TEXT)];
const EVERY_TEXT: &str = "every text begins and ends with it: leave the condition out";

/// Each is asked of every document.
const CONDITIONS_MAX: usize = 16;

/// Far longer than the names of fields that anybody writes; it is there to be a bound.
const FIELD_BYTES_MAX: usize = 512;
