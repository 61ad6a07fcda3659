//! Tenants with everything around them but sockets and files.

mod noisy;

use std::net::SocketAddr;
use std::time::Instant;

use bytes::Bytes;
use tokio::time::timeout;

use super::plan::Limits;
use super::*;
use crate::batch::Batch;
use crate::batch::EventId;
use crate::batch::Mark;
use crate::batch::SourceId;
use crate::buffer::Cursor;
use crate::buffer::MemoryPlan;
use crate::buffer::Yields;
use crate::metrics::Figures;
use crate::seq::Seq;

const MOMENT: Duration = Duration::from_secs(20);

const KEY: [u8; 32] = [7; 32];

/// Tenants, and what they are tenants of.
struct World {
    tenants: Tenants,
    buffer: Buffer,
    cursors: Vec<Cursor>,
    metrics: Arc<Metrics>,
}

fn tenant(name: &str, network: &str, limits: Limits) -> TenantPlan {
    TenantPlan {
        name: name.to_owned(),
        networks: vec![network.parse().expect("a network")],
        limits: Limits { burst: Duration::from_secs(1), ..limits },
        ..TenantPlan::default()
    }
}

fn two(unknown: Unknown) -> TenantsPlan {
    let full = Limits { connections_max: Some(2), ..Limits::default() };
    TenantsPlan { unknown, tenants: vec![tenant("a", "10.0.0.0/8", full), tenant("b", "10.1.0.0/16", Limits::default())] }
}

fn tokens(texts: &[&[u8]]) -> TokensOfEach {
    texts.iter().map(|text| TokenKey::new(KEY).read(text).unwrap_or_default()).collect()
}

fn world(plan: &TenantsPlan, texts: &[&[u8]]) -> World {
    let (buffer, cursors) = Buffer::memory(MemoryPlan { bytes_max: 1 << 20 }, 1);
    let (intake, metrics) = (Intake::new(1 << 20), Arc::new(Metrics::new()));
    let means = (intake, Intake::new(1 << 18), buffer.clone());
    let tenants = Tenants::new(plan, TokenKey::new(KEY), tokens(texts), means, metrics.clone()).expect("all tokens differ");
    World { tenants, buffer, cursors, metrics }
}

fn at(address: &str) -> Peer {
    Peer::at(SocketAddr::new(address.parse().expect("an address"), 1))
}

impl World {
    #[track_caller]
    fn lets_in(&self, address: &str, may_prove: bool, name: &str) -> Visit {
        let visit = self.tenants.admit(&at(address), may_prove).expect("it is let in");
        assert_eq!(visit.tenant().name(), name);
        visit
    }

    #[track_caller]
    fn refuses(&self, address: &str, may_prove: bool, why: Refused) {
        assert_eq!(self.tenants.admit(&at(address), may_prove).err(), Some(why));
    }

    /// Appends an entry of so many bytes.
    async fn append(&self, tenant: &Tenant, bytes: usize) {
        let mut docs = vec![b' '; bytes];
        docs[bytes - 1] = b'\n';
        let marks = [Mark { end: bytes as u32, id: EventId([0; 16]), time: 0, origin: None }].into();
        let batch = Batch {
            docs: Bytes::from(docs),
            marks,
            source: SourceId(0),
            received: 0,
            is_rejects: false,
            tenant: None,
            sink: None,
        };
        let held = batch.bytes() as u64;
        let receipt = self.buffer.append(batch).await.expect("it is open");
        tenant.appended(receipt.seq(), held);
    }

    /// Has the sink take everything up to this entry.
    fn deliver(&mut self, through: u64) {
        self.cursors[0].read(usize::MAX, usize::MAX, &mut Vec::new());
        let _ = self.cursors[0].ack(Seq(through));
    }

    fn figure(&self, series: &str) -> String {
        self.tenants.show();
        let text = self.metrics.render(&Figures::default());
        let found = text.lines().find_map(|line| line.strip_prefix(series));
        found.unwrap_or_else(|| panic!("no {series} in\n{text}")).trim().to_owned()
    }
}

#[test]
fn senders_are_told_apart_and_a_full_tenant_takes_no_further_connection() {
    let world = world(&two(Unknown::Allow), &[]);
    let (_one, two) = (world.lets_in("10.2.0.1", false, "a"), world.lets_in("10.2.0.2", false, "a"));
    let _others = (world.lets_in("10.1.0.1", false, "b"), world.lets_in("192.0.2.1", false, ""));
    world.refuses("10.2.0.1", false, Refused::Full);
    assert_eq!(world.figure("elbow_tenant_connections_open{tenant=\"a\"}"), "2");
    drop(two);
    world.lets_in("10.2.0.3", false, "a");
    assert_eq!(world.figure("elbow_tenant_refused_connections_total{reason=\"connections\",tenant=\"a\"}"), "1");
    assert_eq!(world.figure("elbow_tenant_connections_open{tenant=\"_unknown\"}"), "1");
}

