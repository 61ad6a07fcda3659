//! A set of networks, and whether an address is in one of them.
//!
//! Any number of networks costs one binary search. An IPv4 address written as IPv6 (`::ffff:192.0.2.1`) is that IPv4
//! address, in the set as in the question; so no other network of IPv6, however wide, has IPv4 addresses in it.

use core::net::IpAddr;

use ipnet::IpNet;

/// Most bytes of an address as text: an IPv6 address that ends in an IPv4 one.
const ADDRESS_BYTES_MAX: usize = 45;

/// The networks as ranges of addresses that do not overlap, first and last, in order.
#[derive(Debug)]
pub(super) struct Networks {
    v4: Box<[(u32, u32)]>,
    v6: Box<[(u128, u128)]>,
}

impl Networks {
    pub(super) fn new(networks: &[IpNet]) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for network in networks {
            let ends = (network.network(), network.broadcast());
            match (ends.0.to_canonical(), ends.1.to_canonical(), ends) {
                (IpAddr::V4(first), IpAddr::V4(last), _) => v4.push((u32::from(first), u32::from(last))),
                (_, _, (IpAddr::V6(first), IpAddr::V6(last))) => v6.push((u128::from(first), u128::from(last))),
                _ => unreachable!("both ends of a network are of one family"),
            }
        }
        Self { v4: merged(v4), v6: merged(v6) }
    }

    /// Whether a text is an address in one of the networks; a text that is no address is in none.
    #[inline]
    pub(super) fn contain(&self, text: &[u8]) -> bool {
        if text.len() > ADDRESS_BYTES_MAX {
            return false;
        }
        let address = std::str::from_utf8(text).ok().and_then(|text| text.parse::<IpAddr>().ok());
        match address.map(|address| address.to_canonical()) {
            Some(IpAddr::V4(address)) => is_in(&self.v4, u32::from(address)),
            Some(IpAddr::V6(address)) => is_in(&self.v6, u128::from(address)),
            None => false,
        }
    }
}

/// The ranges in order, with those that overlap made one.
fn merged<T: Copy + Ord>(mut ranges: Vec<(T, T)>) -> Box<[(T, T)]> {
    ranges.sort_unstable();
    ranges.dedup_by(|next, before| {
        let overlap = next.0 <= before.1;
        if overlap {
            before.1 = before.1.max(next.1);
        }
        overlap
    });
    ranges.into()
}

#[inline]
fn is_in<T: Copy + Ord>(ranges: &[(T, T)], address: T) -> bool {
    let behind = ranges.partition_point(|&(first, _)| first <= address);
    behind > 0 && address <= ranges[behind - 1].1
}

#[cfg(test)]
mod tests {
    use core::net::Ipv4Addr;
    use core::net::Ipv6Addr;

    use ipnet::Ipv4Net;
    use ipnet::Ipv6Net;
    use proptest::collection::vec;

    use super::*;

    #[track_caller]
    fn check(networks: &[&str], inside: &[&str], outside: &[&str]) {
        let networks: Vec<IpNet> = networks.iter().map(|network| network.parse().expect("a network")).collect();
        let set = Networks::new(&networks);
        for (texts, want) in [(inside, true), (outside, false)] {
            for text in texts {
                assert_eq!(set.contain(text.as_bytes()), want, "{text} in {networks:?}");
            }
        }
    }

    #[test]
    fn addresses_are_in_their_networks() {
        check(&["192.0.2.0/24"], &["192.0.2.0", "192.0.2.255"], &["192.0.1.255", "192.0.3.0", "2001:db8::1"]);
        check(&["192.0.2.7/24"], &["192.0.2.0", "192.0.2.255"], &["192.0.3.0"]);
        check(&["192.0.2.7/32"], &["192.0.2.7"], &["192.0.2.6", "192.0.2.8"]);
        check(&["0.0.0.0/0"], &["0.0.0.0", "255.255.255.255"], &["::", "2001:db8::1"]);
        check(&["2001:db8::/32"], &["2001:db8::1", "2001:DB8:ffff::"], &["2001:db9::", "192.0.2.1"]);
        check(&["10.0.0.0/8", "10.1.0.0/16", "12.0.0.0/8"], &["10.0.0.1", "10.2.0.0", "12.0.0.0"], &["11.0.0.0", "13.0.0.0"]);
        check(&[], &[], &["10.0.0.1", "::1"]);
    }

    #[test]
    fn an_ipv4_address_written_as_ipv6_is_an_ipv4_address() {
        check(&["192.0.2.0/24"], &["::ffff:192.0.2.1", "::ffff:c000:201"], &["::192.0.2.1", "::ffff:192.0.3.1"]);
        check(&["::ffff:192.0.2.0/120"], &["192.0.2.1", "::ffff:192.0.2.1"], &["192.0.3.1"]);
        check(&["::/0"], &["::", "2001:db8::1"], &["192.0.2.1", "::ffff:192.0.2.1"]);
        check(&["::ffff:0:0/96"], &["192.0.2.1"], &["::1", "::fffe:192.0.2.1"]);
    }

    #[test]
    fn what_is_no_address_is_in_no_network() {
        let long = "0".repeat(46);
        let texts = ["", "-", "192.0.2", "192.0.2.1:80", "[::1]", "::1%eth0", "192.0.02.1", " 192.0.2.1", long.as_str()];
        check(&["0.0.0.0/0", "::/0"], &["0000:0000:0000:0000:0000:fffe:255.255.255.255"], &texts);
        assert!(!Networks::new(&["0.0.0.0/0".parse().expect("a network")]).contain(b"192.0.2.1\xff"));
    }

    proptest::proptest! {
        /// Few addresses and short networks, so that both answers are frequent.
        #[test]
        fn the_set_says_what_its_networks_say(nets in vec((0_u32..256, 20_u8..=32, proptest::bool::ANY), 0..12), asked in 0_u32..256) {
            let nets: Vec<IpNet> = nets.iter().map(|&(address, length, wide)| {
                let address = address << 4;
                if wide {
                    IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::from(u128::from(address)), length + 96))
                } else {
                    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::from(address), length))
                }
            }).collect();
            let set = Networks::new(&nets);
            for address in [IpAddr::V4(Ipv4Addr::from(asked << 4)), IpAddr::V6(Ipv6Addr::from(u128::from(asked << 4)))] {
                let want = nets.iter().any(|net| net.contains(&address));
                proptest::prop_assert_eq!(set.contain(address.to_string().as_bytes()), want, "{} in {:?}", address, nets);
            }
        }
    }
}
