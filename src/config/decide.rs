//! What the keys of a configuration mean, from the top; sources, sinks, rules and lookups know their own tables.

use crate::config::address::Address;
use crate::config::aims::Aimed;
use crate::config::aims::check_sources;
use crate::config::complaint::Complaint;
use crate::config::listener::decide_networks;
use crate::config::lookup;
use crate::config::overrides::Overrides;
use crate::config::plan::Plan;
use crate::config::reader::Reader;
use crate::config::reader::Written;
use crate::config::report::Origin;
use crate::config::report::Report;
use crate::config::rule;
use crate::config::sink;
use crate::config::source;
use crate::config::storage;
use crate::config::storage::Storage;
use crate::config::tenant;
use crate::elb::rules::RulePlan;
use crate::event_id::IdKey;
use crate::pipeline::admin::AdminPlan;
use crate::pipeline::health::HealthPlan;
use crate::pipeline::lookups::LookupPlan;
use crate::pipeline::relay::RelayPlan;

/// Addresses and who listens there.
pub type Listening = Vec<(String, String)>;

/// What several tables must agree on, or what is read before the tables that use it.
pub struct Shared {
    /// Bytes of memory there are for log data.
    pub memory_bytes_max: u64,
    /// How many sinks share it.
    pub sinks: usize,
    /// Bytes the buffer holds.
    pub buffer_bytes_max: u64,
    /// Most bytes the buffer has room for in one document.
    pub document_bytes_max: u64,
    /// Whether there is a place for dead letters.
    pub keeps_dead_letters: bool,
    /// Addresses listened on so far, and by whom.
    pub listening: Listening,
    /// Whether everybody knows the key that event ids and hashes are computed under.
    pub key_is_published: bool,
    /// Which lines are dropped, in order.
    pub rules: Vec<Aimed<RulePlan>>,
    /// What lines are looked up in, in order.
    pub lookups: Vec<Aimed<LookupPlan>>,
    /// The names of the sources, in order; empty ones are mistakes.
    pub sources: Vec<String>,
    /// The names of the tenants.
    pub tenants: Vec<String>,
    /// Whether the relay runs already, so that only its tenants are replaced.
    pub is_running: bool,
}

/// The part of the memory that sinks together may hold back, one in so many: documents that a destination does not take must leave
/// room for reading, whatever room there is on disk.
const SINKS_PART: u64 = 4;

impl Shared {
    /// Bytes that one of the sinks may keep in memory for what is under way: its share, and a request of `bytes` at the least.
    pub fn held_bytes(&self, bytes: usize) -> usize {
        let share = self.memory_bytes_max / SINKS_PART / self.sinks.max(1) as u64;
        usize::try_from(share).unwrap_or(usize::MAX).max(bytes)
    }
}

/// Reads the whole file. The plan is only meant when there were no complaints.
pub fn decide(mut root: Reader<'_, '_>, overrides: &Overrides) -> Plan {
    let memory_bytes_max = decide_memory(&mut root);
    let Storage { buffer, dead_letters, document_bytes_max } = storage::decide(&mut root, overrides, memory_bytes_max);
    let mut listening = Vec::new();
    let (admin, health) = decide_admin(&mut root, overrides, &mut listening);
    let id_key = decide_id_key(&mut root);
    let mut shared = Shared {
        memory_bytes_max,
        sinks: 0,
        buffer_bytes_max: buffer.bytes_max(),
        document_bytes_max,
        keeps_dead_letters: dead_letters.is_some(),
        listening,
        // A key with a mistake in it is complained of already.
        key_is_published: id_key == Some(IdKey::PUBLISHED),
        rules: rule::decide_all(&mut root),
        lookups: lookup::decide_all(&mut root),
        sources: Vec::new(),
        tenants: Vec::new(),
        is_running: overrides.is_running,
    };
    let (sources, names) = source::decide_all(&mut root, overrides, &mut shared);
    check_sources(root.desk(), &shared.rules, &names, &sources);
    check_sources(root.desk(), &shared.lookups, &names, &sources);
    let tenants = tenant::decide_all(&mut root);
    tenant::warn_of_the_unprovable(root.desk(), &tenants, &sources);
    shared.sources = names;
    shared.tenants = tenants.tenants.iter().map(|tenant| tenant.name.clone()).collect();
    let sinks = sink::decide_all(&mut root, overrides, &mut shared);
    root.finish();
    let lookups = shared.lookups.into_iter().filter_map(|lookup| lookup.what).collect();
    let id_key = id_key.unwrap_or(IdKey::PUBLISHED);
    let relay = RelayPlan { memory_bytes_max, buffer, dead_letters, admin, health, sources, sinks, lookups, tenants, id_key };
    Plan { relay, report: Report::default() }
}

fn decide_memory(root: &mut Reader<'_, '_>) -> u64 {
    root.desk().report.begin("[memory]");
    let mut memory = root.table("memory");
    let bytes_max = memory.size("max_bytes", MEMORY_MIN..=MEMORY_MAX, 256 << 20, Origin::Default);
    memory.finish();
    bytes_max
}