#[test]
fn where_only_tenants_may_send_an_unknown_one_is_refused_unless_it_can_still_say_a_token() {
    let without = world(&two(Unknown::Refuse), &[]);
    without.refuses("192.0.2.1", true, Refused::Unknown);
    let with = world(&two(Unknown::Refuse), &[b"the-token-of-tenant-a", b""]);
    with.refuses("192.0.2.1", false, Refused::Unknown);
    let visit = with.lets_in("192.0.2.1", true, "");
    assert!(visit.owes_proof());
    assert_eq!(visit.prove(b"not-a-token-of-anybody"), Err(Refused::Token));
    assert!(visit.owes_proof(), "a wrong token proves nothing");
    assert_eq!(visit.prove(b"the-token-of-tenant-a"), Ok(()));
    assert_eq!((visit.tenant().name(), visit.owes_proof()), ("a", false));
    assert!(!with.lets_in("10.1.0.1", true, "b").owes_proof());
}

#[test]
fn a_token_counts_before_the_address_and_takes_the_place_along() {
    let world = world(&two(Unknown::Allow), &[b"the-token-of-tenant-a", b"the-token-of-tenant-b"]);
    let visit = world.lets_in("10.2.0.1", true, "a");
    assert_eq!(visit.prove(b"the-token-of-tenant-b"), Ok(()));
    assert_eq!(visit.clone().tenant().name(), "b");
    assert_eq!(world.figure("elbow_tenant_connections_open{tenant=\"a\"}"), "0");
    let _both = (world.lets_in("10.2.0.1", true, "a"), world.lets_in("10.2.0.1", true, "a"));
    assert_eq!(visit.prove(b"the-token-of-tenant-a"), Err(Refused::Full));
    assert_eq!(visit.tenant().name(), "b", "it stays whose it was");
    drop(visit);
    assert_eq!(world.figure("elbow_tenant_connections_open{tenant=\"b\"}"), "0");
    assert_eq!(world.tenants.by_token(b"the-token-of-tenant-b").expect("a tenant").name(), "b");
    assert!(world.tenants.by_token(b"the-token-of-tenant-c").is_none());
}

#[test]
fn where_nobody_has_a_token_what_a_sender_says_as_one_means_nothing() {
    let world = world(&two(Unknown::Allow), &[]);
    let visit = world.lets_in("192.0.2.1", true, "");
    assert_eq!((visit.prove(b"whatever"), visit.tenant().name()), (Ok(()), ""));
}

#[test]
fn two_tenants_with_one_token_are_refused_and_what_was_before_stays() {
    let world = world(&two(Unknown::Allow), &[b"the-token-of-tenant-a", b""]);
    let same = tokens(&[b"a-token-of-both-of-them", b"a-token-of-both-of-them"]);
    let error = world.tenants.replace(&two(Unknown::Refuse), same).expect_err("nobody could tell whose it is");
    assert_eq!(error, SameToken { one: "a".to_owned(), other: "b".to_owned() });
    assert!(world.tenants.by_token(b"the-token-of-tenant-a").is_some() && !world.tenants.refuses_unknown());
    let twice = tokens(&[b"a-token-of-both-of-them\na-token-of-both-of-them", b""]);
    world.tenants.replace(&two(Unknown::Allow), twice).expect("one tenant may have it twice");
}

#[test]
fn a_reload_keeps_what_a_tenant_has_and_changes_what_it_may() {
    let world = world(&two(Unknown::Allow), &[]);
    let before = world.lets_in("10.2.0.1", false, "a");
    let only = |limits| TenantsPlan { unknown: Unknown::Refuse, tenants: vec![tenant("a", "10.0.0.0/8", limits)] };
    world.tenants.replace(&only(Limits { connections_max: Some(1), ..Limits::default() }), Vec::new()).expect("no tokens");
    world.refuses("10.1.0.1", false, Refused::Full);
    world.refuses("192.0.2.1", false, Refused::Unknown);
    assert_eq!(before.tenant().limits().connections_max, Some(2), "an open connection goes on as it was");
    drop(before);
    let after = world.lets_in("10.1.0.1", false, "a");
    assert_eq!(world.figure("elbow_tenant_connections_open{tenant=\"a\"}"), "1");
    assert_ne!(after.tenant().version(), 0);
}

