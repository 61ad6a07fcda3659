//! One connection's bytes to batches: framing, parsing and memory put together.

use std::sync::Arc;
use std::time::SystemTime;
use std::time::UNIX_EPOCH;

use super::framer::Cut;
use super::framer::Framer;
use super::look::Looks;
use super::parse::LineParser;
use super::pool::Pool;
use crate::batch::ALONE_BYTES;
use crate::batch::Batch;
use crate::batch::BatchBuilder;
use crate::batch::Mark;
use crate::batch::Micros;
use crate::batch::Origin;
use crate::batch::SourceId;
use crate::framing::lines::Lines;
use crate::framing::lines::Whole;
use crate::framing::values::Values;
use crate::intake::IntakePermit;
use crate::json::envelope::Received;
use crate::metrics::SourceMetrics;
use crate::peer::Peer;
use crate::source::Feed;
use crate::source::Framing;
use crate::source::Passed;
use crate::tally::Longer;
use crate::tally::Tally;
use crate::tenant::TenantRef;
use crate::tenant::Visit;

/// Documents a batch holds at the most before the next one is begun, in bytes. One document may pass it.
const BATCH_BYTES_MAX: usize = 1024 * 1024;

/// Most a line normally grows on its way to a document: an ALB line in the `aws` schema becomes 2.3 times as long.
const EXPANSION: u64 = 3;

/// The same where more is asked for: the `ecs` schema, the line as it came, what is looked up.
const EXPANSION_MORE: u64 = 6;

/// The smallest line that becomes an event: one byte and its newline. Lines that small grow a hundredfold.
const LINE_BYTES_MIN: usize = 2;

/// A connection's framing and parser.
pub struct LineFeed {
    framer: Framer,
    parser: LineParser,
    source: SourceId,
    pool: Pool,
    metrics: Arc<SourceMetrics>,
    /// Whose the lines are, where senders are told apart.
    tenant: Option<TenantRef>,
    /// Whether the end of a line that has no newline is beyond doubt, because the sender has said where its bytes end.
    knows_its_end: bool,
}

impl LineFeed {
    /// The feed of a new connection.
    pub fn new(line_bytes_max: usize, parser: LineParser, source: SourceId, pool: Pool, metrics: Arc<SourceMetrics>) -> Self {
        let framer = Framer::Lines(Lines::new(line_bytes_max));
        Self { framer, parser, source, pool, metrics, tenant: None, knows_its_end: false }
    }

    /// The same for lines of a tenant, as its parser has been told.
    #[must_use]
    pub fn of_tenant(self, tenant: TenantRef) -> Self {
        Self { tenant: Some(tenant), ..self }
    }

    /// The same where the first line may say whose the lines are.
    #[must_use]
    pub fn with_visit(self, visit: Visit, looks: Arc<Looks>, peer: Peer) -> Self {
        Self { parser: self.parser.with_visit(visit, looks, peer), ..self }
    }

    /// The same where the first line over the limit is refused instead of being cut, if so.
    #[must_use]
    pub fn refusing(self, refuses_long_lines: bool) -> Self {
        let framer = match self.framer {
            framer if !refuses_long_lines => framer,
            Framer::Lines(lines) => Framer::Lines(lines.refusing()),
            Framer::Undecided { lines, newlines, values } => {
                Framer::Undecided { lines: lines.refusing(), newlines, values: values.refusing() }
            }
            Framer::Values(values) => Framer::Values(values.refusing()),
        };
        Self { framer, ..self }
    }

    /// The same for a request: it says where its bytes end, and its body may be JSON.
    #[must_use]
    pub fn of_request(self, line_bytes_max: usize, framing: Framing) -> Self {
        let lines = Lines::new(line_bytes_max);
        let framer = match framing {
            Framing::Lines => Framer::Lines(lines),
            Framing::ByContent => Framer::Undecided { lines, newlines: 0, values: Values::new(line_bytes_max) },
        };
        Self { framer, knows_its_end: true, ..self }
    }

