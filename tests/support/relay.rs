//! The relay as a process: the real binary with a configuration file of its own, on ports the system chose.

use std::fs;
use std::io::BufRead;
use std::io::BufReader;
use std::io::Read;
use std::net::Ipv4Addr;
use std::net::SocketAddr;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::path::PathBuf;
use std::process::Child;
use std::process::Command;
use std::process::ExitStatus;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::Mutex;
use std::thread;
use std::thread::JoinHandle;
use std::time::Duration;
use std::time::Instant;

use rustix::process::Pid;
use rustix::process::Signal;
use rustix::process::kill_process;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::PATIENCE;
use crate::support::scrape::Metrics;
use crate::support::scrape::Scraper;
use crate::support::sender::Sender;
use crate::support::wait_for;
use crate::support::wait_so_long;

/// The binary under test.
pub(crate) fn elbow() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_elbow"));
    without_variables(&mut command);
    command
}

/// What is set where the tests run must not decide what the relay does.
fn without_variables(command: &mut Command) {
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("ELBOW_")) {
        command.env_remove(name);
    }
}

/// A relay that is about to be started.
#[derive(Clone)]
pub(crate) struct Setup {
    address: String,
    /// Where all free ports are.
    host: Ipv4Addr,
    memory: String,
    buffer: String,
    top: String,
    admin: String,
    source: String,
    sinks: String,
    tables: String,
    limits: String,
    under: Vec<String>,
    /// A listening socket it is handed, and what that is called.
    handed: Option<(String, Arc<TcpListener>)>,
    /// Where its configuration is written; a directory of its own where none is named.
    directory: Option<PathBuf>,
}

impl Setup {
    fn new(sinks: String) -> Self {
        let (memory, buffer, top, admin, source, tables, limits, under, handed, directory) = Default::default();
        Self {
            address: "127.0.0.1:0".to_owned(),
            host: Ipv4Addr::LOCALHOST,
            memory,
            buffer,
            top,
            admin,
            source,
            sinks,
            tables,
            limits,
            under,
            handed,
            directory,
        }
    }

    /// Listens for lines there instead of on a free port.
    pub(crate) fn listening_on(mut self, address: &str) -> Self {
        self.address = address.to_owned();
        self
    }

    /// Bounds all log data in memory, as `"64MiB"`.
    pub(crate) fn memory(mut self, max_bytes: &str) -> Self {
        self.memory = format!("max_bytes = \"{max_bytes}\"\n");
        self
    }

    /// Bounds the buffer, as `"8MiB"`.
    pub(crate) fn buffer(mut self, max_bytes: &str) -> Self {
        self.buffer = format!("max_bytes = \"{max_bytes}\"\n");
        self
    }

    /// Adds lines to the source's table.
    pub(crate) fn source(mut self, settings: &str) -> Self {
        self.source += settings;
        self.source.push('\n');
        self
    }

    /// Adds the source `web`, which takes requests over HTTP on a free port.
    pub(crate) fn and_http(self, settings: &str) -> Self {
        self.tables(&format!("[[source]]\nname = \"web\"\ntype = \"http\"\naddress = \"127.0.0.1:0\"\n{settings}\n"))
    }

    /// Adds lines to the top of the file.
    pub(crate) fn top(mut self, settings: &str) -> Self {
        self.top += settings;
        self.top.push('\n');
        self
    }

    /// Adds lines to the table of the admin listener.
    pub(crate) fn admin(mut self, settings: &str) -> Self {
        self.admin += settings;
        self.admin.push('\n');
        self
    }

    /// Adds rules and lookups.
    pub(crate) fn tables(mut self, tables: &str) -> Self {
        self.tables += tables;
        self
    }

    /// Adds one more sink that sends there.
    pub(crate) fn and_to(mut self, name: &str, address: SocketAddr) -> Self {
        self.sinks += &logstash_sink(name, address);
        self
    }

    /// Adds one more sink of a type, with these lines in its table.
    #[allow(dead_code, reason = "only stories about sinks need it")]
    pub(crate) fn and_sink(mut self, name: &str, kind: &str, settings: &str) -> Self {
        self.sinks += &sink(name, kind, settings);
        self
    }

    /// Adds lines to the last sink's table.
    pub(crate) fn sink(mut self, settings: &str) -> Self {
        self.sinks += settings;
        self.sinks.push('\n');
        self
    }

