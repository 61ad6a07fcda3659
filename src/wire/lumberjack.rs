//! Lumberjack version 2, which Beats and Logstash speak: as [`Server`], frames become lines, and stored lines become acks; to send,
//! [`Packer`] makes windows of lines, and [`Client`] says which of their events acks release.
//!
//! Machines that take bytes as they come and say which to write; how the stream was cut never changes the result. They
//! hold headers and what zlib needs, never an event. They refuse to touch a socket, to look at a clock, to know what storing
//! means, and to read what is in an event.
//!
//! A sender announces a window of events (`2W` and their number), sends them one by one (`2J`, sequence number, length, JSON)
//! or packed with zlib (`2C`, length), and is answered with the sequence number of the last event that is stored (`2A`). The
//! number 0 says that its events are being worked on. Several windows may be under way at once, and are answered in order.

mod client;
mod fault;
mod frames;
mod packer;
mod windows;

pub use client::AckFault;
pub use client::Client;
pub use client::Patience;
pub use fault::Fault;
use frames::Frames;
pub use frames::Pause;
pub use frames::Step;
pub use packer::Packer;
use windows::Windows;

/// The version of the protocol, which begins every frame.
const VERSION: u8 = b'2';

/// Windows that are not answered yet. Beats have two by default; whoever sends more has to read answers first.
const WINDOWS_MAX: usize = 1024;

/// How much a sender may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most events of one window.
    pub window_events_max: u32,
    /// Most bytes of one event; none where whoever takes the events cuts them.
    pub event_bytes_max: Option<u32>,
    /// Most bytes that one compressed frame may be and become.
    pub inflated_bytes_max: u64,
}

/// One connection, seen from the server.
#[derive(Debug)]
pub struct Server {
    frames: Frames,
    windows: Windows,
}

impl Server {
    /// That of a connection on which nothing has come yet.
    pub fn new(limits: Limits) -> Self {
        Self { frames: Frames::new(limits), windows: Windows::new() }
    }

    /// Takes bytes of the stream, adds the events in them to `out`, each as one line, and stops once that has `most` bytes, which
    /// it may pass by one. A newline within an event becomes a space: in JSON it can only stand between tokens.
    ///
    /// Call it again with the bytes it has not consumed, also when there are none, as long as it does not say that it is
    /// [`Hungry`](Pause::Hungry). It costs what copying costs, and inflating where frames are compressed.
    ///
    /// # Errors
    /// What the sender has done that is not Lumberjack or over a limit. What was added to `out` up to there stays good, the last
    /// line aside if it has no newline; further calls give the same error.
    pub fn step(&mut self, bytes: &[u8], out: &mut Vec<u8>, most: usize) -> Result<Step, Fault> {
        self.frames.step(bytes, out, most, &mut self.windows)
    }

    /// No further window is taken; the one that has begun may still become complete.
    pub fn close_intake(&mut self) {
        self.windows.close_intake();
    }

    /// Whether no window is being received.
    pub fn is_between_windows(&self) -> bool {
        self.windows.is_between() && self.frames.is_between()
    }

    /// Whether answers have to be written before another window is taken.
    pub fn is_full(&self) -> bool {
        self.windows.refusal() == Some(Pause::Unanswered)
    }

    /// Events that have come whole, over the whole connection.
    pub fn events(&self) -> u64 {
        self.windows.events()
    }

    /// Windows that have come whole.
    pub fn windows(&self) -> u64 {
        self.windows.completed()
    }

    /// Bytes of memory held for a compressed frame whose end has not come yet.
    pub fn held_bytes(&self) -> usize {
        self.frames.held_bytes()
    }

    /// The connection's first `events` events are stored. The number never goes back and never passes [`events`](Self::events).
    pub fn handle_committed(&mut self, events: u64) {
        self.windows.handle_committed(events);
    }

    /// The sender has waited for a while: it shall be told how far its oldest window is, or at least that there is life.
    pub fn handle_waited(&mut self) {
        self.windows.handle_waited();
    }

    /// All that is stored shall be told, windows that are not complete included: there will be nothing more.
    pub fn handle_ending(&mut self) {
        self.windows.handle_ending();
    }

    /// Whether the sender has announced events of which it has not been told that they are stored.
    pub fn is_owing(&self) -> bool {
        self.windows.is_owing()
    }

    /// The bytes to write next; none when there is nothing to say.
    pub fn poll_transmit(&mut self) -> &[u8] {
        self.windows.poll_transmit()
    }

    /// So many of those bytes are written.
    ///
    /// # Panics
    /// When they are more than there were.
    pub fn handle_transmitted(&mut self, bytes: usize) {
        self.windows.handle_transmitted(bytes);
    }
}

#[cfg(test)]
mod tests;
