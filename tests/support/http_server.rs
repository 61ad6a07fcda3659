//! A server of HTTP/1.1 that says what a test tells it to, may be absent, and remembers what it was sent.
//!
//! It is for sinks: bodies are read as NDJSON, as an array or as a bulk request. It keeps its connections unless told otherwise,
//! and knows nothing of what is right.

use std::collections::VecDeque;
use std::io;
use std::io::BufRead;
use std::io::BufReader;
use std::io::Read;
use std::io::Write;
use std::net::Shutdown;
use std::net::SocketAddr;
use std::net::TcpListener;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::thread;
use std::thread::JoinHandle;
use std::time::Duration;
use std::time::Instant;

use serde_json::Value;
use serde_json::json;
use socket2::SockRef;

use crate::support::PATIENCE;
use crate::support::logstash::Reserved;
use crate::support::logstash::listen;
use crate::support::wait_for;

/// How long whoever stalls looks again whether it is to end.
const LOOK: Duration = Duration::from_millis(10);

/// What is done with a request.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    after: Duration,
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    /// Instead of a whole answer of the above.
    bytes: Option<Vec<u8>>,
    cut: Option<usize>,
    end: End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Keep,
    Close,
    Reset,
    Stall,
}

impl Reply {
    /// An answer without a body.
    pub(crate) fn status(status: u16) -> Self {
        let (after, headers, body, bytes, cut) = Default::default();
        Self { after, status, headers, body, bytes, cut, end: End::Keep }
    }

    /// Exactly these bytes, and then the end of the connection.
    pub(crate) fn raw(bytes: impl Into<Vec<u8>>) -> Self {
        Self { bytes: Some(bytes.into()), ..Self::status(0) }.closing()
    }

    /// The connection ends in order, with nothing said.
    pub(crate) fn close() -> Self {
        Self::raw("")
    }

    /// The connection is reset, with nothing said.
    pub(crate) fn reset() -> Self {
        Self { end: End::Reset, ..Self::raw("") }
    }

    /// Nothing is said, and the connection stays.
    pub(crate) fn stall() -> Self {
        Self { end: End::Stall, ..Self::raw("") }
    }

    /// To a bulk request: what became of each document, by its position and id. To all else 200.
    pub(crate) fn items(request: &Request, mut status: impl FnMut(usize, &str) -> u16) -> Self {
        let item = |(position, id): (usize, String)| {
            let status = status(position, &id);
            let mut item = json!({"_index": "x", "_id": id, "status": status});
            if status >= 300 {
                item["error"] = json!({"type": format!("scripted_{status}"), "reason": "as told"});
            }
            json!({"create": item})
        };
        let items: Vec<Value> = request.bulk_ids().into_iter().enumerate().map(item).collect();
        Self::status(200).json(&json!({"took": 1, "errors": true, "items": items}))
    }

    /// What Elasticsearch says of itself, or that all documents of a bulk request are created.
    pub(crate) fn elasticsearch(request: &Request) -> Self {
        if request.method == "GET" {
            return Self::status(200)
                .json(&json!({"version": {"number": "8.15.0"}, "tagline": "You Know, for Search"}))
                .header("X-Elastic-Product", "Elasticsearch");
        }
        Self::items(request, |_, _| 201)
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    pub(crate) fn json(self, value: &Value) -> Self {
        self.header("Content-Type", "application/json").body(value.to_string())
    }

    /// Says it so much later.
    pub(crate) fn after(mut self, delay: Duration) -> Self {
        self.after = delay;
        self
    }

    /// Says only so many bytes of it, head included; then the connection ends.
    pub(crate) fn cut(mut self, bytes: usize) -> Self {
        self.cut = Some(bytes);
        self.closing()
    }

    /// Ends the connection behind it, without having announced that.
    pub(crate) fn closing(mut self) -> Self {
        self.end = End::Close;
        self
    }

    /// Says nothing more behind it, but keeps the connection.
    pub(crate) fn stalling(mut self) -> Self {
        self.end = End::Stall;
        self
    }

    /// Whether it is a whole answer that the request is done.
    fn is_good(&self) -> bool {
        self.bytes.is_none() && self.cut.is_none() && (200..300).contains(&self.status)
    }

    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.bytes.clone().unwrap_or_else(|| {
            let mut head = format!("HTTP/1.1 {} Scripted\r\nContent-Length: {}\r\n", self.status, self.body.len());
            for (name, value) in &self.headers {
                head += &format!("{name}: {value}\r\n");
            }
            [head.as_bytes(), b"\r\n", &self.body].concat()
        });
        bytes.truncate(self.cut.unwrap_or(usize::MAX));
        bytes
    }
}

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// The number of the connection it came on, from 0.
    pub(crate) connection: usize,
    pub(crate) method: String,
    pub(crate) target: String,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    /// Unpacked.
    pub(crate) body: Vec<u8>,
    /// Bytes of it as they came.
    pub(crate) packed: usize,
    /// When all of it was there.
    pub(crate) at: Instant,
    /// Whether it was answered with all of a 2xx, so that its documents have arrived.
    pub(crate) is_good: bool,
}

