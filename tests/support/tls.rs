//! Certificates of authorities that live as long as a test, and senders that speak TLS.

use std::fs;
use std::io;
use std::io::BufRead;
use std::io::BufReader;
use std::io::Read;
use std::io::Write;
use std::net::Shutdown;
use std::net::SocketAddr;
use std::net::TcpStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rcgen::BasicConstraints;
use rcgen::CertificateParams;
use rcgen::CertifiedIssuer;
use rcgen::DnType;
use rcgen::ExtendedKeyUsagePurpose;
use rcgen::IsCa;
use rcgen::KeyPair;
use rcgen::KeyUsagePurpose;
use rcgen::date_time_ymd;
use rustls::ClientConfig;
use rustls::ClientConnection;
use rustls::RootCertStore;
use rustls::StreamOwned;
use rustls::SupportedProtocolVersion;
use rustls::crypto::aws_lc_rs;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::ServerName;
use rustls_pki_types::pem::PemObject;
use socket2::SockRef;
use tempfile::TempDir;

use crate::support::PATIENCE;

/// The name that the relay's certificates are for.
pub(crate) const RELAY: &str = "relay.example";

/// A connection that may be held back this long.
const WRITE_TIMEOUT: Duration = Duration::from_secs(120);

/// Signs certificates.
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// A certificate and its key, in PEM.
#[derive(Clone)]
pub(crate) struct Identity {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

/// What is wrong with a certificate, or nothing.
#[derive(Clone, Copy)]
pub(crate) enum Flaw {
    None,
    Expired,
    NotYetValid,
    /// It is for a server.
    WrongUsage,
}

impl Authority {
    #[track_caller]
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
        Self { issuer: CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("an authority") }
    }

    pub(crate) fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// A certificate for the relay.
    #[track_caller]
    pub(crate) fn relay(&self) -> Identity {
        self.sign(RELAY, ExtendedKeyUsagePurpose::ServerAuth, Flaw::None)
    }

    /// One that is good no longer.
    #[track_caller]
    pub(crate) fn expired_relay(&self) -> Identity {
        self.sign(RELAY, ExtendedKeyUsagePurpose::ServerAuth, Flaw::Expired)
    }

    /// A certificate for a server of another name.
    #[track_caller]
    #[allow(dead_code, reason = "only sinks meet others")]
    pub(crate) fn server(&self, name: &str) -> Identity {
        self.sign(name, ExtendedKeyUsagePurpose::ServerAuth, Flaw::None)
    }

    /// A sender's certificate.
    #[track_caller]
    pub(crate) fn sender(&self, name: &str) -> Identity {
        self.flawed_sender(name, Flaw::None)
    }

    /// A sender's certificate with something wrong in it.
    #[track_caller]
    pub(crate) fn flawed_sender(&self, name: &str, flaw: Flaw) -> Identity {
        self.sign(name, ExtendedKeyUsagePurpose::ClientAuth, flaw)
    }

    #[track_caller]
    fn sign(&self, name: &str, usage: ExtendedKeyUsagePurpose, flaw: Flaw) -> Identity {
        let mut params = CertificateParams::new([name.to_owned()]).expect("a name");
        params.distinguished_name.push(DnType::CommonName, format!("{name} (common)"));
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![usage];
        match flaw {
            Flaw::None => {}
            Flaw::Expired => params.not_after = date_time_ymd(2020, 1, 1),
            Flaw::NotYetValid => params.not_before = date_time_ymd(4000, 1, 1),
            Flaw::WrongUsage => params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth],
        }
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        Identity { certificate: certificate.pem(), key: key.serialize_pem() }
    }

    /// A sender that trusts relays this authority signed for.
    #[track_caller]
    pub(crate) fn trusting(&self, identity: Option<&Identity>) -> Arc<ClientConfig> {
        trusting(&[self], identity, rustls::ALL_VERSIONS)
    }
}

