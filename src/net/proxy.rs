//! The PROXY header off a connection: exactly its bytes, so that the next one read is the sender's.
//!
//! What the bytes mean is [`crate::wire::proxy`]'s; this waits for them. Nothing is read before it is known to belong to the
//! header: a look at what has come decides that, and only then is as much taken. It sends nothing.

use std::io;
use std::net::IpAddr;

use ipnet::IpNet;
use rustix::net::RecvFlags;
use rustix::net::recv;
use tokio::io::Interest;
use tokio::net::TcpStream;

use crate::wire::proxy;
use crate::wire::proxy::Beginning;
use crate::wire::proxy::HEADER_BYTES_MAX;
use crate::wire::proxy::Header;
use crate::wire::proxy::Progress;
use crate::wire::proxy::Refusal;
use crate::wire::proxy::V2_SIGNATURE;
use crate::wire::proxy::Versions;

/// Who may say on behalf of whom it connects, as decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyPlan {
    /// The versions that are taken.
    pub versions: Versions,
    /// Networks of the proxies that are believed.
    pub from: Vec<IpNet>,
}

impl ProxyPlan {
    /// Whether a connection from there is believed what its header says. An IPv4 address in an IPv6 one counts as itself.
    pub fn trusts(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        self.from.iter().any(|network| network.contains(&ip))
    }
}

/// Why there is no header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoHeader {
    /// The connection does not begin with one that is taken.
    Refused(Refusal),
    /// It ended before its first byte.
    Closed,
    /// It broke before its first byte.
    Broken,
    /// Nobody had the patience to wait for its first byte.
    Silent,
}

/// Bytes looked at before a header has shown to be longer. Those of load balancers have about a hundred.
const USUAL_BYTES: usize = 256;

/// Takes the header of a connection that must begin with one, waiting for it as long as `patience` does. Until the first byte
/// has come it holds no memory.
///
/// # Errors
/// When there is none, or none in time. The connection is to be closed then: nobody knows what was read of it.
pub async fn take_header(stream: &TcpStream, versions: Versions, patience: impl Future<Output = ()>) -> Result<Header, NoHeader> {
    let mut held = 0;
    let missed = tokio::select! {
        biased;
        taken = take(stream, versions, &mut held) => match taken {
            Ok(header) => return Ok(header),
            Err(missed) => missed,
        },
        () = patience => NoHeader::Silent,
    };
    Err(match missed {
        NoHeader::Closed | NoHeader::Broken | NoHeader::Silent if held > 0 => NoHeader::Refused(Refusal::Truncated),
        missed => missed,
    })
}

/// Takes a header and counts in `held` the bytes taken of it, also where it is abandoned.
async fn take(stream: &TcpStream, versions: Versions, held: &mut usize) -> Result<Header, NoHeader> {
    let broken = |_: io::Error| NoHeader::Broken;
    stream.readable().await.map_err(broken)?;
    let mut bytes = vec![0; USUAL_BYTES];
    loop {
        let seen = *held + stream.peek(&mut bytes[*held..]).await.map_err(broken)?;
        if seen == *held {
            return Err(NoHeader::Closed);
        }
        let progress = proxy::read(&bytes[..seen], versions).map_err(NoHeader::Refused)?;
        let end = match &progress {
            Progress::Partial => seen,
            Progress::Whole(_, end) => *end,
        };
        // What has been seen is there, and nobody else takes it away.
        while *held < end {
            match stream.try_read(&mut bytes[*held..end]) {
                Ok(0) => return Err(NoHeader::Closed),
                Ok(count) => *held += count,
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
                    stream.readable().await.map_err(broken)?;
                }
                Err(error) => return Err(broken(error)),
            }
        }
        if let Progress::Whole(header, _) = progress {
            return Ok(header);
        }
        if *held == bytes.len() {
            // The longest header has been decided on before there is no room left.
            bytes.resize(HEADER_BYTES_MAX + 1, 0);
        }
    }
}