fn decide_admin(
    root: &mut Reader<'_, '_>,
    overrides: &Overrides,
    listening: &mut Listening,
) -> (Option<AdminPlan>, Option<HealthPlan>) {
    root.desk().report.begin("[admin]");
    let mut admin = root.table("admin");
    if let Some(given) = &overrides.admin {
        admin.give("address", given.clone());
    }
    for key in ["tls", "token", "allow_remote"] {
        admin.later(key, "the admin listener is for this machine only: remove it");
    }
    let plan = match admin.string("address") {
        Some(written) if written.text == "off" => {
            admin.record("address", "off", written.origin());
            None
        }
        Some(written) => {
            check_admin(&mut admin, &written, listening);
            Some(AdminPlan { address: written.text })
        }
        None => {
            admin.record("address", ADMIN_ADDRESS, Origin::Default);
            listening.push((ADMIN_ADDRESS.to_owned(), "the admin listener".to_owned()));
            Some(AdminPlan { address: ADMIN_ADDRESS.to_owned() })
        }
    };
    let health = decide_health(&mut admin, listening);
    admin.finish();
    (plan, health)
}

fn decide_health(admin: &mut Reader<'_, '_>, listening: &mut Listening) -> Option<HealthPlan> {
    let proxy_from = decide_networks(admin, "health_proxy_from");
    let Some(written) = admin.string("health_address") else {
        if !admin.has("health_address") {
            admin.record("health_address", "off", Origin::Default);
            if admin.has("health_proxy_from") {
                let remedy = "write health_address = \"0.0.0.0:9601\", or remove it";
                admin.refuse_key("health_proxy_from", "names proxies of a listener that there is not", remedy);
            }
        }
        return None;
    };
    if written.text == "off" {
        admin.record("health_address", "off", written.origin());
        return None;
    }
    check_listen(admin, "health_address", &written, "the health listener", listening);
    Some(HealthPlan { address: written.text, proxy_from })
}

fn check_admin(admin: &mut Reader<'_, '_>, written: &Written, listening: &mut Listening) {
    let Some(address) = check_listen(admin, "address", written, "the admin listener", listening) else { return };
    if !address.is_loopback() {
        let remedy = format!("\"127.0.0.1:{0}\", \"[::1]:{0}\" or \"off\"; let a local agent or a tunnel reach it", address.port);
        admin.refuse(
            "address",
            written,
            "the admin listener has neither token nor TLS yet, so it listens on loopback only",
            Some("a loopback address, or \"off\"".to_owned()),
            Some(remedy),
        );
    }
}

/// Checks an address to listen on and that nobody else listens there.
pub fn check_listen<'w>(
    reader: &mut Reader<'_, '_>,
    key: &'static str,
    written: &'w Written,
    who: &str,
    listening: &mut Listening,
) -> Option<Address<'w>> {
    let address = match Address::parse(&written.text) {
        Ok(address) => address,
        Err(error) => {
            let example = "host:port, such as \"127.0.0.1:5000\" or \"[::1]:5000\"".to_owned();
            reader.refuse(key, written, error, Some(example), None);
            return None;
        }
    };
    reader.record(key, written.text.clone(), written.origin());
    let taken = listening.iter().find(|(other, _)| address.port != 0 && *other == written.text);
    if let Some((_, by)) = taken {
        reader.refuse(key, written, format!("{by} already listens there"), None, Some("choose another port".to_owned()));
    }
    listening.push((written.text.clone(), who.to_owned()));
    Some(address)
}

/// The name of a source or sink: the label of its metrics, so short and plain. Complains when another has it.
pub fn decide_name(reader: &mut Reader<'_, '_>, taken: &[String], example: &str) -> Option<String> {
    let written = reader.required("name", example)?;
    let name = &written.text;
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_' || byte == b'-';
    if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.bytes().all(plain) {
        let allowed = "1 to 64 of a-z, 0-9, _ and -: it is a metric label".to_owned();
        reader.refuse("name", &written, "not a name", Some(allowed), None);
    } else if taken.contains(name) {
        reader.refuse("name", &written, format!("the name {name:?} is taken"), None, Some("names are unique".to_owned()));
    }
    Some(written.text)
}

/// The key for event ids; `None` where a mistake keeps it from being known.
fn decide_id_key(root: &mut Reader<'_, '_>) -> Option<IdKey> {
    root.desk().report.begin("event ids");
    if !root.has("id_key") {
        root.known("id_key");
        root.record("id_key", "the published key", Origin::Default);
        return Some(IdKey::PUBLISHED);
    }
    let written = root.string("id_key")?;
    if let Some(key) = IdKey::from_hex(&written.text) {
        root.record("id_key", "***", written.origin());
        return Some(key);
    }
    // What a variable made of it may be a secret with a slip in it: say its length, not what it reads.
    let what = format!("not a key: {} characters", written.text.chars().count());
    let complaint = Complaint::wrong(written.place(), "id_key", what);
    let complaint = complaint.allowed("64 hexadecimal digits").remedy("make one with: openssl rand -hex 32");
    root.desk().complaints.push(complaint);
    None
}

const ADMIN_ADDRESS: &str = "127.0.0.1:9600";

/// Room for a few connections' reads beside the smallest buffer.
const MEMORY_MIN: u64 = 16 << 20;
const MEMORY_MAX: u64 = 1 << 40;

const NAME_BYTES_MAX: usize = 64;
