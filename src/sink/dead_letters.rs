//! What a destination has refused for good, or never had because the buffer was full, kept with its reason until somebody looks.
//!
//! Each such document becomes a letter: a document about it, with itself inside as it was. It is stored before the sink lets go
//! of the event; where there is nowhere to store it, that is counted and said.

use serde_json::json;

use crate::batch::Batch;
use crate::batch::Mark;
use crate::buffer::Buffer;
use crate::buffer::Stored;
use crate::sink::SinkError;
use crate::sink::SinkState;
use crate::sink::parcel::Parcel;
use crate::time::format_millis;
use crate::waiting::WaitingEvents;

/// Why a document was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    /// The status the destination gave.
    pub(super) status: u16,
    /// What it calls the error; empty where it gave it no name.
    pub(super) kind: String,
    /// Its words, without what may be content.
    pub(super) reason: String,
}

impl Refusal {
    /// Of a document that was refused by itself, as a request.
    pub(super) fn of(error: &SinkError) -> Self {
        Self { status: error.status().unwrap_or(0), kind: "request".to_owned(), reason: error.words() }
    }
}

/// Why a document becomes a letter.
#[derive(Clone, Copy)]
enum Why<'w> {
    Refused(&'w Refusal),
    BufferFull,
}

/// Where refused documents go, and those that are given up.
#[derive(Clone, Debug, Default)]
pub struct DeadLetters {
    /// None where none are kept.
    letters: Option<Buffer>,
    /// Events of all sinks whose letters are appended and not committed.
    waiting: WaitingEvents,
}

/// Bytes of letters stored together; one may pass it.
const BATCH_BYTES: usize = 1 << 20;

/// The tag of a letter about a document that a destination has refused.
pub(super) const REFUSED: &str = "_elbow_refused";

/// The tag of a letter about a document that a sink did not get to.
pub(super) const BUFFER_FULL: &str = "_elbow_buffer_full";

impl DeadLetters {
    /// Kept there; nowhere without a buffer.
    pub fn new(letters: Option<Buffer>) -> Self {
        Self { letters, waiting: WaitingEvents::default() }
    }

    /// Whether there is a place for them.
    pub fn are_kept(&self) -> bool {
        self.letters.is_some()
    }

    /// Events whose letters are appended and not committed: so far the buffer they come from has them. Those that wait for room are
    /// not among them, nor does it count whether somebody still waits for the commit.
    pub fn waiting_events(&self) -> u64 {
        self.waiting.events()
    }

    /// Stores a parcel's documents, of which each has its refusal; `false`: they are not stored, and nobody knows of them but the
    /// buffer they come from. Waits while there is no room.
    pub(super) async fn store(&self, parcel: &Parcel, refusals: &[Refusal], state: &SinkState) -> bool {
        if let Some(first) = refusals.first() {
            state.refusing(parcel.len() as u64, first.status, &first.kind, &first.reason, self.are_kept());
        }
        self.keep(parcel, refusals.iter().map(Why::Refused), state.name()).await
    }

    /// The same for documents that a sink did not get to before the buffer was full.
    pub(super) async fn store_given_up(&self, parcel: &Parcel, sink: &str) -> bool {
        self.keep(parcel, std::iter::repeat(Why::BufferFull), sink).await
    }

    async fn keep<'w>(&self, parcel: &Parcel, whys: impl Iterator<Item = Why<'w>>, sink: &str) -> bool {
        let Some(letters) = &self.letters else { return true };
        for batch in batches(parcel, whys, sink) {
            let events = batch.len() as u64;
            let Ok(receipt) = letters.append(batch).await else { return false };
            let waiting = self.waiting.wait(events);
            // Whoever waits for it may be gone before, as a sink whose fallback takes over: a letter that is appended stays that.
            let storing = tokio::spawn(async move {
                let stored = receipt.stored().await;
                if stored == Stored::No {
                    // It is never committed.
                    std::mem::forget(waiting);
                }
                stored
            });
            if storing.await.unwrap_or(Stored::No) == Stored::No {
                return false;
            }
        }
        true
    }
}

/// The letters, those of one batch in one batch as far as that is not too large.
fn batches<'w>(parcel: &Parcel, whys: impl Iterator<Item = Why<'w>>, sink: &str) -> Vec<Batch> {
    let mut batches = Vec::new();
    let mut text = Vec::new();
    let mut marks: Vec<Mark> = Vec::new();
    let mut of: Option<&Batch> = None;
    let mut close = |text: &mut Vec<u8>, marks: &mut Vec<Mark>, of: Option<&Batch>| {
        let Some(of) = of.filter(|_| !marks.is_empty()) else { return };
        batches.push(Batch {
            docs: std::mem::take(text).into(),
            marks: std::mem::take(marks).into(),
            source: of.source,
            received: of.received,
            tenant: of.tenant.clone(),
            sink: None,
            is_rejects: true,
        });
    };
    for ((document, mark, batch), why) in parcel.documents().zip(whys) {
        if of.is_some_and(|of| !std::ptr::eq(of, batch)) || text.len() + document.len() > BATCH_BYTES {
            close(&mut text, &mut marks, of);
        }
        of = Some(batch);
        write(&mut text, document, mark, sink, why);
        let end = u32::try_from(text.len()).expect("a document is far smaller than four gigabytes");
        marks.push(Mark { end, ..*mark });
    }
    close(&mut text, &mut marks, of);
    batches
}

