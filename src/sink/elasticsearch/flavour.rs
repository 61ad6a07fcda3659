//! Which server it is that answers: Elasticsearch or OpenSearch, and of which version, by what it says of itself at `GET /`.
//!
//! It reads an answer and asks nothing. What follows from a version is for those who ask.

use std::fmt;

use serde_json::Value;
use thiserror::Error;

/// The two families of servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flavour {
    /// Elasticsearch, from version 7 on.
    Elasticsearch,
    /// OpenSearch, from version 1 on.
    OpenSearch,
}

impl Flavour {
    const fn name(self) -> &'static str {
        match self {
            Self::Elasticsearch => "Elasticsearch",
            Self::OpenSearch => "OpenSearch",
        }
    }

    /// The first major version that takes documents without types, and the last one that was there when this was written.
    const fn known(self) -> (u16, u16) {
        match self {
            Self::Elasticsearch => (7, 9),
            Self::OpenSearch => (1, 3),
        }
    }
}

/// A server that the sink can talk to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Its family.
    pub flavour: Flavour,
    /// Its version as it writes it.
    pub number: String,
    version: (u16, u16),
}

/// Why it is none that the sink can talk to.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum StrangeServer {
    /// It answers something else.
    #[error("it is neither Elasticsearch nor OpenSearch: at / it says nothing of its version")]
    Neither,
    /// It is a third descendant of Elasticsearch.
    #[error("it calls itself {0:?}, which is neither Elasticsearch nor OpenSearch")]
    Other(String),
    /// It is too old.
    #[error("{name} {number} is too old: it has to be {least} or later")]
    Old {
        /// The family.
        name: &'static str,
        /// Its version.
        number: String,
        /// The first one that will do.
        least: u16,
    },
}

impl Server {
    /// Reads the body of an answer to `GET /`.
    ///
    /// An OpenSearch that calls itself 7.10.2 for old clients' sake, as `compatibility.override_main_response_version` has it, is
    /// taken for the first version of OpenSearch.
    ///
    /// # Errors
    /// When it is neither, or too old.
    pub fn read(body: &[u8]) -> Result<Self, StrangeServer> {
        let body: Value = serde_json::from_slice(body).map_err(|_| StrangeServer::Neither)?;
        let about = &body["version"];
        let number = about["number"].as_str().ok_or(StrangeServer::Neither)?;
        let mut parts = number.split('.').map(|part| part.parse::<u16>().ok());
        let (Some(Some(major)), Some(Some(minor))) = (parts.next(), parts.next()) else { return Err(StrangeServer::Neither) };
        let flavour = match about["distribution"].as_str() {
            Some("opensearch") => Flavour::OpenSearch,
            Some(other) => return Err(StrangeServer::Other(other.chars().take(NAME_CHARS_MAX).collect())),
            None if body["tagline"] == TAGLINE => Flavour::Elasticsearch,
            None => return Err(StrangeServer::Neither),
        };
        let number: String = number.chars().take(NAME_CHARS_MAX).collect();
        if flavour == Flavour::OpenSearch && number == FEIGNED {
            return Ok(Self { flavour, number, version: (1, 0) });
        }
        let (least, _) = flavour.known();
        if major < least {
            return Err(StrangeServer::Old { name: flavour.name(), number, least });
        }
        Ok(Self { flavour, number, version: (major, minor) })
    }

    /// Whether one that is neither may understand bulk requests all the same: it gives a version, and not that of an old one.
    pub fn may_do(body: &[u8]) -> bool {
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        body["version"]["number"].is_string()
            && !matches!(Self::read(body.to_string().as_bytes()), Err(StrangeServer::Old { .. }))
    }

    /// Whether it is of this version or a later one of its family.
    pub fn is_since(&self, major: u16, minor: u16) -> bool {
        self.version >= (major, minor)
    }

    /// Whether it is newer than every version that was there when this program was made.
    pub fn is_unknown(&self) -> bool {
        self.version.0 > self.flavour.known().1
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.flavour.name(), self.number)
    }
}

/// What every Elasticsearch says; descendants say something else.
const TAGLINE: &str = "You Know, for Search";

/// The version that OpenSearch takes on for old clients.
const FEIGNED: &str = "7.10.2";

/// Characters of a server's words that are repeated.
const NAME_CHARS_MAX: usize = 40;

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(body: &str, want: Result<(&str, u16, u16), &str>) {
        let got = Server::read(body.as_bytes());
        let told = got.as_ref().map(ToString::to_string).map_err(ToString::to_string);
        assert_eq!(told, want.map(|(text, ..)| text.to_owned()).map_err(str::to_owned), "{body}");
        if let (Ok(server), Ok((_, major, minor))) = (got, want) {
            assert!(server.is_since(major, minor) && !server.is_since(major, minor + 1) && !server.is_since(major + 1, 0));
        }
    }

    /// As the servers write it.
    fn elasticsearch(number: &str) -> String {
        format!(
            r#"{{"name":"n1","cluster_name":"c","cluster_uuid":"u","version":{{"number":"{number}","build_flavor":"default","build_type":"tar","lucene_version":"8.11.3"}},"tagline":"You Know, for Search"}}"#
        )
    }

    fn opensearch(number: &str) -> String {
        format!(
            r#"{{"name":"n1","version":{{"distribution":"opensearch","number":"{number}","build_type":"tar"}},"tagline":"The OpenSearch Project: https://opensearch.org/"}}"#
        )
    }

    #[test]
    fn a_server_is_known_by_what_it_says() {
        check(&elasticsearch("7.17.29"), Ok(("Elasticsearch 7.17.29", 7, 17)));
        check(&elasticsearch("8.19.2"), Ok(("Elasticsearch 8.19.2", 8, 19)));
        check(&elasticsearch("9.2.0-SNAPSHOT"), Ok(("Elasticsearch 9.2.0-SNAPSHOT", 9, 2)));
        check(&opensearch("1.3.20"), Ok(("OpenSearch 1.3.20", 1, 3)));
        check(&opensearch("3.3.0"), Ok(("OpenSearch 3.3.0", 3, 3)));
        check(&opensearch("7.10.2"), Ok(("OpenSearch 7.10.2", 1, 0)));
    }

    #[test]
    fn what_it_is_not_is_said_kindly() {
        let neither = "it is neither Elasticsearch nor OpenSearch: at / it says nothing of its version";
        for body in ["", "<html>It works!</html>", "[]", "{}", r#"{"version":"1.2"}"#, r#"{"version":{"number":"8"}}"#] {
            check(body, Err(neither));
        }
        // Somebody else's idea of a version.
        check(r#"{"version":{"number":"8.1.0"},"tagline":"Reporting for duty"}"#, Err(neither));
        check(
            r#"{"version":{"number":"8.1.0","distribution":"manticore"}}"#,
            Err("it calls itself \"manticore\", which is neither Elasticsearch nor OpenSearch"),
        );
        check(&elasticsearch("6.8.23"), Err("Elasticsearch 6.8.23 is too old: it has to be 7 or later"));
    }

    #[test]
    fn what_is_newer_than_this_program_is_taken_and_known_to_be() {
        for (body, unknown) in [
            (elasticsearch("9.9.9"), false),
            (elasticsearch("10.0.0"), true),
            (opensearch("3.9.0"), false),
            (opensearch("4.0.0"), true),
        ] {
            assert_eq!(Server::read(body.as_bytes()).map(|server| server.is_unknown()), Ok(unknown), "{body}");
        }
    }
}
