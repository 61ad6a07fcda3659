//! Producers: senders that record as confirmed only what the relay has confirmed, and repeat everything else.
//!
//! Each is a thread with one connection at a time. It refuses to panic when the relay is gone: that is what it is here for.

use std::collections::VecDeque;
use std::io;
use std::io::ErrorKind;
use std::io::Read;
use std::io::Write;
use std::net::Shutdown;
use std::net::SocketAddr;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use serde_json::Value;

use crate::ledger;
use crate::ledger::Ledger;
use crate::support::draw::Draw;
use crate::support::http;

/// How often a producer that waits looks whether it shall do something else.
const LOOK: Duration = Duration::from_millis(1);

/// Most lines sent on one connection and not confirmed, where the relay confirms line by line.
const WINDOW: usize = 400;

/// Most lines sent before the relay is asked to confirm them all, or between two looks at what it says.
pub(crate) const LINES: usize = 40;

/// How a producer learns what is stored; each has a source of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// The relay says nothing, and nothing counts as confirmed.
    Raw,
    /// The same where nothing that the relay does may lose a line: what was sent counts as confirmed when the connection
    /// has ended in order.
    RawTrusted,
    /// The end of the relay's stream confirms the whole connection.
    Close,
    /// The relay counts what it has stored.
    Line,
    /// As `Close`, and most lines are such that no parser takes them.
    Letters,
    /// Each request over HTTP is answered for itself.
    Http,
    /// Lines are events of a Beat, and the relay acks them.
    Beats,
}

impl Mode {
    /// The source that such producers send to.
    pub(crate) fn source(self) -> &'static str {
        match self {
            Self::Raw | Self::RawTrusted => "in",
            Self::Close => "close",
            Self::Line => "line",
            Self::Letters => "letters",
            Self::Http => "web",
            Self::Beats => "beats",
        }
    }
}

/// Most requests of one connection.
const REQUESTS: usize = 20;

/// What producers are told.
#[derive(Default)]
pub(crate) struct Orders {
    /// Where each source is now; none while the relay is down.
    pub(crate) sources: Mutex<Vec<(String, SocketAddr)>>,
    /// Draw no new lines; end when the last is confirmed.
    pub(crate) enough: AtomicBool,
    /// End at once, whatever is unconfirmed.
    pub(crate) abandon: AtomicBool,
    /// Wait this long between two sends, in milliseconds at most.
    pub(crate) pause: Mutex<Duration>,
}

impl Orders {
    fn source(&self, name: &str) -> Option<SocketAddr> {
        let sources = self.sources.lock().expect("nobody panics holding it");
        sources.iter().find(|(source, _)| source == name).map(|(_, address)| *address)
    }

    pub(crate) fn is_enough(&self) -> bool {
        self.enough.load(Ordering::Relaxed) || self.is_abandoned()
    }

    pub(crate) fn is_abandoned(&self) -> bool {
        self.abandon.load(Ordering::Relaxed)
    }
}

/// One producer.
pub(crate) struct Producer {
    pub(crate) mode: Mode,
    /// Its number in the books.
    pub(crate) number: usize,
    pub(crate) draw: Draw,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) orders: Arc<Orders>,
    /// Longest payload it draws.
    pub(crate) payload_bytes_max: usize,
    /// How long it waits for one connection to be confirmed.
    pub(crate) patience: Duration,
}

/// A producer that a full relay holds back waits for as long as that lasts; the one who waits for the producer has a bound.
pub(crate) const NO_END: Duration = Duration::from_secs(86_400);

impl Producer {
    /// Sends until it is told that it is enough and everything is confirmed, or to abandon it.
    pub(crate) fn run(mut self) {
        let mut unconfirmed = VecDeque::new();
        while !(self.orders.is_abandoned() || self.orders.is_enough() && unconfirmed.is_empty()) {
            let Some(address) = self.orders.source(self.mode.source()) else {
                thread::sleep(LOOK);
                continue;
            };
            // Whatever ends a connection is one thing only here: nothing more is confirmed on it.
            let _ = self.connection(address, &mut unconfirmed);
            self.rest();
        }
    }

    /// Sends lines on a connection of their own and says whether they are confirmed now.
    pub(crate) fn send_once(&self, address: SocketAddr, ids: &[u64]) -> bool {
        let orders = self.orders.clone();
        Wire::connect(address, &orders, self.patience).is_ok_and(|mut wire| self.send(&mut wire, ids))
    }

