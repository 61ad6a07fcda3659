//! The connecting side of TLS: whose peers are trusted and what is shown to them, as files say, made anew when they change.
//!
//! TLS 1.2 and 1.3 with what aws-lc-rs has, no early data, no resumption: each connection has its peer looked at. Nothing here
//! switches that off. Who is connected to, and when again, is not decided here.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustls::AlertDescription;
use rustls::CertificateError;
use rustls::ClientConfig;
use rustls::Error;
use rustls::RootCertStore;
use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs;
use rustls::version::TLS12;
use rustls::version::TLS13;
use rustls_pki_types::IpAddr;
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::Looked;
use super::error::TlsError;
use super::files::Authorities;
use super::files::ClientFiles;
use super::fresh::Fresh;
use super::material;

/// The TLS of connections a sink makes, as decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientTlsPlan {
    /// The file with the authorities that sign for peers, in PEM; `None`: those the system trusts.
    pub ca: Option<PathBuf>,
    /// The file with the relay's own certificate and those that signed it, in PEM, for peers that want to see one.
    pub certificate: Option<PathBuf>,
    /// The file with its key, in PEM. Without a certificate it is not read.
    pub key: Option<PathBuf>,
    /// The name or IP address that has to stand in peers' certificates; `None`: the one connected to.
    pub server_name: Option<String>,
    /// A connection that is not through with the handshake by then is closed.
    pub handshake_timeout: Duration,
}

/// The TLS of one sink, loaded.
#[derive(Debug)]
pub struct ClientTls {
    plan: ClientTlsPlan,
    alpn: Vec<Vec<u8>>,
    server_name: Option<ServerName<'static>>,
    fresh: Fresh<ClientFiles, Arc<ClientConfig>>,
}

/// What keeps a sink from a peer until somebody mends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unacceptable {
    /// The peer's certificate is signed by nobody who is trusted.
    UnknownCa,
    /// The peer's certificate, or one above it, does not hold at this time.
    Expired,
    /// The peer's certificate is for other names, or the peer knows none of the name it was asked for.
    OtherName,
    /// The peer's certificate is wrong otherwise.
    BadCertificate,
    /// The peer does not take the relay's certificate, or wants one where there is none.
    OursRefused,
    /// What is connected to has no name that could stand in a certificate.
    NoName,
    /// What the peer says is no TLS.
    NotTls,
    /// Both have no version, cipher suite, group or application protocol in common.
    NothingInCommon,
}

impl Unacceptable {
    /// What a person can do about it.
    pub fn remedy(self) -> &'static str {
        match self {
            Self::UnknownCa => "name the authority that signed the peer's certificate in ca of the sink's tls",
            Self::Expired => "renew the peer's certificate, and check both clocks",
            Self::OtherName => {
                "connect by a name that is in the peer's certificate, or write that name as server_name of the sink's tls"
            }
            Self::BadCertificate => "give the peer a certificate for servers with its whole chain",
            Self::OursRefused => "check certificate and key of the sink's tls, and which authorities the peer lets in",
            Self::NoName => "connect by a DNS name or an IP address, or write server_name in the sink's tls",
            Self::NotTls => "check that the peer speaks TLS at this port; nothing is sent to it without",
            Self::NothingInCommon => "have the peer speak TLS 1.2 or 1.3 with current ciphers; it may also want a certificate",
        }
    }
}

/// A handshake that came to nothing.
#[derive(Debug)]
pub struct HandshakeFailed {
    /// What somebody has to mend; `None` where it may be well the next time.
    pub unacceptable: Option<Unacceptable>,
    /// Why, as the library and the system say it.
    pub source: io::Error,
}

impl ClientTls {
    /// Reads the files, for connections on which one of the protocols in `alpn` is spoken; empty: none is agreed upon. Blocks as
    /// long as the disk does.
    ///
    /// # Errors
    /// Which file is no use, why, and what to do.
    pub fn load(plan: &ClientTlsPlan, alpn: &[&[u8]]) -> Result<Self, TlsError> {
        let alpn: Vec<Vec<u8>> = alpn.iter().map(|name| name.to_vec()).collect();
        let named = |name: &String| server_name(name).ok_or_else(|| TlsError::ServerName(name.clone()));
        let server_name = plan.server_name.as_ref().map(named).transpose()?;
        let files = ClientFiles::read(plan, None)?;
        let config = build(plan, &alpn, &files)?;
        Ok(Self { plan: plan.clone(), alpn, server_name, fresh: Fresh::new(files, config) })
    }

    /// Looks at the files and takes them into use where they have changed; connections that are open stay as they are. The
    /// system's authorities are looked at only where somebody `asked`. Blocks as long as the disk does.
    ///
    /// # Errors
    /// As for [`ServerTls::reload`](super::ServerTls::reload): why changed files are no use, once for each change.
    pub fn reload(&self, asked: bool) -> Result<Looked, TlsError> {
        let read = |known: &ClientFiles| ClientFiles::read(&self.plan, Some(&known.authorities).filter(|_| !asked));
        self.fresh.look(asked, read, |files| build(&self.plan, &self.alpn, files))
    }

