//! json_lines over TCP has no acknowledgement; this is what takes its place: which entries a peer may be taken to have.
//!
//! An entry may be released when the peer's kernel has acknowledged its last byte and then either the connection has
//! lived for `settle`, or `resend_bytes` more have been acknowledged on it, so that the entry can no longer lie unread
//! in that kernel. While the send queue does not move for `settle`, the peer has stopped reading and nothing is released.
//! Bytes are framed already (a document ends in a newline), so this machine sees only offsets: it refuses to touch a
//! socket, a clock or a document.

use std::collections::VecDeque;
use std::time::Duration;
use std::time::Instant;

use crate::seq::Seq;

/// The unreleased entries of one connection. A new connection needs a new one.
#[derive(Debug)]
pub struct ReleaseWindow {
    settle: Duration,
    resend_bytes: u64,
    /// Entries not released, oldest first.
    sent: VecDeque<Sent>,
    /// Observations younger than `settle`, oldest first; thinned out to at most two in each `settle / GRAIN`.
    seen: VecDeque<Seen>,
    /// Bytes acknowledged at an observation that is at least `settle` old.
    settled: u64,
    /// Bytes acknowledged at the last observation.
    acked: u64,
    observed: Option<Instant>,
    /// Since when the send queue has held bytes and not moved.
    stuck: Option<Instant>,
    dead: bool,
}

#[derive(Clone, Copy, Debug)]
struct Sent {
    seq: Seq,
    /// Offset behind its last byte, from the start of the connection.
    end: u64,
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    acked: u64,
    at: Instant,
}

/// How finely time is told apart within `settle`: an entry is released at most one such part late.
const GRAIN: u32 = 32;

/// How often in each `settle` the queue is looked at while something is unreleased.
const LOOKS: u32 = 4;

impl ReleaseWindow {
    /// The window of a connection that has carried nothing yet.
    pub fn new(settle: Duration, resend_bytes: u64) -> Self {
        Self {
            settle,
            resend_bytes,
            sent: VecDeque::new(),
            seen: VecDeque::new(),
            settled: 0,
            acked: 0,
            observed: None,
            stuck: None,
            dead: false,
        }
    }

    /// Adds an entry whose last byte is the connection's `end_offset`-th. Seqs and offsets grow.
    pub fn sent(&mut self, seq: Seq, end_offset: u64) {
        debug_assert!(self.sent.back().is_none_or(|last| last.seq < seq && last.end <= end_offset), "entries go in order");
        self.sent.push_back(Sent { seq, end: end_offset });
    }

    /// Takes a reading of the send queue: of `written_total` bytes the peer's kernel has acknowledged all but the last
    /// `outq_bytes`.
    ///
    /// The caller has looked for an error or the peer's end *after* taking the reading and found none.
    pub fn observe(&mut self, written_total: u64, outq_bytes: u64, now: Instant) {
        if self.dead {
            return;
        }
        self.observed = Some(now);
        let acked = written_total.saturating_sub(outq_bytes);
        let moved = acked > self.acked;
        if outq_bytes == 0 {
            self.stuck = None;
        } else if moved || self.stuck.is_none() {
            self.stuck = Some(now);
        }
        self.age(now);
        if moved {
            self.acked = acked;
            self.remember(Seen { acked, at: now });
        }
    }

    /// Leaves out an observation whose neighbours are close: what it saw first then counts from the later one.
    fn remember(&mut self, seen: Seen) {
        let grain = self.settle / GRAIN;
        if let [.., before, _] = self.seen.make_contiguous()
            && seen.at.duration_since(before.at) < grain
        {
            self.seen.pop_back();
        }
        self.seen.push_back(seen);
    }

    fn age(&mut self, now: Instant) {
        while let Some(seen) = self.seen.front().filter(|seen| seen.at + self.settle <= now) {
            self.settled = seen.acked;
            self.seen.pop_front();
        }
    }

    /// The last entry that may be released, if any more may be.
    ///
    /// The caller has just looked for an error or the peer's end and found none.
    pub fn poll_release(&mut self, now: Instant) -> Option<Seq> {
        if self.dead || self.is_stalled(now) {
            return None;
        }
        self.age(now);
        self.release(self.settled.max(self.acked.saturating_sub(self.resend_bytes)))
    }

    fn release(&mut self, acked: u64) -> Option<Seq> {
        let mut last = None;
        while let Some(sent) = self.sent.front().filter(|sent| sent.end <= acked) {
            last = Some(sent.seq);
            self.sent.pop_front();
        }
        last
    }

