//! Opens the buffer and the dead letters, gives their writers a thread each, and says in the log what was found.
//!
//! It knows no source and no sink but by name.

use std::sync::Arc;
use std::thread::Builder;
use std::thread::JoinHandle;
use std::time::Duration;
use std::time::Instant;

use super::letters::KEPT;
use super::start_error::StartError;
use crate::buffer::Buffer;
use crate::buffer::BufferPlan;
use crate::buffer::Cursor;
use crate::buffer::DiskPlan;
use crate::buffer::OnDisk;
use crate::buffer::disk::RealDisk;
use crate::buffer::recovery::Recovered;
use crate::buffer::writer::Writer;
use crate::buffer::writer::Wrote;
use crate::metrics::Metrics;

/// Where events are kept, open.
pub(super) struct Storage {
    /// Until they are delivered; rejected lines go to the dead letters by themselves.
    pub(super) buffer: Buffer,
    /// The dead letters.
    pub(super) letters: Option<Buffer>,
    /// One for each sink.
    pub(super) cursors: Vec<Cursor>,
    /// The threads of the writers.
    pub(super) writers: Writers,
}

impl Storage {
    /// Opens everything. Blocks while the disk is read.
    ///
    /// # Errors
    /// When a directory cannot be made, opened or used, or there is no thread.
    pub(super) fn open(
        buffer: &BufferPlan,
        letters: Option<&DiskPlan>,
        sources: &[String],
        sinks: &[String],
        metrics: &Metrics,
    ) -> Result<Self, StartError> {
        let mut writers = Writers::default();
        let counted = metrics.writer();
        let (buffer, cursors) = match buffer {
            BufferPlan::Memory(plan) => Buffer::memory(*plan, sinks.len()),
            BufferPlan::Disk(plan) => {
                let begun = Instant::now();
                let OnDisk { buffer, cursors, writer, recovered } = open(plan, sources, sinks)?;
                say_what_was_found(plan, sinks, &recovered, begun.elapsed());
                let counted = counted.clone();
                writers.start("elbow-buffer", writer, move |wrote| {
                    say_of_room("the buffer", wrote);
                    counted.buffer(wrote);
                })?;
                (buffer, cursors)
            }
        };
        let Some(plan) = letters else { return Ok(Self { buffer, letters: None, cursors, writers }) };
        let OnDisk { buffer: letters, writer, recovered, .. } = open(plan, sources, &[KEPT.to_owned()])?;
        say_of_the_directory(plan, &recovered);
        writers.start("elbow-letters", writer, move |wrote| {
            say_of_room("the dead letters", wrote);
            counted.letters(wrote);
        })?;
        Ok(Self { buffer: buffer.with_rejects(&letters), letters: Some(letters), cursors, writers })
    }
}

fn open(plan: &DiskPlan, sources: &[String], sinks: &[String]) -> Result<OnDisk, StartError> {
    let directory = |source| StartError::Directory { path: plan.path.display().to_string(), source };
    let disk = RealDisk::open(&plan.path).map_err(directory)?;
    let mut uuid = [0; 16];
    getrandom::fill(&mut uuid).map_err(|error| StartError::Random(error.into()))?;
    Ok(Buffer::disk(Arc::new(disk), plan, sources, sinks, uuid)?)
}

fn say_what_was_found(plan: &DiskPlan, sinks: &[String], recovered: &Recovered, took: Duration) {
    let path = plan.path.display();
    let Recovered { segments, torn_tail, carried_events, .. } = *recovered;
    let (durability, milliseconds) = (plan.durability.label(), u64::try_from(took.as_millis()).unwrap_or(u64::MAX));
    tracing::info!(%path, durability, segments, torn_tail, carried_events, milliseconds, "the buffer is open");
    for sink in &recovered.added {
        tracing::info!(%sink, "this sink is new: it begins with the next event");
    }
    for (sink, events) in &recovered.forgotten {
        tracing::warn!(%sink, events, "the backlog of a sink that is configured no longer is given up");
    }
    for sink in &plan.forget {
        if sinks.contains(sink) {
            tracing::warn!(%sink, "--forget has no effect on a sink that is configured");
        }
    }
    say_of_the_directory(plan, recovered);
}

fn say_of_the_directory(plan: &DiskPlan, recovered: &Recovered) {
    let path = plan.path.display();
    if !recovered.foreign.is_empty() {
        tracing::warn!(%path, files = recovered.foreign.join(", "), "files here are none of the buffer's: they are left alone");
    }
    if recovered.marks_lost {
        tracing::error!(%path, "no checkpoint can be read: every sink gets the oldest event again and all behind it");
    }
    if recovered.lost_events > 0 {
        tracing::error!(%path, events = recovered.lost_events, "events at the end are missing although they had been stored");
    }
    if let Some(full) = recovered.full {
        tracing::warn!(%path, reason = %full, "there is no room for a new segment: events are taken once sinks have made some");
    }
}

/// Says where senders have to wait, and that they have no longer to.
fn say_of_room(place: &str, wrote: Wrote) {
    match wrote {
        Wrote::Full(reason) => {
            tracing::warn!(place, %reason, "there is no room: what belongs there waits, and so do its senders")
        }
        Wrote::Room => tracing::info!(place, "there is room again"),
        Wrote::Group { .. } | Wrote::Checkpoint { .. } | Wrote::Dropped { .. } => {}
    }
}

/// The threads that write.
#[derive(Debug, Default)]
pub(super) struct Writers {
    threads: Vec<JoinHandle<()>>,
}

impl Writers {
    fn start(&mut self, name: &str, writer: Writer, observe: impl Fn(Wrote) + Send + 'static) -> Result<(), StartError> {
        let started = Builder::new().name(name.to_owned()).spawn(move || writer.run(observe));
        self.threads.push(started.map_err(StartError::Thread)?);
        Ok(())
    }

    /// Whether all of them have ended.
    pub(super) fn have_ended(&self) -> bool {
        self.threads.iter().all(JoinHandle::is_finished)
    }
}