    /// Keeps events and dead letters in `data` of this directory, beside the configuration: both outlive the relay.
    pub(crate) fn in_directory(mut self, directory: &Path) -> Self {
        self.directory = Some(directory.to_owned());
        self.top(&format!("data_dir = \"{}\"", directory.join("data").display()))
    }

    /// Hands it this listening socket under this name, as systemd does.
    pub(crate) fn handed(mut self, name: &str, socket: &Arc<TcpListener>) -> Self {
        self.handed = Some((name.to_owned(), socket.clone()));
        self
    }

    /// Lets the process have this many descriptors.
    pub(crate) fn descriptors(self, most: u32) -> Self {
        self.limited(&format!("-n {most}"))
    }

    /// Starts the process with a limit as the shell's `ulimit` takes it.
    pub(crate) fn limited(mut self, limit: &str) -> Self {
        self.limits += &format!("ulimit {limit}; ");
        self
    }

    /// Starts the process and waits until it listens.
    #[track_caller]
    pub(crate) fn start(self) -> Relay {
        self.try_start().unwrap_or_else(|ended| panic!("the relay ended:\n{}", ended.log_text))
    }

    /// Starts the process and waits until it listens or has ended.
    #[track_caller]
    pub(crate) fn try_start(self) -> Result<Relay, Ended> {
        let mut relay = self.spawn();
        let listening = |relay: &mut Relay, message: &str| {
            wait_for(
                || {
                    let log = relay.log();
                    let said = log.iter().find(|entry| entry["message"].as_str().is_some_and(|text| text.contains(message)));
                    let address = said.map(|entry| entry["address"].as_str().expect("an address").parse().expect("an address"));
                    if address.is_some() { Some(address) } else { relay.exit_status().map(|_| None) }
                },
                || "the relay does not say where it listens".to_owned(),
            )
        };
        let lines = listening(&mut relay, "listening for lines over TCP");
        let admin = listening(&mut relay, "admin listener");
        let (Some(lines), Some(admin)) = (lines, admin) else { return Err(relay.ended()) };
        (relay.lines, relay.admin) = (lines, admin);
        relay.scraper = Mutex::new(Scraper::new(relay.admin));
        Ok(relay)
    }

    /// Starts the process and waits for nothing.
    #[track_caller]
    pub(crate) fn spawn(self) -> Relay {
        let own = tempfile::tempdir().expect("a directory");
        let config = self.write_in(self.directory.as_deref().unwrap_or(own.path()));
        let Self { limits, under, handed, .. } = self;
        let mut words = under;
        let mut input = Stdio::null();
        if let Some((name, socket)) = handed {
            // The descriptor comes as standard input and becomes the first one behind those that everybody has.
            let variables = format!("export LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES={name}");
            words.extend(["sh", "-c", &format!("exec 3<&0 </dev/null; {variables}; exec \"$0\" \"$@\"")].map(str::to_owned));
            input = OwnedFd::from(socket.try_clone().expect("a descriptor")).into();
        }
        if !limits.is_empty() {
            words.extend(["sh", "-c", &format!("{limits}exec \"$0\" \"$@\"")].map(str::to_owned));
        }
        words.push(env!("CARGO_BIN_EXE_elbow").to_owned());
        let mut command = Command::new(&words[0]);
        without_variables(&mut command);
        command.args(&words[1..]);
        command.args(["run", "--log-format", "json", "-c"]).arg(&config);
        let mut child =
            command.stdin(input).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the relay can be started");
        let documents = Heard::from(child.stdout.take().expect("it is piped"));
        let log = Heard::from(child.stderr.take().expect("it is piped"));
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        let scraper = Mutex::new(Scraper::new(nowhere));
        Relay { lines: nowhere, admin: nowhere, child, documents, log, scraper, _directory: own }
    }

    /// Writes the configuration into this directory, and gives the file.
    #[track_caller]
    pub(crate) fn write_in(&self, directory: &Path) -> PathBuf {
        let config = directory.join("elbow.toml");
        let Self { address, memory, buffer, top, admin, source, sinks, tables, .. } = self;
        let text = format!(
            "{top}[memory]\n{memory}\n[buffer]\n{buffer}\n[admin]\naddress = \"127.0.0.1:0\"\n{admin}\n[[source]]\nname = \"in\"\n\
             type = \"tcp\"\naddress = \"{address}\"\n{source}\n{sinks}\n{tables}"
        );
        let text = text.replace("\"127.0.0.1:0\"", &format!("\"{}:0\"", self.host));
        fs::write(&config, text).expect("the file is ours");
        config
    }
}

