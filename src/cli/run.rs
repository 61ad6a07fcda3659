//! `elbow run`: decides the configuration, starts the relay, and turns its end into an exit status.

use std::io;
use std::io::IsTerminal;
use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use rustix::process::Resource;
use rustix::process::Rlimit;
use rustix::process::getrlimit;
use rustix::process::setrlimit;
use tokio::runtime::Builder;
use tokio::signal::unix::Signal;
use tokio::signal::unix::SignalKind;
use tokio::signal::unix::signal;
use tokio::sync::mpsc;
use tokio::sync::watch;
use tracing_subscriber::fmt::format::FmtSpan;

use crate::buffer::BufferPlan;
use crate::buffer::recovery::OpenError;
use crate::cli::args::LogFormat;
use crate::cli::args::Run;
use crate::cli::check::EXIT_CONFIGURATION;
use crate::cli::check::load;
use crate::config::overrides::Overrides;
use crate::config::plan::Plan;
use crate::net::handed::Handed;
use crate::pipeline::relay::Ended;
use crate::pipeline::relay::Relay;
use crate::pipeline::relay::TAKES_LINES;
use crate::pipeline::relay::TAKES_REQUESTS;
use crate::pipeline::start_error::StartError;
use crate::sink::SinkKind;
use crate::sink::SinkPlan;
use crate::tenant::plan::TenantsPlan;

/// Exit status when the relay failed while running or could not start.
const EXIT_FAILURE: u8 = 1;

/// Exit status when it was stopped and left events behind.
const EXIT_UNDELIVERED: u8 = 3;

/// Work still blocked in the kernel when everything has ended is left there after that.
const SHUTDOWN_GRACE: Duration = Duration::from_millis(200);

/// A real line, for a first try. The addresses are reserved for documentation (RFC 5737).
pub const SAMPLE_LINE: &str = "https 2026-03-01T10:20:30.123456Z app/web/0123456789abcdef 192.0.2.10:40001 10.0.1.5:8080 0.001 0.025 0.000 200 200 512 2048 \"GET https://www.example.com:443/index.html?a=1 HTTP/1.1\" \"curl/8.5.0\" TLS_AES_128_GCM_SHA256 TLSv1.3 arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/web/0a1b2c3d4e5f6071 \"Root=1-65f00000-0123456789abcdef01234567\" \"www.example.com\" \"session-reused\" 10 2026-03-01T10:20:30.097000Z \"forward\" \"-\" \"-\" \"10.0.1.5:8080\" \"200\" \"-\" \"-\" TID_00112233445566778899aabbccddeeff";

/// Runs the relay until it is told to stop.
pub fn run(command: &Run) -> ExitCode {
    let plan = match load(command.config.as_deref(), &command.overrides) {
        Ok(plan) => plan,
        Err(error) => {
            complain(&error.to_string());
            return ExitCode::from(EXIT_CONFIGURATION);
        }
    };
    start_logs(command);
    for warning in plan.report.warnings() {
        tracing::warn!("{warning}");
    }
    raise_descriptor_limit();
    let handed = match Handed::take() {
        Ok(handed) => handed,
        Err(error) => {
            complain(&format!("elbow: {error}"));
            return ExitCode::from(EXIT_FAILURE);
        }
    };
    let runtime = match Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            complain(&format!("elbow: the runtime cannot start: {error}"));
            return ExitCode::from(EXIT_FAILURE);
        }
    };
    let status = runtime.block_on(relay(plan, handed, command));
    runtime.shutdown_timeout(SHUTDOWN_GRACE);
    ExitCode::from(status)
}

/// Whether somebody tries it out: without any setting, or by flags on a terminal. A service set up by variables has a log that
/// machines read, and no use for a line to paste.
fn is_first_try(command: &Run) -> bool {
    command.config.is_none() && (command.overrides == Overrides::default() || io::stderr().is_terminal())
}

