//! The header of the PROXY protocol, versions 1 and 2: who a proxy in front says the sender is.
//!
//! [`read`] is a function of all bytes of a connection so far. It says whether more are needed, where the header ends, or why
//! there is none; how the bytes were cut into reads never changes that, because each verdict depends on the bytes up to one
//! place and the first such place counts. The rules are those of HAProxy's [specification][spec], read strictly. It trusts
//! nobody: who may send a header is its caller's business.
//!
//! [spec]: https://www.haproxy.org/download/3.2/doc/proxy-protocol.txt

use core::net::IpAddr;
use core::net::Ipv4Addr;
use core::net::Ipv6Addr;
use core::net::SocketAddr;
use core::str::FromStr;

/// Begins every header of version 2.
pub const V2_SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";

/// Begins every header of version 1.
pub const V1_SIGNATURE: [u8; 6] = *b"PROXY ";

/// Longest header of version 1, its end included, in bytes: the specification's own bound.
pub const V1_BYTES_MAX: usize = 107;

/// Bytes of version 2 up to and with its length.
pub const V2_FIXED_BYTES: usize = 16;

/// Most bytes that version 2 may announce behind its length. The specification allows 65535; addresses, a checksum, an
/// endpoint's name and what a proxy has to say of a certificate are a few hundred.
pub const V2_LENGTH_MAX: usize = 4096;

/// Longest header that is read, in bytes.
pub const HEADER_BYTES_MAX: usize = V2_FIXED_BYTES + V2_LENGTH_MAX;

/// Longest name of a VPC endpoint, in bytes; those there are have 22.
pub const ENDPOINT_BYTES_MAX: usize = 64;

/// Which versions are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Versions {
    /// Version 1, one line of text.
    V1,
    /// Version 2, which is binary.
    V2,
    /// Both.
    Any,
}

impl Versions {
    /// All of them, in the order they are listed to people.
    pub const ALL: [Self; 3] = [Self::V2, Self::V1, Self::Any];

    /// The word for it.
    pub const fn label(self) -> &'static str {
        match self {
            Self::V1 => "v1",
            Self::V2 => "v2",
            Self::Any => "any",
        }
    }
}

/// Why a connection is closed for what its header is or is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// The connection begins with something else.
    Missing,
    /// It begins like a header and is none.
    Malformed,
    /// It is longer than a header may be.
    TooLong,
    /// The connection ended, or was silent for too long, before the header was whole.
    Truncated,
    /// Its checksum is another one.
    Checksum,
    /// Whoever connects may not say for whom.
    Untrusted,
    /// There is a header where none is configured.
    Unexpected,
    /// It is of a version that is not taken.
    Version,
}

impl Refusal {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Missing,
        Self::Malformed,
        Self::TooLong,
        Self::Truncated,
        Self::Checksum,
        Self::Untrusted,
        Self::Unexpected,
        Self::Version,
    ];

    /// The word for it.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Malformed => "malformed",
            Self::TooLong => "too_long",
            Self::Truncated => "truncated",
            Self::Checksum => "checksum",
            Self::Untrusted => "untrusted",
            Self::Unexpected => "unexpected",
            Self::Version => "version",
        }
    }
}

/// What a header says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// The sender; `None` where the proxy speaks for itself, as in health checks, or for a sender without such an address:
    /// the connection's own address counts then.
    pub sender: Option<SocketAddr>,
    /// The VPC endpoint the sender came through, where an AWS load balancer names one.
    pub endpoint: Option<Box<str>>,
}

/// How far the bytes go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// All of them belong to a header that is not whole yet.
    Partial,
    /// There is a header, and what comes behind so many bytes is the sender's.
    Whole(Header, usize),
}

/// Whether a connection begins as a header of any version does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beginning {
    /// It does.
    Header,
    /// The next bytes will tell.
    Open,
    /// It does not.
    Other,
}

/// Whether these first bytes of a connection begin a header. At most 12 matter.
pub fn beginning(bytes: &[u8]) -> Beginning {
    if bytes.starts_with(&V2_SIGNATURE) || bytes.starts_with(&V1_SIGNATURE) {
        Beginning::Header
    } else if V2_SIGNATURE.starts_with(bytes) || V1_SIGNATURE.starts_with(bytes) {
        Beginning::Open
    } else {
        Beginning::Other
    }
}

