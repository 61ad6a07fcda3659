//! Who may come in where: PROXY headers and the networks that may send them.

use super::*;
use crate::net::proxy::ProxyPlan;
use crate::wire::proxy::Versions;

/// The PROXY plan of the good source with these lines in its table.
#[track_caller]
fn proxy(source: &str) -> Option<ProxyPlan> {
    plan(&GOOD.replace("[[sink]]", &format!("{source}\n[[sink]]"))).relay.sources[0].door.proxy.clone()
}

#[test]
fn headers_are_expected_where_somebody_says_so() {
    assert_eq!(proxy(""), None);
    assert_eq!(proxy("proxy_protocol = 'off'"), None);
    assert_eq!(proxy("proxy_protocol = 'off'\nproxy_from = ['10.0.0.0/8']"), None, "it may be switched off for a while");
    for (word, versions) in [("v1", Versions::V1), ("v2", Versions::V2), ("any", Versions::Any)] {
        let from = ["10.0.0.0/8", "192.0.2.7/32", "2001:db8::/32"].map(|text| text.parse().expect("a network")).to_vec();
        let source = format!("proxy_protocol = '{word}'\nproxy_from = ['10.0.0.0/8', '192.0.2.7', '2001:db8::/32']");
        assert_eq!(proxy(&source), Some(ProxyPlan { versions, from }));
    }
}

#[test]
fn mistakes_about_proxies() {
    check_source("proxy_protocol = true", 18, "source.proxy_protocol", "expected a string");
    check_source("proxy_protocol = 'v3'", 18, "source.proxy_protocol", "allowed: \"off\", \"v2\", \"v1\" or \"any\"");
    check_source("proxy_protocol = 'v2'", 18, "source.proxy_protocol", "anyone could pretend to be anyone");
    check_source("proxy_from = ['10.0.0.0/8']", 14, "source.proxy_from", "no PROXY protocol is spoken here");
}

#[test]
fn networks_are_written_as_such() {
    let at = |networks: &str, column, words| {
        check(
            &format!(
                "[[sink]]\nname='o'\ntype='stdout'\n[[source]]\nname='i'\ntype='tcp'\naddress='127.0.0.1:1'\nproxy_protocol='v2'\nproxy_from=[{networks}]"
            ),
            (9, column),
            "source.proxy_from",
            words,
        )
    };
    at("'10.0.0.0/33'", 13, "no network");
    at("'10.0.0.0/8', 'vpc'", 27, "no network");
    at("'10.0.0.1/8'", 13, "did you mean \"10.0.0.0/8\"?");
}