async fn relay(plan: Plan, handed: Handed, command: &Run) -> u8 {
    let is_first_try = is_first_try(command);
    let signals = Signals::listen();
    let (mut terminate, mut interrupt, mut hangup, _file_size) = match signals {
        Ok(Signals { terminate, interrupt, hangup, file_size }) => (terminate, interrupt, hangup, file_size),
        Err(error) => {
            complain(&format!("elbow: signals cannot be received: {error}"));
            return EXIT_FAILURE;
        }
    };
    let (sinks, buffer) = (plan.relay.sinks.clone(), plan.relay.buffer.clone());
    let relay = match Relay::start(plan.relay, handed).await {
        Ok(relay) => relay,
        Err(error) => {
            complain(&format!("elbow: {error}"));
            return match error {
                // What the configuration names cannot be used: that is found here and not while planning, which opens nothing.
                StartError::Lookup(_)
                | StartError::Look { .. }
                | StartError::Tls { .. }
                | StartError::SinkTls { .. }
                | StartError::Tenants(_) => EXIT_CONFIGURATION,
                StartError::Open(OpenError::Orphan { .. }) => EXIT_CONFIGURATION,
                StartError::Resolve { .. }
                | StartError::Listen { .. }
                | StartError::Adopt { .. }
                | StartError::Left { .. }
                | StartError::Directory { .. }
                | StartError::Open(_)
                | StartError::Thread(_)
                | StartError::Random(_) => EXIT_FAILURE,
            };
        }
    };
    announce(&relay, &sinks, &buffer, is_first_try);
    // One listener counts: a second signal that comes before anybody waits for it is remembered.
    let (count, heard) = watch::channel(0);
    let (reload, tenants) = (relay.reload(), relay.tenants());
    let listening = async {
        loop {
            let name = tokio::select! {
                _ = terminate.recv() => "SIGTERM",
                _ = interrupt.recv() => "SIGINT",
                _ = hangup.recv() => {
                    tracing::info!("received SIGHUP: looking at tenants, lookup files and certificates");
                    replace_tenants(command, tenants.as_ref()).await;
                    reload.ask();
                    continue;
                }
            };
            tracing::info!("received {name}");
            count.send_modify(|signals| *signals += 1);
        }
    };
    let times = |wanted: u32| {
        let mut heard = heard.clone();
        // An error says that nobody listens any more, which is the end.
        async move { drop(heard.wait_for(|signals| *signals >= wanted).await) }
    };
    tokio::select! {
        ended = relay.run_until(times(1), times(2)) => status(&ended),
        never = listening => never,
    }
}

/// Reads the configuration again and has its tenants take the place of those there are; everything else in it waits for the
/// next start.
async fn replace_tenants(command: &Run, tenants: Option<&mpsc::Sender<TenantsPlan>>) {
    let overrides = Overrides { is_running: true, ..command.overrides.clone() };
    let plan = match load(command.config.as_deref(), &overrides) {
        Ok(plan) => plan.relay.tenants,
        Err(error) => return tracing::error!(%error, "the configuration has mistakes: what was before stays in force"),
    };
    match tenants {
        // An error says that the relay is ending.
        Some(tenants) => drop(tenants.send(plan).await),
        None if plan.is_in_use() => {
            tracing::warn!("the configuration has tenants, and had none: they take effect at the next start")
        }
        None => {}
    }
}

/// Raises the soft limit of open files to the hard one: the soft one is low for programs that use `select`, and every
/// connection takes a descriptor. Where it cannot be raised, accepting connections will say so when it matters.
fn raise_descriptor_limit() {
    let limit = getrlimit(Resource::Nofile);
    if limit.current < limit.maximum || limit.maximum.is_none() {
        let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    }
}

fn status(ended: &Ended) -> u8 {
    match ended {
        Ended { failure: Some(reason), .. } => {
            complain(&format!("elbow: {reason}"));
            EXIT_FAILURE
        }
        ended if ended.is_complete() => 0,
        _ => EXIT_UNDELIVERED,
    }
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    /// Asks for files to be read again.
    hangup: Signal,
    /// Received so that a file at its size limit gives an error instead of ending the process.
    file_size: Signal,
}

