//! A Logstash that is a process of its own, so that it can be killed as one: this test binary, started again.
//!
//! It reads as fast as it can and appends the numbers of the documents it has read whole to a file, one write a read. What
//! was written survives SIGKILL. Each life has a file of its own, because a kill may tear the last number.

use std::env;
use std::fs;
use std::fs::File;
use std::fs::OpenOptions;
use std::io::BufRead;
use std::io::BufReader;
use std::io::Read;
use std::io::Write;
use std::net::SocketAddr;
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;
use std::thread;

use rustix::process::Pid;
use rustix::process::Signal;
use rustix::process::kill_process;
use tempfile::TempDir;

use crate::support::lines;
use crate::support::logstash::NO_ID;
use crate::support::logstash::Reserved;
use crate::support::logstash::listen;

/// Where the other process listens, and the file it writes.
const ADDRESS: &str = "E2E_READER_ADDRESS";
const FILE: &str = "E2E_READER_FILE";

/// Said on standard output once it listens.
const READY: &str = "the reader listens";

const ID_BYTES: u64 = 8;

/// The lives of the other process, one after the other at the same address.
pub(crate) struct Readers {
    /// Full name of the test that calls [`main`].
    entry: &'static str,
    place: Reserved,
    files: TempDir,
    lives: usize,
    child: Option<Child>,
}

impl Readers {
    /// None lives yet.
    pub(crate) fn new(entry: &'static str) -> Self {
        Self { entry, place: Reserved::new(), files: tempfile::tempdir().expect("a directory"), lives: 0, child: None }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.place.address
    }

    fn file(&self, life: usize) -> PathBuf {
        self.files.path().join(life.to_string())
    }

    /// Starts the next one and waits until it listens.
    #[track_caller]
    pub(crate) fn start(&mut self) {
        assert!(self.child.is_none(), "one lives");
        self.lives += 1;
        let mut child = Command::new(env::current_exe().expect("this runs from a file"))
            .args(["--exact", self.entry, "--ignored", "--nocapture", "--test-threads=1"])
            .env(ADDRESS, self.address().to_string())
            .env(FILE, self.file(self.lives))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("this can be started again");
        let mut out = BufReader::new(child.stdout.take().expect("it is piped"));
        self.child = Some(child);
        let mut said = String::new();
        while !said.contains(READY) {
            said.clear();
            assert_ne!(out.read_line(&mut said).expect("text"), 0, "the reader ended before it listened");
        }
    }

    /// Halts it where it is, so that its kernel fills up with what it does not read.
    #[track_caller]
    pub(crate) fn freeze(&self) {
        let id = self.child.as_ref().expect("one lives").id();
        let pid = Pid::from_raw(i32::try_from(id).expect("a pid")).expect("a pid");
        kill_process(pid, Signal::STOP).expect("it runs");
    }

    /// Ends it with SIGKILL, in the middle of whatever it does.
    #[track_caller]
    pub(crate) fn kill(&mut self) {
        let mut child = self.child.take().expect("one lives");
        child.kill().expect("it runs");
        child.wait().expect("it was running");
    }

    /// Documents all of them have read so far.
    pub(crate) fn count(&self) -> u64 {
        (1..=self.lives).map(|life| fs::metadata(self.file(life)).map_or(0, |meta| meta.len() / ID_BYTES)).sum()
    }

    /// The numbers all of them have read.
    #[track_caller]
    pub(crate) fn ids(&self) -> Vec<u64> {
        let read = |life| fs::read(self.file(life)).unwrap_or_default();
        let ids = |bytes: Vec<u8>| bytes.as_chunks().0.iter().map(|bytes| u64::from_le_bytes(*bytes)).collect::<Vec<_>>();
        (1..=self.lives).flat_map(|life| ids(read(life))).collect()
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may be dead already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// The other process's life; nothing where this process is not the other one.
pub(crate) fn main() {
    let (Some(address), Some(file)) = (env::var_os(ADDRESS), env::var_os(FILE)) else { return };
    let listener = listen(address.to_str().expect("text").parse().expect("an address"));
    println!("{READY}");
    for stream in listener.incoming() {
        let file = OpenOptions::new().create(true).append(true).open(&file).expect("the file is ours");
        let stream = stream.expect("a listener accepts");
        thread::spawn(move || serve(stream, file));
    }
}

fn serve(mut stream: TcpStream, mut file: File) {
    let mut held = Vec::new();
    let mut read = vec![0; 64 << 10];
    while let Ok(count @ 1..) = stream.read(&mut read) {
        held.extend_from_slice(&read[..count]);
        let Some(end) = memchr::memrchr(b'\n', &held) else { continue };
        let ids = held[..end].split(|&byte| byte == b'\n').map(|document| lines::id_of(document).unwrap_or(NO_ID));
        let ids: Vec<u8> = ids.flat_map(u64::to_le_bytes).collect();
        file.write_all(&ids).expect("the file is ours");
        held.drain(..=end);
    }
}
