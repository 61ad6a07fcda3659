//! Puts the parts together: opens the listeners and where events are kept, and starts one task per source and sink. How they are
//! stopped is in `ending`.
//!
//! It is the only place that starts long-lived tasks, and it decides no configuration.

mod ending;
mod kind;
mod listening;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::admin;
use super::admin::AdminPlan;
use super::certificates;
use super::certificates::Certificate;
use super::certificates::Trust;
use super::feeds::Feeds;
use super::feeds::ids;
use super::health;
use super::health::HealthPlan;
use super::ids::Ids;
use super::look::Looks;
use super::look::look;
use super::lookups::LookupPlan;
use super::lookups::Lookups;
use super::lookups::keep_fresh;
use super::overview::Overview;
use super::plan::ParsePlan;
use super::pool::Pool;
use super::pressure;
use super::reload::Reload;
use super::start_error::StartError;
use super::storage::Storage;
use super::storage::Writers;
use super::tenancy;
use super::tenancy::Tenancy;
use crate::batch::SourceId;
use crate::buffer::BufferPlan;
use crate::buffer::DiskPlan;
use crate::event_id::IdKey;
use crate::intake::Intake;
use crate::metrics::Metrics;
use crate::metrics::SourceMetrics;
use crate::net::handed::Handed;
use crate::net::tls::ServerTls;
use crate::sink::DeadLetters;
use crate::sink::SinkError;
use crate::sink::SinkPlan;
use crate::source::Means;
use crate::source::Opening;
use crate::source::beats::BeatsSource;
use crate::source::beats::Said;
use crate::source::door::Door;
use crate::source::door::DoorPlan;
use crate::source::handshake::Lock;
use crate::source::http::HttpSource;
use crate::source::tcp::TcpSource;
use crate::stop::StopHandle;
use crate::stop::stop;
use crate::tenant::plan::TenantsPlan;
use crate::waiting::WaitingEvents;
pub use ending::Ended;
pub use kind::SourceKind;
pub use kind::TAKES_LINES;
pub use kind::TAKES_REQUESTS;

/// A relay, as decided.
#[derive(Clone, Debug, PartialEq)]
pub struct RelayPlan {
    /// Most bytes of log data held in memory at once, wherever they are.
    pub memory_bytes_max: u64,
    /// The buffer.
    pub buffer: BufferPlan,
    /// Where rejected lines and refused documents are kept; `None` without a data directory.
    pub dead_letters: Option<DiskPlan>,
    /// The admin listener; `None` when it is switched off.
    pub admin: Option<AdminPlan>,
    /// The listener for health checks; `None` where there is none.
    pub health: Option<HealthPlan>,
    /// The sources; at least one.
    pub sources: Vec<SourcePlan>,
    /// The sinks; at least one.
    pub sinks: Vec<SinkPlan>,
    /// What lines are looked up in.
    pub lookups: Vec<LookupPlan>,
    /// Who may send, and how much.
    pub tenants: TenantsPlan,
    /// The key event ids are computed under.
    pub id_key: IdKey,
}

/// A source and what becomes of its lines, as decided.
#[derive(Clone, Debug, PartialEq)]
pub struct SourcePlan {
    /// Its name, and who may come in where.
    pub door: DoorPlan,
    /// What it speaks.
    pub kind: SourceKind,
    /// How what it takes becomes documents.
    pub parse: ParsePlan,
}

/// The part of the memory budget that unfinished long lines may hold together: one in so many bytes.
const UNFINISHED_PART: u64 = 4;

/// Free buffers kept for reuse, in bytes: those of two requests of a sink, which come back together. They are part of what the process holds
/// beside the budget.
const POOL_BYTES_MAX: usize = 12 * 1024 * 1024;

