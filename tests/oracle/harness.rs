//! The oracle: a relay that is started, hurt and started again on one data directory, producers before it, a verifying
//! sink behind it, and the books that decide in the end.
//!
//! A fault builds one, hurts the relay in its own way, and calls [`Oracle::finish`]. What must hold is decided there and
//! nowhere else: everything confirmed is delivered, nothing is delivered that was not sent as it is, an event sent
//! afterwards passes, and the fault was really there. `ORACLE_SEED` repeats a run's choices; the scheduler's it cannot.

use std::env;
use std::hash::BuildHasher;
use std::hash::RandomState;
use std::net::Ipv4Addr;
use std::net::SocketAddr;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU16;
use std::sync::atomic::Ordering;
use std::thread;
use std::thread::JoinHandle;
use std::time::Duration;
use std::time::Instant;

use tempfile::TempDir;

use crate::ledger::Ledger;
use crate::ledger::Totals;
use crate::mounts;
use crate::producer::Mode;
use crate::producer::NO_END;
use crate::producer::Orders;
use crate::producer::Producer;
use crate::support::PATIENCE;
use crate::support::draw::Draw;
use crate::support::logstash::FakeLogstash;
use crate::support::relay::Ended;
use crate::support::relay::Relay;
use crate::support::relay::Setup;
use crate::support::scrape::Metrics;
use crate::support::wait_for;
use crate::table;

/// Where a run's seed may be given, decimal or hexadecimal.
const SEED: &str = "ORACLE_SEED";

/// What waits may take to be delivered after the last fault, as long as it moves.
const STANDSTILL: Duration = Duration::from_secs(20);

/// The same, moving or not.
const DRAINED: Duration = Duration::from_secs(600);

/// A stop in order.
pub(crate) const STOPPED: Duration = Duration::from_secs(10);

/// Longest payload where a fault has no wishes.
const PAYLOAD_BYTES_MAX: usize = usize::MAX;

pub(crate) struct Oracle {
    fault: &'static str,
    seed: u64,
    /// The run's choices.
    pub(crate) draw: Draw,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) sink: FakeLogstash,
    /// Where the relay keeps its data.
    pub(crate) data: PathBuf,
    /// How the relay is started.
    pub(crate) setup: Setup,
    change: fn(Setup) -> Setup,
    /// Rounds of the fault so far.
    pub(crate) cycles: u64,
    relay: Option<Relay>,
    orders: Arc<Orders>,
    producers: Vec<JoinHandle<()>>,
    fault_seen: bool,
    begun: Instant,
    _directory: Option<TempDir>,
}

impl Oracle {
    /// One whose relay keeps its data in a directory of its own. The sink is absent.
    pub(crate) fn new(fault: &'static str) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let data = directory.path().join("data");
        std::fs::create_dir(&data).expect("the directory is ours");
        let mut oracle = Self::at(fault, &data);
        oracle._directory = Some(directory);
        oracle
    }

    /// The same with the data in a directory that somebody else keeps.
    pub(crate) fn at(fault: &'static str, data: &Path) -> Self {
        let seed = env::var(SEED).map_or_else(|_| RandomState::new().hash_one(fault), |text| parse_seed(&text));
        println!("{fault}: {SEED}={seed:#x}");
        Self::made(fault, seed, data, Ledger::new(seed))
    }

    fn made(fault: &'static str, seed: u64, data: &Path, ledger: Ledger) -> Self {
        let ledger = Arc::new(ledger);
        let books = ledger.clone();
        let sink = FakeLogstash::absent_reading(move |document| books.arrived(document));
        let setup = Relay::to(sink.address())
            .sink("settle = \"100ms\"")
            .host(host())
            .data_dir(data)
            .and_source("close", "confirm = \"close\"")
            .and_source("line", "confirm = \"line\"")
            .tables("[[source]]\nname = \"beats\"\ntype = \"beats\"\naddress = \"127.0.0.1:0\"\n")
            .and_http("");
        let orders = Arc::new(Orders::default());
        *orders.pause.lock().expect("it is new") = Duration::from_millis(4);
        Self {
            fault,
            seed,
            draw: Draw::new(seed),
            ledger,
            sink,
            data: data.to_owned(),
            setup,
            change: |setup| setup,
            cycles: 0,
            relay: None,
            orders,
            producers: Vec::new(),
            fault_seen: false,
            begun: Instant::now(),
            _directory: None,
        }
    }

    /// Changes how the relay is started from now on.
    pub(crate) fn with(mut self, change: fn(Setup) -> Setup) -> Self {
        self.setup = change(self.setup.clone());
        self.change = change;
        self
    }

