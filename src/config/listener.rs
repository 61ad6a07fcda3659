//! Keys of a source that say who may come in where: the PROXY protocol, and how its port is shared.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::config::reader::Reader;
use crate::config::reader::Written;
use crate::config::report::Origin;
use crate::config::words::Words;
use crate::net::proxy::ProxyPlan;
use crate::wire::proxy::Versions;

/// Reads `proxy_protocol` and `proxy_from`.
pub fn decide_proxy(source: &mut Reader<'_, '_>) -> Option<ProxyPlan> {
    let [v2, v1, any] = Versions::ALL.map(|versions| (versions.label(), Some(versions)));
    let words = [("off", None), v2, v1, any];
    let versions = source.one_of("proxy_protocol", &Words { now: &words, later: &[] }, ("off", None));
    let from = decide_networks(source, "proxy_from");
    match versions {
        None => {
            if source.has("proxy_from") && !source.has("proxy_protocol") {
                let remedy = "write proxy_protocol = \"v2\", or remove it";
                source.refuse_key("proxy_from", "names proxies, and no PROXY protocol is spoken here", remedy);
            }
            None
        }
        Some(versions) => {
            if !source.has("proxy_from") {
                let what = "needs to know whose headers to believe: anyone could pretend to be anyone";
                source.refuse_key("proxy_protocol", what, "name the load balancer's subnets: proxy_from = [\"10.0.0.0/16\"]");
            }
            Some(ProxyPlan { versions, from })
        }
    }
}

/// Reads a list of networks; a single address is one of its own.
pub fn decide_networks(reader: &mut Reader<'_, '_>, key: &'static str) -> Vec<IpNet> {
    let Some(all) = reader.strings(key) else { return Vec::new() };
    if all.is_empty() || all.len() > NETWORKS_MAX {
        reader.refuse_key(key, "names too few or too many networks", "1 to 256 are possible");
    }
    let networks: Vec<IpNet> = all.iter().filter_map(|written| network(reader, key, written)).collect();
    let texts: Vec<String> = networks.iter().map(ToString::to_string).collect();
    reader.record(key, texts.join(", "), all.first().map_or(Origin::Default, Written::origin));
    networks
}

fn network(reader: &mut Reader<'_, '_>, key: &str, written: &Written) -> Option<IpNet> {
    let network = written.text.parse::<IpNet>().ok().or_else(|| written.text.parse::<IpAddr>().ok().map(IpNet::from));
    match network {
        None => {
            let allowed = "a network such as \"10.0.0.0/8\" or an address".to_owned();
            reader.refuse(key, written, "no network", Some(allowed), None);
        }
        Some(network) if network.trunc() != network => {
            let remedy = format!("did you mean {:?}?", network.trunc().to_string());
            reader.refuse(key, written, "an address within a network", None, Some(remedy));
        }
        Some(_) => {}
    }
    network
}

/// Each connection is held against all of them.
const NETWORKS_MAX: usize = 256;
