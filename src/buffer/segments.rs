//! Which segments there are and how far each is committed: what the writer and the readers share.
//!
//! A lock around a short list, held for no longer than it takes to look something up.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

use crate::buffer::format::Point;

/// A segment, oldest first in the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Its number, which is in its name.
    pub number: u64,
    /// Where new entries begin in it.
    pub first: Point,
    /// How far frames may be read: what is committed, or the length of a file of an earlier process.
    pub limit: u64,
    /// Bytes its file takes.
    pub file_bytes: u64,
}

/// The segments of a log and the place behind its last committed entry.
#[derive(Debug)]
pub struct Segments {
    state: Mutex<State>,
    /// Bytes that were copied to the quarantine.
    quarantined: AtomicU64,
}

#[derive(Debug)]
struct State {
    list: VecDeque<Segment>,
    end: Point,
    /// Where what has been let go of ends.
    passed: Point,
}

impl Segments {
    /// These segments, oldest first, with what is committed ending there.
    pub fn new(list: VecDeque<Segment>, end: Point, quarantined: u64) -> Self {
        Self { state: Mutex::new(State { list, end, passed: Point::default() }), quarantined: AtomicU64::new(quarantined) }
    }

    /// Bytes in the quarantine.
    pub fn quarantined_bytes(&self) -> u64 {
        self.quarantined.load(Ordering::Relaxed)
    }

    pub(super) fn quarantined(&self, bytes: u64) {
        self.quarantined.fetch_add(bytes, Ordering::Relaxed);
    }

    /// The place behind the last committed entry.
    pub fn end(&self) -> Point {
        self.lock().end
    }

    /// The oldest place there may be entries at.
    pub fn start(&self) -> Point {
        let state = self.lock();
        state.list.front().map_or(state.end, |segment| segment.first)
    }

    /// The segment an entry is in: the last one that begins at it or before it, or the first of all.
    pub fn holding(&self, seq: u64) -> Option<Segment> {
        let state = self.lock();
        let behind = state.list.partition_point(|segment| segment.first.seq <= seq);
        state.list.get(behind.saturating_sub(1)).copied()
    }

    /// A segment as it is now.
    pub fn segment(&self, number: u64) -> Option<Segment> {
        self.lock().list.iter().find(|segment| segment.number == number).copied()
    }

    /// The segment behind this one.
    pub fn after(&self, number: u64) -> Option<Segment> {
        self.lock().list.iter().find(|segment| segment.number > number).copied()
    }

    /// All of them, oldest first.
    pub fn all(&self) -> Vec<Segment> {
        self.lock().list.iter().copied().collect()
    }

    /// Bytes of all files.
    pub fn file_bytes(&self) -> u64 {
        self.lock().list.iter().map(|segment| segment.file_bytes).sum()
    }

    /// Bytes of all that is committed, headers and padding included.
    pub fn held_bytes(&self) -> u64 {
        self.lock().list.iter().map(|segment| segment.limit).sum()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.lock().list.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn push(&self, segment: Segment) {
        self.lock().list.push_back(segment);
    }

    /// The last segment has grown, and the log with it.
    pub(super) fn committed(&self, end: Point, limit: u64, file_bytes: u64) {
        let mut state = self.lock();
        let last = state.list.back_mut().expect("what is committed is in a segment");
        last.limit = limit;
        last.file_bytes = last.file_bytes.max(file_bytes);
        state.end = end;
    }

    /// Takes out the first segment if another one begins at `mark` or before it, so that nothing in the first is needed.
    pub(super) fn take_spent(&self, mark: u64) -> Option<Segment> {
        let mut state = self.lock();
        let second = state.list.get(1).map(|second| second.first).filter(|second| second.seq <= mark)?;
        state.passed = second;
        state.list.pop_front()
    }

    /// The place before which segments have been let go of since the log was opened; their files may be gone, or hold something
    /// else by now.
    pub fn passed(&self) -> Point {
        self.lock().passed
    }

    /// Whether nothing in the first segment is needed from `mark` on.
    pub fn has_spent(&self, mark: u64) -> bool {
        self.lock().list.get(1).is_some_and(|second| second.first.seq <= mark)
    }

    /// Where the second segment begins: the first place that would let the first one go.
    pub fn second(&self) -> Option<Point> {
        self.lock().list.get(1).map(|segment| segment.first)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics looking at segments")
    }
}
