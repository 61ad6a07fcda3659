//! Whose a sender is, by what is known of it without reading what it says.
//!
//! What is harder to come by counts more: a name in a certificate whose key the sender has proved to hold, then the VPC
//! endpoint a trusted proxy names, then the network of its address, the narrowest that holds it. A token counts before all of
//! these, because it is said on purpose; it is looked up elsewhere.

use std::collections::HashMap;

use ipnet::IpNet;

use super::plan::TenantPlan;
use crate::peer::Peer;

/// Who has which names and networks, by the places of the tenants.
#[derive(Debug, Default)]
pub(super) struct Matching {
    certificate_names: HashMap<Box<str>, u32>,
    endpoints: HashMap<Box<str>, u32>,
    /// The narrowest first.
    networks: Vec<(IpNet, u32)>,
}

/// Whose a sender is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Match {
    /// This tenant's.
    Tenant(u32),
    /// Nobody's.
    Nobody,
    /// The names in its certificate are those of several tenants.
    Several,
}

impl Matching {
    /// Of two tenants with the same name or network the first has it; a configuration with such is refused.
    pub(super) fn new(plans: &[TenantPlan]) -> Self {
        let mut matching = Self::default();
        for (plan, at) in plans.iter().zip(0..) {
            for name in &plan.certificate_names {
                matching.certificate_names.entry(name.as_str().into()).or_insert(at);
            }
            for endpoint in &plan.endpoints {
                matching.endpoints.entry(endpoint.as_str().into()).or_insert(at);
            }
            matching.networks.extend(plan.networks.iter().map(|network| (*network, at)));
        }
        matching.networks.sort_by_key(|(network, _)| std::cmp::Reverse(network.prefix_len()));
        matching
    }

    pub(super) fn whose(&self, peer: &Peer) -> Match {
        let mut by_name = peer.certificate_names.iter().filter_map(|name| self.certificate_names.get(name));
        if let Some(&first) = by_name.next() {
            return if by_name.all(|other| *other == first) { Match::Tenant(first) } else { Match::Several };
        }
        if let Some(&at) = peer.endpoint.as_ref().and_then(|endpoint| self.endpoints.get(endpoint)) {
            return Match::Tenant(at);
        }
        let address = peer.address.ip().to_canonical();
        let network = self.networks.iter().find(|(network, _)| network.contains(&address));
        network.map_or(Match::Nobody, |(_, at)| Match::Tenant(*at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(names: &[&str], endpoints: &[&str], networks: &[&str]) -> TenantPlan {
        let texts = |all: &[&str]| all.iter().map(|text| text.to_string()).collect();
        TenantPlan {
            certificate_names: texts(names),
            endpoints: texts(endpoints),
            networks: networks.iter().map(|network| network.parse().expect("a network")).collect(),
            ..TenantPlan::default()
        }
    }

    fn matching() -> Matching {
        Matching::new(&[
            plan(&["a.example", "a2.example"], &["vpce-a"], &["10.0.0.0/8"]),
            plan(&["b.example"], &["vpce-b"], &["10.1.0.0/16", "2001:db8::/32"]),
        ])
    }

    #[track_caller]
    fn check(address: &str, endpoint: Option<&str>, names: &[&str], want: Match) {
        let address = format!("{address}:1").parse().expect("an address");
        let certificate_names = names.iter().map(|name| (*name).into()).collect();
        let peer = Peer { endpoint: endpoint.map(Into::into), certificate_names, ..Peer::at(address) };
        assert_eq!(matching().whose(&peer), want, "{peer:?}");
    }

    #[test]
    fn the_narrowest_network_counts() {
        check("10.2.3.4", None, &[], Match::Tenant(0));
        check("10.1.3.4", None, &[], Match::Tenant(1));
        check("[2001:db8::7]", None, &[], Match::Tenant(1));
        check("[::ffff:10.1.3.4]", None, &[], Match::Tenant(1));
        check("192.0.2.1", None, &[], Match::Nobody);
        check("[2001:db9::7]", None, &[], Match::Nobody);
    }

    #[test]
    fn a_certificate_counts_before_an_endpoint_and_that_before_an_address() {
        check("10.1.3.4", Some("vpce-a"), &[], Match::Tenant(0));
        check("10.1.3.4", Some("vpce-a"), &["b.example"], Match::Tenant(1));
        check("10.1.3.4", Some("vpce-z"), &["z.example"], Match::Tenant(1));
        check("192.0.2.1", Some("vpce-z"), &["z.example"], Match::Nobody);
        check("192.0.2.1", Some("VPCE-A"), &["A.example"], Match::Nobody);
    }

    #[test]
    fn a_certificate_of_two_tenants_is_neither_s() {
        check("192.0.2.1", None, &["a.example", "z.example", "a2.example"], Match::Tenant(0));
        check("10.1.3.4", Some("vpce-a"), &["a.example", "b.example"], Match::Several);
    }
}
