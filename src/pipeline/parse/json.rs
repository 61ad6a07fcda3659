//! Lines of JSON: objects are passed on with members added, arrays are one event for each element, the rest is text.

use super::LastReject;
use super::LineParser;
use super::Why;
use crate::batch::BatchBuilder;
use crate::batch::Origin;
use crate::json::cut;
use crate::json::envelope::Envelope;
use crate::json::envelope::Received;
use crate::json::envelope::Tag;
use crate::json::envelope::Tags;
use crate::json::reject::JsonRejectReason;
use crate::json::scan as json;
use crate::json::scan::Scan;
use crate::json::splice;
use crate::pipeline::look::Look;

impl LineParser {
    pub(super) fn json(
        &mut self,
        chunk: &[u8],
        start: usize,
        end: usize,
        tags: Tags,
        received: Received,
        out: &mut BatchBuilder,
    ) {
        if let Err(reject) = self.json.scan(chunk, start, end) {
            if reject.reason == JsonRejectReason::InvalidUtf8 {
                return self.repair(&chunk[start..end], tags, received, out);
            }
            return self.no_json(&chunk[start..end], tags, reject.reason.as_str(), reject.at, received, out);
        }
        match self.json.kind() {
            json::Kind::Object => {
                let event = &chunk[self.json.value().range()];
                let envelope = (!self.bare).then(|| Envelope { received, id: self.ids.of_object(self.identity, event, 0) });
                if !self.look.forced.is_empty() && self.cuts(Part::Line, chunk) {
                    return self.object(envelope, tags, received, out);
                }
                let renamed = splice_object(&self.json, chunk, &self.look, envelope, tags, received, out);
                self.tally.event(Origin::Json);
                self.tally.bad_times += u64::from(renamed);
            }
            json::Kind::Array => self.array(chunk, start, end, tags, received, out),
            json::Kind::Scalar => self.no_json(&chunk[start..end], tags, NO_OBJECT, 0, received, out),
        }
    }

    /// One event per element.
    fn array(&mut self, chunk: &[u8], start: usize, end: usize, tags: Tags, received: Received, out: &mut BatchBuilder) {
        let count = self.json.elements().len();
        if count > ELEMENTS_MAX || count * self.bytes_per_event() > ARRAY_BYTES_MAX {
            return self.no_json(&chunk[start..end], tags, "too_many_elements", 0, received, out);
        }
        for (index, element) in (0..count).zip(0..) {
            let json::Element { value, first } = self.json.elements()[index];
            let range = value.range();
            if first != b'{' {
                self.element_at = element;
                self.no_json(&chunk[range.clone()], tags, NO_OBJECT, range.start - start, received, out);
                self.element_at = 0;
                continue;
            }
            self.element.scan(chunk, range.start, range.end).expect("an element of a valid array is valid");
            let envelope =
                (!self.bare).then(|| Envelope { received, id: self.ids.of_object(self.identity, &chunk[range], element) });
            if !self.look.forced.is_empty() && self.cuts(Part::Element, chunk) {
                self.object(envelope, tags, received, out);
                continue;
            }
            let renamed = splice_object(&self.element, chunk, &self.look, envelope, tags, received, out);
            self.tally.event(Origin::Json);
            self.tally.bad_times += u64::from(renamed);
        }
    }

    #[cold]
    pub(super) fn no_json(
        &mut self,
        line: &[u8],
        tags: Tags,
        reason: &'static str,
        at: usize,
        received: Received,
        out: &mut BatchBuilder,
    ) {
        self.last_reject = Some(LastReject { reason, at, field: None });
        self.reject(line, tags.with(Tag::JsonParseFailure), Why { reason, at }, received, out);
    }

    /// Whether an event has members that its tenant has fields for; then it stands without them in `cut`.
    fn cuts(&mut self, part: Part, chunk: &[u8]) -> bool {
        let scan = match part {
            Part::Line => &self.json,
            Part::Element => &self.element,
        };
        let members = cut::cut(scan, chunk, &self.look.forced, &mut self.cut);
        self.tally.overridden += members as u64;
        members > 0
    }

    /// Appends the document of the event in `cut`.
    #[cold]
    fn object(&mut self, envelope: Option<Envelope>, tags: Tags, received: Received, out: &mut BatchBuilder) {
        self.element.scan(&self.cut, 0, self.cut.len()).expect("an object without some of its members is one");
        let renamed = splice_object(&self.element, &self.cut, &self.look, envelope, tags, received, out);
        self.tally.event(Origin::Json);
        self.tally.bad_times += u64::from(renamed);
    }
}

/// Where an event stands.
#[derive(Clone, Copy)]
enum Part {
    /// It is the line.
    Line,
    /// It is an element of the array that the line is.
    Element,
}

/// The word for JSON that is no object: a document is one.
pub(super) const NO_OBJECT: &str = "not_an_object";

/// Most events one line may become: `[{},{},…]` grows a hundredfold, and memory was admitted for the line.
const ELEMENTS_MAX: usize = 10_000;

/// Most bytes the relay itself adds to the events of one line: with many fields, fewer elements are too many.
const ARRAY_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Appends the document of a scanned object; says whether its time had to be renamed.
#[inline(always)]
fn splice_object(
    scan: &Scan,
    chunk: &[u8],
    look: &Look,
    envelope: Option<Envelope>,
    tags: Tags,
    received: Received,
    out: &mut BatchBuilder,
) -> bool {
    match envelope {
        None => splice::pass(scan, chunk, received.micros, out).timestamp_renamed,
        Some(envelope) => splice::splice(scan, chunk, &envelope, &look.fields, tags, out).timestamp_renamed,
    }
}
