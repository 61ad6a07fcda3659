//! The keys of a sink that signs its requests for AWS.

use core::net::IpAddr;

use crate::config::reader::Reader;
use crate::config::words::Words;
use crate::secret::Secret;
use crate::sink::AwsPlan;
use crate::sink::AwsService;
use crate::sink::AwsSource;
use crate::sink::ContainerToken;
use crate::wire::sigv4::Credentials;

use super::http::secret;

/// Keys that say nothing without a region.
const KEYS: [&str; 7] = [
    "aws_service",
    "aws_credentials",
    "aws_access_key_id",
    "aws_secret_access_key",
    "aws_secret_access_key_file",
    "aws_session_token",
    "aws_session_token_file",
];

/// The machine's metadata, where no variable says otherwise.
const METADATA: &str = "169.254.169.254:80";

/// What a relative address of a container's role is relative to.
const CONTAINER: &str = "169.254.170.2:80";

/// Addresses, beside those of the machine itself, that a full one may have: those of ECS and EKS, to which alone AWS's own
/// clients send a container's token without TLS.
const CONTAINERS: [&str; 3] = ["169.254.170.2", "169.254.170.23", "fd00:ec2::23"];

/// Whether any key of AWS is there; complains where the region is missing.
pub(super) fn is_wanted(sink: &mut Reader<'_, '_>) -> bool {
    let other = KEYS.into_iter().find(|key| sink.has(key));
    let is_wanted = sink.has("aws_region");
    if is_wanted || other.is_some() {
        // Also where a mistake keeps them from being read.
        ["aws_region"].into_iter().chain(KEYS).for_each(|key| sink.known(key));
    }
    if let (false, Some(other)) = (is_wanted, other) {
        sink.refuse_key(other, "says nothing without aws_region", "add aws_region, such as \"eu-west-1\"");
    }
    is_wanted
}

/// Reads them.
pub(super) fn decide(sink: &mut Reader<'_, '_>) -> Option<AwsPlan> {
    let region = sink.string("aws_region")?;
    let is_region = |text: &str| {
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
    };
    if is_region(&region.text) {
        sink.record("aws_region", region.text.clone(), region.origin());
    } else {
        sink.refuse("aws_region", &region, "is no region", Some("a region, such as \"eu-west-1\"".to_owned()), None);
        return None;
    }
    let services = [AwsService::Es, AwsService::Aoss].map(|service| (service.label(), service));
    let service = sink.one_of("aws_service", &Words { now: &services, later: &[] }, services[0]);
    let keys = decide_keys(sink);
    let sources = [("keys", From::Keys), ("container", From::Container), ("instance", From::Instance)];
    let default = match keys {
        Some(_) => sources[0],
        None if variable(sink, RELATIVE).or_else(|| variable(sink, FULL)).is_some() => sources[1],
        None => sources[2],
    };
    let from = sink.one_of("aws_credentials", &Words { now: &sources, later: &[] }, default);
    let source = match (from, keys) {
        (From::Keys, Some(keys)) => AwsSource::Keys(keys?),
        (From::Keys, None) => {
            sink.refuse_key("aws_credentials", "there are no keys", "add aws_access_key_id and aws_secret_access_key");
            return None;
        }
        (_, Some(_)) => {
            sink.refuse_key("aws_access_key_id", "is not used with these aws_credentials", "keep one of the two");
            return None;
        }
        (From::Instance, None) => AwsSource::Instance { address: metadata(sink)? },
        (From::Container, None) => container(sink)?,
    };
    Some(AwsPlan { region: region.text, service, source })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum From {
    Keys,
    Container,
    Instance,
}

/// Keys that are written; the inner `None` is some with a mistake.
fn decide_keys(sink: &mut Reader<'_, '_>) -> Option<Option<Credentials>> {
    let id = sink.string("aws_access_key_id");
    let key = secret(sink, "aws_secret_access_key", "aws_secret_access_key_file");
    let token = secret(sink, "aws_session_token", "aws_session_token_file");
    match (id, key) {
        (None, None) if token.is_none() => None,
        (Some(id), Some(key)) => {
            if id.text.is_empty() || !id.text.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
                let what = format!("is no key's id: {} characters", id.text.chars().count());
                sink.refuse_key("aws_access_key_id", &what, "copy the id that belongs to the key, 20 letters and digits");
                return Some(None);
            }
            sink.record("aws_access_key_id", id.text.clone(), id.origin());
            let token = match token {
                Some(token) => Some(token?),
                None => None,
            };
            Some(key.map(|key| Credentials { id: id.text, key, token }))
        }
        (None, _) => {
            let key = if sink.has("aws_session_token") { "aws_session_token" } else { "aws_secret_access_key" };
            sink.refuse_key(key, "has no id", "add aws_access_key_id");
            Some(None)
        }
        (Some(_), None) => {
            sink.refuse_key(
                "aws_access_key_id",
                "has no key",
                "add aws_secret_access_key = \"${KEY}\", or aws_secret_access_key_file",
            );
            Some(None)
        }
    }
}

