//! What a user agent says of its program, its system and its device, by the rules of uap-core.
//!
//! The rules are built in and cost memory only where they are asked for. It gives the names of ECS below `user_agent`, and
//! refuses to decode what it is given: a byte that a load balancer wrote as `\xHH` stays four characters.

use std::sync::Arc;

use ua_parser::Extractor;
use ua_parser::Regexes;

use super::cache::Cache;
use super::members::put_object;
use super::members::put_short_text;
use super::members::text_of;

/// The rules of uap-core 0.18.0; data/uap-core/README.md says how they came here.
const BUILT_IN: &str = include_str!("../../data/uap-core/regexes.json");

/// Most bytes of a text of rules. Those of uap-core have about 200 kB.
pub const RULES_BYTES_MAX: usize = 2 * 1024 * 1024;

/// Bytes of a user agent that are looked at. Those of browsers have up to 300, and those with more of a bot's or an app's
/// details have them behind.
pub const LOOKED_AT_BYTES_MAX: usize = 1024;

/// Most bytes of one answer: six texts of [`TEXT_BYTES_MAX`](super::members::TEXT_BYTES_MAX), and their names.
pub const MEMBERS_BYTES_MAX: usize = 2 * 1024;

/// Most answers remembered.
pub const CACHE_ENTRIES_MAX: usize = 16_384;

/// Most bytes of remembered user agents and answers. One of a browser has about 400.
pub const CACHE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// What the rules say where they know nothing.
const UNKNOWN: &str = "Other";

/// Why a text makes no rules.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RulesError {
    /// More than [`RULES_BYTES_MAX`].
    #[error("rules of {bytes} bytes are larger than {RULES_BYTES_MAX}")]
    TooLarge {
        /// Bytes of the text.
        bytes: usize,
    },
    /// No JSON in the form of uap-core's rules.
    #[error("no rules of uap-core as JSON: {cause}")]
    Unreadable {
        /// What was wrong, and where.
        cause: String,
    },
    /// A rule that cannot be used.
    #[error("a rule cannot be used: {cause}")]
    BadRule {
        /// What was wrong.
        cause: String,
    },
}

/// Rules ready for use, and the latest answers.
pub struct Agents {
    extractor: Extractor<'static>,
    cache: Cache<Box<[u8]>>,
}

impl std::fmt::Debug for Agents {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Agents").finish_non_exhaustive()
    }
}

impl Agents {
    /// The rules that came with the program.
    ///
    /// Takes about 130 ms and 30 MB, so make it once and only if it is wanted. The expressions' own memory grows with what
    /// they meet: by up to 10 MB for each thread that asks about user agents made to be odd.
    ///
    /// # Panics
    /// Never: a test reads the same text.
    pub fn built_in() -> Self {
        Self::from_rules(BUILT_IN).expect("the built-in rules are good")
    }

    /// Rules in the form of uap-core's `regexes.yaml`, written as JSON.
    ///
    /// # Errors
    /// When the text is too long, is no JSON of that form, or has an expression that cannot be used.
    pub fn from_rules(text: &str) -> Result<Self, RulesError> {
        if text.len() > RULES_BYTES_MAX {
            return Err(RulesError::TooLarge { bytes: text.len() });
        }
        let rules: Regexes<'static> =
            serde_json::from_str(text).map_err(|error| RulesError::Unreadable { cause: error.to_string() })?;
        let extractor = Extractor::try_from(rules).map_err(|error| RulesError::BadRule { cause: error.to_string() })?;
        Ok(Self { extractor, cache: Cache::new(CACHE_ENTRIES_MAX, CACHE_BYTES_MAX) })
    }

    /// The members text for a user agent, remembered if possible; empty where nothing is known. At most
    /// [`MEMBERS_BYTES_MAX`] bytes.
    ///
    /// Only the first [`LOOKED_AT_BYTES_MAX`] bytes count, for the answer and for what is remembered. Takes about 35 ns
    /// where the answer is remembered and 10 us where not; 50 us for one as long as is looked at and made of words that many
    /// rules wait for, because no rule takes more than linear time. Any number of threads may ask at once.
    pub fn find(&self, user_agent: &[u8]) -> Arc<[u8]> {
        if user_agent.is_empty() || user_agent == b"-" {
            return self.cache.nothing();
        }
        let seen = &user_agent[..user_agent.len().min(LOOKED_AT_BYTES_MAX)];
        self.cache.find(seen, || seen.into(), |out| self.render(seen, out))
    }

    /// Appends the members text for a user agent, worked out again.
    pub fn render(&self, user_agent: &[u8], out: &mut Vec<u8>) {
        let text = text_of(&user_agent[..user_agent.len().min(LOOKED_AT_BYTES_MAX)]);
        let (program, system, device) = self.extractor.extract(&text);
        if let Some(program) = program {
            put_known(out, "name", &program.family);
            put_known(out, "version", &version([program.major, program.minor, program.patch, program.patch_minor]));
        }
        if let Some(system) = system.filter(|system| is_known(&system.os)) {
            let parts = [&system.major, &system.minor, &system.patch, &system.patch_minor].map(|part| part.as_deref());
            let version = version(parts);
            put_object(out, "os", |out| {
                put_short_text(out, "name", &system.os);
                put_short_text(out, "version", &version);
                if !version.is_empty() {
                    put_short_text(out, "full", &format!("{} {version}", system.os));
                }
            });
        }
        if let Some(device) = device {
            put_object(out, "device", |out| put_known(out, "name", &device.device));
        }
    }
}

