//! The loop against destinations that are scripted, on a clock that is held: hours pass in no time.

use std::sync::Mutex;
use std::sync::atomic::AtomicU16;
use std::sync::atomic::AtomicUsize;

use tokio::time::sleep;

use super::*;
use crate::buffer::Buffer;
use crate::buffer::MemoryPlan;
use crate::sink::Condition;
use crate::sink::dead_letters::Refusal;
use crate::sink::tests::Relay;
use crate::sink::tests::Task;

const PLAN: PacePlan = PacePlan { bytes: 1 << 20, concurrency: 4, held_bytes: 1 << 30 };

/// How long an answer takes.
const ANSWER: Duration = Duration::from_millis(20);

/// What is said of a request with these documents, which is the n-th.
type Script = Box<dyn Fn(usize, &[String]) -> Result<Delivery, Failed> + Send + Sync>;

/// A destination.
struct Scripted {
    script: Script,
    seen: Arc<Seen>,
}

/// What came to it.
#[derive(Default)]
struct Seen {
    requests: AtomicUsize,
    greetings: AtomicUsize,
    /// What greetings are answered with; nothing is wrong where it is none.
    greeting: AtomicU16,
    /// Documents of requests that were answered and not named in the answer, and when.
    arrived: Mutex<Vec<(Duration, String)>>,
    /// When the requests came, since the start.
    times: Mutex<Vec<Duration>>,
    most: AtomicUsize,
    under_way: AtomicUsize,
}

impl Seen {
    fn requests(&self) -> usize {
        self.requests.load(std::sync::atomic::Ordering::Relaxed)
    }

    fn arrived(&self) -> Vec<String> {
        self.arrived.lock().unwrap().iter().map(|(_, document)| document.clone()).collect()
    }
}

impl Courier for Scripted {
    async fn greet(&self, _state: &SinkState) -> Result<(), Failed> {
        use std::sync::atomic::Ordering::Relaxed;
        self.seen.greetings.fetch_add(1, Relaxed);
        match self.seen.greeting.load(Relaxed) {
            0 => Ok(()),
            status => Err(answered(status, false).into()),
        }
    }

    async fn deliver(&self, parcel: &Parcel, _state: &SinkState) -> Result<Delivery, Failed> {
        use std::sync::atomic::Ordering::Relaxed;
        let seen = &self.seen;
        let number = seen.requests.fetch_add(1, Relaxed);
        let now = seen.under_way.fetch_add(1, Relaxed) + 1;
        seen.most.fetch_max(now, Relaxed);
        seen.times.lock().unwrap().push(since_start());
        sleep(ANSWER).await;
        seen.under_way.fetch_sub(1, Relaxed);
        let documents: Vec<String> =
            parcel.documents().map(|(document, ..)| String::from_utf8_lossy(document).into_owned()).collect();
        let result = (self.script)(number, &documents);
        if let Ok(delivery) = &result {
            let others: Vec<usize> = delivery.others.iter().map(|(position, _)| *position).collect();
            let arrived = documents.into_iter().enumerate().filter(|(position, _)| !others.contains(position));
            seen.arrived.lock().unwrap().extend(arrived.map(|(_, document)| (since_start(), document)));
        }
        result
    }

    fn each(&self) -> usize {
        80
    }

    fn weighs(&self, error: &SinkError) -> bool {
        matches!(error, SinkError::Answered { status: 429, .. })
    }

    fn name(&self) -> String {
        "script".to_owned()
    }
}

/// Time on the held clock, from the first time anybody asks on this thread.
fn since_start() -> Duration {
    thread_local!(static FIRST: std::cell::OnceCell<Instant> = const { std::cell::OnceCell::new() });
    FIRST.with(|first| crate::sink::now() - *first.get_or_init(crate::sink::now))
}

fn start(relay: &mut Relay, letters: DeadLetters, script: Script) -> (Task, Arc<Seen>) {
    start_as(PLAN, relay, letters, script)
}

fn start_as(plan: PacePlan, relay: &mut Relay, letters: DeadLetters, script: Script) -> (Task, Arc<Seen>) {
    since_start();
    let seen = Arc::new(Seen::default());
    let courier = Scripted { script, seen: seen.clone() };
    let sink = relay.start(|mut supply, state, stop| async move { run(courier, plan, &mut supply, letters, state, stop).await });
    (sink, seen)
}