    /// When to look at the send queue and call [`poll_release`](Self::poll_release) next, if nothing happens before.
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.dead || self.sent.is_empty() {
            return None;
        }
        let observed = self.observed?;
        let look = observed + self.settle / LOOKS;
        let settled = self.seen.front().map(|seen| seen.at + self.settle).filter(|&settled| settled > observed);
        Some(settled.map_or(look, |settled| settled.min(look)))
    }

    /// Whether the peer has stopped reading: its send queue holds bytes and has not moved for `settle`.
    pub fn is_stalled(&self, now: Instant) -> bool {
        self.stuck.is_some_and(|since| since + self.settle <= now)
    }

    /// Whether everything sent is released.
    pub fn is_empty(&self) -> bool {
        self.sent.is_empty()
    }

    /// Takes the connection's error or end: nothing is released any more.
    pub fn dead(&mut self) {
        self.dead = true;
    }

    /// Takes the peer's clean end in answer to ours and gives the last entry it had acknowledged whole: a peer that
    /// closes with bytes unread resets instead, so it has read them. Nothing is released after that.
    pub fn ended_cleanly(&mut self, written_total: u64, outq_bytes: u64) -> Option<Seq> {
        if self.dead {
            return None;
        }
        self.dead = true;
        self.release(written_total.saturating_sub(outq_bytes))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SETTLE: Duration = Duration::from_secs(2);

    /// A connection on a pretend clock.
    struct Peer {
        window: ReleaseWindow,
        start: Instant,
        now: Instant,
    }

    impl Peer {
        fn new(resend_bytes: u64) -> Self {
            let start = Instant::now();
            Self { window: ReleaseWindow::new(SETTLE, resend_bytes), start, now: start }
        }

        fn at(&mut self, millis: u64) -> &mut Self {
            self.now = self.start + Duration::from_millis(millis);
            self
        }

        fn observe(&mut self, written: u64, outq: u64) -> &mut Self {
            self.window.observe(written, outq, self.now);
            self
        }

        #[track_caller]
        fn releases(&mut self, seq: impl Into<Option<u64>>) -> &mut Self {
            assert_eq!(self.window.poll_release(self.now), seq.into().map(Seq));
            self
        }
    }

    #[test]
    fn an_acknowledged_entry_is_released_when_the_connection_has_lived_on_for_settle() {
        let mut peer = Peer::new(u64::MAX);
        peer.window.sent(Seq(7), 100);
        peer.window.sent(Seq(8), 200);
        peer.observe(150, 0).releases(None);
        peer.at(500).observe(200, 0).releases(None);
        peer.at(1_999).observe(200, 0).releases(None);
        peer.at(2_000).releases(7).releases(None);
        peer.at(2_500).releases(8);
        assert!(peer.window.is_empty());
        assert_eq!(peer.window.poll_timeout(), None);
    }

    #[test]
    fn bytes_far_enough_behind_need_no_time() {
        let mut peer = Peer::new(1_000);
        peer.window.sent(Seq(0), 100);
        peer.window.sent(Seq(1), 5_000);
        peer.observe(1_099, 0).releases(None);
        peer.observe(5_000, 3_900).releases(0).releases(None);
    }

    #[test]
    fn a_queue_that_does_not_move_for_settle_releases_nothing_until_it_moves() {
        let mut peer = Peer::new(u64::MAX);
        peer.window.sent(Seq(0), 100);
        peer.window.sent(Seq(1), 300);
        peer.observe(300, 100).releases(None);
        peer.at(1_000).observe(300, 100).releases(None);
        peer.at(2_000).observe(300, 100).releases(None);
        assert!(peer.window.is_stalled(peer.now));
        peer.at(60_000).observe(300, 100).releases(None);
        peer.observe(300, 99).releases(0);
        peer.at(61_000).observe(300, 0).releases(None);
        peer.at(63_000).releases(1);
    }

    #[test]
    fn a_queue_that_was_empty_is_not_stuck_the_moment_it_fills() {
        let mut peer = Peer::new(u64::MAX);
        peer.window.sent(Seq(0), 100);
        peer.window.sent(Seq(1), 200);
        peer.observe(100, 0);
        peer.at(2_100).observe(200, 100).releases(0);
        assert!(!peer.window.is_stalled(peer.now));
    }

    #[test]
    fn after_the_end_nothing_is_released() {
        let mut peer = Peer::new(0);
        peer.window.sent(Seq(0), 100);
        peer.observe(50, 0);
        peer.window.dead();
        peer.at(9_000).observe(100, 0).releases(None);
        assert_eq!(peer.window.ended_cleanly(100, 0), None);
    }

    #[test]
    fn a_clean_end_releases_what_was_acknowledged_whole() {
        let mut peer = Peer::new(u64::MAX);
        peer.window.sent(Seq(0), 100);
        peer.window.sent(Seq(1), 200);
        assert_eq!(peer.window.ended_cleanly(200, 1), Some(Seq(0)));
        assert_eq!(peer.window.ended_cleanly(200, 0), None);
        assert!(!peer.window.is_empty());
    }

    #[test]
    fn it_asks_to_be_looked_after_while_something_is_unreleased() {
        let mut peer = Peer::new(u64::MAX);
        assert_eq!(peer.window.poll_timeout(), None);
        peer.window.sent(Seq(0), 100);
        peer.observe(100, 0);
        assert_eq!(peer.window.poll_timeout(), Some(peer.start + SETTLE / 4));
        peer.at(1_900).observe(100, 0);
        assert_eq!(peer.window.poll_timeout(), Some(peer.start + SETTLE));
    }

    /// Every observation is kept and every rule is written as it is spoken.
    #[derive(Default)]
    struct Naive {
        seen: Vec<(u64, u64)>,
        sent: Vec<u64>,
        stuck: Option<u64>,
    }

    impl Naive {
        fn observe(&mut self, acked: u64, outq: u64, now: u64) {
            let moved = acked > self.seen.last().map_or(0, |&(acked, _)| acked);
            self.stuck = if outq == 0 { None } else { self.stuck.filter(|_| !moved).or(Some(now)) };
            self.seen.push((acked, now));
        }

        /// How many entries may be released if the connection lived until `now`, and has been seen alive then.
        fn released(&self, now: u64, resend_bytes: u64) -> usize {
            let settle = SETTLE.as_millis() as u64;
            let may = |&&end: &&u64| {
                let first = self.seen.iter().find(|&&(acked, _)| acked >= end);
                let settled = first.is_some_and(|&(_, at)| at + settle <= now);
                settled || self.seen.last().is_some_and(|&(acked, _)| acked >= end + resend_bytes)
            };
            self.sent.iter().take_while(may).count()
        }
    }

    proptest! {
        #[test]
        fn it_releases_never_earlier_and_hardly_later_than_a_model_that_remembers_everything(
            steps in proptest::collection::vec((1..400u64, 0..900u64, 0..5u8, 1..300u64), 1..300),
            resend_bytes in 500..20_000u64,
        ) {
            let mut peer = Peer::new(resend_bytes);
            let mut naive = Naive::default();
            let (mut now, mut written, mut acked) = (0, 0, 0);
            let (mut released, mut wanted) = (0, 0);
            for (bytes, pause, kind, grown) in steps {
                match kind {
                    0 => {
                        written += bytes;
                        peer.window.sent(Seq(naive.sent.len() as u64), written);
                        naive.sent.push(written);
                    }
                    1 => now += pause,
                    // A short pause many times over, as under load.
                    2 | 3 => {
                        now += pause % 20;
                        acked = written.min(acked + grown);
                        naive.observe(acked, written - acked, now);
                        peer.at(now).observe(written, written - acked);
                    }
                    _ => {
                        now += pause % 20;
                        naive.observe(acked, written - acked, now);
                        peer.at(now).observe(written, written - acked);
                    }
                }
                peer.at(now);
                let seq = peer.window.poll_release(peer.now);
                if naive.stuck.is_some_and(|since| since + SETTLE.as_millis() as u64 <= now) {
                    prop_assert_eq!(seq, None);
                    continue;
                }
                released = seq.map_or(released, |seq| seq.0 as usize + 1);
                wanted = wanted.max(naive.released(now, resend_bytes));
                prop_assert!(released <= wanted);
                let grain = (SETTLE / GRAIN).as_millis() as u64 + 1;
                prop_assert!(released >= naive.released(now.saturating_sub(grain), u64::MAX / 2));
                prop_assert!(released >= naive.released(0, resend_bytes).min(wanted));
                prop_assert!(peer.window.seen.len() <= 2 * GRAIN as usize + 3);
            }
        }
    }
}