fn is_known(text: &str) -> bool {
    !text.is_empty() && text != UNKNOWN
}

fn put_known(out: &mut Vec<u8>, name: &str, text: &str) {
    if is_known(text) {
        put_short_text(out, name, text);
    }
}

/// The parts up to the first that is missing, with dots between.
fn version(parts: [Option<&str>; 4]) -> String {
    let present: Vec<&str> = parts.into_iter().map_while(|part| part.filter(|part| !part.is_empty())).collect();
    present.join(".")
}

#[cfg(test)]
mod tests {
    use super::super::members::parsed;
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;
    use serde_json::json;
    use std::sync::LazyLock;

    static AGENTS: LazyLock<Agents> = LazyLock::new(Agents::built_in);

    #[track_caller]
    fn check(agents: &Agents, user_agent: &str, want: Value) {
        for _ in 0..2 {
            assert_eq!(Value::Object(parsed(&agents.find(user_agent.as_bytes()))), want, "{user_agent}");
        }
    }

    #[test]
    fn browsers_and_tools_are_known() {
        check(
            &AGENTS,
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36",
            json!({"name": "Chrome", "version": "120.0.0.0", "os": {"name": "Windows", "version": "10", "full": "Windows 10"}}),
        );
        check(
            &AGENTS,
            "Mozilla/5.0 (iPhone; CPU iPhone OS 17_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.1 Mobile/15E148 Safari/604.1",
            json!({
                "name": "Mobile Safari", "version": "17.1",
                "os": {"name": "iOS", "version": "17.1", "full": "iOS 17.1"}, "device": {"name": "iPhone"},
            }),
        );
        check(&AGENTS, "curl/8.4.0", json!({"name": "curl", "version": "8.4.0"}));
    }

    #[test]
    fn what_says_nothing_adds_nothing() {
        for nothing in ["", "-", "no such thing", "Other"] {
            check(&AGENTS, nothing, json!({}));
        }
    }

    #[test]
    fn only_the_beginning_counts() {
        let long = format!("curl/8.4.0 {}", "x".repeat(LOOKED_AT_BYTES_MAX));
        check(&AGENTS, &long, json!({"name": "curl", "version": "8.4.0"}));
        check(&AGENTS, &format!("{} curl/8.4.0", "x".repeat(LOOKED_AT_BYTES_MAX)), json!({}));
        let [one, two] = ["a", "b"].map(|end| AGENTS.find(format!("{long}{end}").as_bytes()));
        assert!(Arc::ptr_eq(&one, &two), "they are one remembered answer");
    }

    #[test]
    fn rules_of_ones_own_are_taken() {
        let rules = json!({
            "user_agent_parsers": [
                {"regex": "(own)/(\\d+)(?:\\.(\\d+)|)(?:\\.(\\d+)|)", "family_replacement": "My \"$1\""},
                {"regex": "(other)", "family_replacement": "Other"},
                {"regex": "long(.*)"},
            ],
            "os_parsers": [{"regex": "own", "os_replacement": "Other", "os_v1_replacement": "1"}, {"regex": "on (\\w+)"}],
            "device_parsers": [{"regex": "OWN", "regex_flag": "i", "device_replacement": "Box"}],
        });
        let agents = Agents::from_rules(&rules.to_string()).expect("rules");
        check(&agents, "own/1.2", json!({"name": "My \"own\"", "version": "1.2", "device": {"name": "Box"}}));
        check(&agents, "other on linux", json!({"os": {"name": "linux"}}));
        check(&agents, &format!("long{}", "g".repeat(500)), json!({}));
    }

    #[test]
    fn rules_that_are_none_are_refused() {
        #[track_caller]
        fn check(rules: &str, want: &str) {
            let error = Agents::from_rules(rules).map(|_| ()).expect_err("no rules").to_string();
            assert!(error.contains(want), "{error}");
        }
        check("user_agent_parsers:\n", "no rules of uap-core as JSON: expected value at line 1 column 1");
        check("{}", "missing field");
        check(&" ".repeat(RULES_BYTES_MAX + 1), "larger than 2097152");
        check(r#"{"user_agent_parsers":[{"regex":"("}],"os_parsers":[],"device_parsers":[]}"#, "a rule cannot be used");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn any_bytes_give_members_within_their_bound(
            start in proptest::sample::select(vec!["", "Mozilla/5.0 (", "curl/", "Mozilla/5.0 (Linux; Android 9; ", "Roku/DVP-"]),
            rest in prop::collection::vec(prop_oneof![any::<u8>(), 32_u8..127], 0..1200),
        ) {
            let text = AGENTS.find(&[start.as_bytes(), &rest].concat());
            prop_assert!(text.len() <= MEMBERS_BYTES_MAX);
            let map = parsed(&text);
            prop_assert!(map.keys().all(|name| ["name", "version", "os", "device"].contains(&name.as_str())));
            prop_assert!(map.values().all(|value| value.is_string() || value.as_object().is_some_and(|inner| !inner.is_empty())));
        }
    }
}