impl Request {
    /// The value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Its documents, in order.
    #[track_caller]
    pub(crate) fn documents(&self) -> Vec<Value> {
        let parse =
            |bytes: &[u8]| serde_json::from_slice(bytes).unwrap_or_else(|error| panic!("{error}: {}", bytes.escape_ascii()));
        if self.header("content-type") == Some("application/json") {
            let Value::Array(documents) = parse(&self.body) else { panic!("no array: {}", self.body.escape_ascii()) };
            return documents;
        }
        let lines = self.body.split_inclusive(|&byte| byte == b'\n').map(|line| {
            assert!(line.ends_with(b"\n"), "an open line: {}", line.escape_ascii());
            parse(line)
        });
        if self.is_bulk() { lines.skip(1).step_by(2).collect() } else { lines.collect() }
    }

    /// The ids that a bulk request's documents are to have.
    #[track_caller]
    pub(crate) fn bulk_ids(&self) -> Vec<String> {
        if !self.is_bulk() {
            return Vec::new();
        }
        let actions = self.body.split(|&byte| byte == b'\n').step_by(2).filter(|line| !line.is_empty());
        let id = |line: &[u8]| serde_json::from_slice::<Value>(line).ok()?["create"]["_id"].as_str().map(str::to_owned);
        actions.map(|line| id(line).expect("each document is created under an id")).collect()
    }

    fn is_bulk(&self) -> bool {
        self.target.contains("/_bulk")
    }
}

/// Decides about a request.
type Answers = Box<dyn FnMut(&Request) -> Reply + Send>;

/// A server. It can be reached from [`HttpServer::appear`] on.
pub(crate) struct HttpServer {
    place: Reserved,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

struct Shared {
    state: Mutex<State>,
    answers: Mutex<Answers>,
}

#[derive(Default)]
struct State {
    requests: Vec<Request>,
    /// For the next requests, before the server's own answers.
    script: VecDeque<Reply>,
    body_max: Option<usize>,
    idle: Option<Duration>,
    is_listening: bool,
    /// Connections of an earlier age reset themselves.
    age: u64,
    open: usize,
    accepted: usize,
}

impl HttpServer {
    /// One that nobody can reach yet, and that will answer each request as told.
    pub(crate) fn absent(answers: impl FnMut(&Request) -> Reply + Send + 'static) -> Self {
        let shared = Arc::new(Shared { state: Mutex::default(), answers: Mutex::new(Box::new(answers)) });
        Self { place: Reserved::new(), shared, accepting: None }
    }

    /// One that answers each request as told.
    pub(crate) fn answering(answers: impl FnMut(&Request) -> Reply + Send + 'static) -> Self {
        let mut server = Self::absent(answers);
        server.appear();
        server
    }

    /// One that answers these, one after the other, and 200 from then on.
    pub(crate) fn scripted(replies: impl IntoIterator<Item = Reply>) -> Self {
        let server = Self::answering(|_| Reply::status(200));
        server.next(replies);
        server
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.place.address
    }

    /// Answers these to the next requests, and goes on as before.
    pub(crate) fn next(&self, replies: impl IntoIterator<Item = Reply>) {
        self.shared.lock().script.extend(replies);
    }

    /// Answers otherwise from now on.
    pub(crate) fn answer(&self, answers: impl FnMut(&Request) -> Reply + Send + 'static) {
        *self.shared.answers.lock().expect("answering does not panic") = Box::new(answers);
    }

    /// Answers 413 to longer bodies before it has read them, and closes, as proxies do.
    pub(crate) fn body_max(&self, bytes: usize) {
        self.shared.lock().body_max = Some(bytes);
    }

    /// Closes connections on which nothing comes for so long.
    pub(crate) fn idle(&self, limit: Duration) {
        self.shared.lock().idle = Some(limit);
    }

    /// Starts to listen.
    pub(crate) fn appear(&mut self) {
        assert!(self.accepting.is_none(), "it listens already");
        let listener = listen(self.place.address);
        self.shared.lock().is_listening = true;
        let shared = self.shared.clone();
        self.accepting = Some(thread::spawn(move || shared.accept(&listener)));
    }

    /// Resets its connections and listens no more.
    pub(crate) fn vanish(&mut self) {
        let Some(thread) = self.accepting.take() else { return };
        self.shared.lock().is_listening = false;
        // Whoever accepts looks up only when somebody comes.
        let _ = TcpStream::connect(self.place.address);
        thread.join().expect("accepting does not fail");
        self.cut();
    }

    /// Resets its connections.
    pub(crate) fn cut(&self) {
        self.shared.lock().age += 1;
        wait_for(|| (self.shared.lock().open == 0).then_some(()), || "a connection does not end".to_owned());
    }

    /// Connections accepted so far.
    pub(crate) fn connections(&self) -> usize {
        self.shared.lock().accepted
    }

    /// Connections open now.
    pub(crate) fn open(&self) -> usize {
        self.shared.lock().open
    }

    /// The requests so far.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.shared.lock().requests.clone()
    }

    /// Documents of requests that it answered with 2xx, in the order they came.
    #[track_caller]
    pub(crate) fn documents(&self) -> Vec<Value> {
        self.requests().iter().filter(|request| request.is_good).flat_map(Request::documents).collect()
    }

