//! From the hosts of a plan to one connection.
//!
//! It tries each host once; when to try again is for the caller to say.

use std::io;
use std::io::ErrorKind;

use tokio::net::TcpStream;
use tokio::net::lookup_host;
use tokio::time::timeout;

use crate::net::sockets;
use crate::net::sockets::ConnectOptions;
use crate::sink::LogstashTcpPlan;
use crate::sink::SinkError;

/// Connects to the first host that answers, from `host` on, and leaves `host` at it. Gives the last host's error.
pub(super) async fn connect_any(plan: &LogstashTcpPlan, host: &mut usize) -> Result<(TcpStream, String), SinkError> {
    let mut tried = 0;
    loop {
        let error = match connect(&plan.hosts[*host], plan).await {
            Ok(connected) => return Ok(connected),
            Err(error) => error,
        };
        tried += 1;
        if tried >= plan.hosts.len() {
            return Err(error);
        }
        tracing::debug!(error = error.words(), "trying the next host");
        *host = (*host + 1) % plan.hosts.len();
    }
}

/// Resolves a host's name anew and connects to the first of its addresses that answers.
async fn connect(host: &str, plan: &LogstashTcpPlan) -> Result<(TcpStream, String), SinkError> {
    let limit = plan.connect_timeout;
    let late = |peer: &str| SinkError::ConnectTimeout { peer: peer.to_owned(), after: limit };
    let resolved = timeout(limit, lookup_host(host)).await.map_err(|_| late(host))?;
    let addresses = resolved.map_err(|source| SinkError::Resolve { host: host.to_owned(), source })?;
    let none = io::Error::new(ErrorKind::NotFound, "the name has no address");
    let mut last = SinkError::Resolve { host: host.to_owned(), source: none };
    for address in addresses {
        let peer = if host == address.to_string() { host.to_owned() } else { format!("{host} ({address})") };
        let options = ConnectOptions { user_timeout: plan.user_timeout };
        last = match timeout(limit, sockets::connect(address, options)).await {
            Ok(Ok(stream)) => return Ok((stream, peer)),
            Ok(Err(source)) => SinkError::Connect { peer, source },
            Err(_) => late(&peer),
        };
    }
    Err(last)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn each_host_is_tried_once_from_the_current_one_on() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound").to_string();
        let mut plan = LogstashTcpPlan {
            hosts: vec![address.clone(), "127.0.0.1:1".to_owned(), "no port".to_owned()],
            connect_timeout: Duration::from_secs(5),
            settle: Duration::from_secs(2),
            resend_bytes: 0,
            user_timeout: Duration::from_secs(300),
        };
        let mut host = 1;
        let (_, peer) = connect_any(&plan, &mut host).await.expect("one host answers");
        assert_eq!((peer, host), (address, 0));
        plan.hosts.remove(0);
        let error = connect_any(&plan, &mut host).await.expect_err("no host answers");
        assert!(matches!(error, SinkError::Resolve { host, .. } if host == "no port"));
    }
}
