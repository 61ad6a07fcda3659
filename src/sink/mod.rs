//! Sinks: each takes a [`Cursor`] and hands what it reads to one destination until the buffer is closed and empty.
//!
//! A sink acks an entry when the destination has it, retries everything that may pass, and never drops one. It refuses
//! to know where events came from, and never looks into a document.

mod blocking;
mod connect;
mod error;
mod file;
mod logstash_tcp;
mod place;
mod state;
mod stdout;

use std::hash::BuildHasher;
use std::hash::Hasher;
use std::hash::RandomState;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub use crate::sink::error::SinkError;
pub use crate::sink::error::Verdict;
pub use crate::sink::state::Condition;
pub use crate::sink::state::LastError;
pub use crate::sink::state::SinkCounts;
pub use crate::sink::state::SinkState;

use crate::buffer::Cursor;
use crate::stop::StopWatch;

/// One sink as decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SinkPlan {
    /// Its unique name, which is also its label in metrics and logs.
    pub name: String,
    /// What it is.
    pub kind: SinkKind,
}

/// What a sink delivers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SinkKind {
    /// Standard output, one document a line.
    Stdout,
    /// A file, rotated and synced.
    File(FilePlan),
    /// A Logstash `tcp` input with the `json_lines` codec.
    LogstashTcp(LogstashTcpPlan),
}

impl SinkKind {
    /// The word for it in the configuration file and in metrics.
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::File(_) => "file",
            Self::LogstashTcp(_) => "logstash_tcp",
        }
    }
}

/// A file sink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilePlan {
    /// The file written to. Rotated files stand beside it with the moment of their rotation in UTC behind the name.
    pub path: PathBuf,
    /// Size past which no entry is added; an entry that is larger by itself gets a file of its own.
    pub rotate_bytes: u64,
    /// Age at which the next entry starts a new file: at whole multiples of this since 1970 in UTC.
    pub rotate_interval: Option<Duration>,
    /// How many rotated files are kept beside the current one; older ones are removed.
    pub keep: u32,
}

/// A json_lines sink over TCP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogstashTcpPlan {
    /// `HOST:PORT` each; one connection at a time, the next host on failure.
    pub hosts: Vec<String>,
    /// Longest time to resolve a name, and to connect to each of its addresses.
    pub connect_timeout: Duration,
    /// How long a connection lives on after the peer's kernel has acknowledged an entry until that is released.
    pub settle: Duration,
    /// Bytes acknowledged behind an entry that release it sooner.
    pub resend_bytes: u64,
    /// How long the peer may acknowledge nothing or keep its window shut before the connection is given up.
    pub user_timeout: Duration,
}

/// Delivers until the buffer is closed and everything in it is acked, or until [`Phase::Stop`](crate::stop::Phase::Stop).
///
/// What is left then is in the buffer's figures. Dropping the future is the same as that phase.
///
/// # Errors
/// When the sink cannot go on and the relay has to stop; everything that may pass is retried instead.
pub async fn run(plan: SinkPlan, cursor: Cursor, state: Arc<SinkState>, stop: StopWatch) -> Result<(), SinkError> {
    let done = match plan.kind {
        SinkKind::Stdout => stdout::run(cursor, &state, stop).await,
        SinkKind::File(plan) => file::run(plan, cursor, &state, stop).await,
        SinkKind::LogstashTcp(plan) => logstash_tcp::run(plan, cursor, &state, stop).await,
    };
    if done.is_ok() {
        state.ended();
    }
    done
}

