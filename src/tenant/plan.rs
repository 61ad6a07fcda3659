//! Tenants as decided: words of the configuration with nothing left to parse.

use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use serde_json::Value;

/// Who may send, as decided. The default has no tenant: everybody is nobody in particular.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TenantsPlan {
    /// What becomes of a sender who is none of the tenants.
    pub unknown: Unknown,
    /// The tenants; their names are unique.
    pub tenants: Vec<TenantPlan>,
}

impl TenantsPlan {
    /// Whether senders are told apart at all.
    pub fn is_in_use(&self) -> bool {
        !self.tenants.is_empty() || self.unknown == Unknown::Refuse
    }
}

/// What becomes of a sender who is none of the tenants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unknown {
    /// It may send. All such senders share what is left for one tenant.
    #[default]
    Allow,
    /// Its connection is closed.
    Refuse,
}

impl Unknown {
    /// All of them, in the order they are listed to people.
    pub const ALL: [Self; 2] = [Self::Allow, Self::Refuse];

    /// The word for it.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Refuse => "refuse",
        }
    }
}

/// A tenant, as decided. A sender that any of the matches fits is it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TenantPlan {
    /// Its name: its label in metrics, its mark in the buffer, and part of the ids of its events.
    pub name: String,
    /// VPC endpoints it comes through.
    pub endpoints: Vec<String>,
    /// Names in its client certificates.
    pub certificate_names: Vec<String>,
    /// Networks its addresses are in.
    pub networks: Vec<IpNet>,
    /// The file with its tokens.
    pub token_file: Option<PathBuf>,
    /// Fields of all its events, which nothing in them can override.
    pub fields: Vec<(String, Value)>,
    /// What it may use.
    pub limits: Limits,
}

/// What a tenant may use; nothing stands for no limit of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Bytes it may send in a second.
    pub bytes_per_second: Option<u64>,
    /// Events it may send in a second.
    pub events_per_second: Option<u64>,
    /// How long it may go at any speed after it was silent: that many seconds' worth.
    pub burst: Duration,
    /// Connections it may have open at once.
    pub connections_max: Option<u64>,
    /// Percent of the memory budget it may hold; otherwise as much as all leave free.
    pub memory_percent: Option<u32>,
    /// Percent of the buffer it may hold; otherwise as much as all leave free.
    pub buffer_percent: Option<u32>,
}

impl Limits {
    /// Tokens of a bucket of this rate.
    pub(super) fn burst_of(&self, rate: u64) -> u64 {
        let tokens = u128::from(rate) * self.burst.as_millis() / 1_000;
        u64::try_from(tokens).unwrap_or(u64::MAX)
    }
}

/// That many percent of so many bytes.
pub(super) fn percent_of(bytes: u64, percent: u32) -> u64 {
    u64::try_from(u128::from(bytes) * u128::from(percent) / 100).unwrap_or(u64::MAX)
}