/// A running relay.
#[derive(Debug)]
pub struct Relay {
    /// Name and address of each source, and what it takes in words, in the order of the plan.
    pub sources: Vec<(String, SocketAddr, &'static str)>,
    /// Address of the admin listener.
    pub admin: Option<SocketAddr>,
    /// Address of the health listener.
    pub health: Option<SocketAddr>,
    overview: Overview,
    stop: StopHandle,
    /// Where goes what the destinations of sinks refuse, and what of sinks is given up.
    refused: DeadLetters,
    source_metrics: Vec<SourceMetrics>,
    source_tasks: JoinSet<()>,
    sink_tasks: JoinSet<(String, Result<(), SinkError>)>,
    /// What gives up documents of sinks when the buffer is full.
    shed_tasks: JoinSet<()>,
    admin_task: Option<JoinHandle<()>>,
    health_task: Option<JoinHandle<()>>,
    lookup_task: Option<JoinHandle<()>>,
    tenant_task: Option<(JoinHandle<()>, mpsc::Sender<TenantsPlan>)>,
    certificate_task: Option<JoinHandle<()>>,
    reload: Reload,
    writers: Writers,
}

/// What a source's task needs, opened but not started.
struct OpenSource {
    plan: SourcePlan,
    listener: TcpListener,
    looks: Arc<Looks>,
    tls: Option<Arc<ServerTls>>,
}

impl Relay {
    /// Opens every listener and starts every task. Connections are accepted from here on.
    ///
    /// Sources listen on the sockets of their names in `handed` where there are such.
    ///
    /// # Errors
    /// When a listener cannot be opened; then nothing has been started.
    pub async fn start(plan: RelayPlan, mut handed: Handed) -> Result<Self, StartError> {
        let mut nonce = [0; 12];
        getrandom::fill(&mut nonce).map_err(|error| StartError::Random(error.into()))?;
        let lookups = plan.lookups;
        let lookups = tokio::task::spawn_blocking(move || Lookups::load(&lookups)).await.expect("loading does not panic")?;
        let mut open = Vec::new();
        let is_only = plan.sources.len() == 1;
        for source in plan.sources {
            let name = source.door.name.clone();
            let look =
                look(&source.parse, plan.id_key, &lookups).map_err(|source| StartError::Look { name: name.clone(), source })?;
            let looks = Arc::new(Looks::new(Arc::new(look)));
            tenancy::check(&plan.tenants, &name, &looks)?;
            let (source, tls) = listening::tls(source).await?;
            let listener = listening::source(&source.door, &mut handed, is_only).await?;
            open.push(OpenSource { plan: source, listener, looks, tls });
        }
        listening::nothing_left(&handed)?;
        let sinks = listening::sinks(plan.sinks).await?;
        let tenants = plan.tenants;
        let tenancy = tokio::task::spawn_blocking(move || Tenancy::read(tenants)).await.expect("reading does not panic")?;
        let admin_listener = match &plan.admin {
            Some(admin) => Some(listening::open("the admin listener", &admin.address, false).await?),
            None => None,
        };
        let health = match plan.health {
            Some(health) => Some((listening::open("the health listener", &health.address, false).await?, health)),
            None => None,
        };
        let (stop, watch) = stop();
        let metrics = Arc::new(Metrics::new());
        let storage = {
            let (buffer, letters, metrics) = (plan.buffer, plan.dead_letters, metrics.clone());
            let names = open.iter().map(|source| source.plan.door.name.clone()).collect::<Vec<_>>();
            let sinks = sinks.iter().map(|sink| sink.state().name().to_owned()).collect::<Vec<_>>();
            let opening = move || Storage::open(&buffer, letters.as_ref(), &names, &sinks, &metrics);
            tokio::task::spawn_blocking(opening).await.expect("opening does not panic")?
        };
        let Storage { buffer, letters, cursors, writers } = storage;
        let intake = Intake::new(plan.memory_bytes_max);
        let states = sinks.iter().map(|sink| sink.state().clone()).collect();
        let waiting = WaitingEvents::default();
        let unfinished = Intake::new(plan.memory_bytes_max / UNFINISHED_PART);
        let means = (intake.clone(), unfinished.clone(), buffer.clone());
        let looks = open.iter().map(|source| (source.plan.door.name.clone(), source.looks.clone())).collect();
        let keeper = tenancy.open(means, &metrics, looks)?;
        let tenants = keeper.tenants().clone();
        let overview = Overview { metrics, buffer, letters, intake, tenants, sinks: states, waiting, stop: watch.clone() };
        let reload = Reload::new();
        let refused = DeadLetters::new(overview.letters.clone());
        let mut relay = Self {
            sources: Vec::new(),
            admin: admin_listener.as_ref().and_then(|listener| listener.local_addr().ok()),
            health: health.as_ref().and_then(|(listener, _)| listener.local_addr().ok()),
            overview,
            stop,
            refused,
            source_metrics: Vec::new(),
            source_tasks: JoinSet::new(),
            sink_tasks: JoinSet::new(),
            shed_tasks: JoinSet::new(),
            admin_task: None,
            health_task: None,
            reload: reload.clone(),
            lookup_task: None,
            tenant_task: keeper.keep(reload.looks()),
            certificate_task: None,
            writers,
        };
        relay.admin_task = admin_listener.map(|listener| tokio::spawn(admin::serve(listener, relay.overview.clone())));
        relay.health_task = health.map(|(listener, plan)| tokio::spawn(health::serve(listener, plan, relay.overview.clone())));
        let mut trusts = Vec::new();
        for (sink, mut cursor) in sinks.into_iter().zip(cursors) {
            let (name, watch) = (sink.state().name().to_owned(), watch.clone());
            let letters = relay.refused.clone();
            if let Some(shedding) = sink.shedding(&mut cursor, &letters) {
                relay.shed_tasks.spawn(shedding.run(watch.clone()));
            }
            trusts.extend(sink.tls().map(|(sink, tls)| Trust { sink: sink.to_owned(), tls: tls.clone() }));
            relay.sink_tasks.spawn(async move { (name, sink.run(cursor, letters, watch).await) });
        }
        if !relay.shed_tasks.is_empty() {
            let (intake, buffer) = (relay.overview.intake.clone(), relay.overview.buffer.clone());
            relay.shed_tasks.spawn(pressure::press(intake, buffer, watch.clone()));
        }
        relay.keep_lookups_fresh(lookups, &open);
        relay.keep_certificates_fresh(&open, trusts);
        let pool = Pool::new(POOL_BYTES_MAX);
        let connections = Arc::new(AtomicU64::new(0));
        for (index, source) in open.into_iter().enumerate() {
            let id = SourceId(u16::try_from(index).expect("there are at most 256 sources"));
            relay.start_source(source, id, ids(plan.id_key, nonce, id, &connections), &pool, &unfinished);
        }
        Ok(relay)
    }