/// A number for the jitter of a backoff. Each new state of the standard hasher is keyed differently.
fn draw() -> u64 {
    RandomState::new().build_hasher().finish()
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::ops::Range;

    use bytes::Bytes;
    use tokio::task::JoinHandle;
    use tokio::time::timeout;

    use super::*;
    use crate::batch::Batch;
    use crate::batch::EventId;
    use crate::batch::Mark;
    use crate::batch::SourceId;
    use crate::buffer::Buffer;
    use crate::buffer::Entry;
    use crate::buffer::MemoryPlan;
    use crate::seq::Seq;
    use crate::stop::Phase;
    use crate::stop::StopHandle;
    use crate::stop::stop;

    pub(super) const MOMENT: Duration = Duration::from_secs(30);

    pub(super) fn batch(text: &str) -> Batch {
        let ends = text.bytes().enumerate().filter(|&(_, byte)| byte == b'\n').map(|(at, _)| at as u32 + 1);
        let marks = ends.map(|end| Mark { end, id: EventId([0; 16]), time: 0 }).collect();
        Batch { docs: Bytes::from(text.to_owned()), marks, source: SourceId(0), received: 0, is_rejects: false, tenant: None }
    }

    pub(super) fn entry(seq: u64, text: &str) -> Entry {
        Entry { seq: Seq(seq), batch: Arc::new(batch(text)) }
    }

    /// A buffer, its sinks, and numbered documents to send through them.
    pub(super) struct Relay {
        pub(super) buffer: Buffer,
        cursors: Vec<Cursor>,
        pub(super) states: Vec<Arc<SinkState>>,
        pub(super) stop: StopHandle,
        watch: StopWatch,
        /// What stands behind each number, to make documents longer.
        pub(super) padding: String,
    }

    impl Relay {
        pub(super) fn new(sinks: usize) -> Self {
            Self::bounded(sinks, 1 << 30)
        }

        pub(super) fn bounded(sinks: usize, bytes_max: u64) -> Self {
            let (buffer, mut cursors) = Buffer::memory(MemoryPlan { bytes_max }, sinks);
            cursors.reverse();
            let (stop, watch) = stop();
            Self { buffer, cursors, states: Vec::new(), stop, watch, padding: String::new() }
        }

        /// Starts the next sink.
        pub(super) fn start<F>(&mut self, run: impl FnOnce(Cursor, Arc<SinkState>, StopWatch) -> F) -> Sink
        where
            F: Future<Output = Result<(), SinkError>> + Send + 'static,
        {
            let state = Arc::new(SinkState::new("sink"));
            self.states.push(state.clone());
            tokio::spawn(run(self.cursors.pop().expect("a sink for each cursor"), state, self.watch.clone()))
        }

        pub(super) fn start_plan(&mut self, kind: SinkKind) -> Sink {
            self.start(|cursor, state, stop| run(SinkPlan { name: "sink".to_owned(), kind }, cursor, state, stop))
        }

        pub(super) fn text(&self, numbers: Range<usize>) -> String {
            numbers.map(|number| format!("{{\"n\":{number}{}}}\n", self.padding)).collect()
        }

        /// Sends documents, ten a batch.
        pub(super) async fn send(&self, numbers: Range<usize>) {
            for from in numbers.clone().step_by(10) {
                let text = self.text(from..(from + 10).min(numbers.end));
                let appended = timeout(MOMENT, self.buffer.append(batch(&text))).await;
                let _ = appended.expect("there is room in time").expect("the buffer is open");
            }
        }

        /// Ends the intake.
        pub(super) fn drain(&self) {
            self.buffer.close();
            self.stop.advance(Phase::Drain);
        }

        pub(super) async fn ends(&self, sink: Sink) -> Result<(), SinkError> {
            timeout(MOMENT, sink).await.expect("the sink ends in time").expect("the sink does not panic")
        }

        /// Waits for a condition.
        #[track_caller]
        pub(super) fn until(&self, mut condition: impl FnMut(&Self) -> bool) -> impl Future<Output = ()> {
            let place = std::panic::Location::caller();
            async move {
                let waiting = async {
                    while !condition(self) {
                        tokio::time::sleep(Duration::from_millis(2)).await;
                    }
                };
                timeout(MOMENT, waiting).await.unwrap_or_else(|_| panic!("waited in vain at {place}"));
            }
        }

        /// Checks that received = delivered + buffered for every sink, and how many events the first one has left.
        #[track_caller]
        pub(super) fn reconciles(&self, left: u64) {
            let stat = self.buffer.stat();
            for (cursor, state) in stat.cursors.iter().zip(&self.states) {
                assert_eq!(state.counts().events_delivered, cursor.events_acked);
                assert_eq!(cursor.events + cursor.events_acked, stat.events_appended);
            }
            assert_eq!(stat.cursors[0].events, left);
        }
    }

    pub(super) type Sink = JoinHandle<Result<(), SinkError>>;
}
