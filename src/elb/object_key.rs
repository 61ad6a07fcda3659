//! What the S3 key of a load-balancer log object says: whose it is, which log, and the end of its interval.
//!
//! The key is read from the right, because whatever stands before `AWSLogs/` was chosen by the bucket's owner. It refuses
//! to guess: a key that differs from AWS's grammar in any part says nothing. It fetches nothing and decodes nothing; a key
//! is taken literally.
//!
//! ```text
//! key     = [prefix "/"] "AWSLogs/" [org-id "/"] account "/elasticloadbalancing/" region "/" yyyy "/" mm "/" dd "/" name
//! name    = classic | alb | nlb | ("conn_log_" | "conn_log.") alb | ("health_check_log_" | "health_check_log.") alb
//! classic = account "_elasticloadbalancing_" region "_" lb-name        "_" end "_" node-ip "_" random ".log"
//! alb     = account "_elasticloadbalancing_" region "_app." lb "." id  "_" end "_" node-ip "_" random ".log.gz"
//! nlb     = account "_elasticloadbalancing_" region "_net." lb "." id  "_" end             "_" random ".log.gz"
//! end     = yyyymmdd "T" hhmm "Z"
//! ```
//!
//! From AWS's user guides of the three load balancers, "Access log files", "Connection log files" and "Health check log
//! files". The folder's date is the day of delivery, so it may be later than the interval's.

use std::fmt;

use crate::time::days;

/// The names of the objects AWS writes when logging is switched on, to see whether it may.
const TEST_FILES: [&str; 3] = ["ELBAccessLogTestFile", "ELBConnectionLogTestFile", "ELBHealthCheckLogTestFile"];

/// Fewest and most bytes of a bucket's name: "Bucket naming rules" in the user guide of S3.
const BUCKET_BYTES: std::ops::RangeInclusive<usize> = 3..=63;

/// Most bytes of a key: "Naming Amazon S3 objects" in the user guide of S3.
const KEY_BYTES_MAX: usize = 1024;

/// What the key of a log object says. The texts are those of the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectKey<'a> {
    /// The account the load balancer belongs to, 12 digits.
    pub account: &'a str,
    /// The load balancer's region, such as `us-east-1` or `us-gov-west-1`.
    pub region: &'a str,
    /// The load balancer as its log lines name it: `my-lb`, `app/web/0123456789abcdef`, `net/tls/0123456789abcdef`.
    pub load_balancer: String,
    /// Which log the object is a part of.
    pub log: Log,
    /// The end of the interval the object covers, as RFC 3339 text in UTC; a moment that exists.
    pub interval_end: String,
    /// Address of the node that wrote it, as it stands in the key: numbers may have leading zeros (`172.160.001.192`).
    /// Network Load Balancers name none.
    pub node: Option<&'a str>,
    /// The organisation, `o-…`, where the key names one.
    pub organisation: Option<&'a str>,
}

/// The logs there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Log {
    /// Access log of a Classic Load Balancer.
    ClassicAccess,
    /// Access log of an Application Load Balancer.
    AlbAccess,
    /// Access log of a Network Load Balancer.
    NlbAccess,
    /// Connection log of an Application Load Balancer.
    AlbConnection,
    /// Health-check log of an Application Load Balancer.
    AlbHealthCheck,
}

impl<'a> ObjectKey<'a> {
    /// What a key says; `None` when it is no key of a log object. Costs two small allocations, once for each object.
    pub fn parse(key: &'a str) -> Option<Self> {
        let mut parts = key.rsplit('/');
        let name = parts.next()?;
        let (day, month, year) = (parts.next()?, parts.next()?, parts.next()?);
        let region = parts.next().filter(|region| is_name(region))?;
        let service = parts.next()?;
        let (account, organisation) = owner(parts)?;
        let name = Name::parse(name)?;
        let wellformed = service == "elasticloadbalancing" && is_date(year, month, day);
        if !wellformed || name.account != account || name.region != region {
            return None;
        }
        let load_balancer = name.load_balancer.replace('.', "/");
        Some(Self { account, region, load_balancer, log: name.log, interval_end: name.end, node: name.node, organisation })
    }
}

