//! `[[rule]]` tables: which load-balancer lines are dropped, or kept one in so many.

use std::num::NonZeroU32;
use std::ops::RangeInclusive;

use toml::de::DeTable;

use crate::config::aims::Aimed;
use crate::config::aims::check_address_field;
use crate::config::aims::check_field;
use crate::config::aims::decide_sources;
use crate::config::complaint::Complaint;
use crate::config::complaint::Place;
use crate::config::condition::TESTS;
use crate::config::condition::decide_test;
use crate::config::decide::decide_name;
use crate::config::reader::Reader;
use crate::config::words::Words;
use crate::elb::rules::Action;
use crate::elb::rules::ConditionPlan;
use crate::elb::rules::RulePlan;

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
        test = decide_test(&mut condition, key, &NO_EMPTY).or(test);
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

/// Where an empty text says nothing that could be meant, and what might have been.
const NO_EMPTY: [(&str, &str); 3] = [("equals", NO_VALUE), ("prefix", NO_VALUE), ("suffix", NO_VALUE)];
const NO_VALUE: &str = "a field without a value is \"-\": equals = \"-\" is true of it";

/// Each condition is asked of every line.
const CONDITIONS_MAX: usize = 16;

/// 1 keeps every line that matches: an exception from the rules behind it.
const KEEP_ONE_IN: RangeInclusive<u32> = 1..=1_000_000_000;