    /// Another one that begins where this one is, with a copy of its books and of its data, and a sink of its own.
    #[track_caller]
    pub(crate) fn copy(&self) -> Self {
        assert!(self.relay.is_none(), "nobody writes to the data");
        let directory = tempfile::tempdir().expect("a directory");
        let data = directory.path().join("data");
        mounts::copy(&self.data, &data);
        let mut copy = Self::made(self.fault, self.seed, &data, self.ledger.copy()).with(self.change);
        copy._directory = Some(directory);
        copy
    }

    /// Where the relay's buffer keeps its files.
    pub(crate) fn buffer(&self) -> PathBuf {
        self.data.join("buffer")
    }

    /// Lets the sink listen.
    pub(crate) fn with_sink(mut self) -> Self {
        self.sink.appear();
        self
    }

    /// Starts the relay and tells the producers where it is.
    #[track_caller]
    pub(crate) fn start(&mut self) {
        let relay = self.setup.clone().start();
        self.begin(relay);
    }

    /// The same, for this one life, in another way; says whether it came so far as to listen. Where not, it ended with 1.
    #[track_caller]
    pub(crate) fn start_as(&mut self, change: impl FnOnce(&Setup) -> Setup) -> bool {
        match change(&self.setup).try_start() {
            Ok(relay) => self.begin(relay),
            Err(ended) => {
                ended.with(1);
            }
        }
        self.relay.is_some()
    }

    fn begin(&mut self, relay: Relay) {
        assert!(self.relay.is_none(), "one runs");
        self.tell(relay.sources());
        self.relay = Some(relay);
    }

    fn tell(&self, sources: Vec<(String, SocketAddr)>) {
        *self.orders.sources.lock().expect("nobody panics holding it") = sources;
    }

    /// The relay that runs.
    #[track_caller]
    pub(crate) fn relay(&self) -> &Relay {
        self.relay.as_ref().expect("one runs")
    }

    pub(crate) fn is_running(&self) -> bool {
        self.relay.is_some()
    }

    /// Ends the relay with SIGKILL.
    #[track_caller]
    pub(crate) fn kill(&mut self) {
        // The producers learn of it first from their connections, as they do in life.
        self.relay().kill();
        self.ends();
    }

    /// Waits until the relay has ended by itself.
    #[track_caller]
    pub(crate) fn ends(&mut self) -> Ended {
        self.ends_within(STOPPED)
    }

    /// The same with a patience of one's own.
    #[track_caller]
    pub(crate) fn ends_within(&mut self, patience: Duration) -> Ended {
        let ended = self.relay.take().expect("one runs").ended_after(patience);
        self.tell(Vec::new());
        ended
    }

    /// Stops the relay in order: status 0, soon.
    #[track_caller]
    pub(crate) fn stop(&mut self) -> Ended {
        self.relay().terminate();
        self.ends().cleanly()
    }

    /// Lets producers pause so long at most between two sends.
    pub(crate) fn pause(&self, most: Duration) {
        *self.orders.pause.lock().expect("nobody panics holding it") = most;
    }

    /// A producer that has not begun.
    pub(crate) fn producer(&mut self, mode: Mode) -> Producer {
        Producer {
            mode,
            number: self.ledger.producer(),
            draw: Draw::new(self.draw.next()),
            ledger: self.ledger.clone(),
            orders: self.orders.clone(),
            payload_bytes_max: PAYLOAD_BYTES_MAX,
            patience: NO_END,
        }
    }

    /// Starts a producer of each of these.
    pub(crate) fn produce(&mut self, modes: &[Mode]) {
        for &mode in modes {
            let producer = self.producer(mode);
            self.producers.push(thread::spawn(move || producer.run()));
        }
    }

    /// Sends new lines on one connection, has them confirmed, and gives their numbers.
    #[track_caller]
    pub(crate) fn send(&mut self, count: usize, payload_bytes_max: usize) -> Vec<u64> {
        let producer = Producer { patience: PATIENCE, ..self.producer(Mode::Close) };
        let ids = self.ledger.draw(producer.number, count, payload_bytes_max);
        let address = self.relay().address_of("close");
        assert!(producer.send_once(address, &ids), "the relay confirms:\n{}", self.relay().log_text());
        ids
    }

    /// Says that the fault was there.
    pub(crate) fn seen(&mut self, seen: bool) {
        self.fault_seen |= seen;
    }

    /// Waits until the books are so.
    #[track_caller]
    pub(crate) fn until(&self, mut condition: impl FnMut(&Totals) -> bool) -> Totals {
        let look = || Some(self.ledger.totals()).filter(|totals| condition(totals));
        wait_for(look, || self.story())
    }