/// Reads the header that `bytes`, all of a connection so far, begin with. At most [`HEADER_BYTES_MAX`] of them matter.
///
/// # Errors
/// When there is no header of these versions, whatever may still come.
pub fn read(bytes: &[u8], versions: Versions) -> Result<Progress, Refusal> {
    match beginning(bytes) {
        Beginning::Open => Ok(Progress::Partial),
        Beginning::Other => Err(Refusal::Missing),
        Beginning::Header if bytes[0] == V2_SIGNATURE[0] => match versions {
            Versions::V1 => Err(Refusal::Version),
            Versions::V2 | Versions::Any => read_v2(bytes),
        },
        Beginning::Header => match versions {
            Versions::V2 => Err(Refusal::Version),
            Versions::V1 | Versions::Any => read_v1(bytes),
        },
    }
}

fn read_v1(bytes: &[u8]) -> Result<Progress, Refusal> {
    let within = &bytes[..bytes.len().min(V1_BYTES_MAX)];
    let Some(newline) = within.iter().position(|&byte| byte == b'\n') else {
        return if within.len() == V1_BYTES_MAX { Err(Refusal::TooLong) } else { Ok(Progress::Partial) };
    };
    let line = within[..newline].strip_suffix(b"\r").ok_or(Refusal::Malformed)?;
    let rest = &line[V1_SIGNATURE.len()..];
    // Behind this word the specification has receivers pass over everything.
    let sender = if rest == b"UNKNOWN" || rest.starts_with(b"UNKNOWN ") {
        None
    } else {
        let text = str::from_utf8(rest).map_err(|_| Refusal::Malformed)?;
        let (protocol, addresses) = text.split_once(' ').ok_or(Refusal::Malformed)?;
        let sender = match protocol {
            "TCP4" => v1_sender::<Ipv4Addr>(addresses),
            "TCP6" => v1_sender::<Ipv6Addr>(addresses),
            _ => None,
        };
        Some(sender.ok_or(Refusal::Malformed)?)
    };
    Ok(Progress::Whole(Header { sender, endpoint: None }, newline + 1))
}

/// The first of two addresses and ports, where all four are what they should be.
fn v1_sender<A: FromStr + Into<IpAddr>>(text: &str) -> Option<SocketAddr> {
    let mut words = text.split(' ');
    let [source, destination] = [words.next()?, words.next()?].map(|word| word.parse::<A>().ok());
    let [port, destination_port] = [words.next()?, words.next()?].map(v1_port);
    let is_whole = destination.is_some() && destination_port.is_some() && words.next().is_none();
    is_whole.then_some(SocketAddr::new(source?.into(), port?))
}

/// Decimal digits without anything before them.
fn v1_port(word: &str) -> Option<u16> {
    let plain = word == "0" || !word.starts_with('0') && word.bytes().all(|byte| byte.is_ascii_digit());
    word.parse().ok().filter(|_| plain)
}

fn read_v2(bytes: &[u8]) -> Result<Progress, Refusal> {
    // In the order of the bytes, so that nothing a later one says can change the verdict.
    let mut fixed = bytes[V2_SIGNATURE.len()..].iter().copied();
    let Some(command) = fixed.next() else { return Ok(Progress::Partial) };
    let is_local = match command {
        0x20 => true,
        0x21 => false,
        other if other >> 4 != 2 => return Err(Refusal::Version),
        _ => return Err(Refusal::Malformed),
    };
    let Some(protocol) = fixed.next() else { return Ok(Progress::Partial) };
    let addresses_bytes = match protocol {
        // Whatever a proxy puts into a header of its own is to be passed over.
        _ if is_local => 0,
        UNSPECIFIED => 0,
        TCP_OVER_IPV4 => 12,
        TCP_OVER_IPV6 => 36,
        UNIX_STREAM | UNIX_DATAGRAM => 216,
        // Datagrams do not come over TCP, and further kinds there are none.
        _ => return Err(Refusal::Malformed),
    };
    let (Some(high), Some(low)) = (fixed.next(), fixed.next()) else { return Ok(Progress::Partial) };
    let length = usize::from(u16::from_be_bytes([high, low]));
    if length > V2_LENGTH_MAX {
        return Err(Refusal::TooLong);
    }
    if length < addresses_bytes {
        return Err(Refusal::Malformed);
    }
    let end = V2_FIXED_BYTES + length;
    let Some(header) = bytes.get(..end) else { return Ok(Progress::Partial) };
    if is_local {
        return Ok(Progress::Whole(Header::default(), end));
    }
    let (addresses, additions) = header[V2_FIXED_BYTES..].split_at(addresses_bytes);
    let endpoint = read_additions(header, additions)?;
    Ok(Progress::Whole(Header { sender: v2_sender(addresses), endpoint }, end))
}