    fn send(&self, wire: &mut Wire<'_>, ids: &[u64]) -> bool {
        let sent = wire.write(&self.text(ids)).and_then(|()| wire.confirmed_by_end());
        let confirmed = sent.is_ok() && self.mode != Mode::Raw;
        if confirmed {
            self.ledger.confirm(ids.iter().copied());
        }
        confirmed
    }

    fn connection(&mut self, address: SocketAddr, unconfirmed: &mut VecDeque<u64>) -> io::Result<()> {
        let orders = self.orders.clone();
        let mut wire = Wire::connect(address, &orders, self.patience)?;
        match self.mode {
            Mode::Line => return self.line_by_line(wire, unconfirmed),
            Mode::Http => return self.requests(wire, unconfirmed),
            Mode::Beats => return self.window_by_window(wire, unconfirmed),
            _ => {}
        }
        if unconfirmed.is_empty() {
            let count = 1 + self.draw.below(LINES);
            unconfirmed.extend(self.ledger.draw(self.number, count, self.payload_bytes_max));
        }
        // Whoever sends without confirmations knows nothing of what might be repeated.
        if self.send(&mut wire, unconfirmed.make_contiguous()) || self.mode == Mode::Raw {
            unconfirmed.clear();
        }
        Ok(())
    }

    fn line_by_line(&mut self, mut wire: Wire<'_>, unconfirmed: &mut VecDeque<u64>) -> io::Result<()> {
        let orders = self.orders.clone();
        wire.stream.set_nonblocking(true)?;
        let (mut outgoing, mut incoming) = (Vec::new(), Vec::new());
        // Lines of this connection; `unconfirmed` begins with those that are sent and not confirmed.
        let (mut sent, mut confirmed) = (0_u64, 0_u64);
        loop {
            if orders.is_abandoned() {
                return Ok(());
            }
            let open = usize::try_from(sent - confirmed).expect("a window");
            if open == unconfirmed.len() && open < WINDOW && !orders.is_enough() {
                let count = 1 + self.draw.below(LINES);
                unconfirmed.extend(self.ledger.draw(self.number, count, self.payload_bytes_max));
            }
            for &id in unconfirmed.iter().skip(open) {
                outgoing.extend_from_slice(ledger::line(id).as_bytes());
            }
            sent = confirmed + unconfirmed.len() as u64;
            if unconfirmed.is_empty() {
                wire.stream.set_nonblocking(false)?;
                return wire.confirmed_by_end();
            }
            let wrote = wire.write_some(&mut outgoing)?;
            let read = wire.read_some(&mut incoming)?;
            while let Some(end) = memchr::memchr(b'\n', &incoming) {
                let said: Value = serde_json::from_slice(&incoming[..end]).expect("a confirmation is JSON");
                let stored = said["acked"].as_u64().expect("a confirmation is a number");
                assert!(stored >= confirmed, "{stored} lines are confirmed after {confirmed} were");
                assert!(stored <= sent, "{stored} lines are confirmed and {sent} were sent");
                let new = usize::try_from(stored - confirmed).expect("a window");
                self.ledger.confirm(unconfirmed.drain(..new));
                confirmed = stored;
                incoming.drain(..=end);
            }
            if !wrote && !read {
                thread::sleep(LOOK);
            } else if unconfirmed.len() < WINDOW / 2 {
                self.rest();
            }
        }
    }

    /// Sends requests, and the next one only when there is an answer.
    fn requests(&mut self, mut wire: Wire<'_>, unconfirmed: &mut VecDeque<u64>) -> io::Result<()> {
        for _ in 0..1 + self.draw.below(REQUESTS) {
            if self.orders.is_abandoned() || self.orders.is_enough() && unconfirmed.is_empty() {
                break;
            }
            if unconfirmed.is_empty() {
                let count = 1 + self.draw.below(LINES);
                unconfirmed.extend(self.ledger.draw(self.number, count, self.payload_bytes_max));
            }
            let text = self.text(unconfirmed.make_contiguous());
            let request = if self.draw.below(2) == 0 {
                http::request("/", &[("Content-Encoding", "gzip")], &http::gzip(&text))
            } else {
                http::request("/", &[], &text)
            };
            wire.write(&request)?;
            match wire.status()? {
                200 => self.ledger.confirm(unconfirmed.drain(..)),
                // It is asked to come again.
                429 | 503 => return Ok(()),
                status => panic!("a good request is answered with {status}"),
            }
            self.rest();
        }
        Ok(())
    }

