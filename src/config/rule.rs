//! `[[rule]]` tables: which load-balancer lines are dropped, or kept one in so many.

use core::net::IpAddr;
use std::num::NonZeroU32;
use std::ops::RangeInclusive;

use ipnet::IpNet;
use toml::de::DeTable;

use crate::config::aims::Aimed;
use crate::config::aims::check_address_field;
use crate::config::aims::check_field;
use crate::config::aims::decide_sources;
use crate::config::complaint::Complaint;
use crate::config::complaint::Place;
use crate::config::decide::decide_name;
use crate::config::reader::Reader;
use crate::config::reader::Written;
use crate::config::words::Words;
use crate::elb::rules::Action;
use crate::elb::rules::ConditionPlan;
use crate::elb::rules::RulePlan;
use crate::elb::rules::Test;

/// The keys of a condition that say what a value is held against.
pub const TESTS: [&str; 5] = ["equals", "prefix", "suffix", "range", "cidr"];

/// Reads all rules, in order.
pub fn decide_all(root: &mut Reader<'_, '_>) -> Vec<Aimed<RulePlan>> {
    let mut rules = Vec::new();
    let mut names = Vec::new();
    for (table, span) in root.tables("rule") {
        let desk = root.desk();
        desk.report.begin("rule");
        rules.push(decide_one(Reader::new(desk, Some(table), Place::File(span), "rule"), &mut names));
    }
    rules
}

fn decide_one(mut rule: Reader<'_, '_>, names: &mut Vec<String>) -> Aimed<RulePlan> {
    let name = decide_name(&mut rule, names, "\"health-checks\"").unwrap_or_default();
    names.push(name.clone());
    rule.desk().report.retitle(format!("[[rule]] {name}"));
    let sources = decide_sources(&mut rule);
    let action = decide_action(&mut rule);
    let tables = rule.tables("when");
    if tables.len() > CONDITIONS_MAX {
        rule.refuse_key("when", "too many conditions", "at most 16 are possible: make several rules of them");
    }
    let is_drop = action == Some(Action::Drop);
    if tables.is_empty() && is_drop {
        let remedy = "say which lines, such as when = [ { field = \"elb_status_code\", range = \"200-299\" } ]";
        rule.refuse_key("when", "would drop every line", remedy);
    }
    let mut conditions = Some(Vec::new());
    for (table, span) in tables {
        let condition = decide_condition(&mut rule, table, Place::File(span));
        conditions = conditions.zip(condition).map(|(mut all, one)| {
            all.push(one);
            all
        });
    }
    rule.finish();
    let title = format!("rule {name:?}");
    let what = conditions.zip(action).map(|(conditions, action)| RulePlan { name, conditions, action });
    Aimed { what, title, path: "rule.sources", sources }
}

fn decide_action(rule: &mut Reader<'_, '_>) -> Option<Action> {
    let written = rule.required("action", "\"drop\"")?;
    let sample = rule.choose("action", &written, &Words { now: &[("drop", false), ("sample", true)], later: &[] })?;
    if !sample {
        rule.belongs(&["keep_one_in"], "rules with action = \"sample\"");
        return Some(Action::Drop);
    }
    if !rule.has("keep_one_in") {
        // Complains that it is missing.
        rule.required("keep_one_in", "100");
        return None;
    }
    let count = rule.integer("keep_one_in", KEEP_ONE_IN, 1);
    NonZeroU32::new(count).map(Action::KeepOneIn)
}

