//! One connection's bytes to batches: framing, parsing and memory put together.

use std::sync::Arc;
use std::time::SystemTime;
use std::time::UNIX_EPOCH;

use super::parse::LineParser;
use super::pool::Pool;
use crate::batch::Batch;
use crate::batch::BatchBuilder;
use crate::batch::Mark;
use crate::batch::Micros;
use crate::batch::SourceId;
use crate::framing::lines::Lines;
use crate::framing::lines::Whole;
use crate::intake::IntakePermit;
use crate::json::envelope::Received;
use crate::metrics::SourceMetrics;
use crate::source::Feed;

/// Documents a batch holds at the most before the next one is begun, in bytes. One document may pass it.
const BATCH_BYTES_MAX: usize = 1024 * 1024;

/// Most a line normally grows on its way to a document: an ALB line in the `aws` schema becomes 2.3 times as long.
const EXPANSION: u64 = 3;

/// A connection's framing and parser.
pub struct LineFeed {
    lines: Lines,
    parser: LineParser,
    source: SourceId,
    pool: Pool,
    metrics: Arc<SourceMetrics>,
}

impl LineFeed {
    /// The feed of a new connection.
    pub fn new(line_bytes_max: usize, parser: LineParser, source: SourceId, pool: Pool, metrics: Arc<SourceMetrics>) -> Self {
        Self { lines: Lines::new(line_bytes_max), parser, source, pool, metrics }
    }

    /// Runs `step` with a sink for lines and turns what it gives into batches.
    fn collect<R>(
        &mut self,
        permit: &mut IntakePermit,
        out: &mut Vec<Batch>,
        step: impl FnOnce(&mut Lines, &mut dyn FnMut(&[u8], usize, usize, Whole)) -> R,
    ) -> R {
        let received = Received::at(now());
        let Self { lines, parser, source, pool, .. } = self;
        let mut builder = None;
        let mut each = |chunk: &[u8], start: usize, end: usize, whole: Whole| {
            let builder = builder.get_or_insert_with(|| BatchBuilder::new(pool.take()));
            parser.line(chunk, start, end, whole, received, builder);
            if builder.bytes() >= BATCH_BYTES_MAX {
                out.push(finished(std::mem::take(builder), *source, received.micros, pool, permit));
            }
        };
        let result = step(lines, &mut each);
        if let Some(builder) = builder {
            if builder.is_empty() {
                pool.put(builder.into_buffer());
            } else {
                out.push(finished(builder, *source, received.micros, pool, permit));
            }
        }
        result
    }
}

fn finished(builder: BatchBuilder, source: SourceId, received: Micros, pool: &Pool, permit: &mut IntakePermit) -> Batch {
    builder.build(source, received, |buffer, used| pool.share(buffer, used, permit))
}

impl Feed for LineFeed {
    fn admission_bytes(read_bytes: usize) -> u64 {
        read_bytes as u64 * EXPANSION
    }

    fn feed(&mut self, read: &[u8], permit: &mut IntakePermit, out: &mut Vec<Batch>) {
        let fed = self.collect(permit, out, |lines, each| lines.feed(read, each));
        self.metrics.read(read.len(), &std::mem::take(&mut self.parser.tally));
        self.metrics.skipped(fed.skipped_bytes);
    }

    fn finish(&mut self, clean: bool, permit: &mut IntakePermit, out: &mut Vec<Batch>) {
        let lost = self.collect(permit, out, |lines, each| lines.finish(clean, each));
        self.metrics.read(0, &std::mem::take(&mut self.parser.tally));
        self.metrics.unfinished(lost as u64);
    }

    fn held_bytes(&self) -> usize {
        self.lines.held_bytes()
    }
}

/// The clock on the wall; before 1970 it is 1970.
pub(crate) fn now() -> Micros {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Micros::try_from(since.as_micros()).unwrap_or(Micros::MAX)
}

/// Marks are part of what a batch holds; this keeps their size in view.
const _: () = assert!(size_of::<Mark>() <= 32, "a mark costs 32 bytes a document");
