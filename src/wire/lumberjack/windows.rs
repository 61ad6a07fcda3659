//! Windows, from their announcement to their last ack.
//!
//! Within a window only the newest number counts, and each complete window gets its own last ack, so that senders that
//! number every window from 1 and those that number on both know what is meant. It reads no stream.

use std::collections::VecDeque;
use std::ops::Range;

use super::Fault;
use super::Pause;
use super::VERSION;
use super::WINDOWS_MAX;

const ACK_BYTES: usize = 6;

/// A window that has not been answered for good.
#[derive(Clone, Copy, Debug)]
struct Window {
    /// Events of the connection before it.
    begin: u64,
    /// Sequence number of its first event, once that has come.
    first: u32,
    /// Events that have come.
    events: u32,
    /// Events that were announced.
    announced: u32,
}

impl Window {
    fn is_complete(&self) -> bool {
        self.events == self.announced
    }

    /// Its events among the connection's first `committed`.
    fn stored(&self, committed: u64) -> u32 {
        let stored = committed.saturating_sub(self.begin).min(u64::from(self.events));
        u32::try_from(stored).expect("at most the number of its events")
    }
}

/// What has come, what is stored, and what the sender has been told.
#[derive(Debug)]
pub(super) struct Windows {
    /// Those not answered for good, oldest first; the last one may be incomplete.
    open: VecDeque<Window>,
    /// Events that have come.
    events: u64,
    completed: u64,
    committed: u64,
    /// Sequence number of the last event that has come.
    last: Option<u32>,
    /// Events of the oldest window that the sender knows to be stored.
    told: u32,
    /// Whether the sender is to be told something even if no window is stored as a whole.
    waited: bool,
    ending: bool,
    intake_closed: bool,
    text: [u8; ACK_BYTES],
    /// The part of `text` that is not written yet.
    left: Range<usize>,
}

impl Windows {
    pub(super) fn new() -> Self {
        Self {
            open: VecDeque::new(),
            events: 0,
            completed: 0,
            committed: 0,
            last: None,
            told: 0,
            waited: false,
            ending: false,
            intake_closed: false,
            text: [0; ACK_BYTES],
            left: 0..0,
        }
    }

    pub(super) fn close_intake(&mut self) {
        self.intake_closed = true;
    }

    /// Whether a window has been announced whose events have not all come.
    pub(super) fn is_between(&self) -> bool {
        self.open.back().is_none_or(Window::is_complete)
    }

    /// Why another window cannot be taken now.
    pub(super) fn refusal(&self) -> Option<Pause> {
        match self.intake_closed {
            true => Some(Pause::Closed),
            false if self.open.len() >= WINDOWS_MAX => Some(Pause::Unanswered),
            false => None,
        }
    }

    pub(super) fn events(&self) -> u64 {
        self.events
    }

    pub(super) fn completed(&self) -> u64 {
        self.completed
    }

    /// A window is announced. One before it that is not complete ends with what has come, as with Logstash.
    pub(super) fn announce(&mut self, events: u32) {
        if let Some(last) = self.open.back_mut().filter(|last| !last.is_complete()) {
            last.announced = last.events;
            match last.events {
                0 => drop(self.open.pop_back()),
                _ => self.completed += 1,
            }
        }
        if events > 0 {
            self.open.push_back(Window { begin: self.events, first: 0, events: 0, announced: events });
        }
    }

    /// An event begins. Numbers may begin again with a window, but leave none out.
    pub(super) fn begin_event(&mut self, sequence: u32) -> Result<(), Fault> {
        let Some(window) = self.open.back_mut().filter(|window| !window.is_complete()) else {
            return Err(Fault::OutsideWindow);
        };
        let next = self.last.map(|last| last.wrapping_add(1));
        let follows = match next {
            Some(next) if window.events > 0 => sequence == next,
            // The number 0 follows the largest one, too.
            Some(next) => sequence <= next || next == 0,
            None => true,
        };
        if !follows {
            return Err(Fault::SequenceGap);
        }
        if window.events == 0 {
            window.first = sequence;
        }
        Ok(())
    }

    /// The event that has begun is complete.
    pub(super) fn end_event(&mut self) {
        let window = self.open.back_mut().expect("an event is in a window");
        self.last = Some(window.first.wrapping_add(window.events));
        window.events += 1;
        self.events += 1;
        self.completed += u64::from(window.is_complete());
    }

    pub(super) fn handle_committed(&mut self, events: u64) {
        debug_assert!(self.committed <= events && events <= self.events, "what is stored has come and stays stored");
        self.committed = events;
    }

    pub(super) fn handle_waited(&mut self) {
        self.waited = true;
    }

    pub(super) fn handle_ending(&mut self) {
        self.ending = true;
    }

    pub(super) fn is_owing(&self) -> bool {
        !self.open.is_empty()
    }

    pub(super) fn poll_transmit(&mut self) -> &[u8] {
        if self.left.is_empty() {
            self.begin_ack();
        }
        &self.text[self.left.clone()]
    }

    pub(super) fn handle_transmitted(&mut self, bytes: usize) {
        assert!(bytes <= self.left.len(), "{bytes} bytes of {} are written", self.left.len());
        self.left.start += bytes;
    }

    /// Begins the next ack, if there is one. A window that is stored as a whole is acked at once, a part of one only when
    /// its sender has waited: there are senders that expect one answer per window.
    fn begin_ack(&mut self) {
        if let Some(window) = self.open.front() {
            let stored = window.stored(self.committed);
            let is_done = window.is_complete() && stored == window.announced;
            if is_done || stored > self.told && (self.waited || self.ending) {
                let sequence = window.first.wrapping_add(stored - 1);
                self.told = stored;
                if is_done {
                    self.told = 0;
                    self.open.pop_front();
                    if self.open.is_empty() {
                        // A connection may idle from here on.
                        self.open = VecDeque::new();
                    }
                }
                return self.say(sequence);
            }
        }
        if self.waited {
            self.say(0);
        }
    }

    fn say(&mut self, sequence: u32) {
        self.text[..2].copy_from_slice(&[VERSION, b'A']);
        self.text[2..].copy_from_slice(&sequence.to_be_bytes());
        self.left = 0..ACK_BYTES;
        self.waited = false;
    }
}