/// Whether a key is that of an object AWS writes when logging is switched on. It has a message in it and no log line.
pub fn is_test_file(key: &str) -> bool {
    let mut parts = key.rsplit('/');
    parts.next().is_some_and(|name| TEST_FILES.contains(&name)) && owner(parts).is_some()
}

/// Account and organisation of a key, from its parts up to the account, the last first.
fn owner<'a>(mut parts: impl Iterator<Item = &'a str>) -> Option<(&'a str, Option<&'a str>)> {
    let account = digits::<12>(parts.next()?)?;
    let before = parts.next()?;
    let organisation = Some(before).filter(|before| before.strip_prefix("o-").is_some_and(is_alphanumeric));
    let root = if organisation.is_some() { parts.next()? } else { before };
    (root == "AWSLogs").then_some((account, organisation))
}

/// A file's name, cut.
struct Name<'a> {
    account: &'a str,
    region: &'a str,
    /// With dots where its resource has slashes.
    load_balancer: &'a str,
    log: Log,
    end: String,
    node: Option<&'a str>,
}

impl<'a> Name<'a> {
    fn parse(name: &'a str) -> Option<Self> {
        let (rest, last) = name.rsplit_once('_')?;
        let (random, suffix) = last.split_once('.')?;
        // Whoever copies objects may unpack them or pack them in another way; what is inside is the same.
        if !is_alphanumeric(random) || !(suffix == "log" || suffix.starts_with("log.")) {
            return None;
        }
        let (rest, last) = rest.rsplit_once('_')?;
        let (rest, node, end) = match interval_end(last) {
            Some(end) => (rest, None, end),
            None => {
                let (rest, end) = rest.rsplit_once('_')?;
                (rest, Some(last).filter(|node| is_address(node)), interval_end(end)?)
            }
        };
        let (rest, load_balancer) = rest.rsplit_once('_')?;
        let (rest, region) = rest.rsplit_once('_')?;
        let owner = rest.strip_suffix("_elasticloadbalancing")?;
        let (account, wanted) = if let Some(account) = after(owner, "conn_log") {
            (account, Log::AlbConnection)
        } else if let Some(account) = after(owner, "health_check_log") {
            (account, Log::AlbHealthCheck)
        } else {
            (owner, access_log(load_balancer))
        };
        let complete = node.is_some() != (wanted == Log::NlbAccess);
        let log = Some(wanted).filter(|log| complete && is_load_balancer(load_balancer, *log))?;
        Some(Self { account, region, load_balancer, log, end, node })
    }
}

/// What follows a word and its separator: AWS wrote a dot in its first documentation and writes `_` in its objects.
fn after<'a>(text: &'a str, word: &str) -> Option<&'a str> {
    text.strip_prefix(word)?.strip_prefix(['_', '.'])
}

/// Which access log a load balancer of this name writes.
fn access_log(load_balancer: &str) -> Log {
    match load_balancer.split_once('.') {
        None => Log::ClassicAccess,
        Some(("net", _)) => Log::NlbAccess,
        Some(_) => Log::AlbAccess,
    }
}

/// Whether a load balancer that writes this log can have this name.
fn is_load_balancer(name: &str, log: Log) -> bool {
    let resource = |kind: &str| {
        let parts = name.strip_prefix(kind).and_then(|rest| rest.split_once('.'));
        parts.is_some_and(|(name, id)| is_name(name) && is_alphanumeric(id))
    };
    match log {
        Log::ClassicAccess => is_name(name),
        Log::NlbAccess => resource("net."),
        Log::AlbAccess | Log::AlbConnection | Log::AlbHealthCheck => resource("app."),
    }
}