/// Whether a connection that need not begin with a header does so; takes nothing. Where it ends before that can be said, it
/// does not.
///
/// # Errors
/// What breaks the connection.
pub async fn begins_with_header(stream: &TcpStream) -> io::Result<bool> {
    loop {
        let ready = stream.ready(Interest::READABLE).await?;
        let look = || {
            let mut bytes = [0; V2_SIGNATURE.len()];
            let (_, count) = recv(stream, &mut bytes, RecvFlags::PEEK)?;
            match proxy::beginning(&bytes[..count]) {
                Beginning::Header => Ok(true),
                // What has come stays where it is, so the kernel is asked to say when there is more.
                Beginning::Open if !ready.is_read_closed() => Err(io::ErrorKind::WouldBlock.into()),
                Beginning::Open | Beginning::Other => Ok(false),
            }
        };
        match stream.try_io(Interest::READABLE, look) {
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            result => return result,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::AsyncReadExt;
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;
    use tokio::time::sleep;
    use tokio::time::timeout;

    use super::*;

    const TEXT: &[u8] = b"PROXY TCP4 192.0.2.1 198.51.100.2 49152 5000\r\n";

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let near = TcpStream::connect(listener.local_addr().expect("bound")).await.expect("it listens");
        near.set_nodelay(true).expect("an option");
        (near, listener.accept().await.expect("a connection").0)
    }

    /// A header over IPv4 with an addition of so many bytes.
    fn binary(bytes: u16) -> Vec<u8> {
        let length = (12 + 3 + bytes).to_be_bytes();
        let fixed = [&V2_SIGNATURE[..], b"\x21\x11", &length, &[192, 0, 2, 1, 198, 51, 100, 2, 0xC0, 0, 0x13, 0x88]].concat();
        [&fixed[..], b"\x04", &bytes.to_be_bytes(), &vec![0; usize::from(bytes)]].concat()
    }

    /// Sends a header and what a sender says, in pieces, and has it read from behind the header on.
    async fn check(header: &[u8], piece_bytes: usize) {
        let (mut near, mut far) = pair().await;
        let said = b"\r\n\r\n\0\r\nQUIT\nPROXY\n".as_slice();
        let all = [header, said].concat();
        let sent = tokio::spawn(async move {
            for piece in all.chunks(piece_bytes) {
                near.write_all(piece).await.expect("it is read");
                if all.len() / piece_bytes < 200 {
                    sleep(Duration::from_micros(200)).await;
                }
            }
        });
        let taken = take_header(&far, Versions::Any, sleep(Duration::from_secs(20))).await.expect("a header");
        assert_eq!(taken.sender, Some("192.0.2.1:49152".parse().expect("an address")));
        let mut rest = Vec::new();
        far.read_to_end(&mut rest).await.expect("a clean end");
        assert_eq!(rest, said, "in pieces of {piece_bytes}");
        sent.await.expect("no panic");
    }

    #[tokio::test]
    async fn exactly_the_header_is_taken_however_it_comes() {
        for header in [TEXT.to_vec(), binary(0), binary(300), binary(4081)] {
            for piece_bytes in [1, 7, 16, 100, 5000] {
                check(&header, piece_bytes).await;
            }
        }
    }

    /// What becomes of a connection that says this and is then open, or ended.
    async fn missed(bytes: &[u8], ends: bool) -> NoHeader {
        let (mut near, far) = pair().await;
        near.write_all(bytes).await.expect("a connection");
        let _open = if ends {
            near.shutdown().await.expect("a connection");
            None
        } else {
            Some(near)
        };
        take_header(&far, Versions::Any, sleep(Duration::from_millis(50))).await.expect_err("no header")
    }

    #[tokio::test]
    async fn what_does_not_come_is_told_apart() {
        assert_eq!(missed(b"", true).await, NoHeader::Closed);
        assert_eq!(missed(b"", false).await, NoHeader::Silent);
        for ends in [false, true] {
            for bytes in [b"P".as_slice(), &TEXT[..TEXT.len() - 1], &binary(300)[..299], &V2_SIGNATURE] {
                assert_eq!(missed(bytes, ends).await, NoHeader::Refused(Refusal::Truncated));
            }
            assert_eq!(missed(b"hello", ends).await, NoHeader::Refused(Refusal::Missing));
            assert_eq!(missed(&binary(4082), ends).await, NoHeader::Refused(Refusal::TooLong));
        }
    }

    #[tokio::test]
    async fn a_header_nobody_asked_for_is_seen_and_left() {
        for (pieces, expected) in [
            ([TEXT, b""], true),
            ([b"P", b"ROXY "], true),
            ([&V2_SIGNATURE[..11], &V2_SIGNATURE[11..]], true),
            ([b"\r\n\r", b"\nhello"], false),
            ([b"PROX", b"IMITY"], false),
            ([b"P", b""], false),
            ([b"", b""], false),
        ] {
            let (mut near, mut far) = pair().await;
            near.write_all(pieces[0]).await.expect("a connection");
            let sent = tokio::spawn(async move {
                sleep(Duration::from_millis(20)).await;
                near.write_all(pieces[1]).await.expect("a connection");
            });
            let begins = timeout(Duration::from_secs(20), begins_with_header(&far)).await.expect("it is soon known");
            assert_eq!(begins.expect("a connection"), expected, "{pieces:?}");
            let mut all = Vec::new();
            far.read_to_end(&mut all).await.expect("a clean end");
            assert_eq!(all, pieces.concat());
            sent.await.expect("no panic");
        }
    }

    #[test]
    fn networks_are_trusted_in_either_notation() {
        let plan = ProxyPlan { versions: Versions::V2, from: vec!["10.0.0.0/8".parse().expect("a network")] };
        for (ip, expected) in [("10.1.2.3", true), ("::ffff:10.1.2.3", true), ("11.1.2.3", false), ("::1", false)] {
            assert_eq!(plan.trusts(ip.parse().expect("an address")), expected, "{ip}");
        }
    }
}