    /// The lines of these numbers.
    fn text(&self, ids: &[u64]) -> Vec<u8> {
        let line = |&id| if self.mode == Mode::Letters && ledger::is_letter(id) { ledger::letter(id) } else { ledger::line(id) };
        ids.iter().flat_map(|id| line(id).into_bytes()).collect()
    }

    /// Waits for a moment, so that a run has many moments and not only bytes.
    pub(crate) fn rest(&mut self) {
        let most = *self.orders.pause.lock().expect("nobody panics holding it");
        let micros = usize::try_from(most.as_micros()).expect("short");
        thread::sleep(Duration::from_micros(self.draw.below(micros + 1) as u64));
    }
}

/// A connection that may be held back for long, and is left when the producer is told to.
pub(crate) struct Wire<'o> {
    stream: TcpStream,
    orders: &'o Orders,
    deadline: Instant,
}

impl<'o> Wire<'o> {
    fn connect(address: SocketAddr, orders: &'o Orders, patience: Duration) -> io::Result<Self> {
        const OPENING: Duration = Duration::from_secs(1);
        /// How often a blocked call looks up.
        const BLOCKED: Duration = Duration::from_millis(50);
        let stream = TcpStream::connect_timeout(&address, OPENING)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(BLOCKED))?;
        stream.set_write_timeout(Some(BLOCKED))?;
        Ok(Self { stream, orders, deadline: Instant::now() + patience })
    }

    /// Writes it all, however long the relay does not read.
    pub(crate) fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.patiently(|stream| stream.write(bytes))? {
                0 => return Err(ErrorKind::WriteZero.into()),
                count => bytes = &bytes[count..],
            }
        }
        Ok(())
    }

    /// Ends our stream and waits for the end of the relay's: anything but a clean end without a byte is an error.
    fn confirmed_by_end(&mut self) -> io::Result<()> {
        self.stream.shutdown(Shutdown::Write)?;
        match self.patiently(|stream| stream.read(&mut [0; 64]))? {
            0 => Ok(()),
            _ => Err(ErrorKind::InvalidData.into()),
        }
    }

    /// Reads an answer to its end, and gives its status.
    fn status(&mut self) -> io::Result<u16> {
        let mut answer = Vec::new();
        loop {
            let mut read = [0; 1024];
            match self.patiently(|stream| stream.read(&mut read))? {
                0 => return Err(ErrorKind::UnexpectedEof.into()),
                count => answer.extend_from_slice(&read[..count]),
            }
            // An answer is a head and one line.
            if let Some(head) = memchr::memmem::find(&answer, b"\r\n\r\n")
                && answer[head + 4..].ends_with(b"}\n")
            {
                let status = std::str::from_utf8(&answer[9..12]).expect("a status").parse();
                return Ok(status.expect("a status is a number"));
            }
        }
    }

    /// Reads so many bytes, however long they do not come; an end is an error.
    pub(crate) fn read(&mut self, mut bytes: &mut [u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.patiently(|stream| stream.read(bytes))? {
                0 => return Err(ErrorKind::UnexpectedEof.into()),
                count => bytes = &mut bytes[count..],
            }
        }
        Ok(())
    }

    fn patiently(&mut self, mut call: impl FnMut(&mut TcpStream) -> io::Result<usize>) -> io::Result<usize> {
        loop {
            match call(&mut self.stream) {
                Err(error) if is_not_yet(&error) && !self.orders.is_abandoned() && Instant::now() < self.deadline => {}
                done => return done,
            }
        }
    }

    /// Writes what goes at once; says whether anything went.
    fn write_some(&mut self, outgoing: &mut Vec<u8>) -> io::Result<bool> {
        if outgoing.is_empty() {
            return Ok(false);
        }
        match self.stream.write(outgoing) {
            Ok(count) => {
                outgoing.drain(..count);
                Ok(true)
            }
            Err(error) if is_not_yet(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Reads what is there; says whether there was anything.
    fn read_some(&mut self, incoming: &mut Vec<u8>) -> io::Result<bool> {
        let mut read = [0; 1024];
        match self.stream.read(&mut read) {
            Ok(0) => Err(ErrorKind::UnexpectedEof.into()),
            Ok(count) => {
                incoming.extend_from_slice(&read[..count]);
                Ok(true)
            }
            Err(error) if is_not_yet(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

fn is_not_yet(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}