    /// What new connections are made with.
    pub fn current(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.fresh.current())
    }

    /// Shakes hands with whoever answers for `host`, a DNS name or an IP address (IPv6 with or without brackets), and closes the
    /// connection where that comes to nothing. Abandoning it closes the connection.
    ///
    /// # Errors
    /// Why it came to nothing, and whether somebody has to mend something.
    pub async fn handshake(&self, host: &str, stream: TcpStream) -> Result<TlsStream<TcpStream>, HandshakeFailed> {
        let name = match &self.server_name {
            Some(name) => name.clone(),
            None => server_name(host).ok_or_else(|| HandshakeFailed {
                unacceptable: Some(Unacceptable::NoName),
                source: io::Error::new(io::ErrorKind::InvalidInput, "neither a DNS name nor an IP address"),
            })?,
        };
        let limit = self.plan.handshake_timeout;
        match timeout(limit, TlsConnector::from(self.current()).connect(name, stream)).await {
            Ok(done) => done.map_err(|source| HandshakeFailed { unacceptable: unacceptable(&source), source }),
            Err(_) => {
                let source = io::Error::new(io::ErrorKind::TimedOut, format!("it is not through after {limit:?}"));
                Err(HandshakeFailed { unacceptable: None, source })
            }
        }
    }
}

/// Whether this is a DNS name or an IP address, for which there can be a certificate.
pub fn is_server_name(name: &str) -> bool {
    server_name(name).is_some()
}

fn server_name(host: &str) -> Option<ServerName<'static>> {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    if let Ok(address) = IpAddr::try_from(bare.unwrap_or(host)) {
        return Some(ServerName::IpAddress(address));
    }
    ServerName::try_from(host.to_owned()).ok()
}

/// What somebody has to mend, where that is why a connection failed. In TLS 1.3 the peer's word on the relay's certificate comes
/// only after the handshake, with the first bytes read.
pub fn unacceptable(error: &io::Error) -> Option<Unacceptable> {
    match error.get_ref()?.downcast_ref::<Error>()? {
        Error::InvalidCertificate(error) => Some(match error {
            // An authority that has the name of a trusted one and another key is another one.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => Unacceptable::UnknownCa,
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. } => Unacceptable::Expired,
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => Unacceptable::OtherName,
            _ => Unacceptable::BadCertificate,
        }),
        Error::NoCertificatesPresented => Some(Unacceptable::BadCertificate),
        Error::InvalidMessage(_) => Some(Unacceptable::NotTls),
        Error::PeerIncompatible(_) | Error::NoApplicationProtocol => Some(Unacceptable::NothingInCommon),
        Error::AlertReceived(alert) => of_alert(*alert),
        _ => None,
    }
}

/// What somebody has to mend where the peer ends a connection with this.
fn of_alert(alert: AlertDescription) -> Option<Unacceptable> {
    match alert {
        AlertDescription::NoCertificate
        | AlertDescription::BadCertificate
        | AlertDescription::UnsupportedCertificate
        | AlertDescription::CertificateRevoked
        | AlertDescription::CertificateExpired
        | AlertDescription::CertificateUnknown
        | AlertDescription::UnknownCA
        | AlertDescription::AccessDenied
        | AlertDescription::CertificateRequired => Some(Unacceptable::OursRefused),
        AlertDescription::UnrecognisedName => Some(Unacceptable::OtherName),
        AlertDescription::ProtocolVersion
        | AlertDescription::HandshakeFailure
        | AlertDescription::InsufficientSecurity
        | AlertDescription::NoApplicationProtocol => Some(Unacceptable::NothingInCommon),
        _ => None,
    }
}

/// Makes of files what connections are made with.
fn build(plan: &ClientTlsPlan, alpn: &[Vec<u8>], files: &ClientFiles) -> Result<Arc<ClientConfig>, TlsError> {
    let library = |error: Error| TlsError::Library(error.to_string());
    let roots = match (&files.authorities, &plan.ca) {
        (Authorities::File(bytes), Some(path)) => material::authorities(path, bytes)?,
        (Authorities::File(_), None) => RootCertStore::empty(),
        (Authorities::System(certificates), _) => {
            let mut roots = RootCertStore::empty();
            // Systems carry certificates that the library cannot use; each is one authority less.
            roots.add_parsable_certificates(certificates.iter().cloned());
            roots
        }
    };
    if roots.is_empty() {
        return Err(TlsError::NoSystemAuthorities("none of them can be used".to_owned()));
    }
    // Named here for the reason the listening side has.
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone()).with_protocol_versions(&[&TLS13, &TLS12]);
    let builder = builder.map_err(library)?.with_root_certificates(roots);
    let mut config = match (&plan.certificate, &plan.key, &files.certificate, &files.key) {
        (Some(certificate), Some(key), Some(certificate_bytes), Some(key_bytes)) => {
            let chain = material::certificates(certificate, certificate_bytes)?;
            let secret = material::key(key, &key_bytes.0)?;
            let usable = provider.key_provider.load_private_key(secret.clone_key());
            usable.map_err(|error| TlsError::Key { path: key.clone(), what: error.to_string() })?;
            builder.with_client_auth_cert(chain, secret).map_err(|error| material::unusable(error, certificate, key))?
        }
        _ => builder.with_no_client_auth(),
    };
    config.alpn_protocols = alpn.to_vec();
    // A session that goes on would not have its peer's certificate looked at again.
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests;