fn answered(status: u16, is_item: bool) -> SinkError {
    SinkError::Answered { peer: "script".to_owned(), status, reason: "because".to_owned(), is_item }
}

fn refusal() -> Refusal {
    Refusal { status: 400, kind: "mapper_parsing_exception".to_owned(), reason: "no".to_owned() }
}

/// Checks that exactly these arrived, each once.
#[track_caller]
fn arrived_once(relay: &Relay, seen: &Seen, numbers: std::ops::Range<usize>, but: &[usize]) {
    let mut have = seen.arrived();
    let mut want: Vec<String> =
        numbers.filter(|number| !but.contains(number)).map(|number| relay.text(number..number + 1)).collect();
    have.sort();
    want.sort();
    assert_eq!(have, want);
}

#[tokio::test(start_paused = true)]
async fn everything_arrives_once_several_requests_at_a_time() {
    let mut relay = Relay::new(1);
    relay.padding = format!(",\"p\":\"{}\"", "x".repeat(50_000));
    let (sink, seen) = start(&mut relay, DeadLetters::default(), Box::new(|_, _| Ok(Delivery::default())));
    relay.send(0..2_000).await;
    relay.drain();
    relay.ends(sink).await.unwrap();
    relay.reconciles(0);
    arrived_once(&relay, &seen, 0..2_000, &[]);
    assert_eq!(seen.most.load(std::sync::atomic::Ordering::Relaxed), PLAN.concurrency);
}

