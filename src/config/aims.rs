//! Which sources a rule or a lookup is for, and which field of a line it looks at.
//!
//! Rules and lookups are read before the sources that use them, so the names of sources are checked when all are known.

use crate::config::complaint::Complaint;
use crate::config::reader::Desk;
use crate::config::reader::Reader;
use crate::config::reader::Written;
use crate::config::report::Origin;
use crate::config::words::nearest;
use crate::config::words::quoted;
use crate::elb::field_at::FieldAt;
use crate::elb::field_at::Part;
use crate::elb::format::Format as ElbFormat;
use crate::elb::format::Kind;
use crate::elb::format::Shape;
use crate::pipeline::plan::Format;
use crate::pipeline::relay::SourcePlan;

/// Something that is for some sources or for all.
pub struct Aimed<T> {
    /// What it is; `None` where it has mistakes and only its sources are checked.
    pub what: Option<T>,
    /// What a complaint calls it, such as `rule "health"`.
    pub title: String,
    /// The key its sources stand at, from the top of the file.
    pub path: &'static str,
    /// The sources it names; `None` is all of them.
    pub sources: Option<Vec<Written>>,
}

impl<T> Aimed<T> {
    /// Whether it is for a source of this name.
    pub fn is_for(&self, source: &str) -> bool {
        self.sources.as_ref().is_none_or(|sources| sources.iter().any(|written| written.text == source))
    }
}

/// Reads the list of sources in a rule or lookup.
pub fn decide_sources(reader: &mut Reader<'_, '_>) -> Option<Vec<Written>> {
    let Some(sources) = reader.texts("sources") else {
        if !reader.has("sources") {
            reader.record("sources", "all", Origin::Default);
        }
        return None;
    };
    if sources.is_empty() {
        reader.refuse_key("sources", "names no source", "name one, or leave the key out to mean all of them");
    }
    let names: Vec<&str> = sources.iter().map(|written| written.text.as_str()).collect();
    for (at, written) in sources.iter().enumerate() {
        if names[..at].contains(&written.text.as_str()) {
            reader.refuse("sources", written, "named twice", None, None);
        }
    }
    let from = sources.first().map_or(Origin::Default, Written::origin);
    reader.record("sources", names.join(", "), from);
    Some(sources)
}

/// Complains of sources that are named and do not exist, and warns of those that have no load-balancer lines.
pub fn check_sources<T>(desk: &mut Desk<'_>, all: &[Aimed<T>], names: &[String], plans: &[SourcePlan]) {
    let names: Vec<&str> = names.iter().map(String::as_str).filter(|name| !name.is_empty()).collect();
    for aimed in all {
        for written in aimed.sources.iter().flatten() {
            if names.contains(&written.text.as_str()) {
                let plan = plans.iter().find(|plan| plan.door.name == written.text);
                if let Some(plan) = plan.filter(|plan| matches!(plan.parse.format, Format::Json | Format::Text)) {
                    let (title, name, format) = (&aimed.title, &written.text, plan.parse.format.label());
                    desk.report.warn(format!(
                        "{title} has no effect on source {name:?}: it concerns load-balancer lines, and that source takes {format}"
                    ));
                }
                continue;
            }
            let complaint = Complaint::wrong(written.place(), aimed.path, format!("there is no source {:?}", written.text));
            let complaint = if names.is_empty() { complaint } else { complaint.allowed(quoted(&names)) };
            desk.complaints.push(match nearest(&written.text, &names) {
                Some(near) => complaint.remedy(format!("did you mean {near:?}?")),
                None => complaint,
            });
        }
    }
}

/// Whether a name is that of a field some kind of line has; complains when it is not.
pub fn check_field(reader: &mut Reader<'_, '_>, written: &Written) -> bool {
    let name = written.text.as_str();
    if Kind::ALL.iter().any(|kind| kind.format().find(name).is_some()) {
        return true;
    }
    let mut names: Vec<&str> = Kind::ALL.iter().flat_map(|kind| kind.format().names()).collect();
    names.sort_unstable();
    names.dedup();
    let allowed = Some("a field by AWS's name, or a part such as \"client_ip\" or \"request_path\"".to_owned());
    let remedy = nearest(name, &names).map(|near| format!("did you mean {near:?}?"));
    reader.refuse("field", written, format!("no kind of line has a field {name:?}"), allowed, remedy);
    false
}

/// Whether a field can be an address; complains of one that has a port behind it.
pub fn check_address_field(reader: &mut Reader<'_, '_>, written: &Written) {
    let places = Kind::ALL.iter().filter_map(|kind| kind.format().find(&written.text).map(|at| (kind.format(), at)));
    let ip = |(format, at): (&'static ElbFormat, FieldAt)| match &format.fields[usize::from(at.place)].shape {
        Shape::Endpoint { ip, .. } if at.part == Part::Whole => Some(ip.name()),
        _ => None,
    };
    let parts: Vec<Option<&str>> = places.map(ip).collect();
    if let Some(Some(part)) = parts.first().filter(|_| parts.iter().all(Option::is_some)) {
        let remedy = Some(format!("did you mean {part:?}?"));
        reader.refuse("field", written, "has a port behind its address, and is never an address", None, remedy);
    }
}