    /// Runs `step` with a sink for lines and turns what it gives into batches.
    fn collect<R>(
        &mut self,
        permit: &mut IntakePermit,
        out: &mut Vec<Batch>,
        step: impl FnOnce(&mut Framer, &mut dyn FnMut(&[u8], usize, usize, Cut)) -> R,
    ) -> R {
        let received = Received::at(now());
        let Self { framer, parser, source, pool, tenant, knows_its_end, .. } = self;
        let mut builder = None;
        let mut each = |chunk: &[u8], start: usize, end: usize, cut: Cut| {
            let builder = builder.get_or_insert_with(|| BatchBuilder::new(pool.take()));
            match cut {
                // Where the end of the bytes is beyond doubt, so is the end of the last line.
                Cut::Line(Whole::Unterminated) if *knows_its_end => {
                    parser.line(chunk, start, end, Whole::Yes, received, builder);
                }
                Cut::Line(whole) => parser.line(chunk, start, end, whole, received, builder),
                Cut::Piece(piece) => parser.piece(chunk, start, end, piece, received, builder),
            }
            if builder.bytes() >= BATCH_BYTES_MAX {
                follow(parser, tenant, permit);
                out.push(owned(finished(std::mem::take(builder), *source, received.micros, pool, permit), tenant));
            }
            if parser.letters.bytes() >= BATCH_BYTES_MAX {
                follow(parser, tenant, permit);
                let letters = finished(std::mem::take(&mut parser.letters), *source, received.micros, pool, permit);
                out.push(owned(Batch { is_rejects: true, ..letters }, tenant));
            }
        };
        let result = step(framer, &mut each);
        follow(parser, tenant, permit);
        if !parser.letters.is_empty() {
            let letters = finished(std::mem::take(&mut parser.letters), *source, received.micros, pool, permit);
            out.push(owned(Batch { is_rejects: true, ..letters }, tenant));
        }
        if let Some(builder) = builder {
            if builder.is_empty() {
                pool.put(builder.into_buffer());
            } else {
                out.push(owned(finished(builder, *source, received.micros, pool, permit), tenant));
            }
        }
        result
    }

    /// Adds what became of a read's lines to the metrics, and says of a new shape of line that there is one; gives how many
    /// events were taken, and how many no parser took.
    fn count(&mut self, bytes: usize, out: &mut Vec<Batch>) -> Counted {
        let mut tally = std::mem::take(&mut self.parser.tally);
        if self.parser.is_refused() {
            out.clear();
            tally = Tally::default();
        }
        if let Some(tenant) = self.tenant.as_ref().filter(|_| tally.overridden > 0) {
            tenant.cut_members(tally.overridden);
        }
        self.metrics.read(bytes, &tally);
        for Longer { kind, tokens, .. } in self.metrics.longer(&tally) {
            tracing::warn!(
                source = self.metrics.name(),
                format = kind.label(),
                tokens,
                known = kind.format().fields.len(),
                "lines have more fields than are known: AWS has added some"
            );
        }
        let rejected = tally.events[Origin::Reject as usize];
        Counted { accepted: tally.events.iter().sum::<u64>() - rejected, rejected }
    }
}

/// What became of a read's events.
struct Counted {
    accepted: u64,
    rejected: u64,
}

/// Follows a sender that has said whose it is: from here on what it holds counts as that tenant's.
fn follow(parser: &mut LineParser, tenant: &mut Option<TenantRef>, permit: &mut IntakePermit) {
    if let Some(moved_to) = parser.moved_to.take() {
        permit.charge_to(moved_to.intake());
        *tenant = Some(moved_to);
    }
}

/// The same batch as a tenant's.
fn owned(batch: Batch, tenant: &Option<TenantRef>) -> Batch {
    Batch { tenant: tenant.as_ref().and_then(|tenant| tenant.label().cloned()), ..batch }
}

fn finished(builder: BatchBuilder, source: SourceId, received: Micros, pool: &Pool, permit: &mut IntakePermit) -> Batch {
    let beside = builder.len() * size_of::<Mark>() + ALONE_BYTES;
    builder.build(source, received, |buffer, used| pool.share(buffer, used, beside, permit))
}

impl Feed for LineFeed {
    fn admission_bytes(&self, read_bytes: usize) -> u64 {
        let smallest = (read_bytes / LINE_BYTES_MIN * self.parser.bytes_per_event()) as u64;
        let expansion = if self.parser.writes_more() { EXPANSION_MORE } else { EXPANSION };
        smallest.max(read_bytes as u64 * expansion)
    }

