//! `[tenants]` and `[[tenant]]` tables: whose senders are, and what they may use. Files with tokens are not opened here.

use core::net::IpAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use crate::config::complaint::Complaint;
use crate::config::complaint::Place;
use crate::config::decide::decide_name;
use crate::config::fields::decide_fields;
use crate::config::overrides::Overrides;
use crate::config::reader::Desk;
use crate::config::reader::Reader;
use crate::config::reader::Written;
use crate::config::report::Origin;
use crate::config::words::Words;
use crate::pipeline::relay::SourcePlan;
use crate::tenant::plan::Limits;
use crate::tenant::plan::TenantPlan;
use crate::tenant::plan::TenantsPlan;
use crate::tenant::plan::Unknown;

/// What tenants are told apart by, and whose it is: each may be one tenant's only.
#[derive(Default)]
struct Taken {
    by: Vec<(&'static str, String, String)>,
}

/// Reads who may send.
pub fn decide_all(root: &mut Reader<'_, '_>) -> TenantsPlan {
    let tables = root.tables("tenant");
    if tables.len() > TENANTS_MAX {
        root.refuse_key("tenant", "too many tenants", "at most 4096 are possible");
    }
    let is_any = !tables.is_empty();
    let unknown = decide_unknown(root, is_any);
    let (mut tenants, mut names, mut taken) = (Vec::new(), Vec::new(), Taken::default());
    for (table, span) in tables {
        let desk = root.desk();
        desk.report.begin("tenant");
        tenants.push(decide_one(Reader::new(desk, Some(table), Place::File(span), "tenant"), &mut names, &mut taken));
    }
    TenantsPlan { unknown, tenants }
}

/// Warns of tenants that no source could ever tell.
pub fn warn_of_the_unprovable(desk: &mut Desk<'_>, plan: &TenantsPlan, sources: &[SourcePlan]) {
    let has_proxy = sources.iter().any(|source| source.door.proxy.is_some());
    let has_certificates = sources.iter().any(|source| source.door.tls.as_ref().is_some_and(|tls| tls.client_ca.is_some()));
    for tenant in &plan.tenants {
        let name = &tenant.name;
        if !tenant.endpoints.is_empty() && !has_proxy {
            desk.report.warn(format!("tenant {name:?}: endpoints are known where a source has proxy_protocol, and none has"));
        }
        if !tenant.certificate_names.is_empty() && !has_certificates {
            desk.report.warn(format!("tenant {name:?}: certificate_names are known where a source has client_ca, and none has"));
        }
    }
}

fn decide_unknown(root: &mut Reader<'_, '_>, is_any: bool) -> Unknown {
    if !root.has("tenants") && !is_any {
        root.known("tenants");
        return Unknown::Allow;
    }
    root.desk().report.begin("[tenants]");
    let mut table = root.table("tenants");
    let words = Unknown::ALL.map(|unknown| (unknown.label(), unknown));
    let unknown = table.one_of("unknown", &Words { now: &words, later: &[] }, ("allow", Unknown::Allow));
    if unknown == Unknown::Refuse && !is_any {
        table.refuse_key("unknown", "there is no tenant: everybody would be refused", "add a [[tenant]], or write \"allow\"");
    }
    table.finish();
    unknown
}

fn decide_one(mut tenant: Reader<'_, '_>, names: &mut Vec<String>, taken: &mut Taken) -> TenantPlan {
    let name = decide_name(&mut tenant, names, "\"payments\"").unwrap_or_default();
    if name.starts_with('_') {
        tenant.refuse_key("name", "begins with _, as the names of what is no tenant do", "choose another name");
    }
    names.push(name.clone());
    tenant.desk().report.retitle(format!("[[tenant]] {name}"));
    let keys = ["endpoints", "certificate_names", "networks", "token_file"];
    if !keys.into_iter().any(|key| tenant.has(key)) {
        let complaint = Complaint::missing(tenant.place(), "tenant", "nothing says who it is: nobody would ever be this tenant");
        let remedy = "add one of endpoints, certificate_names, networks and token_file";
        tenant.desk().complaints.push(complaint.remedy(remedy));
    }
    let endpoints = decide_matches(&mut tenant, "endpoints", &name, taken, check_endpoint);
    let certificate_names = decide_matches(&mut tenant, "certificate_names", &name, taken, check_certificate_name);
    let networks = decide_matches(&mut tenant, "networks", &name, taken, check_network);
    let token_file = decide_token_file(&mut tenant, &name, taken);
    let fields = decide_fields(&mut tenant, &Overrides::default());
    let limits = decide_limits(&mut tenant);
    tenant.finish();
    TenantPlan { name, endpoints, certificate_names, networks, token_file, fields, limits }
}

/// What one of the keys says that tenants are told apart by.
fn decide_matches<T>(
    tenant: &mut Reader<'_, '_>,
    key: &'static str,
    name: &str,
    taken: &mut Taken,
    check: fn(&mut Reader<'_, '_>, &Written) -> Option<(T, String)>,
) -> Vec<T> {
    let Some(written) = tenant.strings(key) else { return Vec::new() };
    if written.is_empty() {
        tenant.refuse_key(key, "lists nothing, and nothing would match", "name one, or leave the key out");
    }
    let mut matches = Vec::new();
    for written in &written {
        let Some((value, text)) = check(tenant, written) else { continue };
        taken.take(tenant, key, written, text, name);
        matches.push(value);
    }
    let texts: Vec<&str> = written.iter().map(|written| written.text.as_str()).collect();
    tenant.record(key, texts.join(", "), written.first().map_or(Origin::Default, Written::origin));
    matches
}

fn check_endpoint(tenant: &mut Reader<'_, '_>, written: &Written) -> Option<(String, String)> {
    let text = &written.text;
    let digits = text.strip_prefix("vpce-").unwrap_or_default();
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte)) {
        let allowed = "the id of a VPC endpoint, such as \"vpce-08d2bf15fac5001c9\"".to_owned();
        tenant.refuse("endpoints", written, "not an endpoint", Some(allowed), None);
        return None;
    }
    Some((text.clone(), text.clone()))
}

