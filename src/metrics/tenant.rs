//! The counters and gauges of one tenant.
//!
//! Tenants are named by the configuration, and there may be a great many; so only the first ones have series of their own, and
//! the others are counted together.

use std::sync::Mutex;
use std::time::Duration;

use prometheus::Counter;
use prometheus::CounterVec;
use prometheus::IntCounter;
use prometheus::IntCounterVec;
use prometheus::IntGauge;
use prometheus::IntGaugeVec;
use prometheus::Opts;
use prometheus::Registry;

use super::LookupMetrics;
use super::counters;
use super::gauges;
use super::signed;

/// Tenants with series of their own, everybody who is no tenant included.
const TENANT_SERIES_MAX: usize = 256;

/// The label of everybody who is no tenant.
pub const NOBODY: &str = "_unknown";

/// The label of all tenants that have no series of their own.
pub const OTHER: &str = "_other";

/// The words for why a connection is refused.
pub const REFUSALS: [&str; 4] = ["unknown", "several", "token", "connections"];

/// The families of all tenants.
#[derive(Debug)]
pub(super) struct TenantFamilies {
    bytes: IntCounterVec,
    events: IntCounterVec,
    cut_members: IntCounterVec,
    stalled: CounterVec,
    turned_away: IntCounterVec,
    refused: IntCounterVec,
    reloads: IntCounterVec,
    gauges: [IntGaugeVec; 5],
    labels: Mutex<Vec<String>>,
}

/// What is counted of one tenant, or of all that have no series of their own.
#[derive(Debug)]
pub struct TenantMetrics {
    bytes: IntCounter,
    events: IntCounter,
    cut_members: IntCounter,
    stalled: Counter,
    turned_away: IntCounter,
    refused: [IntCounter; REFUSALS.len()],
    /// None where they would be those of several: levels cannot be added up here.
    gauges: Option<[IntGauge; 5]>,
}

impl TenantFamilies {
    pub(super) fn new(registry: &Registry) -> Self {
        let family = |name: &str, help: &str| counters(registry, name, help, &["tenant"]);
        let gauge = |name: &str, help: &str| gauges(registry, name, help, &["tenant"]);
        let stalled = "Time connections were held back because their tenant was over a limit";
        let stalled = CounterVec::new(Opts::new("tenant_throttled_seconds_total", stalled), &["tenant"]);
        let stalled = stalled.expect("names and labels are valid");
        registry.register(Box::new(stalled.clone())).expect("each name is registered once");
        Self {
            bytes: family("tenant_received_bytes_total", "Bytes read from a tenant's senders"),
            events: family("tenant_events_total", "Events received from a tenant's senders"),
            cut_members: family(
                "tenant_cut_members_total",
                "Members of events and fields of preambles that had the name of one of the tenant's fields, and were left out",
            ),
            stalled,
            turned_away: family("tenant_turned_away_requests_total", "Requests told to come again: the tenant was over a limit"),
            refused: counters(
                registry,
                "tenant_refused_connections_total",
                "Connections closed because their sender may not send, or not on one more",
                &["tenant", "reason"],
            ),
            reloads: counters(
                registry,
                "tenant_reloads_total",
                "Changed tenants or files of tokens, by whether they could be used",
                &["result"],
            ),
            gauges: [
                gauge("tenant_connections_open", "Connections of a tenant that are open now"),
                gauge("tenant_memory_bytes", "Bytes of the memory budget that a tenant holds"),
                gauge("tenant_buffer_bytes", "Bytes of the buffer that a tenant holds"),
                gauge(
                    "tenant_last_seen_timestamp_seconds",
                    "When something last came from a tenant, in seconds since 1970; 0: never",
                ),
                gauge("tenant_silent_seconds", "How long nothing has come from a tenant; 0 where nothing ever has"),
            ],
            labels: Mutex::default(),
        }
    }

    /// The counters of what says who the tenants are.
    pub(super) fn reloads(&self) -> LookupMetrics {
        let reloads = |result| self.reloads.with_label_values(&[result]);
        LookupMetrics { loaded: reloads("loaded"), refused: reloads("refused") }
    }

