//! The sender's side of Lumberjack version 2: which events an ack releases, and how long to wait for one.
//!
//! It counts windows and events and reads acks byte by byte; what is in a window it never sees. Windows are numbered from 1 each,
//! so the number n of an ack says that the first n events of the oldest window are the server's now.

use std::collections::VecDeque;
use std::time::Duration;
use std::time::Instant;

use super::VERSION;

const ACK_BYTES: usize = 6;

/// Acks in a row that release nothing: far more than those of a server that says once a second that it is working, and fewer than keep
/// anybody busy.
const IDLE_ACKS_MAX: u32 = 10_000;

/// How long a server may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// From the last sign of life on, which is an ack of any number or room for more bytes.
    pub life: Duration,
    /// From the last event that was released on: a server may not say for ever that it is working.
    pub progress: Duration,
}

/// Why what a server says cannot be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AckFault {
    /// It is of another version, or no Lumberjack at all.
    Version,
    /// It is no ack.
    FrameType,
    /// It acks events that it has not been sent.
    Beyond,
    /// It acks fewer events of a window than it did before.
    Backwards,
    /// It says again and again what it has said.
    Endless,
}

impl AckFault {
    /// What it is, for a person.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Version => "it is not version 2 of the Lumberjack protocol; do both sides agree about TLS?",
            Self::FrameType => "it is a frame that is no ack",
            Self::Beyond => "it acks events that were not sent",
            Self::Backwards => "it acks fewer events than it did before",
            Self::Endless => "it says again and again what it has said, and acks nothing",
        }
    }
}

/// One connection, seen from the sender.
#[derive(Clone, Debug)]
pub struct Client {
    patience: Patience,
    /// Events of each window that is not released as a whole, oldest first.
    open: VecDeque<u32>,
    /// Whether a part of the newest one has been written.
    is_begun: bool,
    /// Whether all of it has.
    is_written: bool,
    /// Events of the oldest one that are released.
    told: u32,
    released: u64,
    /// Whether the last ack said that the server is working.
    is_working: bool,
    /// Acks since the last one that released something.
    idle_acks: u32,
    ack: [u8; ACK_BYTES],
    have: usize,
    fault: Option<AckFault>,
    /// The last sign of life, and the last event released; or when there was nothing to wait for.
    heard: Option<Instant>,
    moved: Option<Instant>,
}

impl Client {
    /// That of a connection on which nothing has been sent.
    pub fn new(patience: Patience) -> Self {
        Self {
            patience,
            open: VecDeque::new(),
            is_begun: true,
            is_written: true,
            told: 0,
            released: 0,
            is_working: false,
            idle_acks: 0,
            ack: [0; ACK_BYTES],
            have: 0,
            fault: None,
            heard: None,
            moved: None,
        }
    }

    /// A window of so many events begins to be written.
    ///
    /// # Panics
    /// When it has none, or the one before it is not written.
    pub fn handle_begun(&mut self, events: u32, now: Instant) {
        assert!(events > 0 && self.is_written, "a window has events and comes after the one before it");
        if self.open.is_empty() {
            (self.heard, self.moved) = (Some(now), Some(now));
        }
        self.open.push_back(events);
        (self.is_begun, self.is_written) = (false, false);
    }

    /// The server has room for more bytes of the window; `is_whole`: they were its last.
    pub fn handle_written(&mut self, is_whole: bool, now: Instant) {
        self.heard = Some(now);
        self.is_begun = true;
        self.is_written |= is_whole;
    }

    /// Takes what the server has said, in pieces of any size.
    ///
    /// # Errors
    /// When that cannot be believed. What was released before stays so, and further calls give the same error.
    pub fn handle_read(&mut self, bytes: &[u8], now: Instant) -> Result<(), AckFault> {
        let result = match self.fault {
            Some(fault) => Err(fault),
            None => bytes.iter().try_for_each(|byte| self.take(*byte, now)),
        };
        self.fault = result.err();
        result
    }

    /// Events of the whole connection that are released, oldest first.
    pub fn released(&self) -> u64 {
        self.released
    }

    /// Windows that are not released as a whole.
    pub fn windows(&self) -> usize {
        self.open.len()
    }

    /// Whether the last thing the server said is that it is working on the oldest window.
    pub fn is_working(&self) -> bool {
        self.is_working
    }

    /// How long nothing has been released although there is something to release.
    pub fn waited(&self, now: Instant) -> Duration {
        match (self.open.is_empty(), self.moved) {
            (false, Some(moved)) => now.saturating_duration_since(moved),
            _ => Duration::ZERO,
        }
    }

    /// From when on it is [late](Self::late), if it says nothing until then.
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.open.is_empty() {
            return None;
        }
        let life = self.heard.map(|heard| heard + self.patience.life);
        let progress = self.moved.map(|moved| moved + self.patience.progress);
        life.into_iter().chain(progress).min()
    }

    /// Whether the server has taken too long, and then how long it was given.
    pub fn late(&self, now: Instant) -> Option<Duration> {
        if self.open.is_empty() {
            return None;
        }
        let is_over = |since: Option<Instant>, limit| since.is_some_and(|since| now.saturating_duration_since(since) >= limit);
        let Patience { life, progress } = self.patience;
        match (is_over(self.heard, life), is_over(self.moved, progress)) {
            (true, _) => Some(life),
            (_, true) => Some(progress),
            _ => None,
        }
    }

    /// Takes one byte, and says what is wrong at the first one that is.
    fn take(&mut self, byte: u8, now: Instant) -> Result<(), AckFault> {
        match (self.have, byte) {
            (0, VERSION) | (1, b'A') | (2.., _) => {}
            (0, _) => return Err(AckFault::Version),
            _ => return Err(AckFault::FrameType),
        }
        self.ack[self.have] = byte;
        self.have += 1;
        if self.have < ACK_BYTES {
            return Ok(());
        }
        self.have = 0;
        let [.., a, b, c, d] = self.ack;
        self.acked(u32::from_be_bytes([a, b, c, d]), now)
    }

    fn acked(&mut self, number: u32, now: Instant) -> Result<(), AckFault> {
        self.is_working = number == 0 && !self.open.is_empty();
        if number == 0 {
            // It may have been on its way when the last window was released.
            return self.idled(now);
        }
        let window = *self.open.front().ok_or(AckFault::Beyond)?;
        // What has not left here nobody can have.
        let is_newest = self.open.len() == 1;
        if number > window || is_newest && (!self.is_begun || number == window && !self.is_written) {
            return Err(AckFault::Beyond);
        }
        if number < self.told {
            return Err(AckFault::Backwards);
        }
        if number == self.told {
            return self.idled(now);
        }
        (self.heard, self.moved) = (Some(now), Some(now));
        self.idle_acks = 0;
        self.released += u64::from(number - self.told);
        self.told = number;
        if number == window {
            self.open.pop_front();
            self.told = 0;
        }
        Ok(())
    }

    /// An ack that releases nothing: a sign of life, unless there is no end of them.
    fn idled(&mut self, now: Instant) -> Result<(), AckFault> {
        self.heard = Some(now);
        self.idle_acks += 1;
        if self.idle_acks > IDLE_ACKS_MAX { Err(AckFault::Endless) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests;
