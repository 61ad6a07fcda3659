//! What the value of a field is held against, in a rule and in what a sink is to have.
//!
//! It knows the keys of the tests and nothing of fields.

use core::net::IpAddr;

use ipnet::IpNet;

use crate::config::reader::Reader;
use crate::config::reader::Written;
use crate::value_test::Test;

/// The keys of a condition that say what a value is held against.
pub const TESTS: [&str; 5] = ["equals", "prefix", "suffix", "range", "cidr"];

/// What one of the keys says, and the texts it was written with. `no_empty` has the keys whose texts must not be empty, each
/// with what to write instead.
pub fn decide_test(condition: &mut Reader<'_, '_>, key: &'static str, no_empty: &[(&str, &str)]) -> Option<(Test, Vec<String>)> {
    if !condition.has(key) {
        condition.known(key);
        return None;
    }
    if key == "range" {
        let written = condition.string(key)?;
        let (min, max) = check_range(condition, &written)?;
        return Some((Test::Range { min, max }, vec![written.text]));
    }
    let written = condition.texts(key)?;
    if written.is_empty() {
        condition.refuse_key(key, "lists nothing, and nothing would match", "name what is looked for");
        return None;
    }
    let texts: Vec<String> = written.iter().map(|written| written.text.clone()).collect();
    if key == "cidr" {
        let networks: Option<Vec<IpNet>> = written.iter().map(|written| check_network(condition, written)).collect();
        return Some((Test::Cidr(networks?), texts));
    }
    if let Some((_, remedy)) = no_empty.iter().find(|(name, _)| *name == key) {
        for written in written.iter().filter(|written| written.text.is_empty()) {
            condition.refuse(key, written, "an empty text", None, Some((*remedy).to_owned()));
        }
    }
    let test = match key {
        "equals" => Test::Equals(texts.clone()),
        "prefix" => Test::Prefix(texts.clone()),
        _ => Test::Suffix(texts.clone()),
    };
    Some((test, texts))
}

fn check_range(condition: &mut Reader<'_, '_>, written: &Written) -> Option<(u64, u64)> {
    let (min, max) = written.text.split_once('-').unwrap_or((&written.text, &written.text));
    let number = |text: &str| text.trim().parse::<u64>().ok();
    let range = number(min).zip(number(max));
    if range.is_none_or(|(min, max)| min > max) {
        let allowed = "two whole numbers, the smaller first, such as \"200-299\", or one".to_owned();
        condition.refuse("range", written, "not a range", Some(allowed), None);
        return None;
    }
    range
}

fn check_network(condition: &mut Reader<'_, '_>, written: &Written) -> Option<IpNet> {
    let text = written.text.as_str();
    let Ok(network) = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from)) else {
        let allowed = "a network such as \"10.0.0.0/8\" or \"2001:db8::/32\", or an address".to_owned();
        condition.refuse("cidr", written, "not a network", Some(allowed), None);
        return None;
    };
    if network.trunc() != network {
        let remedy = Some(format!("did you mean \"{}\"?", network.trunc()));
        condition.refuse("cidr", written, "has bits behind its prefix", None, remedy);
        return None;
    }
    Some(network)
}