    /// Waits for so many requests, and gives them.
    #[track_caller]
    pub(crate) fn is_asked(&self, count: usize) -> Vec<Request> {
        let asked = || Some(self.requests()).filter(|requests| requests.len() >= count);
        wait_for(asked, || format!("{count} requests, there are {:?}", self.requests()))
    }

    /// Waits for so many documents, and gives them.
    #[track_caller]
    pub(crate) fn receives(&self, count: usize) -> Vec<Value> {
        let received = || Some(self.documents()).filter(|documents| documents.len() >= count);
        wait_for(received, || format!("{count} documents, there are {}", self.documents().len()))
    }
}

impl Drop for HttpServer {
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

    fn accept(self: &Arc<Self>, listener: &TcpListener) {
        loop {
            let (stream, _) = listener.accept().expect("a listener accepts");
            let mut state = self.lock();
            if !state.is_listening {
                return;
            }
            let (number, age) = (state.accepted, state.age);
            state.accepted += 1;
            state.open += 1;
            drop(state);
            let shared = self.clone();
            thread::spawn(move || {
                let end = shared.serve(&stream, number, age).unwrap_or(End::Close);
                if end == End::Reset || shared.lock().age != age {
                    let _ = SockRef::from(&stream).set_linger(Some(Duration::ZERO));
                }
                drop(stream);
                shared.lock().open -= 1;
            });
        }
    }

    /// Serves one connection until it ends, and says how.
    fn serve(&self, stream: &TcpStream, number: usize, age: u64) -> io::Result<End> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(LOOK))?;
        let mut reader = BufReader::new(Patient { shared: self, stream, age, since: Instant::now(), is_idle: true });
        loop {
            let patient = reader.get_mut();
            (patient.is_idle, patient.since) = (true, Instant::now());
            if reader.fill_buf()?.is_empty() {
                return Ok(End::Close);
            }
            reader.get_mut().is_idle = false;
            let (mut request, length) = head(&mut reader, number)?;
            if self.lock().body_max.is_some_and(|max| length > max) {
                self.lock().requests.push(request);
                (&*stream).write_all(&Reply::status(413).header("Connection", "close").to_bytes())?;
                return Ok(End::Close);
            }
            if request.header("expect").is_some_and(|expect| expect.eq_ignore_ascii_case("100-continue")) {
                (&*stream).write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body)?;
            request.packed = body.len();
            request.body = body;
            if request.header("content-encoding") == Some("gzip") {
                let packed = std::mem::take(&mut request.body);
                flate2::read::MultiGzDecoder::new(&*packed).read_to_end(&mut request.body)?;
            }
            request.at = Instant::now();
            let next = self.lock().script.pop_front();
            let reply = next.unwrap_or_else(|| self.answers.lock().expect("answering does not panic")(&request));
            request.is_good = reply.is_good();
            self.lock().requests.push(request);
            thread::sleep(reply.after);
            (&*stream).write_all(&reply.to_bytes())?;
            match reply.end {
                End::Keep => {}
                // Whoever closes with something unread resets; there is nothing.
                End::Close => {
                    let _ = stream.shutdown(Shutdown::Both);
                    return Ok(End::Close);
                }
                End::Reset => return Ok(End::Reset),
                End::Stall => {
                    // Until the other side ends it.
                    while !reader.fill_buf()?.is_empty() {
                        let read = reader.buffer().len();
                        reader.consume(read);
                    }
                    return Ok(End::Close);
                }
            }
        }
    }
}

/// A connection that is read until it is cut, or was idle for too long.
struct Patient<'a> {
    shared: &'a Shared,
    stream: &'a TcpStream,
    age: u64,
    since: Instant,
    is_idle: bool,
}

impl Read for Patient<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let (age, idle) = Some(self.shared.lock()).map(|state| (state.age, state.idle)).unwrap_or_default();
            if age != self.age || self.since.elapsed() > PATIENCE * 4 {
                return Err(io::ErrorKind::ConnectionAborted.into());
            }
            if self.is_idle && idle.is_some_and(|idle| self.since.elapsed() > idle) {
                return Ok(0);
            }
            match (&mut &*self.stream).read(buffer) {
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {}
                read => return read,
            }
        }
    }
}

/// Reads the head of a request; gives also the length of its body.
fn head(reader: &mut impl BufRead, connection: usize) -> io::Result<(Request, usize)> {
    let mut line = || {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
        }
        Ok(line.trim_end_matches("\r\n").to_owned())
    };
    let first = line()?;
    let mut words = first.split(' ').map(str::to_owned);
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let mut headers = Vec::new();
    loop {
        let line = line()?;
        let Some((name, value)) = line.split_once(':') else { break };
        headers.push((name.to_lowercase(), value.trim().to_owned()));
    }
    let (body, packed, at) = (Vec::new(), 0, Instant::now());
    let request = Request { connection, method, target, headers, body, packed, at, is_good: false };
    let length = request.header("content-length").map_or(0, |length| length.parse().expect("a length"));
    Ok((request, length))
}
