//! `host:port` as text, checked but never resolved.

use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::net::Ipv6Addr;

use thiserror::Error;

/// A checked address; the text it was made of is its plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address<'t> {
    /// An IP address without brackets, or a name.
    pub host: &'t str,
    /// The port.
    pub port: u16,
}

/// Why a text is no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum AddressError {
    /// No colon with a port behind it.
    #[error("has no port")]
    NoPort,
    /// Nothing but a port.
    #[error("is a port without a host")]
    OnlyPort,
    /// A port that is none.
    #[error("the port is not a number from 0 to 65535")]
    Port,
    /// Nothing before the port.
    #[error("has no host")]
    NoHost,
    /// Neither an IP address nor a name.
    #[error("the host is neither an IP address nor a name")]
    Host,
    /// Colons without brackets: where the port begins is anyone's guess.
    #[error("an IPv6 address needs brackets")]
    Brackets,
}

impl<'t> Address<'t> {
    /// Takes `host:port` apart: the host is an IPv4 address, an IPv6 address in brackets, or a name.
    ///
    /// # Errors
    ///
    /// Says which part is missing or wrong.
    pub fn parse(text: &'t str) -> Result<Self, AddressError> {
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (host, port) = rest.split_once(']').ok_or(AddressError::Brackets)?;
                host.parse::<Ipv6Addr>().map_err(|_| AddressError::Host)?;
                (host, port.strip_prefix(':').ok_or(AddressError::NoPort)?)
            }
            None => {
                let only_port = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
                let missing = if only_port { AddressError::OnlyPort } else { AddressError::NoPort };
                let (host, port) = text.rsplit_once(':').ok_or(missing)?;
                check_host(host)?;
                (host, port)
            }
        };
        let digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
        let port = port.parse().ok().filter(|_| digits).ok_or(AddressError::Port)?;
        Ok(Self { host, port })
    }

    /// Whether only this machine can reach it. Of names, only `localhost` is known to be.
    pub fn is_loopback(&self) -> bool {
        match self.host.parse::<IpAddr>() {
            Ok(ip) => ip.is_loopback(),
            Err(_) => self.host.eq_ignore_ascii_case("localhost"),
        }
    }
}

fn check_host(host: &str) -> Result<(), AddressError> {
    if host.is_empty() {
        return Err(AddressError::NoHost);
    }
    if host.contains(':') {
        return Err(AddressError::Brackets);
    }
    // A name that ends in a number would be taken for an IPv4 address by whoever resolves it.
    let numeric = host
        .strip_suffix('.')
        .unwrap_or(host)
        .rsplit('.')
        .next()
        .is_some_and(|label| label.bytes().all(|byte| byte.is_ascii_digit()));
    let good = if numeric { host.parse::<Ipv4Addr>().is_ok() } else { is_name(host) };
    if good { Ok(()) } else { Err(AddressError::Host) }
}

/// Whether a host can be a DNS name; underscores are allowed because container networks use them.
fn is_name(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    host.len() <= 253 && host.split('.').all(is_label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, host: &str, port: u16, loopback: bool) {
        let address = Address::parse(text).unwrap();
        assert_eq!(address, Address { host, port });
        assert_eq!(address.is_loopback(), loopback, "{text}");
    }

    #[test]
    fn addresses_are_taken_apart() {
        check("127.0.0.1:5000", "127.0.0.1", 5000, true);
        check("127.9.9.9:0", "127.9.9.9", 0, true);
        check("0.0.0.0:5000", "0.0.0.0", 5000, false);
        check("localhost:9600", "localhost", 9600, true);
        check("[::1]:9600", "::1", 9600, true);
        check("[::]:65535", "::", 65535, false);
        check("logstash:5000", "logstash", 5000, false);
        check("logs_1.ops.example.:5000", "logs_1.ops.example.", 5000, false);
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for (text, error) in [
            ("", AddressError::NoPort),
            ("5000", AddressError::OnlyPort),
            ("[::1]", AddressError::NoPort),
            (":5000", AddressError::NoHost),
            ("a:", AddressError::Port),
            ("a:+1", AddressError::Port),
            ("a:65536", AddressError::Port),
            ("a:http", AddressError::Port),
            ("::1:5000", AddressError::Brackets),
            ("[::1:5000", AddressError::Brackets),
            ("[a]:1", AddressError::Host),
            ("300.1.1.1:1", AddressError::Host),
            ("a b:1", AddressError::Host),
            ("a..b:1", AddressError::Host),
            ("http://a:1", AddressError::Brackets),
            ("user@a:1", AddressError::Host),
        ] {
            assert_eq!(Address::parse(text), Err(error), "{text}");
        }
    }
}