impl Signals {
    fn listen() -> io::Result<Self> {
        // SIGXFSZ on Linux and the BSDs.
        const FILE_SIZE: i32 = 25;
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            file_size: signal(SignalKind::from_raw(FILE_SIZE))?,
        })
    }
}

/// Says what listens where: in the log, and on a first try in words with something to paste.
fn announce(relay: &Relay, sinks: &[SinkPlan], buffer: &BufferPlan, is_first_try: bool) {
    let durability = buffer.durability().label();
    for (name, address, takes) in &relay.sources {
        tracing::info!(source = %name, %address, "listening for {takes}");
    }
    if let Some(address) = relay.admin {
        tracing::info!(%address, "admin listener: /health /ready /metrics");
    }
    if let Some(address) = relay.health {
        tracing::info!(%address, "health listener: /health /ready");
    }
    for sink in sinks {
        let gets = if sink.when.is_some() { "the documents that its `when` selects" } else { "all documents" };
        tracing::info!(sink = %sink.name, to = %destination(sink), durability, "this sink gets {gets}");
    }
    if !is_first_try {
        return;
    }
    let taken: Vec<String> = relay.sources.iter().map(|(_, address, takes)| format!("{takes} on {address}")).collect();
    let mut text = format!("\nelbow {} takes {}", env!("CARGO_PKG_VERSION"), taken.join(", "));
    for sink in sinks {
        text += &format!(" and writes documents to {}", destination(sink));
    }
    if let Some(admin) = relay.admin {
        text += &format!("\nmetrics, health and readiness: http://{admin}/");
    }
    if let Some((_, lines, _)) = relay.sources.iter().find(|(_, _, takes)| *takes == TAKES_LINES) {
        text += &format!(
            "\n\nTry it from another terminal: start this, paste the line below it, press Enter.\n\n  nc {} {}\n\n{SAMPLE_LINE}\n\n",
            lines.ip(),
            lines.port()
        );
    }
    if let Some((_, requests, _)) = relay.sources.iter().find(|(_, _, takes)| *takes == TAKES_REQUESTS) {
        text += &format!("Over HTTP the answer says what is stored:\n\n  curl --data 'a line' http://{requests}/\n\n");
    }
    text += &match buffer {
        BufferPlan::Memory(_) => {
            "Stop with Ctrl-C. Events wait in memory only and are lost when the process is killed.\n".to_owned()
        }
        BufferPlan::Disk(plan) => format!("Stop with Ctrl-C. Events wait on disk in {}.\n", plan.path.display()),
    };
    complain(&text);
}

fn destination(sink: &SinkPlan) -> String {
    match &sink.kind {
        SinkKind::Stdout => "standard output".to_owned(),
        SinkKind::File(file) => format!("the file {}", file.path.display()),
        SinkKind::LogstashTcp(logstash) => format!("Logstash at {}", logstash.hosts.join(", ")),
        SinkKind::Lumberjack(plan) => format!("Lumberjack at {}", plan.hosts.join(", ")),
        SinkKind::Elasticsearch(search) => {
            let hosts: Vec<&str> = search.http.hosts.iter().map(|host| host.address.as_str()).collect();
            format!("Elasticsearch or OpenSearch at {}", hosts.join(", "))
        }
        SinkKind::HttpPost(post) => {
            let hosts: Vec<&str> = post.http.hosts.iter().map(|host| host.address.as_str()).collect();
            format!("{} at {}", if post.is_logstash { "Logstash" } else { "HTTP" }, hosts.join(", "))
        }
    }
}

/// Writes to a person. When nobody can read it there is nobody to tell.
fn complain(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

fn start_logs(command: &Run) {
    let base = tracing_subscriber::fmt()
        .with_max_level(command.log_level.level())
        .with_writer(io::stderr)
        .with_target(false)
        .with_span_events(FmtSpan::NONE);
    let is_text = match command.log_format {
        LogFormat::Text => true,
        LogFormat::Json => false,
        LogFormat::Auto => io::stderr().is_terminal(),
    };
    // A second call, as tests make it, leaves the first in place.
    let _ =
        if is_text { base.with_ansi(io::stderr().is_terminal()).try_init() } else { base.json().flatten_event(true).try_init() };
}
