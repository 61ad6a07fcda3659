//! A Logstash with a TCP input that can be absent, appear, stop reading, reset its connections and vanish.

use std::io;
use std::io::ErrorKind;
use std::io::Read;
use std::net::Ipv4Addr;
use std::net::SocketAddr;
use std::net::TcpListener;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::Condvar;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::thread;
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::Value;
use socket2::Domain;
use socket2::SockRef;
use socket2::Socket;
use socket2::Type;

use crate::support::lines;
use crate::support::wait_for;

/// Receive buffer asked for; Linux gives twice that. Small, so that a peer that does not read is felt soon.
pub(crate) const RECEIVE_BUFFER_BYTES: usize = 256 << 10;

/// Documents kept whole; of the rest only the number.
const DOCUMENTS_KEPT: usize = 5_000;

/// How often a connection looks whether it shall do something else.
const LOOK: Duration = Duration::from_millis(20);

/// The number of a document that has none.
pub(crate) const NO_ID: u64 = u64::MAX;

/// A port that stays ours for as long as this lives, whether anybody listens there or not: nobody else is given it, and a
/// connection to it cannot meet itself.
pub(crate) struct Reserved {
    _socket: Socket,
    pub(crate) address: SocketAddr,
}

impl Reserved {
    pub(crate) fn new() -> Self {
        let socket = bound(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).expect("a free port");
        let address = socket.local_addr().expect("bound").as_socket().expect("IPv4");
        Self { _socket: socket, address }
    }
}

