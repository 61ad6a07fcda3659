//! Every metric there is: name, help, labels. Labels are names from the configuration and words of enums, never input.
//!
//! Counters of the intake are held as children and added to once per read. Figures that their owner keeps anyway (buffer,
//! budget, sinks) are copied when somebody asks. It decides nothing.

mod beats;
mod buffer;
mod http;
mod lookup;
mod sink;
mod source;
mod tenant;
mod tls;

use std::sync::Arc;
use std::sync::Mutex;

use prometheus::Encoder;
use prometheus::IntCounter;
use prometheus::IntCounterVec;
use prometheus::IntGauge;
use prometheus::IntGaugeVec;
use prometheus::Opts;
use prometheus::Registry;
use prometheus::TextEncoder;

use beats::BeatsFamilies;
pub use beats::BeatsMetrics;
use buffer::BufferFamilies;
pub use buffer::WriterMetrics;
use http::HttpFamilies;
pub use http::HttpMetrics;
pub use lookup::LookupMetrics;
use sink::SinkFamilies;
pub use sink::SinkFigures;
use source::BY_SOURCE;
pub use source::ConnectionEnd;
use source::LongerLines;
pub use source::SourceMetrics;
pub use tenant::NOBODY;
pub use tenant::OTHER;
pub use tenant::REFUSALS;
use tenant::TenantFamilies;
pub use tenant::TenantMetrics;
pub use tls::Handshake;
use tls::TlsFamilies;
pub use tls::TlsMetrics;

use crate::batch::Origin;
use crate::buffer::BufferStat;
use crate::process::Process;
use crate::redact::Rule;
use crate::tally::REASONS;
use crate::wire::proxy::Refusal;

/// Figures of everything that keeps its own, at one moment.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    /// The buffer.
    pub buffer: BufferStat,
    /// The dead letters.
    pub letters: Option<BufferStat>,
    /// Age of the oldest entry in whole seconds; zero when there is none.
    pub buffer_oldest_seconds: u64,
    /// Bytes of the memory budget that are taken, and the budget.
    pub memory_bytes: (u64, u64),
    /// Reads that wait for memory.
    pub memory_waiting: u64,
    /// One per sink.
    pub sinks: Vec<SinkFigures>,
}

/// The registry and what is filled in when somebody asks.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    source: SourceFamilies,
    http: HttpFamilies,
    beats: BeatsFamilies,
    lookup_reloads: IntCounterVec,
    tenant: TenantFamilies,
    tls: TlsFamilies,
    writer: WriterMetrics,
    asked: Mutex<AskedFamilies>,
}

#[derive(Debug)]
struct SourceFamilies {
    by_source: Vec<IntCounterVec>,
    events: IntCounterVec,
    rejects: IntCounterVec,
    dropped: IntCounterVec,
    open: IntGaugeVec,
    ended: IntCounterVec,
    refused: IntCounterVec,
    longer: IntCounterVec,
    redactions: IntCounterVec,
    rules: IntCounterVec,
}

