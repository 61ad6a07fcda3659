//! Sinks: each takes a [`Cursor`](crate::buffer::Cursor) and hands what it reads to one destination until the buffer is closed and empty.
//!
//! A sink acks an entry when the destination has it, retries everything that may pass, and never drops one: what is given up when
//! the buffer is full is given up beside it. It refuses
//! to know where events came from, and never looks into a document.

mod blocking;
mod connect;
mod dead_letters;
mod dispatch;
mod elasticsearch;
mod error;
mod fallback;
mod file;
mod filling;
mod http;
mod http_post;
mod ledger;
mod logstash_tcp;
mod lumberjack;
mod pace;
mod parcel;
mod place;
mod shedding;
mod state;
mod stdout;
mod supply;
mod way;

use std::hash::BuildHasher;
use std::hash::Hasher;
use std::hash::RandomState;
use std::path::PathBuf;
use std::time::Duration;
use std::time::Instant;

pub use crate::sink::connect::DialPlan;
pub use crate::sink::dead_letters::DeadLetters;
pub use crate::sink::elasticsearch::ElasticsearchPlan;
pub use crate::sink::elasticsearch::Flavour;
pub use crate::sink::elasticsearch::Managed;
pub use crate::sink::elasticsearch::Reply;
pub use crate::sink::elasticsearch::Server;
pub use crate::sink::elasticsearch::StrangeServer;
pub use crate::sink::elasticsearch::Target;
pub use crate::sink::elasticsearch::TargetError;
pub use crate::sink::error::SinkError;
pub use crate::sink::error::Verdict;
pub use crate::sink::http::Auth;
pub use crate::sink::http::AwsPlan;
pub use crate::sink::http::AwsService;
pub use crate::sink::http::AwsSource;
pub use crate::sink::http::ContainerToken;
pub use crate::sink::http::HttpHost;
pub use crate::sink::http::HttpPlan;
pub use crate::sink::http_post::BodyFormat;
pub use crate::sink::http_post::HttpPostPlan;
pub use crate::sink::lumberjack::LumberjackPlan;
pub use crate::sink::pace::PacePlan;
pub use crate::sink::shedding::Shedding;
pub use crate::sink::state::Condition;
pub use crate::sink::state::LastError;
pub use crate::sink::state::SinkCounts;
pub use crate::sink::state::SinkState;
pub use crate::sink::way::Sink;

use crate::select::SelectPlan;
use crate::sink::way::Way;

/// One sink as decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SinkPlan {
    /// Its unique name, which is also its label in metrics and logs.
    pub name: String,
    /// What it is.
    pub kind: SinkKind,
    /// Where documents go while it is down.
    pub fallback: Option<Box<FallbackPlan>>,
    /// Which documents it gets, and its fallback in its stead; all of them where there is none.
    pub when: Option<SelectPlan>,
    /// What becomes of its oldest documents when the buffer is full.
    pub when_full: WhenFull,
}

/// What becomes of a sink's oldest documents when the buffer is full and it is among those that have not delivered them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenFull {
    /// They stay, and senders wait.
    #[default]
    Block,
    /// They become dead letters.
    DeadLetter,
    /// They are dropped, and counted.
    DropOldest,
}

impl WhenFull {
    /// All of them, in the order they are listed to people.
    pub const ALL: [Self; 3] = [Self::Block, Self::DeadLetter, Self::DropOldest];

    /// The word for it.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Block => "block",
            Self::DeadLetter => "dead_letter",
            Self::DropOldest => "drop_oldest",
        }
    }
}

/// Where documents go while a sink is down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FallbackPlan {
    /// Its unique name.
    pub name: String,
    /// What it is.
    pub kind: SinkKind,
    /// How long the sink has to be down.
    pub after: Duration,
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
    /// A Logstash `beats` input, or any other server of Lumberjack version 2.
    Lumberjack(LumberjackPlan),
    /// Elasticsearch or OpenSearch, by `_bulk`.
    Elasticsearch(Box<ElasticsearchPlan>),
    /// Logstash's `http` input, or anything else that takes JSON over HTTP.
    HttpPost(Box<HttpPostPlan>),
}