#[tokio::test]
async fn a_tenant_over_its_rate_waits_and_is_told_to_come_again_and_nobody_else_is() {
    let mut plan = two(Unknown::Allow);
    plan.tenants[0].limits.events_per_second = Some(100);
    let world = world(&plan, &[]);
    let (a, b) = (world.lets_in("10.2.0.1", false, "a").tenant(), world.lets_in("10.1.0.1", false, "b").tenant());
    a.took(1_000, 100);
    assert!(a.is_ready() && a.verdict() == Verdict::Go);
    a.took(1_000, 30);
    let Verdict::TooMany { what: UsedUp::Rate, retry_after } = a.verdict() else { panic!("it is over its rate") };
    assert!((Duration::from_millis(100)..=Duration::from_millis(301)).contains(&retry_after), "{retry_after:?}");
    assert!(b.is_ready());
    let begun = Instant::now();
    timeout(MOMENT, a.ready()).await.expect("it waits for as long as that takes");
    assert!(begun.elapsed() >= Duration::from_millis(100), "{:?}", begun.elapsed());
    let stalled: f64 = world.figure("elbow_tenant_throttled_seconds_total{tenant=\"a\"}").parse().expect("a number");
    assert!(stalled >= 0.1, "{stalled}");
    assert_eq!(world.figure("elbow_tenant_turned_away_requests_total{tenant=\"a\"}"), "1");
    assert_eq!(world.figure("elbow_tenant_events_total{tenant=\"a\"}"), "130");
    assert_eq!(world.figure("elbow_tenant_received_bytes_total{tenant=\"a\"}"), "2000");
    assert_eq!(world.figure("elbow_tenant_silent_seconds{tenant=\"a\"}"), "0");
    assert_ne!(world.figure("elbow_tenant_last_seen_timestamp_seconds{tenant=\"a\"}"), "0");
    assert_eq!(world.figure("elbow_tenant_last_seen_timestamp_seconds{tenant=\"b\"}"), "0");
}

#[tokio::test]
async fn a_tenant_over_its_share_of_the_buffer_waits_until_sinks_have_made_room_and_nobody_else_does() {
    let mut plan = two(Unknown::Allow);
    plan.tenants[0].limits.buffer_percent = Some(10);
    let mut world = world(&plan, &[]);
    let (a, b) = (world.lets_in("10.2.0.1", false, "a").tenant(), world.lets_in("10.1.0.1", false, "b").tenant());
    let tenants = world.tenants.clone();
    let keeper = tokio::spawn(async move {
        loop {
            tenants.make_room(Duration::from_millis(1)).await;
        }
    });
    world.append(&b, 300_000).await;
    for _ in 0..10 {
        assert!(a.is_ready());
        world.append(&a, 10_240).await;
    }
    world.append(&a, 10_240).await;
    assert!(!a.is_ready() && b.is_ready(), "a tenth of the buffer is a's");
    assert_eq!(a.verdict(), Verdict::TooMany { what: UsedUp::Buffer, retry_after: Duration::from_secs(1) });
    let waiting = tokio::spawn(async move { a.ready().await });
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!waiting.is_finished());
    world.deliver(11);
    timeout(MOMENT, waiting).await.expect("it is woken").expect("no panic");
    assert_eq!(world.figure("elbow_tenant_buffer_bytes{tenant=\"a\"}"), "0");
    keeper.abort();
}

#[tokio::test]
async fn without_a_share_of_its_own_a_tenant_may_hold_as_much_as_is_free() {
    let world = world(&two(Unknown::Allow), &[]);
    let (a, b) = (world.lets_in("10.2.0.1", false, "a").tenant(), world.lets_in("10.1.0.1", false, "b").tenant());
    let mut entries = 0;
    while a.is_ready() {
        world.append(&a, 10_000).await;
        entries += 1;
    }
    assert!((50..=54).contains(&entries), "half of the buffer, and one entry: {entries}");
    world.append(&b, 10_000).await;
    assert!(b.is_ready());
}

#[tokio::test]
async fn what_may_be_given_up_is_in_nobodys_share() {
    let mut world = world(&two(Unknown::Allow), &[]);
    let shedder = world.cursors[0].shedder(Yields::Last);
    let a = world.lets_in("10.2.0.1", false, "a").tenant();
    for _ in 0..100 {
        assert!(a.is_ready());
        world.append(&a, 10_000).await;
    }
    drop(shedder);
    world.append(&a, 10_000).await;
    assert_eq!(world.buffer.fill().bytes, world.buffer.stat().bytes, "now senders wait for the sink, and all of it counts");
}

#[test]
fn without_tenants_nobody_waits_and_nothing_is_counted() {
    let intake = Intake::new(100);
    let tenants = Tenants::none(intake.clone(), Intake::new(100));
    let visit = tenants.admit(&at("192.0.2.1"), false).expect("everybody may send");
    let tenant = visit.tenant();
    tenant.took(1 << 40, 1 << 40);
    tenant.appended(Seq(0), 1 << 40);
    assert!(tenant.is_ready() && tenant.verdict() == Verdict::Go && !tenants.are_in_use());
    let all = tenant.intake().try_admit(100).expect("one may have everything");
    assert_eq!((intake.held_bytes(), tenant.name(), tenant.fields().len()), (100, "", 0));
    drop(all);
}
