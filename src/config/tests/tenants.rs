//! Tenants in the file.

use std::time::Duration;

use super::GOOD;
use super::check_top;
use super::plan;
use crate::tenant::plan::Limits;
use crate::tenant::plan::TenantPlan;
use crate::tenant::plan::Unknown;

#[test]
fn mistakes_in_tenants() {
    let tenant = |settings: &str| format!("[[tenant]]\nname = 'a'\nnetworks = ['10.0.0.0/8']\n{settings}\n");
    let check = |settings: &str, at, key, what| check_top(&tenant(settings), at, key, what);
    check("endpoints = ['vpc-1']", (4, 14), "tenant.endpoints", "such as \"vpce-08d2bf15fac5001c9\"");
    check("endpoints = []", (4, 13), "tenant.endpoints", "lists nothing");
    check("certificate_names = ['*.example']", (4, 22), "tenant.certificate_names", "write each name out");
    check("certificate_names = ['']", (4, 22), "tenant.certificate_names", "1 to 256 bytes");
    check("token_file = '/'", (4, 14), "tenant.token_file", "not the path of a file");
    check("token = 'x'", (4, 1), "tenant.token", "did you mean token_file?");
    check("bytes_per_second = '1B'", (4, 20), "tenant.bytes_per_second", "allowed: 1KiB to 1TiB");
    check("events_per_second = 0", (4, 21), "tenant.events_per_second", "allowed: 1 to 1000000000");
    check("burst = '1ms'", (4, 9), "tenant.burst", "allowed: 100ms to 1h");
    check("max_connections = 0", (4, 19), "tenant.max_connections", "allowed: 1 to 1000000");
    check("memory_percent = 101", (4, 18), "tenant.memory_percent", "allowed: 1 to 100");
    check("buffer_percent = 0", (4, 18), "tenant.buffer_percent", "allowed: 1 to 100");
    check("fields = { message = 'x' }", (4, 22), "tenant.fields.message", "written by the relay itself");
    check_top("[[tenant]]\nname = 'a'\n", (1, 1), "tenant", "nothing says who it is");
    check_top("[[tenant]]\nname = '_a'\nnetworks = ['10.0.0.1']\n", (2, 8), "tenant.name", "begins with _");
    check_top("[[tenant]]\nname = 'a'\nnetworks = ['10.0.0.1/8']\n", (3, 13), "tenant.networks", "did you mean \"10.0.0.0/8\"?");
    check_top("[tenants]\nunknown = 'refuse'\n", (2, 11), "tenants.unknown", "everybody would be refused");
    check_top("[tenants]\nunknown = 'deny'\n", (2, 11), "tenants.unknown", "\"allow\" or \"refuse\"");
}

#[test]
fn what_tenants_are_told_apart_by_is_one_tenant_s_only() {
    let two = |first: &str, second: &str| format!("[[tenant]]\nname = 'a'\n{first}\n[[tenant]]\nname = 'b'\n{second}\n");
    let check = |first: &str, second: &str, at, key, what| check_top(&two(first, second), at, key, what);
    check(
        "endpoints = ['vpce-1']",
        "endpoints = ['vpce-2', 'vpce-1']",
        (6, 24),
        "tenant.endpoints",
        "is the tenant \"a\" already",
    );
    check("certificate_names = ['x']", "certificate_names = ['x']", (6, 22), "tenant.certificate_names", "\"a\" already");
    check("networks = ['10.0.0.1']", "networks = ['10.0.0.1/32']", (6, 13), "tenant.networks", "\"a\" already");
    check("networks = ['10.0.0.0/8', '10.0.0.0/8']", "endpoints = ['vpce-1']", (3, 27), "tenant.networks", "here twice");
    check("token_file = '/t'", "token_file = '/t'", (6, 14), "tenant.token_file", "\"a\" already");
    check_top(
        "[[tenant]]\nname = 'a'\nnetworks = ['10.0.0.0/8']\n[[tenant]]\nname = 'a'\nnetworks = ['10.1.0.0/16']\n",
        (5, 8),
        "tenant.name",
        "is taken",
    );
}

#[test]
fn tenants_that_no_source_could_tell_are_warned_of() {
    let warnings = |tenant: &str| {
        let decided = plan(&format!("[[tenant]]\nname = 'a'\n{tenant}\n{GOOD}"));
        decided.report.warnings().to_vec()
    };
    assert!(warnings("endpoints = ['vpce-1']")[0].contains("proxy_protocol, and none has"));
    assert!(warnings("certificate_names = ['x']")[0].contains("client_ca, and none has"));
    assert_eq!(warnings("networks = ['10.0.0.0/8']"), [""; 0]);
}

#[test]
fn a_tenant_as_decided() {
    let text = "\n[tenants]\nunknown = 'refuse'\n[[tenant]]\nname = 'pay'\nendpoints = ['vpce-1a']\ncertificate_names = ['pay.example']\n\
                networks = ['10.0.0.0/8', '2001:db8::1']\ntoken_file = '/t'\nfields = { team = 'pay', n = 3 }\n\
                bytes_per_second = '5MiB'\nevents_per_second = 1000\nburst = '2s'\nmax_connections = 10\n\
                memory_percent = 20\nbuffer_percent = 30\n[[tenant]]\nname = 'other'\nnetworks = ['10.1.0.0/16']\n";
    let decided = plan(&format!("{text}{GOOD}")).relay.tenants;
    assert_eq!(decided.unknown, Unknown::Refuse);
    let limits = Limits {
        bytes_per_second: Some(5 << 20),
        events_per_second: Some(1000),
        burst: Duration::from_secs(2),
        connections_max: Some(10),
        memory_percent: Some(20),
        buffer_percent: Some(30),
    };
    let want = TenantPlan {
        name: "pay".to_owned(),
        endpoints: vec!["vpce-1a".to_owned()],
        certificate_names: vec!["pay.example".to_owned()],
        networks: vec!["10.0.0.0/8".parse().expect("a network"), "2001:db8::1/128".parse().expect("a network")],
        token_file: Some("/t".into()),
        fields: vec![("team".to_owned(), "pay".into()), ("n".to_owned(), 3.into())],
        limits,
    };
    assert_eq!(decided.tenants[0], want);
    assert_eq!(decided.tenants[1].limits, Limits { burst: Duration::from_secs(1), ..Limits::default() });
    assert!(!plan(GOOD).relay.tenants.is_in_use());
}
