//! Whose a connection is: its own address, or what the header of a trusted proxy says.
//!
//! It waits for a connection's first bytes, because a load balancer sends its header with the sender's first payload, and
//! reads none that are not the header's. It decides no rights.

use std::net::SocketAddr;
use std::time::Duration;

use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio::time::sleep;
use tokio::time::sleep_until;

use super::door::DoorPlan;
use crate::metrics::ConnectionEnd;
use crate::metrics::SourceMetrics;
use crate::net::proxy::NoHeader;
use crate::net::proxy::ProxyPlan;
use crate::net::proxy::begins_with_header;
use crate::net::proxy::take_header;
use crate::peer::Peer;
use crate::stop::Phase;
use crate::stop::StopWatch;
use crate::wire::proxy::Header;
use crate::wire::proxy::Refusal;

/// Once intake stops, a header that is on its way is waited for so long.
const LAST_HEADERS: Duration = Duration::from_secs(1);

/// Finds out whose a connection from `from` is; what is read from it next is the sender's.
///
/// # Errors
/// How the connection ends where that cannot be said.
pub(super) async fn peer(
    stream: &TcpStream,
    from: SocketAddr,
    plan: &DoorPlan,
    metrics: &SourceMetrics,
    stop: &StopWatch,
) -> Result<Peer, ConnectionEnd> {
    let from = SocketAddr::new(from.ip().to_canonical(), from.port());
    // Whoever speaks TLS begins at once.
    let patience = plan.tls.as_ref().map_or(plan.idle_timeout, |tls| plan.idle_timeout.min(tls.handshake_timeout));
    let deadline = Instant::now() + patience;
    let found = match (&plan.proxy, &plan.tls) {
        (Some(proxy), _) => by_header(stream, from, proxy, deadline, stop.clone()).await,
        // A header becomes no event there: it is no TLS, and refused as that by its deadline.
        (None, Some(_)) => Ok(Peer::at(from)),
        (None, None) => without_header(stream, from, deadline, stop.clone()).await,
    };
    found.map_err(|missed| match missed {
        Missed::Refused(refusal) => {
            refused(refusal, from, metrics);
            // Where ends say something, this one must not look like a good one.
            let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
            ConnectionEnd::ProxyHeader
        }
        Missed::Ended(end) => end,
    })
}

enum Missed {
    Refused(Refusal),
    Ended(ConnectionEnd),
}

async fn by_header(
    stream: &TcpStream,
    from: SocketAddr,
    proxy: &ProxyPlan,
    deadline: Instant,
    mut stop: StopWatch,
) -> Result<Peer, Missed> {
    if !proxy.trusts(from.ip()) {
        return Err(Missed::Refused(Refusal::Untrusted));
    }
    let mut is_stopping = false;
    let patience = async {
        tokio::select! {
            () = sleep_until(deadline) => {}
            () = stop.reached(Phase::StopIntake) => {
                is_stopping = true;
                sleep(LAST_HEADERS).await;
            }
        }
    };
    let taken = take_header(stream, proxy.versions, patience).await;
    let Header { sender, endpoint } = taken.map_err(|missed| match missed {
        NoHeader::Refused(refusal) => Missed::Refused(refusal),
        NoHeader::Closed => {
            // Nothing was said, so there is nothing that a clean end could be taken to confirm.
            let _ = SockRef::from(stream).set_linger(None);
            Missed::Ended(ConnectionEnd::Closed)
        }
        NoHeader::Broken => Missed::Ended(ConnectionEnd::Reset),
        NoHeader::Silent if is_stopping => Missed::Ended(ConnectionEnd::Stopped),
        NoHeader::Silent => Missed::Ended(ConnectionEnd::Idle),
    })?;
    let address = sender.map_or(from, |sender| SocketAddr::new(sender.ip().to_canonical(), sender.port()));
    Ok(Peer { endpoint, ..Peer::at(address) })
}

/// Waits for the first bytes only to see that they are no header, which would become an event here, and whoever has sent it
/// is set up wrongly.
async fn without_header(stream: &TcpStream, from: SocketAddr, deadline: Instant, mut stop: StopWatch) -> Result<Peer, Missed> {
    tokio::select! {
        biased;
        begins = begins_with_header(stream) => match begins {
            Ok(true) => Err(Missed::Refused(Refusal::Unexpected)),
            Ok(false) => Ok(Peer::at(from)),
            Err(_) => Err(Missed::Ended(ConnectionEnd::Reset)),
        },
        // What silent senders are told at a stop is for the source to say.
        () = stop.reached(Phase::StopIntake) => Ok(Peer::at(from)),
        () = sleep_until(deadline) => Err(Missed::Ended(ConnectionEnd::Idle)),
    }
}

/// Counts a refusal, and says it more and more seldom.
fn refused(refusal: Refusal, from: SocketAddr, metrics: &SourceMetrics) {
    let so_far = metrics.refused(refusal);
    if so_far.is_power_of_two() {
        tracing::warn!(
            source = metrics.name(),
            peer = %from,
            reason = refusal.label(),
            so_far,
            "a connection is closed for its PROXY header: {}",
            remedy(refusal)
        );
    }
}

/// What to look at.
const fn remedy(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::Missing => "it has none; switch the PROXY protocol on in the load balancer, or off in this source",
        Refusal::Malformed => "it is none, or one that no sender could be taken from",
        Refusal::TooLong => "it is longer than 4 KiB, or than 107 bytes in version 1",
        Refusal::Truncated => "it ended, or went silent, before it was whole",
        Refusal::Checksum => "its checksum is another one",
        Refusal::Untrusted => "the peer is in none of the networks of proxy_from",
        Refusal::Unexpected => {
            "the PROXY protocol is off in this source; set proxy_protocol and proxy_from, or switch it off in the load balancer"
        }
        Refusal::Version => "it is of a version that proxy_protocol does not take",
    }
}