    fn keep_lookups_fresh(&mut self, lookups: Lookups, sources: &[OpenSource]) {
        let uses = |source: &OpenSource| (source.plan.parse.lookups.clone(), source.looks.plain().handling().enrichment.clone());
        let sources = sources.iter().map(uses).collect();
        self.lookup_task = Some(tokio::spawn(keep_fresh(lookups, sources, self.overview.metrics.clone(), self.reload.looks())));
    }

    fn keep_certificates_fresh(&mut self, sources: &[OpenSource], trusts: Vec<Trust>) {
        let certificate = |source: &OpenSource| {
            let (tls, name) = (source.tls.clone()?, source.plan.door.name.clone());
            let certificate = Certificate { tls, metrics: self.overview.metrics.tls(&name), source: name };
            certificate.announce();
            Some(certificate)
        };
        let all: Vec<Certificate> = sources.iter().filter_map(certificate).collect();
        if !all.is_empty() || !trusts.is_empty() {
            self.certificate_task = Some(tokio::spawn(certificates::keep_fresh(all, trusts, self.reload.looks())));
        }
    }

    fn start_source(
        &mut self,
        source: OpenSource,
        id: SourceId,
        ids: impl Fn() -> Ids + Send + Sync + 'static,
        pool: &Pool,
        unfinished: &Intake,
    ) {
        let OpenSource { plan: SourcePlan { door, kind, parse }, listener, looks, tls } = source;
        let address = listener.local_addr().expect("a listener has an address");
        self.sources.push((door.name.clone(), address, kind.takes()));
        let rules: Vec<String> = parse.rules.iter().map(|rule| rule.name.clone()).collect();
        let metrics = self.overview.metrics.source(&door.name, &rules);
        self.source_metrics.push(metrics.clone());
        let feeds = Feeds { parse, looks, source: id, pool: pool.clone(), metrics: Arc::new(metrics.clone()) };
        let make_feed = move |opening: &Opening<'_>| feeds.open(opening, ids());
        let (intake, buffer) = (self.overview.intake.clone(), self.overview.buffer.clone());
        let (waiting, unfinished) = (self.overview.waiting.clone(), unfinished.clone());
        let means = Means { intake, unfinished, buffer, waiting, metrics: metrics.clone(), make_feed };
        let lock = tls.map(|tls| Lock::new(door.name.clone(), tls, self.overview.metrics.tls(&door.name)));
        let tenants = self.overview.tenants.clone();
        let (door, watch) = (Door::new(door, metrics, lock, tenants), self.stop.watch());
        match kind {
            SourceKind::Tcp(plan) => self.source_tasks.spawn(door.run(listener, TcpSource { plan, means }, watch)),
            SourceKind::Http(plan) => {
                let metrics = self.overview.metrics.http(means.metrics.name());
                self.source_tasks.spawn(door.run(listener, HttpSource::new(plan, means, metrics), watch))
            }
            SourceKind::Beats(plan) => {
                let metrics = self.overview.metrics.beats(means.metrics.name());
                let source = BeatsSource { plan, means, metrics, said: Said::default() };
                self.source_tasks.spawn(door.run(listener, source, watch))
            }
        };
    }