#[allow(dead_code, reason = "only the oracle needs a relay that is started again, and by more than itself")]
impl Setup {
    /// Listens on free ports of this address of the machine. Who tries a port again and again whose relay has died must not
    /// find another test's relay there: ports of 127.0.0.1 are given to whoever asks next.
    pub(crate) fn host(self, host: Ipv4Addr) -> Self {
        Self { host, ..self }
    }

    /// Keeps what waits in this directory.
    pub(crate) fn data_dir(self, path: &Path) -> Self {
        let path = path.to_str().expect("text");
        self.top(&format!("data_dir = \"{path}\""))
    }

    /// Adds lines to the buffer's table.
    pub(crate) fn buffer_settings(mut self, settings: &str) -> Self {
        self.buffer += settings;
        self.buffer.push('\n');
        self
    }

    /// Adds one more source, on a free port.
    pub(crate) fn and_source(self, name: &str, settings: &str) -> Self {
        self.tables(&format!("[[source]]\nname = \"{name}\"\ntype = \"tcp\"\naddress = \"127.0.0.1:0\"\n{settings}\n"))
    }

    /// Starts the process by these words, which end up as the relay in the same process.
    pub(crate) fn under(mut self, words: &[&str]) -> Self {
        self.under = words.iter().map(|&word| word.to_owned()).collect();
        self
    }
}

fn logstash_sink(name: &str, address: SocketAddr) -> String {
    sink(name, "logstash_tcp", &format!("hosts = [\"{address}\"]"))
}

fn sink(name: &str, kind: &str, settings: &str) -> String {
    format!("[[sink]]\nname = \"{name}\"\ntype = \"{kind}\"\n{settings}\n")
}

/// A relay that runs. Dropping it kills the process.
pub(crate) struct Relay {
    /// Where it takes lines.
    pub(crate) lines: SocketAddr,
    /// Where it shows itself.
    pub(crate) admin: SocketAddr,
    child: Child,
    documents: Heard,
    log: Heard,
    scraper: Mutex<Scraper>,
    /// Where its configuration lies; removed with it.
    _directory: TempDir,
}

impl Relay {
    /// A relay that writes documents to standard output.
    pub(crate) fn to_stdout() -> Setup {
        Setup::new("[[sink]]\nname = \"out\"\ntype = \"stdout\"\n".to_owned())
    }

    /// A relay with the sink `file`, which writes documents there.
    #[allow(dead_code, reason = "only stories that write much need it")]
    pub(crate) fn to_file(path: &Path) -> Setup {
        Setup::new(format!("[[sink]]\nname = \"file\"\ntype = \"file\"\npath = \"{}\"\n", path.display()))
    }

    /// A relay with a sink of a type, with these lines in its table.
    #[allow(dead_code, reason = "only stories about sinks need it")]
    pub(crate) fn to_sink(name: &str, kind: &str, settings: &str) -> Setup {
        Setup::new(sink(name, kind, settings))
    }

    /// A relay with the sink `logstash`, which sends there.
    pub(crate) fn to(address: SocketAddr) -> Setup {
        Setup::new(logstash_sink("logstash", address))
    }

    /// Where a further source takes lines.
    #[track_caller]
    pub(crate) fn lines_of(&self, source: &str) -> SocketAddr {
        let log = self.log();
        let mut said = log.iter().filter(|entry| entry["source"] == source);
        said.find_map(|entry| entry["address"].as_str()).expect("it listens").parse().expect("an address")
    }

    /// Where requests over HTTP are taken.
    #[track_caller]
    pub(crate) fn web(&self) -> SocketAddr {
        self.lines_of("web")
    }

    /// Where one of its listeners is, as the log says it.
    #[track_caller]
    pub(crate) fn says_where(&self, what: &str) -> SocketAddr {
        let log = self.log();
        let said = log.iter().find(|entry| entry["message"].as_str().is_some_and(|text| text.contains(what)));
        said.and_then(|entry| entry["address"].as_str()).expect("it says where").parse().expect("an address")
    }

