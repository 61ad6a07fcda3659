//! The lock in a door: lets senders in that shake hands, says who they are by their certificates, and counts the others.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio::time::timeout;

use super::seldom::Seldom;
use crate::metrics::ConnectionEnd;
use crate::metrics::Handshake;
use crate::metrics::TlsMetrics;
use crate::net::stream::Stream;
use crate::net::tls::Refusal;
use crate::net::tls::ServerTls;
use crate::net::tls::Session;
use crate::peer::Peer;
use crate::stop::Phase;
use crate::stop::StopWatch;

/// Once intake stops, senders may take so long to come to the end of a handshake. What is under way between two hosts gets
/// there meanwhile; who says nothing holds nobody up.
const LAST_HANDSHAKES: Duration = Duration::from_millis(500);

/// The TLS of a source, at work.
#[derive(Debug)]
pub struct Lock {
    /// The source's name.
    source: String,
    tls: Arc<ServerTls>,
    metrics: TlsMetrics,
    /// How often each failure is said.
    seldom: [Seldom; Handshake::ALL.len()],
}

impl Lock {
    /// The lock of the source of this name.
    pub fn new(source: String, tls: Arc<ServerTls>, metrics: TlsMetrics) -> Self {
        Self { source, tls, metrics, seldom: Default::default() }
    }

    /// Shakes hands, adds to `peer` what its certificate says, and gives the connection; ends it where that comes to nothing.
    ///
    /// # Errors
    /// How the connection ended.
    pub(super) async fn open(&self, stream: TcpStream, peer: &mut Peer, stop: &StopWatch) -> Result<Stream, ConnectionEnd> {
        let shaken = tokio::select! {
            biased;
            () = too_late(stop.clone()) => Err(Refusal { how: Handshake::Stopped, why: "the relay stops".to_owned() }),
            shaken = self.tls.handshake(stream) => shaken,
        };
        let Refusal { how, why } = match shaken {
            Ok(Session { stream, certificate_names }) => {
                self.metrics.handshake(Handshake::Done);
                peer.certificate_names = certificate_names;
                return Ok(Stream::secured(stream));
            }
            Err(refusal) => refusal,
        };
        self.metrics.handshake(how);
        let (source, from, result) = (&self.source, peer.address, how.label());
        if matches!(how, Handshake::Closed | Handshake::Stopped) {
            // A load balancer that looks whether somebody listens ends so, every few seconds.
            tracing::debug!(%source, %from, result, %why, "a TLS handshake was broken off");
        } else if let Some(unsaid) = self.seldom[how as usize].say(Instant::now()) {
            tracing::warn!(%source, %from, result, unsaid, "a TLS handshake failed: {why}{}", remedy(how));
        }
        Err(if how == Handshake::Stopped { ConnectionEnd::Stopped } else { ConnectionEnd::Handshake })
    }
}

/// Waits until the relay stops and no handshake is worth waiting for any more.
async fn too_late(mut stop: StopWatch) {
    stop.reached(Phase::StopIntake).await;
    // Whether it is the one or the other that comes first, it is over.
    let _ = timeout(LAST_HANDSHAKES, stop.reached(Phase::Drain)).await;
}

/// What to do about a failure, where that is known.
fn remedy(how: Handshake) -> &'static str {
    match how {
        Handshake::NoCertificate => "; give the sender a certificate, or write client_auth = \"optional\"",
        Handshake::UnknownCa => {
            "; add the authority that signed the sender's certificate to client_ca, or give the sender another"
        }
        Handshake::Expired => "; renew the sender's certificate, or set this machine's clock",
        Handshake::NotYetValid => "; wait, or set the clock of this machine or of the one that signs",
        Handshake::WrongUsage => "; the sender's certificate needs the extended key usage clientAuth",
        Handshake::NameNotAllowed => "; no name in the sender's certificate is among client_names",
        Handshake::NotTls => {
            "; the sender, or a scanner, speaks something else to this port, or a load balancer sends a PROXY header first"
        }
        Handshake::ProtocolVersion => "; the sender has to speak TLS 1.2 or 1.3",
        Handshake::RefusedByPeer => "; most often the sender does not trust the authority that signed the relay's certificate",
        Handshake::Timeout => "; the sender says nothing, or a load balancer in front speaks first and waits",
        _ => "",
    }
}