fn check_certificate_name(tenant: &mut Reader<'_, '_>, written: &Written) -> Option<(String, String)> {
    let text = &written.text;
    if text.is_empty() || text.len() > CERTIFICATE_NAME_BYTES_MAX || text.chars().any(char::is_control) {
        let allowed = "1 to 256 bytes: the common name, or a DNS, e-mail or URI name".to_owned();
        tenant.refuse("certificate_names", written, "not a name in a certificate", Some(allowed), None);
        return None;
    }
    if text.contains('*') {
        let remedy = "write each name out: a certificate names who holds it, and * would stand for itself".to_owned();
        tenant.refuse("certificate_names", written, "names are compared as they are", None, Some(remedy));
        return None;
    }
    Some((text.clone(), text.clone()))
}

fn check_network(tenant: &mut Reader<'_, '_>, written: &Written) -> Option<(IpNet, String)> {
    let text = written.text.as_str();
    let Ok(network) = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from)) else {
        let allowed = "a network such as \"10.0.0.0/8\" or \"2001:db8::/32\", or an address".to_owned();
        tenant.refuse("networks", written, "not a network", Some(allowed), None);
        return None;
    };
    if network.trunc() != network {
        let remedy = Some(format!("did you mean \"{}\"?", network.trunc()));
        tenant.refuse("networks", written, "has bits behind its prefix", None, remedy);
        return None;
    }
    Some((network, network.to_string()))
}

fn decide_token_file(tenant: &mut Reader<'_, '_>, name: &str, taken: &mut Taken) -> Option<PathBuf> {
    let written = tenant.string("token_file")?;
    if written.text.is_empty() || written.text.ends_with('/') || written.text.contains('\0') {
        tenant.refuse("token_file", &written, "not the path of a file", None, None);
    }
    taken.take(tenant, "token_file", &written, written.text.clone(), name);
    tenant.record("token_file", written.text.clone(), written.origin());
    Some(PathBuf::from(written.text))
}

impl Taken {
    /// Notes that something is a tenant's; complains where it is another's already, or this one's twice.
    fn take(&mut self, tenant: &mut Reader<'_, '_>, key: &'static str, written: &Written, text: String, name: &str) {
        if let Some((_, _, by)) = self.by.iter().find(|(other, taken, _)| *other == key && *taken == text) {
            let what = if by == name { "stands here twice".to_owned() } else { format!("is the tenant {by:?} already") };
            let remedy = "each is one tenant's only: nobody could tell whose a sender is".to_owned();
            tenant.refuse(key, written, what, None, Some(remedy));
        }
        self.by.push((key, text, name.to_owned()));
    }
}

fn decide_limits(tenant: &mut Reader<'_, '_>) -> Limits {
    let bytes_per_second = limit(tenant, "bytes_per_second", |tenant, key| tenant.size(key, BYTES, 0, Origin::Default));
    let events_per_second = limit(tenant, "events_per_second", |tenant, key| u64::from(tenant.integer(key, EVENTS, 1)));
    let burst = tenant.duration("burst", BURST, Duration::from_secs(1));
    let connections_max = limit(tenant, "max_connections", |tenant, key| u64::from(tenant.integer(key, 1..=1_000_000, 1)));
    let memory_percent = share(tenant, "memory_percent");
    let buffer_percent = share(tenant, "buffer_percent");
    Limits { bytes_per_second, events_per_second, burst, connections_max, memory_percent, buffer_percent }
}

/// What `read` gives where the key is there.
fn limit(
    tenant: &mut Reader<'_, '_>,
    key: &'static str,
    read: impl FnOnce(&mut Reader<'_, '_>, &'static str) -> u64,
) -> Option<u64> {
    if tenant.has(key) {
        return Some(read(tenant, key));
    }
    tenant.known(key);
    tenant.record(key, "no limit", Origin::Default);
    None
}

fn share(tenant: &mut Reader<'_, '_>, key: &'static str) -> Option<u32> {
    if tenant.has(key) {
        return Some(tenant.integer(key, 1..=100, 100));
    }
    tenant.known(key);
    tenant.record(key, "as much as is free", Origin::Default);
    None
}

/// Each has accounts, a row in the ledger and, up to a few hundred, series of metrics.
const TENANTS_MAX: usize = 4096;

/// Less than a kibibyte a second is a way to say no.
const BYTES: RangeInclusive<u64> = 1 << 10..=1 << 40;

const EVENTS: RangeInclusive<u32> = 1..=1_000_000_000;

const BURST: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(3600);

/// Longer than the longest host name or e-mail address.
const CERTIFICATE_NAME_BYTES_MAX: usize = 256;
