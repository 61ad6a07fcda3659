//! Senders that push numbered lines as fast as they are taken, until they are told to finish.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::thread;
use std::thread::JoinHandle;
use std::time::Duration;
use std::time::Instant;

use crate::support::lines;
use crate::support::sender::Sender;
use crate::support::wait_for;

/// Lines written at once.
const LINES: u64 = 16;

/// A flood has stalled when nothing was taken for this long.
const STALLED: Duration = Duration::from_millis(500);

pub(crate) struct Flood {
    enough: Arc<AtomicBool>,
    /// Lines handed to the kernel, all connections together.
    sent: Arc<AtomicU64>,
    threads: Vec<JoinHandle<u64>>,
}

impl Flood {
    /// Starts so many connections, each on a thread of its own, with lines longer by `padding`, at most `lines_max` each.
    pub(crate) fn start(address: SocketAddr, connections: usize, padding: usize, lines_max: u64) -> Self {
        let (enough, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let threads = (0..connections).map(|connection| {
            let (enough, sent) = (enough.clone(), sent.clone());
            thread::spawn(move || {
                let mut sender = Sender::connect(address);
                let mut next = 0;
                while next < lines_max && !enough.load(Ordering::Relaxed) {
                    let to = (next + LINES).min(lines_max);
                    let text: String = (next..to).map(|line| lines::alb_padded(lines::id(connection, line), padding)).collect();
                    sender.send(text);
                    sent.fetch_add(to - next, Ordering::Relaxed);
                    next = to;
                }
                sender.finish();
                next
            })
        });
        let threads = threads.collect();
        Self { enough, sent, threads }
    }

    pub(crate) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Waits until no sender gets anything away any more.
    #[track_caller]
    pub(crate) fn stalls(&self) {
        let mut last = (self.sent(), Instant::now());
        let stalled = || {
            let sent = self.sent();
            if sent != last.0 {
                last = (sent, Instant::now());
            }
            (last.1.elapsed() >= STALLED).then_some(())
        };
        wait_for(stalled, || format!("{} lines were taken and there is no end to it", self.sent()));
    }

    /// Tells the senders that it is enough; they finish the lines they have begun.
    pub(crate) fn enough(&self) {
        self.enough.store(true, Ordering::Relaxed);
    }

    /// Waits for the senders and gives the numbers of all lines.
    #[track_caller]
    pub(crate) fn finish(self) -> Vec<u64> {
        let mut ids = Vec::new();
        for (connection, thread) in self.threads.into_iter().enumerate() {
            let count = thread.join().expect("a sender that is not cut off");
            ids.extend((0..count).map(|line| lines::id(connection, line)));
        }
        ids
    }
}