    /// Waits until nothing more is confirmed.
    #[track_caller]
    pub(crate) fn until_held_back(&self) -> Totals {
        const HELD_BACK: Duration = Duration::from_secs(1);
        let mut last = (0, Instant::now());
        self.until(|totals| {
            if totals.confirmed != last.0 {
                last = (totals.confirmed, Instant::now());
            }
            last.1.elapsed() >= HELD_BACK
        })
    }

    fn story(&self) -> String {
        let log = self.relay.as_ref().map_or(String::new(), Relay::log_text);
        format!("{}, seed {:#x}: {:?}\n{log}", self.fault, self.seed, self.ledger.totals())
    }

    /// Ends the faults: the sink listens, a relay runs, producers repeat until everything is confirmed, and everything is
    /// delivered.
    #[track_caller]
    pub(crate) fn drain(&mut self) -> Metrics {
        if !self.sink.is_listening() {
            self.sink.appear();
        }
        if self.relay.is_none() {
            self.start();
        }
        self.orders.enough.store(true, Ordering::Relaxed);
        let mut producers = std::mem::take(&mut self.producers);
        let still = |oracle: &Self| {
            let totals = oracle.ledger.totals();
            (totals.confirmed, totals.delivered, totals.duplicates)
        };
        let (begun, mut last) = (Instant::now(), (still(self), Instant::now()));
        let metrics = loop {
            for producer in producers.extract_if(.., |producer| producer.is_finished()) {
                if let Err(panic) = producer.join() {
                    std::panic::resume_unwind(panic);
                }
            }
            let metrics = self.relay().metrics();
            if producers.is_empty() && metrics.sum("buffer_events") == 0 && metrics.buffered("logstash") == 0 {
                break metrics;
            }
            if still(self) != last.0 {
                last = (still(self), Instant::now());
            }
            let is_late = last.1.elapsed() > STANDSTILL || begun.elapsed() > DRAINED;
            assert!(!is_late, "{} producers wait\n{}\n{metrics}", producers.len(), self.story());
            thread::sleep(Duration::from_millis(20));
        };
        self.orders.enough.store(false, Ordering::Relaxed);
        metrics
    }

    /// Ends the faults, sends something fresh, stops the relay, adds the run to the table, and judges.
    #[track_caller]
    pub(crate) fn finish(mut self) -> Totals {
        self.pass();
        let totals = self.ledger.totals();
        self.report(totals);
        self.judge()
    }

    /// Ends the faults, sends something fresh, and stops the relay.
    #[track_caller]
    pub(crate) fn pass(&mut self) {
        self.drain();
        let fresh = self.send(1, PAYLOAD_BYTES_MAX);
        let ledger = self.ledger.clone();
        wait_for(|| ledger.have_arrived(&fresh).then_some(()), || format!("a fresh event does not pass: {}", self.story()));
        self.stop();
    }

    /// Adds these sums to the table.
    pub(crate) fn report(&self, totals: Totals) {
        table::add(self.fault, self.cycles, totals, self.seed, self.begun.elapsed());
    }

    /// Asserts what must hold.
    #[track_caller]
    pub(crate) fn judge(&self) -> Totals {
        let totals = self.ledger.totals();
        let complaints = self.ledger.complaints();
        assert!(complaints.is_empty(), "{}, {SEED}={:#x}: {totals:?}\n{}", self.fault, self.seed, complaints.join("\n"));
        assert!(self.fault_seen, "the fault was never there");
        assert!(totals.confirmed > 0, "nothing was tried");
        totals
    }
}

impl Drop for Oracle {
    fn drop(&mut self) {
        self.orders.abandon.store(true, Ordering::Relaxed);
        let deadline = Instant::now() + PATIENCE;
        for producer in self.producers.drain(..) {
            while !producer.is_finished() && Instant::now() < deadline {
                thread::sleep(Duration::from_millis(1));
            }
        }
    }
}

/// An address of the machine that only one oracle has; all of 127.0.0.0/8 is here.
fn host() -> Ipv4Addr {
    static ORACLES: AtomicU16 = AtomicU16::new(0);
    let [high, low] = ORACLES.fetch_add(1, Ordering::Relaxed).to_be_bytes();
    Ipv4Addr::new(127, 100, high, low)
}

fn parse_seed(text: &str) -> u64 {
    let seed = text.strip_prefix("0x").map_or_else(|| text.parse(), |digits| u64::from_str_radix(digits, 16));
    seed.unwrap_or_else(|_| panic!("{SEED} is a number: {text}"))
}
