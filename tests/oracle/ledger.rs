//! The oracle's books: what was sent, what the relay has confirmed, and what came out at the other end.
//!
//! A line is made from its number alone, so whoever reads a document can tell from the number in it what must stand beside
//! it. The books refuse to know how anything was sent, and why it may have been sent again.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::MutexGuard;

use serde_json::Value;

use crate::support::draw::Draw;
use crate::support::lines::id_of;

/// Complaints kept; the rest are counted.
const KEPT: usize = 5;

/// Bits of a number that count a producer's lines; above them 16 for the producer, and 16 for the run.
const COUNTER_BITS: u32 = 32;
const PRODUCER_BITS: u32 = 16;

pub(crate) struct Ledger {
    /// Stands in every number, so that documents of another run are foreign here.
    run: u64,
    books: Mutex<Books>,
}

#[derive(Clone, Default)]
struct Books {
    lines: HashMap<u64, Line>,
    producers: Vec<Order>,
    totals: Totals,
    complaints: Vec<String>,
}

/// What became of a line.
#[derive(Clone, Default)]
struct Line {
    confirmed: bool,
    copies: u32,
    /// The event id of its first copy; kept where copies must agree.
    event: Option<String>,
}

/// Where a producer is.
#[derive(Clone, Default)]
struct Order {
    next: u64,
    /// The highest line that arrived.
    arrived: Option<u64>,
}

/// Sums over all lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    /// Lines handed to the relay at least once.
    pub(crate) sent: u64,
    /// Of those, confirmed.
    pub(crate) confirmed: u64,
    /// Of those sent, arrived.
    pub(crate) delivered: u64,
    /// Copies beyond the first.
    pub(crate) duplicates: u64,
    /// Confirmed and not arrived.
    pub(crate) missing: u64,
    /// First copies that arrived after a later line of the same producer.
    pub(crate) out_of_order: u64,
    /// Documents that nobody sent, or that are not what was sent.
    pub(crate) wrong: u64,
}

impl Totals {
    /// The sums of two runs.
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            sent: self.sent + other.sent,
            confirmed: self.confirmed + other.confirmed,
            delivered: self.delivered + other.delivered,
            duplicates: self.duplicates + other.duplicates,
            missing: self.missing + other.missing,
            out_of_order: self.out_of_order + other.out_of_order,
            wrong: self.wrong + other.wrong,
        }
    }

    /// Sent, and neither confirmed nor known to have failed.
    pub(crate) fn in_flight(&self) -> u64 {
        self.sent - self.confirmed
    }
}

impl Ledger {
    pub(crate) fn new(seed: u64) -> Self {
        // Never zero: the numbers of other tests are small.
        let run = Draw::new(seed).next() >> (COUNTER_BITS + PRODUCER_BITS) | 1;
        Self { run, books: Mutex::default() }
    }

    /// Other books that begin as these are.
    pub(crate) fn copy(&self) -> Self {
        Self { run: self.run, books: Mutex::new(self.lock().clone()) }
    }

