//! What a destination has refused for good, or never had because the buffer was full, kept with its reason until somebody looks.
//!
//! Each such document becomes a letter: a document about it, with itself inside as it was. It is stored before the sink lets go
//! of the event; where there is nowhere to store it, that is counted and said.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

use serde_json::json;

use crate::batch::Batch;
use crate::batch::Mark;
use crate::buffer::Buffer;
use crate::buffer::Stored;
use crate::sink::SinkError;
use crate::sink::SinkState;
use crate::sink::parcel::Parcel;
use crate::time::format_millis;

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
    /// Events of all sinks that wait to be stored.
    waiting: Arc<AtomicU64>,
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
        Self { letters, waiting: Arc::default() }
    }

    /// Whether there is a place for them.
    pub fn are_kept(&self) -> bool {
        self.letters.is_some()
    }

    /// Events that are being stored: until they are, the buffer they come from has them.
    pub fn waiting_events(&self) -> u64 {
        self.waiting.load(Ordering::Relaxed)
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
        self.waiting.fetch_add(parcel.len() as u64, Ordering::Relaxed);
        for batch in batches(parcel, whys, sink) {
            let Ok(receipt) = letters.append(batch).await else { return false };
            if receipt.stored().await == Stored::No {
                return false;
            }
        }
        self.waiting.fetch_sub(parcel.len() as u64, Ordering::Relaxed);
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