fn decide_condition<'t>(rule: &mut Reader<'_, 't>, table: &'t DeTable<'t>, place: Place) -> Option<ConditionPlan> {
    let mut condition = Reader::new(rule.desk(), Some(table), place, "rule.when");
    let field = condition.required("field", "\"elb_status_code\"");
    let is_known = field.as_ref().is_some_and(|field| check_field(&mut condition, field));
    // Recorded below, in one line with what it negates.
    let negate = condition.is_on("not").is_some_and(|(on, _)| on);
    let given: Vec<&'static str> = TESTS.into_iter().filter(|key| condition.has(key)).collect();
    let mut test = None;
    for key in TESTS {
        test = decide_test(&mut condition, key).or(test);
    }
    if let Some(field) = field.as_ref().filter(|_| is_known && given.contains(&"cidr")) {
        check_address_field(&mut condition, field);
    }
    if given.len() != 1 {
        let what = if given.is_empty() { "a condition without a test" } else { "a condition with several tests" };
        let remedy = "write exactly one of equals, prefix, suffix, range and cidr; all conditions of a rule must hold";
        let complaint = Complaint::wrong(condition.place(), "rule.when", what);
        condition.desk().complaints.push(complaint.remedy(remedy));
    }
    condition.finish();
    let (field, (test, texts)) = field.zip(test)?;
    let not = if negate { "not " } else { "" };
    rule.record("when", format!("{} {not}{} {}", field.text, given.first()?, texts.join(", ")), field.origin());
    (is_known && given.len() == 1).then_some(ConditionPlan { field: field.text, test, negate })
}

/// What one of the keys says, and the texts it was written with.
fn decide_test(condition: &mut Reader<'_, '_>, key: &'static str) -> Option<(Test, Vec<String>)> {
    if !condition.has(key) {
        condition.known(key);
        return None;
    }
    if key == "range" {
        let written = condition.string(key)?;
        let (min, max) = check_range(condition, &written)?;
        return Some((Test::Range { min, max }, vec![written.text]));
    }
    let written = condition.texts(key)?;
    if written.is_empty() {
        condition.refuse_key(key, "lists nothing, and nothing would match", "name what is looked for");
        return None;
    }
    let texts: Vec<String> = written.iter().map(|written| written.text.clone()).collect();
    if key == "cidr" {
        let networks: Option<Vec<IpNet>> = written.iter().map(|written| check_network(condition, written)).collect();
        return Some((Test::Cidr(networks?), texts));
    }
    for written in written.iter().filter(|written| written.text.is_empty()) {
        let remedy = "a field without a value is \"-\": equals = \"-\" is true of it".to_owned();
        condition.refuse(key, written, "an empty text", None, Some(remedy));
    }
    let test = match key {
        "equals" => Test::Equals(texts.clone()),
        "prefix" => Test::Prefix(texts.clone()),
        _ => Test::Suffix(texts.clone()),
    };
    Some((test, texts))
}

fn check_range(condition: &mut Reader<'_, '_>, written: &Written) -> Option<(u64, u64)> {
    let (min, max) = written.text.split_once('-').unwrap_or((&written.text, &written.text));
    let number = |text: &str| text.trim().parse::<u64>().ok();
    let range = number(min).zip(number(max));
    if range.is_none_or(|(min, max)| min > max) {
        let allowed = "two whole numbers, the smaller first, such as \"200-299\", or one".to_owned();
        condition.refuse("range", written, "not a range", Some(allowed), None);
        return None;
    }
    range
}

fn check_network(condition: &mut Reader<'_, '_>, written: &Written) -> Option<IpNet> {
    let text = written.text.as_str();
    let Ok(network) = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from)) else {
        let allowed = "a network such as \"10.0.0.0/8\" or \"2001:db8::/32\", or an address".to_owned();
        condition.refuse("cidr", written, "not a network", Some(allowed), None);
        return None;
    };
    if network.trunc() != network {
        let remedy = Some(format!("did you mean \"{}\"?", network.trunc()));
        condition.refuse("cidr", written, "has bits behind its prefix", None, remedy);
        return None;
    }
    Some(network)
}

/// Each condition is asked of every line.
const CONDITIONS_MAX: usize = 16;

/// 1 keeps every line that matches: an exception from the rules behind it.
const KEEP_ONE_IN: RangeInclusive<u32> = 1..=1_000_000_000;