/// The second byte behind the signature: family above, transport below.
const UNSPECIFIED: u8 = 0x00;
const TCP_OVER_IPV4: u8 = 0x11;
const TCP_OVER_IPV6: u8 = 0x21;
const UNIX_STREAM: u8 = 0x31;
const UNIX_DATAGRAM: u8 = 0x32;

/// The first of two addresses, its port behind both; `None` where they are no IP addresses.
fn v2_sender(addresses: &[u8]) -> Option<SocketAddr> {
    let (ip, ports): (IpAddr, &[u8]) = match addresses.len() {
        12 => (addresses.first_chunk::<4>().copied()?.into(), &addresses[8..]),
        36 => (addresses.first_chunk::<16>().copied()?.into(), &addresses[32..]),
        _ => return None,
    };
    Some(SocketAddr::new(ip, u16::from_be_bytes([ports[0], ports[1]])))
}

/// Type of the addition that holds the CRC32C of the whole header, its own four bytes taken as zeros.
const CHECKSUM: u8 = 0x03;

/// Type of the addition that AWS has defined, and the first byte of one with the name of a VPC endpoint:
/// <https://docs.aws.amazon.com/elasticloadbalancing/latest/network/edit-target-group-attributes.html#custom-tlv>
const AWS: u8 = 0xEA;
const AWS_ENDPOINT: u8 = 0x01;

/// Checks the additions behind the addresses, which end the header, and gives the VPC endpoint one of them names. Those of
/// unknown types are passed over; one that counts and comes twice could mean either.
fn read_additions(header: &[u8], additions: &[u8]) -> Result<Option<Box<str>>, Refusal> {
    let (mut endpoint, mut is_checked) = (None, false);
    let mut rest = additions;
    while let [kind, behind @ ..] = rest {
        let [high, low, behind @ ..] = behind else { return Err(Refusal::Malformed) };
        let (value, behind) =
            behind.split_at_checked(usize::from(u16::from_be_bytes([*high, *low]))).ok_or(Refusal::Malformed)?;
        match (*kind, value) {
            (CHECKSUM, _) => {
                if std::mem::replace(&mut is_checked, true) {
                    return Err(Refusal::Malformed);
                }
                let said: [u8; 4] = value.try_into().map_err(|_| Refusal::Malformed)?;
                let at = header.len() - behind.len() - said.len();
                if u32::from_be_bytes(said) != checksum(header, at) {
                    return Err(Refusal::Checksum);
                }
            }
            (AWS, [AWS_ENDPOINT, name @ ..]) => {
                let name = endpoint_name(name).filter(|_| endpoint.is_none());
                endpoint = Some(name.ok_or(Refusal::Malformed)?);
            }
            _ => {}
        }
        rest = behind;
    }
    Ok(endpoint)
}

/// The CRC32C of a header whose four bytes at `at` count as zeros.
fn checksum(header: &[u8], at: usize) -> u32 {
    let sum = crc32c::crc32c_append(crc32c::crc32c(&header[..at]), &[0; 4]);
    crc32c::crc32c_append(sum, &header[at + 4..])
}

/// A name that can be an endpoint's: it comes into documents, logs and the choice of a sender's rights.
fn endpoint_name(name: &[u8]) -> Option<Box<str>> {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let good = (1..=ENDPOINT_BYTES_MAX).contains(&name.len()) && name.iter().all(plain);
    str::from_utf8(name).ok().filter(|_| good).map(Box::from)
}

#[cfg(test)]
mod tests;