    fn feed(&mut self, read: &[u8], permit: &mut IntakePermit, out: &mut Vec<Batch>) -> Passed {
        let fed = self.collect(permit, out, |framer, each| framer.feed(read, each));
        let Counted { accepted, rejected } = self.count(read.len(), out);
        self.metrics.skipped(fed.skipped_bytes);
        self.parser.forget();
        Passed { lines: fed.newlines, accepted, rejected, too_long: fed.refused, refused: self.parser.is_refused() }
    }

    fn finish(&mut self, clean: bool, permit: &mut IntakePermit, out: &mut Vec<Batch>) -> Passed {
        let mut last = 0;
        let lost = self.collect(permit, out, |framer, each| {
            framer.finish(clean, &mut |chunk: &[u8], start, end, cut| {
                last += 1;
                each(chunk, start, end, cut);
            })
        });
        let Counted { accepted, rejected } = self.count(0, out);
        self.metrics.unfinished(lost as u64);
        Passed { lines: last, accepted, rejected, too_long: false, refused: self.parser.is_refused() }
    }

    fn held_bytes(&self) -> usize {
        self.framer.held_bytes()
    }

    fn remembered_bytes(&self) -> usize {
        self.parser.remembered_bytes()
    }
}

/// The clock on the wall; before 1970 it is 1970.
pub(crate) fn now() -> Micros {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Micros::try_from(since.as_micros()).unwrap_or(Micros::MAX)
}

/// Marks are part of what a batch holds; this keeps their size in view.
const _: () = assert!(size_of::<Mark>() <= 32, "a mark costs 32 bytes a document");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::elb::Schema;
    use crate::event_id::IdKey;
    use crate::intake::Intake;
    use crate::metrics::Metrics;
    use crate::pipeline::ids::Ids;
    use crate::pipeline::look::look;
    use crate::pipeline::lookups::Lookups;
    use crate::pipeline::plan::Format;
    use crate::pipeline::plan::ParsePlan;

    fn feed() -> LineFeed {
        let plan = ParsePlan::plain(Format::Auto, Schema::Aws);
        let look = Arc::new(look(&plan, IdKey::PUBLISHED, &Lookups::load(&[]).expect("nothing to load")).expect("a look"));
        let parser = LineParser::new(&plan, look, Ids::new(IdKey::PUBLISHED, [0; 12], SourceId(0), 0));
        LineFeed::new(plan.line_bytes_max, parser, SourceId(0), Pool::new(1 << 20), Arc::new(Metrics::new().source("in", &[])))
    }

    /// Bytes held for what a read of this text became, and what was said to be enough.
    #[track_caller]
    fn check(feed: &mut LineFeed, text: &str) {
        let intake = Intake::new(1 << 40);
        let enough = feed.admission_bytes(text.len());
        let mut permit = intake.try_admit(0).expect("nobody waits");
        let mut batches = Vec::new();
        feed.feed(text.as_bytes(), &mut permit, &mut batches);
        let real: usize = batches.iter().map(|batch| batch.docs.len() + size_of_val::<[Mark]>(&batch.marks)).sum();
        assert!(real as u64 <= intake.held_bytes(), "{real} bytes are held, {} are counted", intake.held_bytes());
        assert!(real as u64 <= enough, "{real} bytes from {}, {enough} are admitted", text.len());
    }

    #[test]
    fn what_the_smallest_lines_become_is_admitted_and_counted() {
        let mut feed = feed();
        check(&mut feed, "{\"a\":1}\n");
        check(&mut feed, &"a\n".repeat(20_000));
        check(&mut feed, &"{}\n".repeat(20_000));
        check(&mut feed, &format!("[{}{{}}]\n", "{},".repeat(9_999)));
    }

    #[test]
    fn fields_a_sender_names_are_admitted_from_its_first_read_on() {
        let mut feed = feed();
        let object = format!("s3://bucket/{}", "k".repeat(1024));
        let fields = "z".repeat(4_000);
        let preamble = format!("{{\"@elbow\":{{\"fields\":{{\"a\":\"{fields}\"}},\"object\":\"{object}\",\"etag\":\"e\"}}}}\n");
        check(&mut feed, &(preamble + &"a\n".repeat(500)));
        check(&mut feed, &"a\n".repeat(500));
        check(&mut feed, &format!("[{}{{}}]\n", "{},".repeat(400)));
    }
}