/// The moment `yyyymmddThhmmZ` names as RFC 3339 text; `None` when the text is no such moment.
fn interval_end(text: &str) -> Option<String> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let (date, time) = (digits::<8>(date)?, digits::<4>(time)?);
    let [year, month, day] = [&date[..4], &date[4..6], &date[6..]];
    let [hour, minute] = [&time[..2], &time[2..]];
    let exists = is_date(year, month, day) && hour < "24" && minute < "60";
    exists.then(|| format!("{year}-{month}-{day}T{hour}:{minute}:00Z"))
}

/// The text itself, when it is that many digits.
fn digits<const COUNT: usize>(text: &str) -> Option<&str> {
    (text.len() == COUNT && text.bytes().all(|byte| byte.is_ascii_digit())).then_some(text)
}

fn is_date(year: &str, month: &str, day: &str) -> bool {
    let number = |text: &str| text.parse::<i64>().ok();
    let parts = (digits::<4>(year).and_then(number), digits::<2>(month).and_then(number), digits::<2>(day).and_then(number));
    matches!(parts, (Some(year), Some(month), Some(day)) if days(year, month, day).is_some())
}

fn is_alphanumeric(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// Whether a text is letters, digits and hyphens, as the names of load balancers and regions are.
fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// Whether a text looks like an address; it may have leading zeros, which no reader of addresses takes.
fn is_address(text: &str) -> bool {
    text.contains(['.', ':']) && text.bytes().all(|byte| byte.is_ascii_hexdigit() || matches!(byte, b'.' | b':'))
}

/// An object in S3, by the name a sender gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ObjectName<'a> {
    /// The bucket.
    pub bucket: &'a str,
    /// The key, taken literally: `%2F` is three characters.
    pub key: &'a str,
}

impl<'a> ObjectName<'a> {
    /// Reads `s3://bucket/key` or `arn:aws:s3:::bucket/key`, in the latter with the partition of China or GovCloud as well.
    ///
    /// # Errors
    /// When it is neither, or the bucket or the key cannot be one. No text is copied, so that an error is cheap as well.
    pub fn parse(url: &'a str) -> Result<Self, ObjectNameError> {
        let (bucket, key) = url
            .strip_prefix("s3://")
            .or_else(|| {
                let (partition, rest) = url.strip_prefix("arn:")?.split_once(":s3:::")?;
                matches!(partition, "aws" | "aws-cn" | "aws-us-gov").then_some(rest)
            })
            .ok_or(ObjectNameError::Scheme)?
            .split_once('/')
            .ok_or(ObjectNameError::NoKey)?;
        // Buckets older than 2018 may have capitals and underscores.
        let known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
        if !BUCKET_BYTES.contains(&bucket.len()) || !bucket.bytes().all(known) {
            return Err(ObjectNameError::Bucket);
        }
        match key.len() {
            0 => Err(ObjectNameError::NoKey),
            1..=KEY_BYTES_MAX => Ok(Self { bucket, key }),
            _ => Err(ObjectNameError::KeyTooLong),
        }
    }
}

/// Why a text names no object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ObjectNameError {
    /// It starts with neither `s3://` nor the ARN of a bucket.
    Scheme,
    /// The bucket is shorter or longer than a bucket's name can be, or has a character none has.
    Bucket,
    /// There is nothing behind the bucket.
    NoKey,
    /// The key has more than 1024 bytes.
    KeyTooLong,
}

impl ObjectNameError {
    /// The reason as one word, for documents and metric labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Scheme => "object_scheme",
            Self::Bucket => "object_bucket",
            Self::NoKey => "object_no_key",
            Self::KeyTooLong => "object_key_too_long",
        }
    }
}

impl fmt::Display for ObjectNameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::error::Error for ObjectNameError {}

#[cfg(test)]
mod tests {
    use super::*;

    const FOLDER: &str = "AWSLogs/123456789012/elasticloadbalancing/us-east-1/2026/03/01/";
    const NAME: &str =
        "123456789012_elasticloadbalancing_us-east-1_app.web.0123456789abcdef_20260301T1005Z_192.0.2.7_20sg8hgm.log.gz";