/// What a letter about a document says that a sink did not get to.
const WORDS: &str = "the buffer was full, and the sink had not delivered this yet (when_full = \"dead_letter\")";

/// One letter: the document stands at its end as it was.
fn write(text: &mut Vec<u8>, document: &[u8], mark: &Mark, sink: &str, why: Why<'_>) {
    let time = format_millis(mark.time);
    let time = std::str::from_utf8(&time).expect("digits and letters");
    let id = mark.id.hex();
    let id = std::str::from_utf8(&id).expect("digits and letters");
    let (elbow, tag) = match why {
        Why::Refused(Refusal { status, kind, reason }) => {
            (json!({ "reason": "refused", "sink": sink, "status": status, "error": kind, "words": reason }), REFUSED)
        }
        Why::BufferFull => (json!({ "reason": "buffer_full", "sink": sink, "words": WORDS }), BUFFER_FULL),
    };
    let about = json!({ "@timestamp": time, "elbow": elbow, "event": { "id": id }, "tags": [tag] });
    let about = about.to_string();
    text.extend_from_slice(&about.as_bytes()[..about.len() - 1]);
    text.extend_from_slice(b",\"document\":");
    text.extend_from_slice(document.strip_suffix(b"\n").unwrap_or(document));
    text.extend_from_slice(b"}\n");
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use tokio::task::JoinHandle;
    use tokio::time::timeout;

    use super::*;
    use crate::buffer::DiskPlan;
    use crate::buffer::MemoryPlan;
    use crate::buffer::OnDisk;
    use crate::buffer::WhenFull;
    use crate::buffer::disk::RealDisk;
    use crate::buffer::log::Durability;
    use crate::sink::parcel::Run;
    use crate::sink::tests::MOMENT;
    use crate::sink::tests::entry;

    fn keep(letters: &DeadLetters, documents: u32) -> JoinHandle<bool> {
        let mut parcel = Parcel::default();
        parcel.push(Run { entry: entry(0, &"{}\n".repeat(documents as usize)), from: 0, to: documents });
        let letters = letters.clone();
        tokio::spawn(async move { letters.store_given_up(&parcel, "sink").await })
    }

    async fn until(mut condition: impl FnMut() -> bool) {
        let waiting = async {
            while !condition() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(MOMENT, waiting).await.expect("it happens");
    }

    #[tokio::test]
    async fn letters_count_as_waiting_until_they_are_committed_whoever_waits_for_that() {
        let folder = tempfile::tempdir().expect("a folder");
        let plan = DiskPlan {
            path: folder.path().to_owned(),
            bytes_max: 16 << 20,
            free_bytes_min: 0,
            durability: Durability::Disk,
            memory_bytes_max: 1 << 20,
            forget: Vec::new(),
            when_full: WhenFull::Block,
        };
        let disk = Arc::new(RealDisk::open(folder.path()).expect("a folder"));
        let opened = Buffer::disk(disk, &plan, &["in".to_owned()], &["kept".to_owned()], [3; 16]).expect("it opens");
        let OnDisk { buffer, writer, .. } = opened;
        let letters = DeadLetters::new(Some(buffer.clone()));
        let (abandoned, awaited) = (keep(&letters, 3), keep(&letters, 4));
        until(|| buffer.uncommitted_events() == 7).await;
        abandoned.abort();
        assert!(abandoned.await.is_err());
        assert_eq!((letters.waiting_events(), buffer.uncommitted_events()), (7, 7));
        let writer = std::thread::spawn(move || writer.run(|_| {}));
        assert!(awaited.await.expect("it does not panic"));
        until(|| letters.waiting_events() == 0).await;
        assert_eq!(buffer.uncommitted_events(), 0);
        buffer.finish();
        writer.join().expect("it does not panic");
    }

    #[tokio::test]
    async fn what_waits_for_room_among_the_letters_is_not_counted() {
        let (buffer, _cursors) = Buffer::memory(MemoryPlan { bytes_max: 1 << 10 }, 1);
        let letters = DeadLetters::new(Some(buffer.clone()));
        assert!(keep(&letters, 3).await.expect("it does not panic"), "one batch always has room");
        let waits = keep(&letters, 4);
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert_eq!((letters.waiting_events(), waits.is_finished()), (0, false));
        buffer.close();
        assert!(!waits.await.expect("it does not panic"));
        assert_eq!((letters.waiting_events(), buffer.stat().events), (0, 3));
    }
}