fn bound(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.set_recv_buffer_size(RECEIVE_BUFFER_BYTES)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

/// Listens at an address that is [`Reserved`].
pub(crate) fn listen(address: SocketAddr) -> TcpListener {
    let socket = bound(address).expect("the port is ours");
    socket.listen(64).expect("the port is ours");
    socket.into()
}

pub(crate) struct FakeLogstash {
    place: Reserved,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    /// Is given every document, newline excluded; then none is kept.
    reads: Option<Reads>,
}

/// What is done with a document.
type Reads = Box<dyn Fn(&[u8]) + Send + Sync>;

#[derive(Default)]
struct State {
    ids: Vec<u64>,
    documents: Vec<String>,
    not_reading: bool,
    listening: bool,
    /// Connections of an earlier age reset themselves.
    age: u64,
    open: usize,
    accepted: usize,
}

impl FakeLogstash {
    /// One that nobody can reach yet.
    pub(crate) fn absent() -> Self {
        Self::made(None)
    }

    fn made(reads: Option<Reads>) -> Self {
        let shared = Arc::new(Shared { state: Mutex::default(), changed: Condvar::new(), reads });
        Self { place: Reserved::new(), shared, accepting: None }
    }

    /// One that nobody can reach yet, and that gives each document it reads to a function instead of keeping it.
    #[allow(dead_code, reason = "only the oracle looks at every document")]
    pub(crate) fn absent_reading(reads: impl Fn(&[u8]) + Send + Sync + 'static) -> Self {
        Self::made(Some(Box::new(reads)))
    }

    /// One that reads promptly.
    pub(crate) fn listening() -> Self {
        let mut logstash = Self::absent();
        logstash.appear();
        logstash
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.place.address
    }

    /// Starts to listen.
    pub(crate) fn appear(&mut self) {
        assert!(self.accepting.is_none(), "it listens already");
        let listener = listen(self.place.address);
        self.shared.lock().listening = true;
        let shared = self.shared.clone();
        self.accepting = Some(thread::spawn(move || shared.accept(&listener)));
    }

    /// Whether it can be reached.
    #[allow(dead_code, reason = "only the oracle does not know")]
    pub(crate) fn is_listening(&self) -> bool {
        self.accepting.is_some()
    }

    /// Resets its connections and listens no more.
    pub(crate) fn vanish(&mut self) {
        let Some(thread) = self.accepting.take() else { return };
        self.shared.lock().listening = false;
        // Whoever accepts looks up only when somebody comes.
        let _ = TcpStream::connect(self.place.address);
        thread.join().expect("accepting does not fail");
        self.cut();
    }

    /// Resets its connections, with whatever is unread.
    pub(crate) fn cut(&self) {
        self.shared.change(|state| state.age += 1);
        wait_for(|| (self.shared.lock().open == 0).then_some(()), || "a connection does not end".to_owned());
    }

    /// Reads nothing from now on.
    pub(crate) fn stop_reading(&self) {
        self.shared.change(|state| state.not_reading = true);
    }

    pub(crate) fn read_again(&self) {
        self.shared.change(|state| state.not_reading = false);
    }

    /// Connections accepted so far.
    pub(crate) fn connections(&self) -> usize {
        self.shared.lock().accepted
    }

    /// The numbers of all documents read, in the order they came.
    pub(crate) fn ids(&self) -> Vec<u64> {
        self.shared.lock().ids.clone()
    }

    /// Documents read so far.
    pub(crate) fn count(&self) -> usize {
        self.shared.lock().ids.len()
    }

    /// The first few thousand documents as they were read.
    #[allow(dead_code, reason = "only some look at their bytes")]
    pub(crate) fn texts(&self) -> Vec<String> {
        self.shared.lock().documents.clone()
    }

    /// The first few thousand documents read.
    pub(crate) fn documents(&self) -> Vec<Value> {
        let state = self.shared.lock();
        state.documents.iter().map(|line| serde_json::from_str(line).expect("a document is JSON")).collect()
    }

    /// Waits until at least so many documents were read, and gives their numbers.
    #[track_caller]
    pub(crate) fn receives(&self, count: usize) -> Vec<u64> {
        wait_for(|| (self.count() >= count).then_some(()), || format!("{count} documents, there are {}", self.count()));
        self.ids()
    }
}

impl Drop for FakeLogstash {
    fn drop(&mut self) {
        if !thread::panicking() {
            self.vanish();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics holding it")
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.lock());
        self.changed.notify_all();
    }

    fn accept(self: &Arc<Self>, listener: &TcpListener) {
        loop {
            let (stream, _) = listener.accept().expect("a listener accepts");
            let mut state = self.lock();
            if !state.listening {
                return;
            }
            state.accepted += 1;
            state.open += 1;
            let (shared, age) = (self.clone(), state.age);
            drop(state);
            thread::spawn(move || {
                shared.serve(stream, age);
                shared.change(|state| state.open -= 1);
            });
        }
    }

    /// Reads until the relay ends the connection or this side shall.
    fn serve(&self, mut stream: TcpStream, age: u64) {
        stream.set_read_timeout(Some(LOOK)).expect("an option");
        let mut held = Vec::new();
        let mut read = vec![0; 64 << 10];
        loop {
            let mut state = self.lock();
            while state.not_reading && state.age == age {
                state = self.changed.wait(state).expect("nobody panics holding it");
            }
            if state.age != age {
                SockRef::from(&stream).set_linger(Some(Duration::ZERO)).expect("an option");
                return;
            }
            drop(state);
            match stream.read(&mut read) {
                Ok(0) => return,
                Ok(count) => {
                    held.extend_from_slice(&read[..count]);
                    self.keep(&mut held);
                }
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(_) => return,
            }
        }
    }

    /// Takes the whole documents off the front.
    fn keep(&self, held: &mut Vec<u8>) {
        let Some(end) = memchr::memrchr(b'\n', held) else { return };
        let whole: Vec<&[u8]> = held[..end].split(|&byte| byte == b'\n').collect();
        if let Some(reads) = &self.reads {
            whole.iter().for_each(|document| reads(document));
            held.drain(..=end);
            return;
        }
        let ids: Vec<u64> = whole.iter().map(|document| lines::id_of(document).unwrap_or(NO_ID)).collect();
        let mut state = self.lock();
        state.ids.extend(ids);
        let room = DOCUMENTS_KEPT.saturating_sub(state.documents.len());
        let text = whole.iter().take(room).map(|document| String::from_utf8(document.to_vec()).expect("documents are text"));
        state.documents.extend(text);
        drop(state);
        held.drain(..=end);
    }
}
