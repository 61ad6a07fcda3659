//! The admin listener: `/metrics`, `/health`, `/ready`.

/// Where the admin listener listens, as decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminPlan {
    /// `host:port` on a loopback address, IPv6 in brackets.
    pub address: String,
}