    #[track_caller]
    pub(crate) fn sender(&self) -> Sender {
        Sender::connect(self.lines)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whole documents written to standard output so far.
    pub(crate) fn documents(&self) -> Vec<Value> {
        self.documents.lines().iter().map(|line| serde_json::from_str(line).expect("a document is JSON")).collect()
    }

    /// The log so far.
    pub(crate) fn log(&self) -> Vec<Value> {
        self.log.lines().iter().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    pub(crate) fn log_text(&self) -> String {
        self.log.lines().join("\n")
    }

    /// Waits until the log says this.
    #[track_caller]
    pub(crate) fn says(&self, text: &str) {
        wait_for(|| self.log_text().contains(text).then_some(()), || format!("no {text:?} in\n{}", self.log_text()));
    }

    /// Status and body of a page of the admin listener.
    #[track_caller]
    pub(crate) fn page(&self, path: &str) -> (u16, String) {
        let page = self.scraper.lock().expect("one at a time").page(path);
        page.unwrap_or_else(|error| panic!("{path}: {error}\n{}", self.log_text()))
    }

    #[track_caller]
    pub(crate) fn metrics(&self) -> Metrics {
        let (status, text) = self.page("/metrics");
        assert_eq!(status, 200);
        Metrics::parse(&text)
    }

    /// Waits until the metrics are so, and gives them.
    #[track_caller]
    pub(crate) fn until(&self, mut condition: impl FnMut(&Metrics) -> bool) -> Metrics {
        let look = || Some(self.metrics()).filter(|metrics| condition(metrics));
        wait_for(look, || format!("{}\n{}", self.metrics(), self.log_text()))
    }

    /// Waits until this many documents are on standard output, and gives them.
    #[track_caller]
    pub(crate) fn writes(&self, count: usize) -> Vec<Value> {
        let enough = || Some(self.documents()).filter(|documents| documents.len() >= count);
        wait_for(enough, || format!("{count} documents, there are {:#?}", self.documents()))
    }

    /// Memory in RAM now, in bytes.
    #[track_caller]
    pub(crate) fn resident_bytes(&self) -> u64 {
        self.status("VmRSS:")
    }

    /// Most memory in RAM there ever was, in bytes.
    #[track_caller]
    pub(crate) fn resident_bytes_max(&self) -> u64 {
        self.status("VmHWM:")
    }

    #[track_caller]
    fn status(&self, name: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("it is there");
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
    }

    /// Processor time spent so far.
    #[track_caller]
    pub(crate) fn processor_time(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid())).expect("it runs");
        let fields: Vec<&str> = stat.rsplit_once(')').expect("a name").1.split_ascii_whitespace().collect();
        let ticks: u64 = fields[11..=12].iter().map(|ticks| ticks.parse::<u64>().expect("a number")).sum();
        Duration::from_millis(ticks * 1000 / rustix::param::clock_ticks_per_second())
    }

    /// Sends SIGTERM.
    pub(crate) fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Sends SIGHUP.
    #[allow(dead_code, reason = "only some stories are about what is read again")]
    pub(crate) fn hang_up(&self) {
        self.signal(Signal::HUP);
    }