    /// What is counted of the tenant of this name; of nobody where it is empty.
    pub(super) fn tenant(&self, name: &str) -> TenantMetrics {
        let name = if name.is_empty() { NOBODY } else { name };
        let mut labels = self.labels.lock().expect("nobody panics while labels are given");
        let is_known = labels.iter().any(|label| label == name);
        if !is_known && labels.len() < TENANT_SERIES_MAX {
            labels.push(name.to_owned());
        }
        let has_own = is_known || labels.last().is_some_and(|label| label == name);
        let label = if has_own { name } else { OTHER };
        TenantMetrics {
            bytes: self.bytes.with_label_values(&[label]),
            events: self.events.with_label_values(&[label]),
            cut_members: self.cut_members.with_label_values(&[label]),
            stalled: self.stalled.with_label_values(&[label]),
            turned_away: self.turned_away.with_label_values(&[label]),
            refused: REFUSALS.map(|reason| self.refused.with_label_values(&[label, reason])),
            gauges: has_own.then(|| self.gauges.each_ref().map(|family| family.with_label_values(&[label]))),
        }
    }
}

impl TenantMetrics {
    /// Adds a read.
    pub fn took(&self, bytes: u64, events: u64) {
        self.bytes.inc_by(bytes);
        self.events.inc_by(events);
    }

    /// Adds members that were left out because the tenant has fields of their names.
    pub fn cut_members(&self, members: u64) {
        self.cut_members.inc_by(members);
    }

    /// Adds time a connection was held back.
    pub fn stalled(&self, time: Duration) {
        self.stalled.inc_by(time.as_secs_f64());
    }

    /// Counts a request that was told to come again.
    pub fn turned_away(&self) {
        self.turned_away.inc();
    }

    /// Counts a refused connection, by the place of the reason among [`REFUSALS`].
    pub fn refused(&self, reason: usize) {
        self.refused[reason].inc();
    }

    /// Shows levels: times are microseconds.
    pub fn show(&self, connections: u64, memory_bytes: u64, buffer_bytes: u64, last_seen: i64, silent: i64) {
        const SECOND: i64 = 1_000_000;
        let values = [signed(connections), signed(memory_bytes), signed(buffer_bytes), last_seen / SECOND, silent / SECOND];
        for (gauge, value) in self.gauges.iter().flatten().zip(values) {
            gauge.set(value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Figures;
    use super::super::Metrics;
    use super::*;

    #[test]
    fn a_hundred_thousand_tenants_have_no_more_series_than_a_few_hundred_and_all_are_counted() {
        let metrics = Metrics::new();
        for tenant in 0..100_000 {
            metrics.tenant(&format!("tenant-{tenant}")).took(10, 1);
        }
        metrics.tenant("tenant-7").took(10, 1);
        metrics.tenant("tenant-99999").took(10, 1);
        let text = metrics.render(&Figures::default());
        let series: Vec<&str> = text.lines().filter(|line| line.starts_with("elbow_tenant_events_total{")).collect();
        assert_eq!(series.len(), TENANT_SERIES_MAX + 1);
        assert!(series.contains(&"elbow_tenant_events_total{tenant=\"tenant-7\"} 2"));
        let others = 100_000 - TENANT_SERIES_MAX + 1;
        assert!(series.contains(&format!("elbow_tenant_events_total{{tenant=\"_other\"}} {others}").as_str()), "{}", series[0]);
        assert!(text.len() < 1 << 20, "{} bytes", text.len());
    }

    #[test]
    fn levels_are_those_of_one_tenant_or_none() {
        let metrics = Metrics::new();
        metrics.tenant("").show(3, 4, 5, 1_700_000_000_900_000, 2_900_000);
        for tenant in 0..TENANT_SERIES_MAX {
            metrics.tenant(&format!("tenant-{tenant}")).show(1, 1, 1, 0, 0);
        }
        let text = metrics.render(&Figures::default());
        assert!(text.contains("elbow_tenant_connections_open{tenant=\"_unknown\"} 3\n"), "{text}");
        assert!(text.contains("elbow_tenant_last_seen_timestamp_seconds{tenant=\"_unknown\"} 1700000000\n"));
        assert!(text.contains("elbow_tenant_silent_seconds{tenant=\"_unknown\"} 2\n"));
        assert!(!text.contains("elbow_tenant_connections_open{tenant=\"_other\"}"));
    }
}