impl SinkKind {
    /// The word for it in the configuration file and in metrics.
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::File(_) => "file",
            Self::LogstashTcp(_) => "logstash_tcp",
            Self::Lumberjack(_) => "lumberjack",
            Self::Elasticsearch(_) => "elasticsearch",
            Self::HttpPost(plan) if plan.is_logstash => "logstash_http",
            Self::HttpPost(_) => "http",
        }
    }

    /// How it comes to connections, where it makes any.
    fn dial(&self) -> Option<&DialPlan> {
        match self {
            Self::Stdout | Self::File(_) => None,
            Self::LogstashTcp(plan) => Some(&plan.dial),
            Self::Lumberjack(plan) => Some(&plan.dial),
            Self::Elasticsearch(plan) => Some(&plan.http.dial),
            Self::HttpPost(plan) => Some(&plan.http.dial),
        }
    }

    /// What it speaks over TLS, in the order of its preference; where there is nothing, nothing is agreed on.
    fn alpn(&self) -> &'static [&'static [u8]] {
        match self {
            Self::Stdout | Self::File(_) | Self::LogstashTcp(_) | Self::Lumberjack(_) => &[],
            Self::Elasticsearch(_) | Self::HttpPost(_) => http::ALPN,
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
    /// How connections come about.
    pub dial: DialPlan,
    /// When an entry counts as delivered.
    pub release: Release,
}

/// When an entry counts as delivered to a peer that acknowledges nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Release {
    /// Some time or some bytes after the peer's kernel has it.
    Socket {
        /// How long a connection lives on after the peer's kernel has acknowledged an entry until that is released.
        settle: Duration,
        /// Bytes acknowledged behind an entry that release it sooner.
        resend_bytes: u64,
    },
    /// When the peer has ended, in order, the connection it came on.
    Rotate(RotatePlan),
}

/// What one connection carries before it is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RotatePlan {
    /// Bytes after which it takes no further entry; one that is larger gets a connection of its own.
    pub bytes: u64,
    /// The same in events.
    pub events: u64,
    /// How long after its first entry it is ended.
    pub interval: Duration,
    /// How long the peer may take nothing and not end, once it knows of the end; then all is sent again.
    pub end_timeout: Duration,
}

impl RotatePlan {
    /// Batches that are in memory at once, at most: one that is written, those whose end is waited for, and one that is sent again.
    pub const BATCHES_MAX: u64 = 4;
}

/// The time on the runtime's clock, which a test may hold.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// A number for the jitter of a backoff. Each new state of the standard hasher is keyed differently.
fn draw() -> u64 {
    RandomState::new().build_hasher().finish()
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::ops::Range;
    use std::sync::Arc;

    use bytes::Bytes;
    use tokio::task::JoinHandle;
    use tokio::time::timeout;

    use super::*;
    use crate::batch::Batch;
    use crate::batch::EventId;
    use crate::batch::Mark;
    use crate::batch::SourceId;
    use crate::buffer::Buffer;
    use crate::buffer::Cursor;
    use crate::buffer::Entry;
    use crate::buffer::MemoryPlan;
    use crate::buffer::Shedder;
    use crate::buffer::Yields;
    use crate::seq::Seq;
    use crate::sink::supply::Supply;
    use crate::stop::Phase;
    use crate::stop::StopHandle;
    use crate::stop::StopWatch;
    use crate::stop::stop;

    pub(super) const MOMENT: Duration = Duration::from_secs(30);

    pub(super) fn batch(text: &str) -> Batch {
        let ends = text.bytes().enumerate().filter(|&(_, byte)| byte == b'\n').map(|(at, _)| at as u32 + 1);
        let marks = ends.map(|end| Mark { end, id: EventId([0; 16]), time: 0, origin: None }).collect();
        Batch {
            docs: Bytes::from(text.to_owned()),
            marks,
            source: SourceId(0),
            received: 0,
            is_rejects: false,
            tenant: None,
            sink: None,
        }
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
        pub(super) fn start<F>(&mut self, run: impl FnOnce(Supply, Arc<SinkState>, StopWatch) -> F) -> Task
        where
            F: Future<Output = Result<(), SinkError>> + Send + 'static,
        {
            let state = Arc::new(SinkState::new("sink"));
            self.states.push(state.clone());
            let supply = Supply::new(self.cursors.pop().expect("a sink for each cursor"), None, state.clone());
            tokio::spawn(run(supply, state, self.watch.clone()))
        }

        /// What gives up the oldest entries of the sink that is started next.
        pub(super) fn shedder(&mut self) -> Shedder {
            self.cursors.last_mut().expect("a sink for each cursor").shedder(Yields::Last)
        }

        /// Starts the next sink as what is planned.
        pub(super) fn start_plan(&mut self, kind: SinkKind) -> Task {
            self.start_sink(SinkPlan { name: "sink".to_owned(), kind, fallback: None, when: None, when_full: WhenFull::Block })
        }

        pub(super) fn start_sink(&mut self, plan: SinkPlan) -> Task {
            let sink = Sink::load(plan).expect("good files");
            self.states.push(sink.state().clone());
            let cursor = self.cursors.pop().expect("a sink for each cursor");
            tokio::spawn(sink.run(cursor, DeadLetters::default(), self.watch.clone()))
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

        pub(super) async fn ends(&self, sink: Task) -> Result<(), SinkError> {
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

    pub(super) type Task = JoinHandle<Result<(), SinkError>>;
}