    /// Expects these no more: what held them is gone, and not by the relay's fault.
    pub(crate) fn forgive(&self, ids: &[u64]) {
        let mut books = self.lock();
        let Books { lines, totals, .. } = &mut *books;
        for id in ids {
            let line = lines.get_mut(id).expect("only what was drawn is forgiven");
            if std::mem::take(&mut line.confirmed) {
                totals.confirmed -= 1;
                totals.missing -= u64::from(line.copies == 0);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Books> {
        self.books.lock().expect("nobody panics holding it")
    }

    /// The number of a new producer.
    pub(crate) fn producer(&self) -> usize {
        let mut books = self.lock();
        books.producers.push(Order::default());
        books.producers.len() - 1
    }

    /// Draws the next numbers of a producer, of lines of at most so many bytes of payload. From now on they count as sent.
    pub(crate) fn draw(&self, producer: usize, count: usize, payload_bytes_max: usize) -> Vec<u64> {
        let mut books = self.lock();
        let mut ids = Vec::with_capacity(count);
        while ids.len() < count {
            let order = &mut books.producers[producer];
            let id = self.run << (COUNTER_BITS + PRODUCER_BITS) | (producer as u64) << COUNTER_BITS | order.next;
            order.next += 1;
            if payload_bytes(id) <= payload_bytes_max {
                ids.push(id);
            }
        }
        books.totals.sent += count as u64;
        books.lines.extend(ids.iter().map(|&id| (id, Line::default())));
        ids
    }

    /// Takes the relay's word for these.
    pub(crate) fn confirm(&self, ids: impl IntoIterator<Item = u64>) {
        let mut books = self.lock();
        let Books { lines, totals, .. } = &mut *books;
        for id in ids {
            let line = lines.get_mut(&id).expect("only what was drawn is confirmed");
            assert!(!std::mem::replace(&mut line.confirmed, true), "a line is confirmed once");
            totals.confirmed += 1;
            totals.missing += u64::from(line.copies == 0);
        }
    }

    /// Takes a document as it arrived.
    pub(crate) fn arrived(&self, document: &[u8]) {
        let read = read(document);
        let mut books = self.lock();
        match read {
            Ok((id, event)) => books.arrived(id, event),
            Err(what) => books.complain(what),
        }
    }

    /// Takes a document as it was found among the dead letters.
    pub(crate) fn found(&self, document: &Value) {
        let said = document["message"].as_str().unwrap_or_default();
        let id = id_of(said.as_bytes()).filter(|&id| is_letter(id) && said == letter(id).trim_end_matches('\n'));
        let mut books = self.lock();
        match id {
            Some(id) => books.arrived(id, String::new()),
            None => books.complain(format!("no dead letter of ours: {document}")),
        }
    }

    pub(crate) fn totals(&self) -> Totals {
        self.lock().totals
    }

    /// Whether all of these arrived.
    pub(crate) fn have_arrived(&self, ids: &[u64]) -> bool {
        let books = self.lock();
        ids.iter().all(|id| books.lines[id].copies > 0)
    }

    /// How many of these arrived.
    pub(crate) fn arrivals(&self, ids: &[u64]) -> usize {
        let books = self.lock();
        ids.iter().filter(|id| books.lines[id].copies > 0).count()
    }

    /// What is confirmed and has not arrived, in order.
    pub(crate) fn missing(&self) -> Vec<u64> {
        let books = self.lock();
        let missing = books.lines.iter().filter(|(_, line)| line.confirmed && line.copies == 0);
        let mut missing: Vec<u64> = missing.map(|(&id, _)| id).collect();
        missing.sort_unstable();
        missing
    }

    /// What is wrong with what arrived, and which confirmed lines did not; empty where all is well.
    pub(crate) fn complaints(&self) -> Vec<String> {
        let missing = self.missing();
        let books = self.lock();
        let mut complaints = books.complaints.clone();
        assert_eq!(missing.len() as u64, books.totals.missing, "the books agree with themselves");
        if let [first, ..] = missing[..] {
            let (count, confirmed) = (missing.len(), books.totals.confirmed);
            complaints.push(format!("{count} of {confirmed} confirmed lines did not arrive, the first is {first:x}"));
        }
        complaints
    }
}

impl Books {
    fn arrived(&mut self, id: u64, event: String) {
        let Some(line) = self.lines.get_mut(&id) else {
            return self.complain(format!("a document arrived that nobody sent: {id:x}"));
        };
        line.copies += 1;
        if line.copies > 1 {
            self.totals.duplicates += 1;
            let differs = line.event.as_ref().is_some_and(|first| *first != event);
            return if differs {
                self.complain(format!("{id:x} has another event id in each copy: {event}"))
            };
        }
        // JSON has an id by arrival: a line that its sender repeats is another event.
        line.event = Some(event).filter(|_| !is_json(id));
        self.totals.delivered += 1;
        self.totals.missing -= u64::from(line.confirmed);
        let producer = id >> COUNTER_BITS & ((1 << PRODUCER_BITS) - 1);
        let order = &mut self.producers[usize::try_from(producer).expect("few")];
        if order.arrived.is_some_and(|last| last > id) {
            self.totals.out_of_order += 1;
        }
        order.arrived = order.arrived.max(Some(id));
    }

    fn complain(&mut self, what: String) {
        self.totals.wrong += 1;
        if self.complaints.len() < KEPT {
            self.complaints.push(what);
        }
    }
}

/// Every second line is JSON, the others are ALB lines.
pub(crate) fn is_json(id: u64) -> bool {
    id.is_multiple_of(2)
}

/// The line of this number, newline included.
pub(crate) fn line(id: u64) -> String {
    let payload = payload(id);
    if is_json(id) {
        return format!(
            "{{\"EventReceivedTime\":\"2026-03-01T10:20:30.123456Z\",\"TraceId\":\"Root=1-65f00000-{id:024x}\",\"payload\":\"{payload}\"}}\n"
        );
    }
    format!(
        "https 2026-03-01T10:20:30.123456Z app/web/0123456789abcdef 192.0.2.10:40001 10.0.1.5:8080 0.001 0.025 0.000 200 200 {} \
         2048 \"GET {} HTTP/1.1\" \"curl/8.5.0\" TLS_AES_128_GCM_SHA256 TLSv1.3 \
         arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/web/0a1b2c3d4e5f6071 \"Root=1-65f00000-{id:024x}\" \
         \"www.example.com\" \"session-reused\" 10 2026-03-01T10:20:30.097000Z \"forward\" \"-\" \"-\" \"10.0.1.5:8080\" \"200\" \
         \"-\" \"-\" TID_00112233445566778899aabbccddeeff\n",
        payload.len(),
        url(&payload),
    )
}

/// Where rejects are sent, three of four lines are one.
pub(crate) fn is_letter(id: u64) -> bool {
    !id.is_multiple_of(4)
}

/// The line of this number that no parser takes, newline included.
pub(crate) fn letter(id: u64) -> String {
    format!("https 2026-03-01T10:20:30.123456Z Root=1-65f00000-{id:024x} {}\n", payload(id))
}

fn url(payload: &str) -> String {
    format!("https://www.example.com:443/{payload}")
}

/// What most lines are like, and a few that are longer than a read or a page.
fn payload_bytes(id: u64) -> usize {
    let mut draw = Draw::new(id);
    match draw.below(100) {
        0 => draw.below(60_000),
        1..10 => draw.below(4_000),
        _ => draw.below(600),
    }
}

/// Hexadecimal digits nobody can guess without the number.
fn payload(id: u64) -> String {
    let length = payload_bytes(id);
    let mut draw = Draw::new(!id);
    let mut digits = String::with_capacity(length + 16);
    while digits.len() < length {
        digits += &format!("{:016x}", draw.next());
    }
    digits.truncate(length);
    digits
}

/// The number and the event id of a document, if it is what its line must become.
fn read(document: &[u8]) -> Result<(u64, String), String> {
    let shown = || String::from_utf8_lossy(&document[..document.len().min(300)]).into_owned();
    let value: Value = serde_json::from_slice(document).map_err(|error| format!("no JSON, {error}: {}", shown()))?;
    let id = id_of(document).ok_or_else(|| format!("a document without a number: {}", shown()))?;
    let payload = payload(id);
    let (event, wanted) = if is_json(id) {
        (&value["event.id"], [(&value["payload"], Value::from(payload))].to_vec())
    } else {
        let bytes = Value::from(payload.len());
        (&value["event"]["id"], [(&value["request_url"], Value::from(url(&payload))), (&value["received_bytes"], bytes)].to_vec())
    };
    if wanted.iter().any(|(got, want)| *got != want) || !value["tags"].is_null() {
        return Err(format!("{id:x} is not what was sent: {}", shown()));
    }
    Ok((id, event.as_str().ok_or_else(|| format!("no event id: {}", shown()))?.to_owned()))
}

#[test]
fn the_books_see_what_is_missing_foreign_changed_and_doubled() {
    let ledger = Ledger::new(7);
    let producer = ledger.producer();
    let ids = ledger.draw(producer, 4, 600);
    let document = |id: u64| {
        let event = if is_json(id) { "\"event.id\":\"e\"" } else { "\"event\":{\"id\":\"e\"}" };
        let payload = payload(id);
        let (bytes, url) = (payload.len(), url(&payload));
        format!(
            "{{{event},\"t\":\"Root=1-65f00000-{id:024x}\",\"payload\":\"{payload}\",\"request_url\":\"{url}\",\"received_bytes\":{bytes}}}"
        )
    };
    ledger.confirm(ids[..2].iter().copied());
    ledger.arrived(document(ids[0]).as_bytes());
    assert_eq!(ledger.complaints().len(), 1, "one is missing");
    for id in [ids[1], ids[3], ids[2], ids[3]] {
        ledger.arrived(document(id).as_bytes());
    }
    assert_eq!(ledger.complaints(), [""; 0]);
    let want = Totals { sent: 4, confirmed: 2, delivered: 4, duplicates: 1, missing: 0, out_of_order: 1, wrong: 0 };
    assert_eq!(ledger.totals(), want);
    ledger.arrived(document(ids[0] + 1_000).as_bytes());
    ledger.arrived(document(ids[0]).replace("0\"", "1\"").replace("a", "b").as_bytes());
    ledger.arrived(b"{}");
    assert_eq!((ledger.totals().wrong, ledger.complaints().len()), (3, 3), "{:?}", ledger.complaints());
}