    /// Sends SIGKILL, so that the kernel ends what is open.
    pub(crate) fn kill(&self) {
        self.signal(Signal::KILL);
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.pid()).expect("a pid")).expect("a pid");
        kill_process(pid, signal).expect("it runs");
    }

    fn exit_status(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("it is our child")
    }

    /// Waits until the process has ended.
    #[track_caller]
    pub(crate) fn ended(self) -> Ended {
        self.ended_after(PATIENCE)
    }

    /// Waits until the process has ended, so long at the most.
    #[track_caller]
    pub(crate) fn ended_after(mut self, patience: Duration) -> Ended {
        let begun = Instant::now();
        let log = self.log.lines.clone();
        let status = wait_so_long(
            patience,
            || self.child.try_wait().expect("it is our child"),
            || format!("the relay goes on and on\n{}", log.lock().expect("nobody panics holding it").join("\n")),
        );
        let took = begun.elapsed();
        self.documents.end();
        self.log.end();
        // Who is killed, or given no more time, may be in the middle of a line. Who ends in order is not.
        let half = self.documents.half();
        assert!(!status.success() || half.is_none(), "half a line: {half:?}");
        Ended { status: status.code(), took, documents: self.documents(), log: self.log(), log_text: self.log_text() }
    }

    /// Stops it in order and waits until it has ended.
    #[track_caller]
    pub(crate) fn stop(self) -> Ended {
        self.terminate();
        self.ended()
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        // It may have ended long ago; then there is nothing to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[allow(dead_code, reason = "the stories of e2e.rs need less of a relay that is halted and killed")]
impl Relay {
    /// Where each source takes lines, by its name.
    #[track_caller]
    pub(crate) fn sources(&self) -> Vec<(String, SocketAddr)> {
        let text = |entry: &Value, key: &str| entry[key].as_str().map(str::to_owned);
        let listening = |entry: &Value| Some((text(entry, "source")?, text(entry, "address")?.parse().expect("an address")));
        self.log().iter().filter_map(listening).collect()
    }

    /// Where the source of this name takes lines.
    #[track_caller]
    pub(crate) fn address_of(&self, source: &str) -> SocketAddr {
        let found = self.sources().into_iter().find(|(name, _)| name == source);
        found.unwrap_or_else(|| panic!("it does not listen for {source}:\n{}", self.log_text())).1
    }

    /// Halts the process between two steps of its own; what it has asked of the kernel may go on.
    #[track_caller]
    pub(crate) fn freeze(&self) {
        self.signal(Signal::STOP);
        let is_halted = || {
            let threads = fs::read_dir(format!("/proc/{}/task", self.pid())).ok()?;
            let states = threads.map(|thread| fs::read_to_string(thread.ok()?.path().join("stat")).ok());
            // A thread that waits for the disk halts before it returns from the kernel.
            let has_halted =
                |stat: Option<String>| stat.is_some_and(|stat| [") T", ") t", ") D"].iter().any(|state| stat.contains(state)));
            states.into_iter().all(has_halted).then_some(())
        };
        wait_for(is_halted, || "the relay is not halted".to_owned());
    }

    /// Lets it go on.
    pub(crate) fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    /// Whether the process still runs.
    pub(crate) fn runs(&mut self) -> bool {
        self.exit_status().is_none()
    }
}

/// How a relay ended.
pub(crate) struct Ended {
    /// Its exit status; none where a signal killed it.
    pub(crate) status: Option<i32>,
    /// How long the end was waited for.
    pub(crate) took: Duration,
    pub(crate) documents: Vec<Value>,
    pub(crate) log: Vec<Value>,
    pub(crate) log_text: String,
}

impl Ended {
    /// Asserts that everything was delivered.
    #[track_caller]
    pub(crate) fn cleanly(self) -> Self {
        self.with(0)
    }

    #[track_caller]
    pub(crate) fn with(self, status: i32) -> Self {
        assert_eq!(self.status, Some(status), "{}", self.log_text);
        self
    }

    #[track_caller]
    pub(crate) fn within(self, limit: Duration) -> Self {
        assert!(self.took <= limit, "it took {:?}, {limit:?} at most:\n{}", self.took, self.log_text);
        self
    }

    /// The entry of the log whose message contains this.
    #[track_caller]
    pub(crate) fn entry(&self, message: &str) -> &Value {
        let said = |entry: &&Value| entry["message"].as_str().is_some_and(|text| text.contains(message));
        self.log.iter().find(said).unwrap_or_else(|| panic!("no {message:?} in\n{}", self.log_text))
    }
}

/// The lines of a pipe, read by a thread of its own.
struct Heard {
    lines: Arc<Mutex<Vec<String>>>,
    /// What stands behind the last end of a line when the pipe ends.
    half: Arc<Mutex<Option<String>>>,
    thread: Option<JoinHandle<()>>,
}

impl Heard {
    fn from(pipe: impl Read + Send + 'static) -> Self {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let half = Arc::new(Mutex::new(None));
        let (whole, rest) = (lines.clone(), half.clone());
        let thread = thread::spawn(move || {
            let mut pipe = BufReader::new(pipe);
            loop {
                let mut line = String::new();
                if pipe.read_line(&mut line).expect("the relay writes text") == 0 {
                    return;
                }
                match line.strip_suffix('\n') {
                    Some(line) => whole.lock().expect("nobody panics holding it").push(line.to_owned()),
                    None => *rest.lock().expect("nobody panics holding it") = Some(line),
                }
            }
        });
        Self { lines, half, thread: Some(thread) }
    }

    fn half(&self) -> Option<String> {
        self.half.lock().expect("nobody panics holding it").clone()
    }

    fn lines(&self) -> Vec<String> {
        self.lines.lock().expect("nobody panics holding it").clone()
    }

    /// Waits for the end of the pipe.
    fn end(&mut self) {
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the relay writes text");
        }
    }
}