#[tokio::test(start_paused = true)]
async fn little_is_sent_at_once_where_nothing_is_under_way() {
    let mut relay = Relay::new(1);
    let (sink, seen) = start(&mut relay, DeadLetters::default(), Box::new(|_, _| Ok(Delivery::default())));
    sleep(Duration::from_secs(1)).await;
    relay.send(0..1).await;
    sleep(ANSWER * 2).await;
    assert_eq!(seen.arrived().len(), 1);
    relay.drain();
    relay.ends(sink).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn documents_that_it_has_no_time_for_are_sent_again_alone() {
    let mut relay = Relay::new(1);
    // Every third document is too much, for the first ten requests.
    let script = |number: usize, documents: &[String]| {
        let others = (0..documents.len()).filter(|position| number < 10 && position % 3 == 0);
        Ok(Delivery { others: others.map(|position| (position, Fate::Again(answered(429, true)))).collect() })
    };
    let (sink, seen) = start(&mut relay, DeadLetters::default(), Box::new(script));
    relay.send(0..1_000).await;
    sleep(Duration::from_secs(600)).await;
    relay.drain();
    relay.ends(sink).await.unwrap();
    relay.reconciles(0);
    arrived_once(&relay, &seen, 0..1_000, &[]);
    assert!(relay.states[0].counts().events_retried > 300);
}

#[tokio::test(start_paused = true)]
async fn a_document_that_is_never_taken_holds_back_its_own_entry_and_no_later_one() {
    let mut relay = Relay::new(1);
    let stuck = relay.text(5..6);
    let script = move |_: usize, documents: &[String]| {
        let others = (0..documents.len()).filter(|position| documents[*position] == stuck);
        Ok(Delivery { others: others.map(|position| (position, Fate::Again(answered(503, true)))).collect() })
    };
    let (_sink, seen) = start(&mut relay, DeadLetters::default(), Box::new(script));
    relay.send(0..1_000).await;
    sleep(Duration::from_secs(600)).await;
    arrived_once(&relay, &seen, 0..1_000, &[5]);
    relay.reconciles(1_000);
    assert_eq!(relay.states[0].condition(), Condition::Failed);
    // About one try each quarter of a minute.
    assert!(seen.requests() < 100, "{} requests", seen.requests());
}

#[tokio::test(start_paused = true)]
async fn a_greeting_that_is_answered_with_no_is_repeated_in_growing_waits_and_said() {
    use std::sync::atomic::Ordering::Relaxed;
    for status in [400, 401, 413, 429, 500] {
        let mut relay = Relay::new(1);
        let (sink, seen) = start(&mut relay, DeadLetters::default(), Box::new(|_, _| Ok(Delivery::default())));
        seen.greeting.store(status, Relaxed);
        relay.send(0..10).await;
        sleep(Duration::from_secs(300)).await;
        let greetings = seen.greetings.load(Relaxed);
        assert!((10..60).contains(&greetings), "{greetings} greetings answered with {status}");
        assert!(relay.states[0].last_error().is_some_and(|error| error.text.contains(&status.to_string())));
        assert_eq!((seen.requests(), relay.states[0].counts().events_refused), (0, 0), "{status}");
        seen.greeting.store(0, Relaxed);
        relay.drain();
        relay.ends(sink).await.unwrap();
        arrived_once(&relay, &seen, 0..10, &[]);
    }
}

#[tokio::test(start_paused = true)]
async fn documents_of_an_index_that_is_shut_do_not_hold_up_the_others_and_are_not_forgotten() {
    for status in [403, 404] {
        let mut relay = Relay::new(1);
        let shut: Vec<String> = [3, 500].map(|number| relay.text(number..number + 1)).into();
        let is_open = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let opens = is_open.clone();
        let script = move |_: usize, documents: &[String]| {
            let is_open = is_open.load(std::sync::atomic::Ordering::Relaxed);
            let others = (0..documents.len()).filter(|position| !is_open && shut.contains(&documents[*position]));
            Ok(Delivery { others: others.map(|position| (position, Fate::Again(answered(status, true)))).collect() })
        };
        let (sink, seen) = start(&mut relay, DeadLetters::default(), Box::new(script));
        for from in (0..1_000).step_by(10) {
            relay.send(from..from + 10).await;
            sleep(Duration::from_secs(3)).await;
            let arrived = seen.arrived().len();
            assert!(arrived + 2 >= from + 10, "{arrived} of {} documents", from + 10);
            if from > 10 {
                assert_eq!(relay.states[0].condition(), Condition::Paused, "whoever has to mend it is told all the time");
            }
        }
        opens.store(true, std::sync::atomic::Ordering::Relaxed);
        relay.drain();
        // The held clock goes on while it waits.
        sleep(Duration::from_secs(60)).await;
        relay.ends(sink).await.unwrap();
        arrived_once(&relay, &seen, 0..1_000, &[]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_document_that_a_destination_breaks_off_at_is_found_and_waits_by_itself() {
    let mut relay = Relay::new(1);
    let poison = relay.text(333..334);
    let script = move |_: usize, documents: &[String]| match documents.contains(&poison) {
        true => Err(SinkError::PeerEnded { peer: "script".to_owned() }.into()),
        false => Ok(Delivery::default()),
    };
    let (_sink, seen) = start(&mut relay, DeadLetters::default(), Box::new(script));
    relay.send(0..1_000).await;
    sleep(Duration::from_secs(60)).await;
    relay.send(1_000..2_000).await;
    sleep(Duration::from_secs(300)).await;
    arrived_once(&relay, &seen, 0..2_000, &[333]);
    let before = seen.requests();
    sleep(Duration::from_secs(600)).await;
    assert!(seen.requests() - before < 60, "{} requests in ten minutes", seen.requests() - before);
}

#[tokio::test(start_paused = true)]
async fn a_destination_that_loses_everything_gets_it_whole_when_it_is_back() {
    let mut relay = Relay::new(1);
    let script = |_: usize, _: &[String]| match since_start() < Duration::from_secs(600) {
        true => Err(SinkError::PeerEnded { peer: "script".to_owned() }.into()),
        false => Ok(Delivery::default()),
    };
    let (_sink, seen) = start(&mut relay, DeadLetters::default(), Box::new(script));
    relay.send(0..1_000).await;
    sleep(Duration::from_secs(590)).await;
    let before = seen.requests();
    assert!(before < 100, "{before} requests while it is away");
    sleep(Duration::from_secs(60)).await;
    arrived_once(&relay, &seen, 0..1_000, &[]);
    assert!(seen.requests() - before < 10, "{} requests for what one or two take", seen.requests() - before);
}

#[tokio::test(start_paused = true)]
async fn a_destination_that_is_too_busy_for_any_document_is_asked_less_and_less() {
    let mut relay = Relay::new(1);
    let script = |_: usize, documents: &[String]| {
        Ok(Delivery { others: (0..documents.len()).map(|position| (position, Fate::Again(answered(429, true)))).collect() })
    };
    let (_sink, seen) = start(&mut relay, DeadLetters::default(), Box::new(script));
    for from in (0..1_000).step_by(10) {
        relay.send(from..from + 10).await;
        sleep(Duration::from_millis(600)).await;
    }
    assert!(seen.requests() < 30, "{} requests in a minute", seen.requests());
}

#[tokio::test(start_paused = true)]
async fn documents_that_it_never_has_time_for_do_not_hold_up_the_others() {
    for status in [403, 429, 503] {
        let mut relay = Relay::new(1);
        let is_busy = |document: &String| {
            let n = serde_json::from_str::<serde_json::Value>(document).unwrap()["n"].as_u64().unwrap();
            n.is_multiple_of(10)
        };
        let script = move |_: usize, documents: &[String]| {
            let others = (0..documents.len()).filter(|position| is_busy(&documents[*position]));
            Ok(Delivery { others: others.map(|position| (position, Fate::Again(answered(status, true)))).collect() })
        };
        let (_sink, seen) = start(&mut relay, DeadLetters::default(), Box::new(script));
        for from in (0..3_000).step_by(10) {
            // The one it has no time for comes in requests with others and without.
            relay.send(from..from + 1).await;
            sleep(Duration::from_millis(if from % 20 == 0 { 0 } else { 300 })).await;
            relay.send(from + 1..from + 10).await;
            sleep(Duration::from_millis(700)).await;
            let (arrived, want) = (seen.arrived().len(), (from + 10) / 10 * 9);
            assert!(arrived + 9 >= want, "{arrived} of {want} that it has time for");
            if from > 100 {
                assert_ne!(relay.states[0].condition(), Condition::Delivering, "it is said all the time");
            }
        }
        sleep(Duration::from_secs(2)).await;
        let busy: Vec<usize> = (0..3_000).step_by(10).collect();
        arrived_once(&relay, &seen, 0..3_000, &busy);
        let before = seen.requests();
        sleep(Duration::from_secs(600)).await;
        assert!(seen.requests() - before < 200, "{} requests in ten minutes", seen.requests() - before);
    }
}

/// How many of 2000 documents were ever sent, where the destination takes none or every other one, and no more than so many bytes may
/// be held.
async fn sent_while_held(held_bytes: usize, takes_some: bool) -> usize {
    let mut relay = Relay::new(1);
    relay.padding = ",\"padding\":\"".to_owned() + &"x".repeat(1_000) + "\"";
    let tried = Arc::new(Mutex::new(std::collections::BTreeSet::new()));
    let seen = tried.clone();
    let script = move |_: usize, documents: &[String]| {
        seen.lock().unwrap().extend(documents.iter().cloned());
        let busy = (0..documents.len()).filter(|position| !takes_some || position % 2 == 1);
        Ok(Delivery { others: busy.map(|position| (position, Fate::Again(answered(500, true)))).collect() })
    };
    let plan = PacePlan { bytes: 16 << 10, concurrency: 4, held_bytes };
    let (_sink, _) = start_as(plan, &mut relay, DeadLetters::default(), Box::new(script));
    relay.send(0..2_000).await;
    sleep(Duration::from_secs(60)).await;
    let tried = tried.lock().unwrap();
    tried.len()
}

#[tokio::test(start_paused = true)]
async fn what_a_destination_does_not_take_is_held_up_to_a_bound_and_all_else_stays_in_the_buffer() {
    let documents_of_a_batch = 10;
    for held_bytes in [64 << 10, 256 << 10] {
        let sent = sent_while_held(held_bytes, false).await;
        let most = held_bytes / 1_000 + 4 * documents_of_a_batch;
        assert!((most / 2..=most).contains(&sent), "{sent} documents with {held_bytes} bytes");
    }
    assert_eq!(sent_while_held(64 << 10, true).await, 2_000, "where something is taken, it goes on");
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_is_kept_and_all_else_arrives() {
    let (buffer, mut cursors) = Buffer::memory(MemoryPlan { bytes_max: 1 << 20 }, 1);
    let mut relay = Relay::new(1);
    let bad: Vec<String> = [3, 17, 18, 999].map(|number| relay.text(number..number + 1)).into();
    let script = move |_: usize, documents: &[String]| {
        let others = (0..documents.len()).filter(|position| bad.contains(&documents[*position]));
        Ok(Delivery { others: others.map(|position| (position, Fate::Refused(refusal()))).collect() })
    };
    let (sink, seen) = start(&mut relay, DeadLetters::new(Some(buffer)), Box::new(script));
    relay.send(0..1_000).await;
    relay.drain();
    relay.ends(sink).await.unwrap();
    arrived_once(&relay, &seen, 0..1_000, &[3, 17, 18, 999]);
    let counts = relay.states[0].counts();
    assert_eq!((counts.events_delivered, counts.events_refused, counts.events_refused_dropped), (996, 4, 0));
    let mut letters = Vec::new();
    cursors[0].read(100, 1 << 20, &mut letters);
    let letters: Vec<serde_json::Value> = letters
        .iter()
        .flat_map(|entry| {
            entry.batch.documents().map(|(document, _)| serde_json::from_slice(document).unwrap()).collect::<Vec<_>>()
        })
        .collect();
    let mut numbers: Vec<u64> = letters.iter().map(|letter| letter["document"]["n"].as_u64().unwrap()).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, [3, 17, 18, 999]);
    assert_eq!(letters[0]["elbow"]["error"], "mapper_parsing_exception");
}

#[tokio::test(start_paused = true)]
async fn without_dead_letters_what_is_refused_is_counted_as_dropped() {
    let mut relay = Relay::new(1);
    let script = |_: usize, _: &[String]| Ok(Delivery { others: vec![(0, Fate::Refused(refusal()))] });
    let (sink, _) = start(&mut relay, DeadLetters::default(), Box::new(script));
    relay.send(0..1).await;
    relay.drain();
    relay.ends(sink).await.unwrap();
    let counts = relay.states[0].counts();
    assert_eq!((counts.events_delivered, counts.events_refused, counts.events_refused_dropped), (0, 1, 1));
}

#[tokio::test(start_paused = true)]
async fn what_is_given_up_while_it_is_under_way_counts_as_that_and_nothing_else() {
    let (letters, _cursors) = Buffer::memory(MemoryPlan { bytes_max: 1 << 20 }, 1);
    let mut relay = Relay::new(1);
    let mut shedder = relay.shedder();
    let (bad, stuck) = (relay.text(3..4), relay.text(5..6));
    let released = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let is_released = released.clone();
    let script = move |_: usize, documents: &[String]| {
        let of = |wanted: &String| documents.iter().position(|document| document == wanted);
        let refused = of(&bad).map(|position| (position, Fate::Refused(refusal())));
        let is_stuck = !is_released.load(std::sync::atomic::Ordering::Relaxed);
        let again = of(&stuck).filter(|_| is_stuck).map(|position| (position, Fate::Again(answered(500, true))));
        Ok(Delivery { others: refused.into_iter().chain(again).collect() })
    };
    let (sink, seen) = start(&mut relay, DeadLetters::new(Some(letters.clone())), Box::new(script));
    relay.send(0..10).await;
    relay.until(|_| seen.arrived().len() == 8 && letters.stat().events == 1).await;
    relay.buffer.press();
    assert_eq!(shedder.next().await.entries.len(), 1);
    let state = relay.states[0].clone();
    shedder.shed(|_| state.given_up(10, false));
    released.store(true, std::sync::atomic::Ordering::Relaxed);
    relay.until(|_| seen.arrived().len() == 9).await;
    relay.send(10..20).await;
    relay.drain();
    relay.ends(sink).await.unwrap();
    let counts = relay.states[0].counts();
    assert_eq!((counts.events_delivered, counts.events_refused, counts.events_given_up), (10, 0, 10));
    let cursor = &relay.buffer.stat().cursors[0];
    assert_eq!((cursor.events_acked, cursor.events_shed, cursor.events), (10, 10, 0));
}

#[tokio::test(start_paused = true)]
async fn what_is_too_large_is_halved_until_one_document_is_refused_by_itself() {
    let mut relay = Relay::new(1);
    let bad = relay.text(77..78);
    let script = move |_: usize, documents: &[String]| {
        if documents.contains(&bad) { Err(answered(413, false).into()) } else { Ok(Delivery::default()) }
    };
    let (sink, seen) = start(&mut relay, DeadLetters::default(), Box::new(script));
    relay.send(0..200).await;
    relay.drain();
    relay.ends(sink).await.unwrap();
    arrived_once(&relay, &seen, 0..200, &[77]);
    assert_eq!(relay.states[0].counts().events_refused, 1);
    assert!(since_start() < Duration::from_secs(5), "halves do not wait: {:?}", since_start());
}

/// Sends 2 MB to a destination that takes no more than so many bytes in one request; what is more is answered like that.
async fn weighed(most: usize, refuse: impl Fn(usize) -> Result<Delivery, Failed> + Send + Sync + 'static) -> (Arc<Seen>, Relay) {
    let mut relay = Relay::new(1);
    relay.padding = format!(",\"p\":\"{}\"", "x".repeat(1_000));
    let script = move |_: usize, documents: &[String]| {
        let bytes: usize = documents.iter().map(String::len).sum();
        if bytes > most { refuse(documents.len()) } else { Ok(Delivery::default()) }
    };
    let (sink, seen) = start(&mut relay, DeadLetters::default(), Box::new(script));
    relay.send(0..2_000).await;
    sleep(Duration::from_secs(600)).await;
    arrived_once(&relay, &seen, 0..2_000, &[]);
    relay.drain();
    relay.ends(sink).await.unwrap();
    relay.reconciles(0);
    assert_eq!(relay.states[0].counts().events_refused, 0);
    (seen, relay)
}

#[tokio::test(start_paused = true)]
async fn what_is_too_much_even_alone_is_sent_in_smaller_requests() {
    let whole = |_| Err(Failed { error: answered(429, false), retry_after: None });
    let (seen, _) = weighed(300 << 10, whole).await;
    let last = seen.arrived.lock().unwrap().last().unwrap().0;
    assert!(last < Duration::from_secs(120), "it takes {last:?}");
    // A node may say so of each document as well.
    let each = |count| {
        let all = (0..count).map(|position| (position, Fate::Again(answered(429, true))));
        Ok(Delivery { others: all.collect() })
    };
    weighed(300 << 10, each).await;
}

#[tokio::test(start_paused = true)]
async fn who_says_when_to_come_again_or_that_it_is_away_gets_requests_as_they_were() {
    for (status, after) in [(429, Some(Duration::from_secs(2))), (503, None)] {
        let mut relay = Relay::new(1);
        relay.padding = format!(",\"p\":\"{}\"", "x".repeat(1_000));
        let script = move |number: usize, _: &[String]| match number {
            0..8 => Err(Failed { error: answered(status, false), retry_after: after }),
            _ => Ok(Delivery::default()),
        };
        let (sink, seen) = start(&mut relay, DeadLetters::default(), Box::new(script));
        relay.send(0..900).await;
        sleep(Duration::from_secs(600)).await;
        arrived_once(&relay, &seen, 0..900, &[]);
        assert!(seen.requests() <= 10, "{} requests for {status}", seen.requests());
        relay.drain();
        relay.ends(sink).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_pause_is_looked_at_now_and_then_and_ends_by_itself() {
    let mut relay = Relay::new(1);
    let minute = Duration::from_secs(60);
    let script = move |_: usize, _: &[String]| {
        if since_start() < minute * 60 { Err(answered(401, false).into()) } else { Ok(Delivery::default()) }
    };
    let (sink, seen) = start(&mut relay, DeadLetters::default(), Box::new(script));
    relay.send(0..100).await;
    sleep(minute * 59).await;
    assert_eq!(relay.states[0].condition(), Condition::Paused);
    let error = relay.states[0].last_error().unwrap();
    assert!(error.text.contains("check the sink's credentials"), "{}", error.text);
    assert!((60..600).contains(&seen.requests()), "{} requests in an hour", seen.requests());
    assert_eq!(relay.states[0].counts().events_refused, 0);
    sleep(minute * 2).await;
    arrived_once(&relay, &seen, 0..100, &[]);
    assert_eq!(relay.states[0].condition(), Condition::Delivering);
    relay.drain();
    relay.ends(sink).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_is_asked_for_is_kept() {
    let mut relay = Relay::new(1);
    let script = |number: usize, _: &[String]| match number {
        0 => Err(Failed { error: answered(429, false), retry_after: Some(Duration::from_secs(120)) }),
        _ => Ok(Delivery::default()),
    };
    let (sink, seen) = start(&mut relay, DeadLetters::default(), Box::new(script));
    relay.send(0..100).await;
    relay.drain();
    sleep(Duration::from_secs(125)).await;
    relay.ends(sink).await.unwrap();
    let times = seen.times.lock().unwrap().clone();
    assert!(times[1] - times[0] >= Duration::from_secs(120), "{times:?}");
}

#[tokio::test(start_paused = true)]
async fn after_a_storm_it_is_soon_as_fast_as_before() {
    let mut relay = Relay::new(1);
    relay.padding = format!(",\"p\":\"{}\"", "x".repeat(100));
    let storm = Duration::from_secs(60)..Duration::from_secs(180);
    let script = {
        let storm = storm.clone();
        move |number: usize, documents: &[String]| {
            if !storm.contains(&since_start()) {
                return Ok(Delivery::default());
            }
            if number.is_multiple_of(2) {
                return Err(Failed { error: answered(429, false), retry_after: None });
            }
            let all = (0..documents.len()).map(|position| (position, Fate::Again(answered(429, true))));
            Ok(Delivery { others: all.collect() })
        }
    };
    let (_sink, seen) = start(&mut relay, DeadLetters::default(), Box::new(script));
    let feeding = async {
        for from in (0..).step_by(20) {
            relay.send(from..from + 20).await;
            sleep(Duration::from_millis(20)).await;
            if since_start() > storm.end + Duration::from_secs(60) {
                return from + 20;
            }
        }
        0
    };
    let sent = feeding.await;
    sleep(Duration::from_secs(120)).await;
    arrived_once(&relay, &seen, 0..sent, &[]);
    let arrived = seen.arrived.lock().unwrap();
    let rate = |from: u64, to: u64| {
        let (from, to) = (Duration::from_secs(from), Duration::from_secs(to));
        arrived.iter().filter(|(at, _)| (from..to).contains(at)).count() as f64 / (to - from).as_secs_f64()
    };
    let (before, after) = (rate(30, 60), rate(210, 240));
    assert!(after >= 0.9 * before, "{after} a second after the storm, {before} before");
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_is_away_for_an_hour_costs_the_other_nothing_and_catches_up() {
    let mut relay = Relay::bounded(2, 4 << 30);
    relay.padding = format!(",\"p\":\"{}\"", "x".repeat(1_000));
    let (_well, well) = start(&mut relay, DeadLetters::default(), Box::new(|_, _| Ok(Delivery::default())));
    let hour = Duration::from_secs(3_600);
    let script = move |_: usize, _: &[String]| {
        if since_start() < hour {
            let source = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
            return Err(SinkError::Connect { peer: "script".to_owned(), source }.into());
        }
        Ok(Delivery::default())
    };
    let (_away, away) = start(&mut relay, DeadLetters::default(), Box::new(script));
    let mut sent = 0;
    while since_start() < hour {
        relay.send(sent..sent + 10).await;
        sent += 10;
        sleep(Duration::from_millis(100)).await;
        assert!(sent - well.arrived.lock().unwrap().len() < 100, "the other sink is behind");
    }
    assert_eq!(away.arrived.lock().unwrap().len(), 0);
    // An outage of an hour comes to so many tries, and no more.
    assert!(away.requests() < 400, "{} tries", away.requests());
    let back = since_start();
    while away.arrived.lock().unwrap().len() < sent {
        relay.send(sent..sent + 10).await;
        sent += 10;
        sleep(Duration::from_millis(100)).await;
        assert!(since_start() - back < hour, "it never catches up");
    }
    let took = since_start() - back;
    assert!(took < hour / 2, "it takes {took:?} to catch up with an hour");
}
