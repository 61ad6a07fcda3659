//! The process's own figures under the names every Prometheus client uses, read from `/proc` where there is one.

use std::fs;

use prometheus::Counter;
use prometheus::Gauge;
use prometheus::Registry;
use prometheus::core::Collector;

/// The six metrics of the process.
#[derive(Debug)]
pub(crate) struct Process {
    registry: Registry,
    cpu_seconds: Counter,
    open_fds: Gauge,
    max_fds: Gauge,
    resident_bytes: Gauge,
    virtual_bytes: Gauge,
    start_seconds: Gauge,
}

impl Process {
    /// The metrics, unset.
    pub(crate) fn new() -> Self {
        let registry = Registry::new();
        let gauge = |name: &str, help: &str| {
            let gauge = Gauge::new(name, help).expect("the name is valid");
            register(&registry, gauge.clone());
            gauge
        };
        let cpu_seconds =
            Counter::new("process_cpu_seconds_total", "User and system CPU time spent, in seconds").expect("the name is valid");
        register(&registry, cpu_seconds.clone());
        Self {
            cpu_seconds,
            open_fds: gauge("process_open_fds", "File descriptors open"),
            max_fds: gauge("process_max_fds", "File descriptors that may be open"),
            resident_bytes: gauge("process_resident_memory_bytes", "Memory in RAM"),
            virtual_bytes: gauge("process_virtual_memory_bytes", "Memory mapped"),
            start_seconds: gauge("process_start_time_seconds", "Start of the process, in seconds since 1970"),
            registry,
        }
    }

    /// Reads the figures; those the system does not give stay as they are.
    pub(crate) fn read(&self) -> Vec<prometheus::proto::MetricFamily> {
        if let Some(stat) = Stat::read() {
            self.cpu_seconds.inc_by((stat.cpu_seconds - self.cpu_seconds.get()).max(0.0));
            self.resident_bytes.set(stat.resident_bytes);
            self.virtual_bytes.set(stat.virtual_bytes);
            self.start_seconds.set(stat.start_seconds);
        }
        if let Ok(entries) = fs::read_dir("/proc/self/fd") {
            // The listing itself is one of them.
            self.open_fds.set(entries.count().saturating_sub(1) as f64);
        }
        if let Some(limit) = open_files_limit() {
            self.max_fds.set(limit);
        }
        self.registry.gather()
    }
}

fn register(registry: &Registry, metric: impl Collector + 'static) {
    registry.register(Box::new(metric)).expect("each name is registered once");
}

/// What `/proc` says about time and memory.
struct Stat {
    cpu_seconds: f64,
    start_seconds: f64,
    resident_bytes: f64,
    virtual_bytes: f64,
}

impl Stat {
    fn read() -> Option<Self> {
        let stat = fs::read_to_string("/proc/self/stat").ok()?;
        // The second field is the program's name in parentheses and may hold anything; those behind it are numbers.
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_ascii_whitespace().collect();
        let field = |number: usize| fields.get(number - 3)?.parse::<f64>().ok();
        let ticks = rustix::param::clock_ticks_per_second() as f64;
        let boot = fs::read_to_string("/proc/stat").ok()?;
        let boot: f64 = boot.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
        Some(Self {
            cpu_seconds: (field(14)? + field(15)?) / ticks,
            start_seconds: boot + field(22)? / ticks,
            virtual_bytes: field(23)?,
            resident_bytes: field(24)? * rustix::param::page_size() as f64,
        })
    }
}

fn open_files_limit() -> Option<f64> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn the_process_knows_itself() {
        let process = Process::new();
        let families = process.read();
        assert_eq!(families.len(), 6);
        assert!(process.resident_bytes.get() > 1e6);
        assert!(process.open_fds.get() >= 3.0);
        assert!(process.max_fds.get() >= process.open_fds.get());
        assert!(process.start_seconds.get() > 1.6e9);
    }
}