    /// Has the files looked at that are looked at now and then.
    pub fn reload(&self) -> Reload {
        self.reload.clone()
    }

    /// Where other tenants are sent to that take the place of those there are; nothing where senders were not told apart at
    /// the start.
    pub fn tenants(&self) -> Option<mpsc::Sender<TenantsPlan>> {
        self.tenant_task.as_ref().map(|(_, plans)| plans.clone())
    }

    /// What the relay looks like from outside.
    pub fn overview(&self) -> &Overview {
        &self.overview
    }

    /// Runs until `asked` is ready or something fails for good, then stops in phases. `hurry` ends the waiting for
    /// senders and sinks.
    pub async fn run_until(mut self, asked: impl Future<Output = ()>, hurry: impl Future<Output = ()>) -> Ended {
        let mut failure = None;
        let mut is_hopeless = false;
        tokio::pin!(asked);
        tokio::select! {
            () = &mut asked => {}
            reason = failed(&mut self.sink_tasks, &mut self.source_tasks) => {
                tracing::error!(%reason, "the relay cannot go on and stops");
                is_hopeless = self.sink_tasks.is_empty();
                failure = Some(reason);
            }
            storage = ending::storage_failed(&self.overview) => {
                let reason = storage.reason.clone();
                is_hopeless = storage.is_fatal;
                self.take_nothing_more(storage, asked).await;
                failure = Some(reason);
            }
        }
        let begun = Instant::now();
        let hurried = if is_hopeless {
            tracing::warn!("there is nothing to wait for: senders are cut off, and have to send again what was not confirmed");
            false
        } else {
            let stopping = self.stop_in_phases(begun);
            tokio::select! {
                () = stopping => false,
                () = hurry => true,
            }
        };
        if hurried {
            tracing::warn!("asked again to stop: what is not delivered stays behind");
        }
        self.end(failure).await
    }
}

/// Waits until a sink or a source ends although nobody asked it to, and says why.
async fn failed(sinks: &mut JoinSet<(String, Result<(), SinkError>)>, sources: &mut JoinSet<()>) -> String {
    tokio::select! {
        Some(ended) = sinks.join_next() => match ended {
            Ok((name, Err(error))) => format!("sink {name}: {}; {}", error.words(), error.remedy()),
            Ok((name, Ok(()))) => format!("sink {name} ended by itself"),
            Err(error) => format!("a sink's task broke off: {error}"),
        },
        Some(ended) = sources.join_next() => match ended {
            Ok(()) => "a source ended by itself".to_owned(),
            Err(error) => format!("a source's task broke off: {error}"),
        },
    }
}