impl Metrics {
    /// All families, without children.
    pub fn new() -> Self {
        let registry = Registry::new_custom(Some("elbow".to_owned()), None).expect("the prefix is a valid name");
        let by_source = BY_SOURCE.iter().map(|(name, help)| counters(&registry, &format!("source_{name}"), help, &["source"]));
        let source = SourceFamilies {
            by_source: by_source.collect(),
            events: counters(
                &registry,
                "source_events_total",
                "Events received, by what they were made from",
                &["source", "format"],
            ),
            rejects: counters(&registry, "source_rejects_total", "Lines no parser took, by reason", &["source", "reason"]),
            dropped: counters(
                &registry,
                "source_dropped_events_total",
                "Events dropped on purpose, by reason",
                &["source", "reason"],
            ),
            redactions: counters(
                &registry,
                "source_redactions_total",
                "Secrets replaced in lines before they became documents, by rule",
                &["source", "rule"],
            ),
            rules: counters(
                &registry,
                "source_rule_dropped_events_total",
                "Events dropped by a rule of the configuration, sampled ones included",
                &["source", "rule"],
            ),
            longer: counters(
                &registry,
                "source_unknown_field_lines_total",
                "Load-balancer lines with more fields than are known, by kind and number of fields: AWS has added one",
                &["source", "format", "tokens"],
            ),
            open: gauges(&registry, "source_connections_open", "Connections open now", &["source"]),
            ended: counters(&registry, "source_connections_ended_total", "Connections ended, by how", &["source", "reason"]),
            refused: counters(
                &registry,
                "source_proxy_refusals_total",
                "Connections closed for the PROXY header they had or had not, by reason",
                &["source", "reason"],
            ),
        };
        let accept = counters(&registry, "source_accept_errors_total", "Connections that could not be accepted", &["source"]);
        let mut source = source;
        source.by_source.push(accept);
        let info = gauges(&registry, "build_info", "The running version; always 1", &["version"]);
        info.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        let asked = Mutex::new(AskedFamilies::new(&registry));
        let lookup_reloads = counters(
            &registry,
            "lookup_reloads_total",
            "Changed files that lines are looked up in, by whether they could be used",
            &["lookup", "result"],
        );
        let tenant = TenantFamilies::new(&registry);
        let writer = WriterMetrics::new(&registry);
        let http = HttpFamilies::new(&registry);
        let tls = TlsFamilies::new(&registry);
        let beats = BeatsFamilies::new(&registry);
        Self { registry, source, http, beats, lookup_reloads, tenant, tls, writer, asked }
    }

    /// What the writers of the buffer and the dead letters add to.
    pub fn writer(&self) -> WriterMetrics {
        self.writer.clone()
    }

    /// What only a Beats source counts.
    pub fn beats(&self, source: &str) -> BeatsMetrics {
        self.beats.of(source)
    }

    /// The counters of something that lines are looked up in.
    pub fn lookup(&self, name: &str) -> LookupMetrics {
        let reloads = |result| self.lookup_reloads.with_label_values(&[name, result]);
        LookupMetrics { loaded: reloads("loaded"), refused: reloads("refused") }
    }

    /// What is counted of the tenant of this name; of everybody who is none where it is empty.
    pub fn tenant(&self, name: &str) -> TenantMetrics {
        self.tenant.tenant(name)
    }

    /// The counters of what says who the tenants are.
    pub fn tenant_reloads(&self) -> LookupMetrics {
        self.tenant.reloads()
    }

    /// The counters of a source that takes requests over HTTP.
    pub fn http(&self, source: &str) -> HttpMetrics {
        self.http.of(source)
    }

    /// What is counted of the TLS of a source that has it.
    pub fn tls(&self, source: &str) -> TlsMetrics {
        self.tls.of(source)
    }

    /// The counters of a source with rules of these names.
    pub fn source(&self, name: &str, rules: &[String]) -> SourceMetrics {
        let mut children = self.source.by_source.iter().map(|family| family.with_label_values(&[name]));
        let mut next = || children.next().expect("there is a family for each counter");
        SourceMetrics {
            received_bytes: next(),
            blank: next(),
            control: next(),
            dead_letters: next(),
            preambles: next(),
            preamble_members_ignored: next(),
            cut: next(),
            bad_times: next(),
            invalid_utf8: next(),
            skipped_bytes: next(),
            unfinished_bytes: next(),
            unread_bytes: next(),
            connections: next(),
            accept_errors: next(),
            dropped_rejects: self.source.dropped.with_label_values(&[name, "reject"]),
            dropped_by_rules: self.source.dropped.with_label_values(&[name, "rule"]),
            rules: rules.iter().map(|rule| self.source.rules.with_label_values(&[name, rule])).collect(),
            redactions: Rule::ALL.iter().map(|rule| self.source.redactions.with_label_values(&[name, rule.label()])).collect(),
            dropped_at_stop: self.source.dropped.with_label_values(&[name, "stopped"]),
            dropped_refused: self.source.dropped.with_label_values(&[name, "refused"]),
            events: Origin::ALL.iter().map(|origin| self.source.events.with_label_values(&[name, origin.label()])).collect(),
            rejects: REASONS.iter().map(|reason| self.source.rejects.with_label_values(&[name, reason])).collect(),
            longer: LongerLines { source: name.to_owned(), family: self.source.longer.clone(), seen: Arc::default() },
            refused: Refusal::ALL.iter().map(|refusal| self.source.refused.with_label_values(&[name, refusal.label()])).collect(),
            connections_open: self.source.open.with_label_values(&[name]),
            connections_ended: ConnectionEnd::ALL
                .iter()
                .map(|end| self.source.ended.with_label_values(&[name, end.label()]))
                .collect(),
        }
    }

