//! What flags and `ELBOW_*` variables say, and what it means beside a file.
//!
//! They are plain texts here; each is checked where the setting it stands in for is read.

/// A text given outside the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    /// What was given.
    pub value: String,
    /// How: `--listen` or `ELBOW_LISTEN`.
    pub by: String,
}

/// Everything given outside the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    /// The address of the only TCP source.
    pub listen: Option<Given>,
    /// Sinks instead of those of the file.
    pub to: Vec<Given>,
    /// The admin address.
    pub admin: Option<Given>,
    /// The directory of everything that outlives the process.
    pub data_dir: Option<Given>,
    /// Sinks that are configured no longer and whose backlog may be given up.
    pub forget: Vec<String>,
    /// The schema of every source.
    pub schema: Option<Given>,
    /// `NAME=VALUE` fields of every source, over those of the file.
    pub fields: Vec<Given>,
    /// Whether the relay runs already, and only who its tenants are is asked.
    pub is_running: bool,
}

/// Where a `--to` leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target<'t> {
    /// `stdout:` or `-`.
    Stdout,
    /// `file:PATH`.
    File(&'t str),
    /// `logstash://HOST:PORT[,HOST:PORT…]`.
    Logstash(&'t str),
    /// `lumberjack://HOST:PORT[,HOST:PORT…]`.
    Lumberjack(&'t str),
    /// `elasticsearch://[https://]HOST:PORT[/INDEX]`.
    Elasticsearch(&'t str),
    /// `logstash-http://HOST:PORT[,HOST:PORT…]`.
    LogstashHttp(&'t str),
    /// `http://HOST[:PORT][/PATH][?QUERY]` or `https://…`.
    Http(&'t str),
}

impl<'t> Target<'t> {
    /// Takes a `--to` apart; `None` when it is nothing of ours.
    pub fn parse(text: &'t str) -> Option<Self> {
        if text == "-" || text == "stdout" || text == "stdout:" {
            return Some(Self::Stdout);
        }
        if let Some(path) = text.strip_prefix("file:") {
            return Some(Self::File(path));
        }
        if let Some(rest) = text.strip_prefix("elasticsearch://") {
            return Some(Self::Elasticsearch(rest));
        }
        if let Some(hosts) = text.strip_prefix("lumberjack://") {
            return Some(Self::Lumberjack(hosts.strip_suffix('/').unwrap_or(hosts)));
        }
        if let Some(hosts) = text.strip_prefix("logstash-http://") {
            return Some(Self::LogstashHttp(hosts));
        }
        if text.starts_with("http://") || text.starts_with("https://") {
            return Some(Self::Http(text));
        }
        let hosts = text.strip_prefix("logstash://")?;
        Some(Self::Logstash(hosts.strip_suffix('/').unwrap_or(hosts)))
    }

    /// What a `--to` may be, for people.
    pub const ALLOWED: &'static str = "logstash://HOST:PORT[,HOST:PORT...], the same with lumberjack or logstash-http, \
         elasticsearch://HOST:PORT[,HOST:PORT...][/INDEX] or with TLS elasticsearch://https://HOST:PORT[/INDEX], http://HOST[:PORT][/PATH], https://..., file:PATH, stdout: or -";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_taken_apart() {
        assert_eq!(Target::parse("-"), Some(Target::Stdout));
        assert_eq!(Target::parse("stdout:"), Some(Target::Stdout));
        assert_eq!(Target::parse("file:/var/log/a b"), Some(Target::File("/var/log/a b")));
        assert_eq!(Target::parse("logstash://a:1,b:2/"), Some(Target::Logstash("a:1,b:2")));
        assert_eq!(Target::parse("lumberjack://a:1,b:2/"), Some(Target::Lumberjack("a:1,b:2")));
        assert_eq!(Target::parse("http://a:1"), Some(Target::Http("http://a:1")));
        assert_eq!(Target::parse("logstash-http://a:1"), Some(Target::LogstashHttp("a:1")));
        assert_eq!(Target::parse("ftp://a:1"), None);
        assert_eq!(Target::parse(""), None);
    }
}
