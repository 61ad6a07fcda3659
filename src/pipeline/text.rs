//! The document of a line that no parser reads: the line as it is in `message`, and why.

use serde_json::Value;

use crate::batch::BatchBuilder;
use crate::batch::EventId;
use crate::batch::Origin;
use crate::json::envelope::Envelope;
use crate::json::envelope::Tags;
use crate::redact;
use crate::redact::Finding;
use crate::redact::Redactor;

/// Why a line is kept as text: a word and the offset into the line, in bytes from zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Why {
    pub(super) reason: &'static str,
    pub(super) at: usize,
}

/// Most bytes of such a document that do not depend on line and fields.
const FIXED_BYTES: usize = Envelope::BYTES_MAX + Tags::BYTES_MAX + 128;

/// Names the documents have already; a static field of such a name is left out.
pub(super) const MEMBERS: [&str; 6] = ["@timestamp", "@version", "event", "message", "tags", "elbow"];

/// The static fields of these documents, as `,"name":value…`.
pub(super) fn tail(fields: &[(String, Value)]) -> Vec<u8> {
    crate::elb::render_fields(fields.iter().filter(|(name, _)| !MEMBERS.contains(&name.as_str())))
}

/// Appends the document of `line`, which is valid UTF-8.
pub(super) fn document(
    line: &[u8],
    tags: Tags,
    why: Option<Why>,
    tail: &[u8],
    envelope: Option<&Envelope>,
    out: &mut BatchBuilder,
) {
    let escapes = line.iter().filter(|&&byte| byte < 0x20 || byte == b'"' || byte == b'\\').count();
    let mut writer = out.writer(FIXED_BYTES + line.len() + 5 * escapes + tail.len());
    let base = writer.at();
    if let Some(envelope) = envelope {
        envelope.open(&mut writer);
    }
    writer.raw(b",\"message\":\"");
    writer.escaped(line, 0, line.len());
    writer.byte(b'"');
    tags.write_member(&mut writer);
    if let Some(why) = why {
        writer.raw(b",\"elbow\":{\"reason\":\"");
        writer.raw(why.reason.as_bytes());
        writer.raw(b"\",\"at\":");
        writer.integer(i64::try_from(why.at).unwrap_or(i64::MAX));
        writer.byte(b'}');
    }
    writer.raw(tail);
    writer.raw(b"}\n");
    writer.patch(base, b'{');
    let end = writer.at();
    let (id, time) = envelope.map_or((EventId([0; 16]), 0), |envelope| (envelope.id, envelope.received.micros));
    let origin = if why.is_some() { Origin::Reject } else { Origin::Text };
    out.finish(end, id, time, Some(origin));
}

/// A line that no parser takes with its secrets replaced; without any it is the line itself.
pub(super) fn without_secrets<'l>(
    redactor: &Redactor,
    line: &'l [u8],
    secrets: &mut Vec<Finding>,
    redacted: &'l mut Vec<u8>,
) -> &'l [u8] {
    secrets.clear();
    redactor.find(line, 0, line.len(), secrets);
    if secrets.is_empty() {
        return line;
    }
    redacted.clear();
    redact::apply(redactor, line, 0, line.len(), secrets, redacted, |_, _| {});
    redacted
}