    /// What is read of the name, wherever the object lies.
    #[track_caller]
    fn check(name: &str, log: Log, load_balancer: &str, node: Option<&str>) {
        for (prefix, organisation) in
            [("", None), ("", Some("o-a1b2c3d4e5")), ("a_prefix/with_20260301T1005Z_/AWSLogs/", None), ("p/", Some("o-1"))]
        {
            let organisation_folder = organisation.map_or(String::new(), |id| format!("{id}/"));
            let key = format!("{prefix}{}{name}", FOLDER.replace("AWSLogs/", &format!("AWSLogs/{organisation_folder}")));
            let want = ObjectKey {
                account: "123456789012",
                region: "us-east-1",
                load_balancer: load_balancer.to_owned(),
                log,
                interval_end: "2026-03-01T10:05:00Z".to_owned(),
                node,
                organisation,
            };
            assert_eq!(ObjectKey::parse(&key), Some(want), "{key}");
        }
    }

    #[test]
    fn every_log_says_whose_it_is() {
        let alb = "123456789012_elasticloadbalancing_us-east-1_app.web-1.0123456789abcdef_20260301T1005Z_172.160.001.192_20sg8hgm.log.gz";
        let (web, node) = ("app/web-1/0123456789abcdef", Some("172.160.001.192"));
        check(alb, Log::AlbAccess, web, node);
        check(&format!("conn_log_{alb}"), Log::AlbConnection, web, node);
        check(&format!("conn_log.{alb}"), Log::AlbConnection, web, node);
        check(&format!("health_check_log_{alb}"), Log::AlbHealthCheck, web, node);
        check(&format!("health_check_log.{alb}"), Log::AlbHealthCheck, web, node);
        check(
            "123456789012_elasticloadbalancing_us-east-1_net.tls.0123456789abcdef_20260301T1005Z_5a8b4c20.log.gz",
            Log::NlbAccess,
            "net/tls/0123456789abcdef",
            None,
        );
        check(
            "123456789012_elasticloadbalancing_us-east-1_My-lb_20260301T1005Z_192.0.2.7_20sg8hgm.log",
            Log::ClassicAccess,
            "My-lb",
            Some("192.0.2.7"),
        );
        check(
            "123456789012_elasticloadbalancing_us-east-1_app_20260301T1005Z_2001:db8::7_20sg8hgm.log",
            Log::ClassicAccess,
            "app",
            Some("2001:db8::7"),
        );
    }

    #[test]
    fn how_an_object_is_packed_does_not_matter() {
        for suffix in [".log", ".log.gz", ".log.zst", ".log.gz.1"] {
            check(&NAME.replace(".log.gz", suffix), Log::AlbAccess, "app/web/0123456789abcdef", Some("192.0.2.7"));
        }
    }

    #[test]
    fn every_partition_uses_one_grammar() {
        for region in ["us-gov-west-1", "cn-north-1", "eusc-de-east-1"] {
            let key = format!("p/{FOLDER}{NAME}").replace("us-east-1", region);
            assert_eq!(ObjectKey::parse(&key).map(|key| key.region), Some(region), "{key}");
        }
    }

    #[test]
    fn an_object_may_be_delivered_on_another_day() {
        let key = format!("{}{}", FOLDER, NAME.replace("20260301T1005Z", "20260228T2355Z"));
        assert_eq!(ObjectKey::parse(&key).map(|key| key.interval_end), Some("2026-02-28T23:55:00Z".to_owned()));
    }

