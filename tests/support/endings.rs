//! A Logstash that ends its connections as it is told to, plain or over TLS, with certificates that can be changed.
//!
//! It keeps every byte of connections on which no TLS came about, so that a story can say what was not in them.

use std::io;
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
use std::time::Duration;

use rustls::RootCertStore;
use rustls::ServerConfig;
use rustls::ServerConnection;
use rustls::SupportedProtocolVersion;
use rustls::crypto::aws_lc_rs;
use rustls::server::WebPkiClientVerifier;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject;
use serde_json::Value;
use socket2::SockRef;

use crate::support::tls::Authority;
use crate::support::tls::Identity;
use crate::support::wait_for;

/// How a connection ends when the relay has ended its half.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// In order.
    InOrder,
    /// By a reset.
    Reset,
    /// In order for TCP, and without a word in TLS.
    Truncated,
    /// Not at all, as long as the story lasts.
    Never,
}

/// What becomes of connections: the first one has the first of these, and whatever comes behind the last one has the last.
pub(crate) struct Ends {
    pub(crate) address: SocketAddr,
    shared: Arc<Mutex<State>>,
}

struct State {
    endings: Vec<Ending>,
    tls: Option<Arc<ServerConfig>>,
    accepted: usize,
    documents: Vec<Value>,
    /// What came on connections without TLS where there should be some.
    raw: Vec<u8>,
    /// Connections that nobody ends.
    kept: Vec<TcpStream>,
}

/// What a server of this identity offers; it lets in whoever `clients` signed for, or everybody.
#[track_caller]
pub(crate) fn server(
    identity: &Identity,
    clients: Option<&Authority>,
    versions: &[&'static SupportedProtocolVersion],
) -> Arc<ServerConfig> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone()).with_protocol_versions(versions).expect("versions");
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(authority) => {
            let mut roots = RootCertStore::empty();
            roots.add(CertificateDer::from_pem_slice(authority.pem().as_bytes()).expect("PEM")).expect("an authority");
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().expect("authorities");
            builder.with_client_cert_verifier(verifier)
        }
    };
    let chain = CertificateDer::pem_slice_iter(identity.certificate.as_bytes()).collect::<Result<_, _>>().expect("PEM");
    let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).expect("PEM");
    Arc::new(builder.with_single_cert(chain, key).expect("a certificate and its key"))
}

impl Ends {
    #[track_caller]
    pub(crate) fn start(endings: &[Ending], tls: Option<Arc<ServerConfig>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound");
        let (accepted, documents, raw, kept) = (0, Vec::new(), Vec::new(), Vec::new());
        let shared = Arc::new(Mutex::new(State { endings: endings.to_vec(), tls, accepted, documents, raw, kept }));
        let sharing = shared.clone();
        // It ends with the process.
        thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                let shared = sharing.clone();
                let (ending, tls) = {
                    let mut state = lock(&shared);
                    let ending = state.endings[state.accepted.min(state.endings.len() - 1)];
                    state.accepted += 1;
                    (ending, state.tls.clone())
                };
                thread::spawn(move || serve(stream, ending, tls, &shared));
            }
        });
        Self { address, shared }
    }

    /// Shows this to whoever comes from now on.
    pub(crate) fn shows(&self, tls: Arc<ServerConfig>) {
        lock(&self.shared).tls = Some(tls);
    }

    pub(crate) fn connections(&self) -> usize {
        lock(&self.shared).accepted
    }

    /// All documents read, in the order in which connections gave them.
    pub(crate) fn documents(&self) -> Vec<Value> {
        lock(&self.shared).documents.clone()
    }

    /// What came where TLS should have been, and was none.
    pub(crate) fn raw(&self) -> Vec<u8> {
        lock(&self.shared).raw.clone()
    }

    /// Waits until so many documents were read.
    #[track_caller]
    pub(crate) fn receives(&self, count: usize) {
        let read = || lock(&self.shared).documents.len();
        wait_for(|| (read() >= count).then_some(()), || format!("{count} documents, there are {}", read()));
    }
}

fn lock(shared: &Mutex<State>) -> MutexGuard<'_, State> {
    shared.lock().expect("nobody panics holding it")
}

fn serve(mut tcp: TcpStream, ending: Ending, tls: Option<Arc<ServerConfig>>, shared: &Mutex<State>) {
    let patience = Some(Duration::from_secs(60));
    tcp.set_read_timeout(patience).expect("an option");
    let Some(config) = tls else {
        read(&mut tcp, shared);
        return end(tcp, ending, shared);
    };
    let mut connection = ServerConnection::new(config).expect("a good configuration");
    let mut tap = Tap { tcp, raw: Vec::new() };
    while connection.is_handshaking() {
        if connection.complete_io(&mut tap).is_err() {
            let _ = tap.tcp.shutdown(Shutdown::Write);
            let _ = tap.read_to_end(&mut Vec::new());
            lock(shared).raw.extend(tap.raw);
            return;
        }
    }
    let mut stream = rustls::StreamOwned::new(connection, tap);
    read(&mut stream, shared);
    if ending == Ending::InOrder {
        stream.conn.send_close_notify();
        let _ = stream.flush();
    }
    end(stream.sock.tcp, ending, shared);
}

/// Reads documents until the relay ends its half.
fn read(stream: &mut impl Read, shared: &Mutex<State>) {
    let mut held = Vec::new();
    let mut some = vec![0; 64 << 10];
    while let Ok(count @ 1..) = stream.read(&mut some) {
        held.extend_from_slice(&some[..count]);
        let Some(end) = memchr::memrchr(b'\n', &held) else { continue };
        let parse = |line: &[u8]| serde_json::from_slice::<Value>(line).expect("a document is JSON");
        let documents: Vec<Value> = held[..end].split(|&byte| byte == b'\n').map(parse).collect();
        lock(shared).documents.extend(documents);
        held.drain(..=end);
    }
    assert!(held.is_empty() || thread::panicking(), "a connection ends behind a document");
}

fn end(tcp: TcpStream, ending: Ending, shared: &Mutex<State>) {
    match ending {
        Ending::InOrder | Ending::Truncated => {}
        Ending::Reset => SockRef::from(&tcp).set_linger(Some(Duration::ZERO)).expect("an option"),
        Ending::Never => lock(shared).kept.push(tcp),
    }
}

/// Keeps what is read.
struct Tap {
    tcp: TcpStream,
    raw: Vec<u8>,
}

impl Read for Tap {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let count = self.tcp.read(bytes)?;
        if self.raw.len() < 1 << 20 {
            self.raw.extend_from_slice(&bytes[..count]);
        }
        Ok(count)
    }
}

impl Write for Tap {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.tcp.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.tcp.flush()
    }
}