    /// Everything in the Prometheus text format, with these figures.
    pub fn render(&self, figures: &Figures) -> String {
        let mut asked = self.asked.lock().expect("nobody panics while figures are copied");
        asked.copy(figures);
        let mut text = Vec::new();
        for families in [self.registry.gather(), asked.process.read()] {
            TextEncoder::new().encode(&families, &mut text).expect("memory takes everything");
        }
        drop(asked);
        String::from_utf8(text).expect("metrics are text")
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

/// Families whose figures others keep.
#[derive(Debug)]
struct AskedFamilies {
    buffer: BufferFamilies,
    memory: [IntGauge; 3],
    sinks: SinkFamilies,
    process: Process,
}

impl AskedFamilies {
    fn new(registry: &Registry) -> Self {
        let gauge = |name: &str, help: &str| gauges(registry, name, help, &[]).with_label_values(&[] as &[&str]);
        Self {
            buffer: BufferFamilies::new(registry),
            memory: [
                gauge("memory_bytes", "Bytes of the memory budget that are taken"),
                gauge("memory_max_bytes", "The memory budget"),
                gauge("memory_waiting_reads", "Reads that wait for memory: senders are being held back"),
            ],
            sinks: SinkFamilies::new(registry),
            process: Process::new(),
        }
    }

    fn copy(&mut self, figures: &Figures) {
        self.buffer.copy(&figures.buffer, figures.buffer_oldest_seconds, figures.letters.as_ref());
        let memory = [figures.memory_bytes.0, figures.memory_bytes.1, figures.memory_waiting];
        for (gauge, value) in self.memory.iter().zip(memory) {
            gauge.set(signed(value));
        }
        figures.sinks.iter().for_each(|sink| self.sinks.copy(sink));
    }
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// Moves a counter up to what its owner counted.
fn raise(counter: &IntCounter, to: u64) {
    counter.inc_by(to.saturating_sub(counter.get()));
}

fn counters(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
    let family = IntCounterVec::new(Opts::new(name, help), labels).expect("names and labels are valid");
    registry.register(Box::new(family.clone())).expect("each name is registered once");
    family
}

fn gauges(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
    let family = IntGaugeVec::new(Opts::new(name, help), labels).expect("names and labels are valid");
    registry.register(Box::new(family.clone())).expect("each name is registered once");
    family
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tally::Tally;

    #[test]
    fn a_read_is_counted_under_its_source() {
        let metrics = Metrics::new();
        let source = metrics.source("web", &[]);
        let mut tally = Tally::default();
        tally.event(Origin::Alb);
        tally.event(Origin::Reject);
        tally.reject("too_few_fields");
        source.read(99, &tally);
        source.connected();
        source.disconnected(ConnectionEnd::Reset);
        source.accept_failed();
        let figures = Figures {
            buffer: BufferStat { events_appended: 2, ..BufferStat::default() },
            sinks: vec![SinkFigures { name: "out".into(), delivered: 1, buffered: 1, ..Default::default() }],
            ..Default::default()
        };
        let text = metrics.render(&figures);
        for line in [
            "elbow_source_received_bytes_total{source=\"web\"} 99",
            "elbow_source_events_total{format=\"alb\",source=\"web\"} 1",
            "elbow_source_rejects_total{reason=\"too_few_fields\",source=\"web\"} 1",
            "elbow_source_connections_ended_total{reason=\"reset\",source=\"web\"} 1",
            "elbow_source_accept_errors_total{source=\"web\"} 1",
            "elbow_source_connections_open{source=\"web\"} 0",
            "elbow_buffer_appended_events_total 2",
            "elbow_sink_delivered_events_total{sink=\"out\"} 1",
        ] {
            assert!(text.lines().any(|have| have == line), "{line}\n{text}");
        }
    }
}