    /// Each change takes something the grammar asks for away.
    #[test]
    fn a_key_of_another_grammar_says_nothing() {
        let whole = format!("p/{FOLDER}{NAME}");
        assert!(ObjectKey::parse(&whole).is_some());
        for (part, instead) in [
            ("AWSLogs/", ""),
            ("AWSLogs/", "awslogs/"),
            ("AWSLogs/", "AWSLogs/x-1/"),
            ("AWSLogs/", "AWSLogs/o-/"),
            ("AWSLogs/", "AWSLogs/o-1/o-2/"),
            ("AWSLogs/", "AWSLogs//"),
            ("p/AWSLogs/", "pAWSLogs/"),
            ("/123456789012/", "/210987654321/"),
            ("/123456789012_", "/210987654321_"),
            ("123456789012", "12345678901"),
            ("123456789012", "12345678901x"),
            ("/elasticloadbalancing/", "/vpcflowlogs/"),
            ("_elasticloadbalancing_", "_vpcflowlogs_"),
            ("/us-east-1/", "/us-east-2/"),
            ("_us-east-1_", "_us-east-2_"),
            ("us-east-1", ""),
            ("us-east-1", "us east 1"),
            ("/2026/03/01/", "/2026/03/"),
            ("/2026/03/01/", "/2026/02/29/"),
            ("/2026/03/01/", "/2026/3/01/"),
            ("/2026/03/01/", "/+026/03/01/"),
            ("/2026/03/01/", "/2026/03/01/10/"),
            ("_20260301T1005Z", "_20260229T1005Z"),
            ("_20260301T1005Z", "_20260301T2400Z"),
            ("_20260301T1005Z", "_20260301T1060Z"),
            ("_20260301T1005Z", "_20260301T100500Z"),
            ("_20260301T1005Z", "_20260301T1005"),
            ("_20260301T1005Z", "_202603011005Z"),
            ("_20260301T1005Z", ""),
            ("_192.0.2.7", ""),
            ("_192.0.2.7", "_node"),
            ("_192.0.2.7", "_"),
            ("_192.0.2.7", "_192.0.2.7_192.0.2.7"),
            ("_20sg8hgm", ""),
            ("_20sg8hgm", "_"),
            ("_20sg8hgm", "_20sg-8hgm"),
            (".log.gz", ""),
            (".log.gz", ".gz"),
            (".log.gz", ".logs"),
            ("app.web.", "net.web."),
            ("app.web.", "gwy.web."),
            ("app.web.", "app.web.x."),
            ("app.web.", "app."),
            ("app.web.", "app.."),
            ("app.web.", "app.we_b."),
            ("app.web.", "web."),
            ("0123456789abcdef", ""),
            ("/123456789012_", "/conn_log123456789012_"),
            ("/123456789012_", "/conn_log_conn_log_123456789012_"),
            ("/123456789012_", "/flow_log_123456789012_"),
        ] {
            let key = whole.replace(part, instead);
            assert_ne!(key, whole, "{part} is a part");
            assert_eq!(ObjectKey::parse(&key), None, "{key}");
        }
    }

    #[test]
    fn other_logs_are_those_of_application_load_balancers() {
        for lb in ["web", "net.web.0123456789abcdef"] {
            for end in ["_20260301T1005Z_192.0.2.7", "_20260301T1005Z"] {
                for log in ["conn_log_", "health_check_log_"] {
                    let key = format!("{FOLDER}{log}123456789012_elasticloadbalancing_us-east-1_{lb}{end}_20sg8hgm.log.gz");
                    assert_eq!(ObjectKey::parse(&key), None, "{key}");
                }
            }
        }
    }

    #[test]
    fn a_network_load_balancer_names_no_node_and_the_others_do() {
        let key = |lb: &str, node: &str| {
            format!("{FOLDER}123456789012_elasticloadbalancing_us-east-1_{lb}_20260301T1005Z{node}_20sg8hgm.log.gz")
        };
        for (lb, without) in [("web", false), ("app.web.01", false), ("net.web.01", true)] {
            assert_eq!(ObjectKey::parse(&key(lb, "")).is_some(), without, "{lb}");
            assert_eq!(ObjectKey::parse(&key(lb, "_192.0.2.7")).is_some(), !without, "{lb}");
        }
    }