/// Variables by which containers and AWS's own programs are told where to ask.
const RELATIVE: &str = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI";
const FULL: &str = "AWS_CONTAINER_CREDENTIALS_FULL_URI";
const TOKEN: &str = "AWS_CONTAINER_AUTHORIZATION_TOKEN";
const TOKEN_FILE: &str = "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE";
const ENDPOINT: &str = "AWS_EC2_METADATA_SERVICE_ENDPOINT";

fn variable(sink: &mut Reader<'_, '_>, name: &str) -> Option<String> {
    (sink.desk().lookup)(name).filter(|value| !value.is_empty())
}

fn metadata(sink: &mut Reader<'_, '_>) -> Option<String> {
    let Some(url) = variable(sink, ENDPOINT) else { return Some(METADATA.to_owned()) };
    let parts = parts(&url).filter(|(_, path)| path.trim_matches('/').is_empty());
    if parts.is_none() {
        let remedy = "write it as http://HOST or http://HOST:PORT";
        sink.refuse_key("aws_credentials", &format!("the variable {ENDPOINT} is no address of metadata"), remedy);
    }
    parts.map(|(address, _)| address)
}

fn container(sink: &mut Reader<'_, '_>) -> Option<AwsSource> {
    let (address, path) = match (variable(sink, RELATIVE), variable(sink, FULL)) {
        (Some(path), _) if is_path(&path) => (CONTAINER.to_owned(), path),
        (None, Some(url)) => match parts(&url) {
            Some((address, path)) if is_near(&address) => (address, path),
            _ => {
                let what = format!("the variable {FULL} leads to none of the addresses that keys are fetched from");
                sink.refuse_key("aws_credentials", &what, "see that ECS or EKS has set it: http, and an address of this machine");
                return None;
            }
        },
        (Some(_), _) => {
            sink.refuse_key("aws_credentials", &format!("the variable {RELATIVE} is no path"), "see that ECS has set it");
            return None;
        }
        (None, None) => {
            let what = format!("there is neither {RELATIVE} nor {FULL}");
            sink.refuse_key("aws_credentials", &what, "give the task or the pod a role, or choose other credentials");
            return None;
        }
    };
    let file = variable(sink, TOKEN_FILE).map(|file| ContainerToken::File(file.into()));
    let token = file.or_else(|| variable(sink, TOKEN).map(|token| ContainerToken::Text(Secret::new(token))));
    Some(AwsSource::Container { address, path, token })
}

/// `HOST:PORT` and the path of a URL of plain HTTP.
fn parts(url: &str) -> Option<(String, String)> {
    let rest = url.strip_prefix("http://")?;
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let path = if path.is_empty() { "/" } else { path };
    let has_port = host.rsplit_once(':').is_some_and(|(_, port)| !port.contains(']'));
    let address = if has_port { host.to_owned() } else { format!("{host}:80") };
    let is_host = !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".:-[]".contains(&byte));
    (is_host && is_path(path)).then(|| (address, path.to_owned()))
}

fn is_path(path: &str) -> bool {
    path.starts_with('/') && path.bytes().all(|byte| byte.is_ascii_graphic() && !b"#\"<>\\^`{|}".contains(&byte))
}

/// Whether an address is of this machine or of this task.
fn is_near(address: &str) -> bool {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host).trim_matches(['[', ']']);
    let is_loopback = host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
    host == "localhost" || is_loopback || CONTAINERS.contains(&host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(url: &str, want: Option<(&str, &str, bool)>) {
        let got = parts(url);
        let got = got.as_ref().map(|(address, path)| (address.as_str(), path.as_str(), is_near(address)));
        assert_eq!(got, want, "{url}");
    }

    #[test]
    fn a_containers_token_goes_only_to_addresses_that_are_near() {
        check("http://169.254.170.23/v1/credentials", Some(("169.254.170.23:80", "/v1/credentials", true)));
        check("http://[fd00:ec2::23]/v1/credentials", Some(("[fd00:ec2::23]:80", "/v1/credentials", true)));
        check("http://localhost:1234", Some(("localhost:1234", "/", true)));
        check("http://127.0.0.9:1/a?b=c", Some(("127.0.0.9:1", "/a?b=c", true)));
        check("http://keys.example/v1", Some(("keys.example:80", "/v1", false)));
        check("http://169.254.170.24/v1", Some(("169.254.170.24:80", "/v1", false)));
        check("https://localhost/v1", None);
        check("http://user@localhost/v1", None);
        check("http:///v1", None);
        check("http://localhost/a b", None);
    }
}
