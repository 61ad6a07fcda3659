//! One handshake, by its deadline, and a word for how it ended.
//!
//! It runs in the task of its connection. Whom to tell of a failure, and how often, its caller decides.

use std::io;
use std::time::Duration;

use rustls::AlertDescription;
use rustls::CertificateError;
use rustls::Error;
use rustls::PeerIncompatible;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::ServerTls;
use super::clients::names;
use crate::metrics::Handshake;

/// How long a peer that was told why it is refused may take to hear it and close.
const FAREWELL: Duration = Duration::from_secs(1);

/// Most that is read of it meanwhile. A close with unread bytes is a reset, which may overtake what it was told.
const FAREWELL_BYTES_MAX: usize = 64 * 1024;

/// A connection after the handshake.
#[derive(Debug)]
pub struct Session {
    /// The connection.
    pub stream: TlsStream<TcpStream>,
    /// The names in the certificate its sender has proved to hold; none where it has shown none.
    pub certificate_names: Vec<Box<str>>,
}

/// A handshake that came to nothing.
#[derive(Debug)]
pub struct Refusal {
    /// How it ended; never [`Handshake::Done`].
    pub how: Handshake,
    /// Why, in words. They are of the library and the system and never of the peer.
    pub why: String,
}

impl ServerTls {
    /// Shakes hands, and closes the connection where that comes to nothing; a peer that is refused is told why first.
    ///
    /// Abandoning it closes the connection.
    ///
    /// # Errors
    /// How it ended otherwise.
    pub async fn handshake(&self, stream: TcpStream) -> Result<Session, Refusal> {
        let limit = self.plan.handshake_timeout;
        let shaking = TlsAcceptor::from(self.current()).accept(stream).into_fallible();
        match timeout(limit, shaking).await {
            Ok(Ok(stream)) => {
                let end_entity = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
                let certificate_names = end_entity.map(names).unwrap_or_default();
                Ok(Session { stream, certificate_names })
            }
            Ok(Err((error, stream))) => {
                let how = how(&error);
                if !matches!(how, Handshake::Closed | Handshake::RefusedByPeer) {
                    // Whether it hears it or not, it is gone afterwards.
                    let _ = timeout(FAREWELL, take_leave(stream)).await;
                }
                Err(Refusal { how, why: error.to_string() })
            }
            Err(_) => Err(Refusal { how: Handshake::Timeout, why: format!("it is not through after {limit:?}") }),
        }
    }
}

/// Lets a peer read the alert that was just written before the connection is closed.
async fn take_leave(mut stream: TcpStream) -> io::Result<()> {
    stream.shutdown().await?;
    let mut read = 0;
    let mut ignored = [0; 1024];
    while read < FAREWELL_BYTES_MAX {
        match stream.read(&mut ignored).await? {
            0 => break,
            count => read += count,
        }
    }
    Ok(())
}

/// The word for what went wrong.
fn how(error: &io::Error) -> Handshake {
    let Some(error) = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) else {
        return match error.kind() {
            io::ErrorKind::UnexpectedEof
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe => Handshake::Closed,
            _ => Handshake::Other,
        };
    };
    match error {
        Error::NoCertificatesPresented => Handshake::NoCertificate,
        Error::InvalidCertificate(error) => of_certificate(error),
        Error::InvalidMessage(_) | Error::PeerSentOversizedRecord => Handshake::NotTls,
        Error::InappropriateMessage { .. } | Error::InappropriateHandshakeMessage { .. } => Handshake::NotTls,
        Error::PeerIncompatible(
            PeerIncompatible::Tls12NotOffered
            | PeerIncompatible::Tls12NotOfferedOrEnabled
            | PeerIncompatible::ServerDoesNotSupportTls12Or13
            | PeerIncompatible::SupportedVersionsExtensionRequired
            // Asked for before the version is looked at; whoever speaks TLS 1.2 has it.
            | PeerIncompatible::SignatureAlgorithmsExtensionRequired,
        ) => Handshake::ProtocolVersion,
        Error::PeerIncompatible(_) | Error::NoApplicationProtocol => Handshake::NothingInCommon,
        Error::AlertReceived(AlertDescription::CloseNotify | AlertDescription::UserCanceled) => Handshake::Closed,
        Error::AlertReceived(_) => Handshake::RefusedByPeer,
        _ => Handshake::Other,
    }
}

fn of_certificate(error: &CertificateError) -> Handshake {
    match error {
        CertificateError::UnknownIssuer => Handshake::UnknownCa,
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => Handshake::Expired,
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => Handshake::NotYetValid,
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => Handshake::WrongUsage,
        CertificateError::ApplicationVerificationFailure => Handshake::NameNotAllowed,
        _ => Handshake::BadCertificate,
    }
}