    #[test]
    fn test_files_are_known_by_name_and_place() {
        for (key, want) in [
            ("AWSLogs/123456789012/ELBAccessLogTestFile", true),
            ("a_prefix/b/AWSLogs/123456789012/ELBConnectionLogTestFile", true),
            ("p/AWSLogs/o-1/123456789012/ELBHealthCheckLogTestFile", true),
            ("AWSLogs/123456789012/ELBAccessLogTestFile.gz", false),
            ("AWSLogs/123456789012/x/ELBAccessLogTestFile", false),
            ("AWSLogs/ELBAccessLogTestFile", false),
            ("123456789012/ELBAccessLogTestFile", false),
            ("ELBAccessLogTestFile", false),
            ("", false),
        ] {
            assert_eq!(is_test_file(key), want, "{key}");
            assert_eq!(ObjectKey::parse(key), None, "{key}");
        }
        assert!(!is_test_file(&format!("{FOLDER}{NAME}")));
    }

    #[track_caller]
    fn check_name(url: &str, want: Result<(&str, &str), ObjectNameError>) {
        assert_eq!(ObjectName::parse(url), want.map(|(bucket, key)| ObjectName { bucket, key }), "{url}");
    }

    #[test]
    fn objects_are_named_by_url_or_arn() {
        check_name("s3://logs/a/b%2Fc d+?#", Ok(("logs", "a/b%2Fc d+?#")));
        check_name("s3://logs//a", Ok(("logs", "/a")));
        check_name("s3://Old_Bucket.x/ü", Ok(("Old_Bucket.x", "ü")));
        for partition in ["aws", "aws-cn", "aws-us-gov"] {
            check_name(&format!("arn:{partition}:s3:::logs/a:::b"), Ok(("logs", "a:::b")));
        }
        for other in ["", "logs/a", "S3://logs/a", "s3:/logs/a", "https://logs.s3.amazonaws.com/a", "arn:aws:sqs:::logs/a"] {
            check_name(other, Err(ObjectNameError::Scheme));
        }
        check_name("arn:aws:s3:us-east-1:123456789012:accesspoint/a", Err(ObjectNameError::Scheme));
        check_name("arn::s3:::logs/a", Err(ObjectNameError::Scheme));
        for empty in ["s3://logs", "s3://logs/", "arn:aws:s3:::logs", "s3://"] {
            check_name(empty, Err(ObjectNameError::NoKey));
        }
        for odd in ["s3:///a", "s3://lo gs/a", "s3://lögs/a"] {
            check_name(odd, Err(ObjectNameError::Bucket));
        }
    }

    #[test]
    fn buckets_and_keys_have_bounds() {
        for (bytes, want) in [(2, false), (3, true), (63, true), (64, false)] {
            let bucket = "b".repeat(bytes);
            let want = if want { Ok((bucket.as_str(), "k")) } else { Err(ObjectNameError::Bucket) };
            check_name(&format!("s3://{bucket}/k"), want);
        }
        for (key, want) in
            [("k".repeat(1024), true), ("k".repeat(1025), false), ("ü".repeat(512), true), ("ü".repeat(513), false)]
        {
            let want = if want { Ok(("logs", key.as_str())) } else { Err(ObjectNameError::KeyTooLong) };
            check_name(&format!("s3://logs/{key}"), want);
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_a_key_or_none(key in "\\PC*") {
            let _ = (ObjectKey::parse(&key), is_test_file(&key), ObjectName::parse(&key));
        }

        #[test]
        fn a_key_cut_anywhere_says_nothing_and_breaks_nothing(at in 0..FOLDER.len() + NAME.len() - ".gz".len() - 1) {
            let key = format!("{FOLDER}{NAME}");
            proptest::prop_assert_eq!(ObjectKey::parse(&key[..at]), None);
        }

        #[test]
        fn nothing_before_the_last_awslogs_matters(prefix in "[ -~ü]{0,40}") {
            let key = format!("{prefix}/{FOLDER}{NAME}");
            let bare = format!("{FOLDER}{NAME}");
            proptest::prop_assert_eq!(ObjectKey::parse(&key), ObjectKey::parse(&bare));
        }
    }
}
