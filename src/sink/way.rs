//! A sink as it is while the relay runs: what it was decided to be, its TLS, and what it shows of itself.

use std::sync::Arc;
use std::time::Duration;

use crate::buffer::Cursor;
use crate::net::tls::ClientTls;
use crate::net::tls::TlsError;
use crate::select::Select;
use crate::select::SelectPlan;
use crate::sink::DeadLetters;
use crate::sink::Shedding;
use crate::sink::SinkError;
use crate::sink::SinkKind;
use crate::sink::SinkPlan;
use crate::sink::SinkState;
use crate::sink::WhenFull;
use crate::sink::connect::Dialer;
use crate::sink::dispatch;
use crate::sink::dispatch::Courier;
use crate::sink::elasticsearch::Elasticsearch;
use crate::sink::fallback;
use crate::sink::file;
use crate::sink::http::HttpClient;
use crate::sink::http_post::HttpPost;
use crate::sink::logstash_tcp;
use crate::sink::lumberjack;
use crate::sink::stdout;
use crate::sink::supply::Supply;
use crate::stop::StopWatch;

/// One destination.
#[derive(Debug)]
pub(super) struct Way {
    kind: SinkKind,
    tls: Option<Arc<ClientTls>>,
    pub(super) state: Arc<SinkState>,
}

/// A sink and the one that stands in for it while it is down, ready to run.
#[derive(Debug)]
pub struct Sink {
    first: Way,
    fallback: Option<(Way, Duration)>,
    when: Option<SelectPlan>,
    when_full: WhenFull,
}

impl Sink {
    /// Loads the TLS of a sink and of its fallback. Blocks as long as the disk does.
    ///
    /// # Errors
    /// Whose files are no use, and why.
    pub fn load(plan: SinkPlan) -> Result<Self, (String, TlsError)> {
        let SinkPlan { name, kind, fallback, when, when_full } = plan;
        let fallback = fallback.map(|fallback| Way::load(fallback.name, fallback.kind, None).map(|way| (way, fallback.after)));
        let fallback = fallback.transpose()?.inspect(|(way, _)| way.state.standing_by());
        let state = fallback.as_ref().map(|(way, _)| way.state.clone());
        Ok(Self { first: Way::load(name, kind, state)?, fallback, when, when_full })
    }

    /// What it shows of itself.
    pub fn state(&self) -> &Arc<SinkState> {
        &self.first.state
    }

    /// Who has which TLS.
    pub fn tls(&self) -> impl Iterator<Item = (&str, &Arc<ClientTls>)> {
        let ways = std::iter::once(&self.first).chain(self.fallback.iter().map(|(way, _)| way));
        ways.filter_map(|way| way.tls.as_ref().map(|tls| (way.name(), tls)))
    }

    /// What gives up its oldest documents when the buffer is full, where that was asked for; to be run beside it.
    pub fn shedding(&self, cursor: &mut Cursor, letters: &DeadLetters) -> Option<Shedding> {
        let select = self.when.clone().map(Select::new);
        Shedding::new(self.when_full, cursor, select, letters, self.first.state.clone())
    }

    /// Delivers until the buffer is closed and everything in it is acked, or until [`Phase::Stop`](crate::stop::Phase::Stop).
    ///
    /// What is left then is in the buffer's figures. Dropping the future is the same as that phase.
    ///
    /// # Errors
    /// When the sink cannot go on and the relay has to stop; everything that may pass is retried instead.
    pub async fn run(self, cursor: Cursor, letters: DeadLetters, stop: StopWatch) -> Result<(), SinkError> {
        let mut supply = Supply::new(cursor, self.when.map(Select::new), self.first.state.clone());
        let done = match &self.fallback {
            Some((second, after)) => fallback::run(&self.first, second, *after, &mut supply, letters, stop).await,
            None => self.first.deliver(&mut supply, letters, stop).await,
        };
        if done.is_ok() {
            self.first.state.ended();
        }
        done
    }
}

impl Way {
    fn load(name: String, kind: SinkKind, fallback: Option<Arc<SinkState>>) -> Result<Self, (String, TlsError)> {
        let tls = match kind.dial().and_then(|dial| dial.tls.as_ref()) {
            Some(tls) => match ClientTls::load(tls, kind.alpn()) {
                Ok(tls) => Some(Arc::new(tls)),
                Err(error) => return Err((name, error)),
            },
            None => None,
        };
        Ok(Self { kind, tls, state: Arc::new(SinkState::new(name).with_fallback(fallback)) })
    }

    /// The sink's name.
    pub(super) fn name(&self) -> &str {
        self.state.name()
    }

    /// Delivers to what it is.
    pub(super) async fn deliver(&self, supply: &mut Supply, letters: DeadLetters, stop: StopWatch) -> Result<(), SinkError> {
        let (state, tls) = (&self.state, self.tls.clone());
        match self.kind.clone() {
            SinkKind::Stdout => stdout::run(supply, state, stop).await,
            SinkKind::File(plan) => file::run(plan, supply, state, stop).await,
            SinkKind::LogstashTcp(plan) => {
                let dialer = Dialer::new(&plan.dial, tls);
                logstash_tcp::run(plan, dialer, supply, state, stop).await
            }
            SinkKind::Lumberjack(plan) => {
                let dialer = Dialer::new(&plan.dial, tls);
                lumberjack::run(plan, dialer, supply, state.clone(), stop).await
            }
            SinkKind::Elasticsearch(plan) => {
                let pace = plan.pace;
                let client = HttpClient::new(plan.http.clone(), Dialer::new(&plan.http.dial, tls));
                dispatch::run(Elasticsearch::new(*plan, client), pace, supply, letters, state.clone(), stop).await
            }
            SinkKind::HttpPost(plan) => {
                let pace = plan.pace;
                let client = HttpClient::new(plan.http.clone(), Dialer::new(&plan.http.dial, tls));
                dispatch::run(HttpPost::new(*plan, client), pace, supply, letters, state.clone(), stop).await
            }
        }
    }

    /// Finds out whether there is somebody who could take documents, and gives them none.
    ///
    /// # Errors
    /// Why there is nobody.
    pub(super) async fn reach(&self) -> Result<(), SinkError> {
        let tls = self.tls.clone();
        match &self.kind {
            SinkKind::Stdout | SinkKind::File(_) => Ok(()),
            SinkKind::LogstashTcp(plan) => Dialer::new(&plan.dial, tls).connect_any(&plan.hosts, &mut 0).await.map(drop),
            SinkKind::Lumberjack(plan) => Dialer::new(&plan.dial, tls).connect_any(&plan.hosts, &mut 0).await.map(drop),
            SinkKind::Elasticsearch(plan) => {
                let client = HttpClient::new(plan.http.clone(), Dialer::new(&plan.http.dial, tls));
                let greeted = Elasticsearch::new((**plan).clone(), client).greet(&self.state).await;
                greeted.map_err(|failed| failed.error)
            }
            SinkKind::HttpPost(plan) => {
                let hosts: Vec<String> = plan.http.hosts.iter().map(|host| host.address.clone()).collect();
                Dialer::new(&plan.http.dial, tls).connect_any(&hosts, &mut 0).await.map(drop)
            }
        }
    }
}
