//! `fallback` of `[[sink]]` tables: which sink stands in for another one while that is down.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::config::complaint::Complaint;
use crate::config::reader::Reader;
use crate::config::reader::Written;
use crate::sink::FallbackPlan;
use crate::sink::SinkPlan;
use crate::sink::WhenFull;

/// What a table says of it.
pub(super) struct Wish {
    /// The name of the other sink.
    name: Written,
    after: Duration,
}

/// Reads what a table says.
pub(super) fn decide(sink: &mut Reader<'_, '_>) -> Option<Wish> {
    let Some(name) = sink.string("fallback") else {
        sink.belongs(&["fallback_after"], "sinks with a fallback");
        return None;
    };
    sink.record("fallback", name.text.clone(), name.origin());
    let after = sink.duration("fallback_after", AFTER, Duration::from_secs(60));
    Some(Wish { name, after })
}

/// Gives each sink the fallback that it wishes for; those are then no sinks of their own.
pub(super) fn resolve(root: &mut Reader<'_, '_>, names: &[String], sinks: Vec<(SinkPlan, Option<Wish>)>) -> Vec<SinkPlan> {
    let wishes: Vec<(&str, &Wish)> =
        sinks.iter().filter_map(|(plan, wish)| wish.as_ref().map(|wish| (plan.name.as_str(), wish))).collect();
    for (at, (name, wish)) in wishes.iter().enumerate() {
        let other = wish.name.text.as_str();
        let (what, remedy) = if !names.iter().any(|name| name == other) {
            let others: Vec<String> = names.iter().filter(|other| other != name).map(|name| format!("{name:?}")).collect();
            let remedy =
                if others.is_empty() { "add a second sink".to_owned() } else { format!("name one of {}", others.join(", ")) };
            (format!("there is no sink {other:?}"), remedy)
        } else if other == *name {
            ("a sink cannot stand in for itself".to_owned(), "name another one, or remove it".to_owned())
        } else if wishes.iter().any(|(name, _)| *name == other) {
            (format!("{other:?} has a fallback itself"), "name a sink without one".to_owned())
        } else if let Some((taken, _)) = wishes[..at].iter().find(|(_, wish)| wish.name.text == other) {
            (format!("{other:?} already stands in for {taken:?}"), "add a sink for this one".to_owned())
        } else if sinks.iter().any(|(plan, _)| plan.name == other && plan.when.is_some()) {
            let remedy = "remove that: a fallback gets what the sink is to have that it stands in for";
            (format!("{other:?} has a when"), remedy.to_owned())
        } else if sinks.iter().any(|(plan, _)| plan.name == other && plan.when_full != WhenFull::Block) {
            let remedy = "write it for the sink that it stands in for: what is given up is what both have not delivered";
            (format!("{other:?} has a when_full"), remedy.to_owned())
        } else {
            continue;
        };
        let complaint = Complaint::wrong(wish.name.place(), "sink.fallback", what);
        root.desk().complaints.push(complaint.remedy(remedy));
    }
    let taken: Vec<String> = wishes.iter().map(|(_, wish)| wish.name.text.clone()).collect();
    let kinds: Vec<(String, crate::sink::SinkKind)> =
        sinks.iter().map(|(plan, _)| (plan.name.clone(), plan.kind.clone())).collect();
    let own = sinks.into_iter().filter(|(plan, _)| !taken.contains(&plan.name));
    own.map(|(plan, wish)| {
        let fallback = wish.and_then(|wish| {
            let (name, kind) = kinds.iter().find(|(name, _)| *name == wish.name.text)?.clone();
            Some(Box::new(FallbackPlan { name, kind, after: wish.after }))
        });
        SinkPlan { fallback, ..plan }
    })
    .collect()
}

/// Below, a restart of the destination would already be an outage.
const AFTER: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(86_400);
