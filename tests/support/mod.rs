//! What the end-to-end stories are told with: the relay as a process, its senders, and destinations that misbehave.
//!
//! Nothing here asserts what the relay should do; it starts, sends, waits with a deadline, and says what it saw.

pub(crate) mod beats;
pub(crate) mod draw;
#[allow(dead_code, reason = "only stories about sinks end connections")]
pub(crate) mod endings;
pub(crate) mod flood;
pub(crate) mod http;
#[allow(dead_code, reason = "only stories about sinks have one")]
pub(crate) mod http_server;
pub(crate) mod lines;
pub(crate) mod logstash;
pub(crate) mod machine;
pub(crate) mod network;
pub(crate) mod reader;
pub(crate) mod relay;
pub(crate) mod same;
pub(crate) mod scrape;
pub(crate) mod sender;
#[allow(dead_code, reason = "only stories about TLS speak it")]
pub(crate) mod tls;

use std::thread;
use std::time::Duration;
use std::time::Instant;

/// How long a condition may take that normally takes a second: the machine may be slow and busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// How often a condition is looked at.
const LOOK: Duration = Duration::from_millis(5);

/// Looks again and again until `look` gives something; panics with `story` after [`PATIENCE`].
#[track_caller]
pub(crate) fn wait_for<T>(look: impl FnMut() -> Option<T>, story: impl FnOnce() -> String) -> T {
    wait_so_long(PATIENCE, look, story)
}

/// The same with a patience of one's own.
#[track_caller]
pub(crate) fn wait_so_long<T>(patience: Duration, mut look: impl FnMut() -> Option<T>, story: impl FnOnce() -> String) -> T {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        if Instant::now() > deadline {
            panic!("it did not happen within {patience:?}: {}", story());
        }
        thread::sleep(LOOK);
    }
}

/// Looks again and again for this long that something stays as it is.
#[track_caller]
pub(crate) fn stays(long: Duration, mut look: impl FnMut()) {
    let end = Instant::now() + long;
    while Instant::now() < end {
        look();
        thread::sleep(LOOK);
    }
}