/// A sender that trusts relays that one of these authorities signed for, speaks these versions, and has a certificate or none.
#[track_caller]
pub(crate) fn trusting(
    authorities: &[&Authority],
    identity: Option<&Identity>,
    versions: &[&'static SupportedProtocolVersion],
) -> Arc<ClientConfig> {
    trusting_roots(authorities.iter().map(|authority| authority.issuer.der().clone()), identity, versions)
}

/// The same with authorities of others.
#[track_caller]
pub(crate) fn trusting_roots(
    authorities: impl IntoIterator<Item = CertificateDer<'static>>,
    identity: Option<&Identity>,
    versions: &[&'static SupportedProtocolVersion],
) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for authority in authorities {
        roots.add(authority).expect("an authority");
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let builder = builder.with_protocol_versions(versions).expect("versions").with_root_certificates(roots);
    Arc::new(match identity {
        None => builder.with_no_client_auth(),
        Some(Identity { certificate, key }) => {
            let chain = CertificateDer::pem_slice_iter(certificate.as_bytes()).collect::<Result<_, _>>().expect("PEM");
            builder.with_client_auth_cert(chain, PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("PEM")).expect("they fit")
        }
    })
}

/// The files that a relay's TLS is made from.
pub(crate) struct Files {
    folder: TempDir,
}

impl Files {
    #[track_caller]
    pub(crate) fn new(relay: &Identity) -> Self {
        let files = Self { folder: tempfile::tempdir().expect("a folder") };
        files.replace(relay);
        files
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Puts another certificate and key in place.
    #[track_caller]
    pub(crate) fn replace(&self, relay: &Identity) {
        self.write("relay.pem", &relay.certificate);
        self.write("relay.key", &relay.key);
    }

    /// Whose senders are let in.
    #[track_caller]
    pub(crate) fn authority(&self, authority: &Authority) {
        self.write("senders.pem", &authority.pem());
    }

    /// By renaming, as whoever writes such files should: never is half a file there.
    #[track_caller]
    pub(crate) fn write(&self, name: &str, text: &str) {
        let new = self.path("new");
        fs::write(&new, text).and_then(|()| fs::rename(&new, self.path(name))).expect("the folder is ours");
    }

    /// What a source needs to speak TLS, with these further keys of its table.
    pub(crate) fn settings(&self, more: &str) -> String {
        let path = |name| self.path(name).display().to_string();
        format!("tls = {{ certificate = \"{}\", key = \"{}\", {more} }}\n", path("relay.pem"), path("relay.key"))
    }

    /// The same for a source that wants to know who its senders are.
    pub(crate) fn mutual(&self, more: &str) -> String {
        self.settings(&format!("client_ca = \"{}\", {more}", self.path("senders.pem").display()))
    }
}

/// A sender's connection in TLS.
pub(crate) struct TlsSender {
    stream: StreamOwned<ClientConnection, TcpStream>,
}

impl TlsSender {
    /// Connects and comes to the end of what a sender takes for the handshake.
    #[track_caller]
    pub(crate) fn connect(address: SocketAddr, config: &Arc<ClientConfig>) -> Self {
        Self::try_connect(address, config).expect("the relay lets it in")
    }

    pub(crate) fn try_connect(address: SocketAddr, config: &Arc<ClientConfig>) -> io::Result<Self> {
        Self::try_connect_behind(address, b"", config)
    }

    /// The same with bytes before the handshake, as a load balancer sends them.
    pub(crate) fn try_connect_behind(address: SocketAddr, header: &[u8], config: &Arc<ClientConfig>) -> io::Result<Self> {
        let mut tcp = TcpStream::connect_timeout(&address, PATIENCE)?;
        tcp.write_all(header)?;
        tcp.set_write_timeout(Some(WRITE_TIMEOUT))?;
        tcp.set_read_timeout(Some(PATIENCE))?;
        tcp.set_nodelay(true)?;
        let name = ServerName::try_from(RELAY).expect("a name");
        let mut connection = ClientConnection::new(config.clone(), name).expect("a good configuration");
        while connection.is_handshaking() {
            connection.complete_io(&mut tcp)?;
        }
        Ok(Self { stream: StreamOwned::new(connection, tcp) })
    }

    /// The certificate that the relay showed.
    pub(crate) fn shown(&self) -> CertificateDer<'static> {
        self.stream.conn.peer_certificates().expect("a handshake")[0].clone()
    }

    #[track_caller]
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes).expect("the relay reads");
    }

    /// What the relay says.
    pub(crate) fn reading(&mut self) -> &mut impl Read {
        &mut self.stream
    }

    pub(crate) fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.write_all(bytes.as_ref())?;
        self.stream.flush()
    }

    /// Says that nothing more comes.
    #[track_caller]
    pub(crate) fn close_notify(&mut self) {
        self.stream.conn.send_close_notify();
        self.stream.flush().expect("the relay reads");
    }

    /// Says that nothing more comes and waits until the relay has said so, too.
    #[track_caller]
    pub(crate) fn finish(mut self) {
        self.close_notify();
        assert_eq!(self.ends().expect("a clean end"), 0, "the relay does not speak");
    }

    /// Says that nothing more comes and goes without looking back.
    #[track_caller]
    pub(crate) fn close(mut self) {
        self.close_notify();
    }

    /// Sends bytes, and behind them in the same write some that no TLS is.
    #[track_caller]
    pub(crate) fn send_and_spoil(&mut self, bytes: &str, rubbish: &[u8]) {
        self.stream.conn.writer().write_all(bytes.as_bytes()).expect("memory takes them");
        let mut records = Vec::new();
        while self.stream.conn.wants_write() {
            self.stream.conn.write_tls(&mut records).expect("memory takes them");
        }
        records.extend_from_slice(rubbish);
        self.stream.sock.write_all(&records).expect("the relay reads");
    }

    /// Ends the connection below, as whoever cuts it would.
    #[track_caller]
    pub(crate) fn truncate(&mut self) {
        self.stream.sock.shutdown(Shutdown::Write).expect("the connection is open");
    }

    /// Forgets the TLS of a connection, which stays open.
    pub(crate) fn into_tcp(self) -> TcpStream {
        self.stream.sock
    }

    /// Resets the connection.
    #[track_caller]
    pub(crate) fn reset(self) {
        SockRef::from(&self.stream.sock).set_linger(Some(Duration::ZERO)).expect("an option");
    }

    /// Waits for the relay's end, which counts only where it has been said, and gives the number of bytes before it.
    pub(crate) fn ends(&mut self) -> io::Result<usize> {
        self.stream.read_to_end(&mut Vec::new())
    }

    /// The next line of what the relay says.
    pub(crate) fn line(&mut self) -> io::Result<String> {
        // A buffer of one byte reads nothing ahead.
        let mut line = String::new();
        BufReader::with_capacity(1, &mut self.stream).read_line(&mut line)?;
        Ok(line)
    }

    /// As many bytes of what the relay says.
    #[track_caller]
    pub(crate) fn read_exact(&mut self, bytes: &mut [u8]) {
        self.stream.read_exact(bytes).expect("the relay speaks");
    }

    /// Whether neither a byte nor an end has come.
    #[track_caller]
    pub(crate) fn hears_nothing(&mut self) -> bool {
        self.stream.sock.set_nonblocking(true).expect("an option");
        let heard = self.stream.read(&mut [0]);
        self.stream.sock.set_nonblocking(false).expect("an option");
        heard.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }
}
