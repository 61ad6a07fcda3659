//! A connection and whose it is, which a token may change.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;

use super::Refused;
use super::TenantRef;
use super::Tenants;

/// A connection's place with its tenant. Clones are the same; dropping the last gives the place back.
#[derive(Clone, Debug)]
pub struct Visit {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    tenants: Tenants,
    whose: Mutex<Whose>,
}

#[derive(Debug)]
struct Whose {
    tenant: TenantRef,
    owes_proof: bool,
}

impl Visit {
    /// One of a tenant that has counted it.
    pub(super) fn new(tenants: Tenants, tenant: TenantRef, owes_proof: bool) -> Self {
        Self { shared: Arc::new(Shared { tenants, whose: Mutex::new(Whose { tenant, owes_proof }) }) }
    }

    /// Whose the connection is now.
    pub fn tenant(&self) -> TenantRef {
        self.shared.lock().tenant.clone()
    }

    /// All tenants.
    pub fn tenants(&self) -> &Tenants {
        &self.shared.tenants
    }

    /// Whether the sender is nobody so far and may send nothing before it has said a token.
    pub fn owes_proof(&self) -> bool {
        self.shared.lock().owes_proof
    }

    /// The sender has said a token: from here on the connection is that tenant's, whosever it was. Where no tenant has a
    /// token, it means nothing.
    ///
    /// # Errors
    /// When the token is nobody's or its tenant has no place; that is counted, and the connection has to be closed.
    pub fn prove(&self, token: &[u8]) -> Result<(), Refused> {
        let Shared { tenants, .. } = &*self.shared;
        if !tenants.has_tokens() {
            return Ok(());
        }
        let mut whose = self.shared.lock();
        let Some(tenant) = tenants.by_token(token) else {
            return Err(tenants.shared.refused(&whose.tenant, Refused::Token));
        };
        if tenant.version() != whose.tenant.version() {
            if !tenant.connect() {
                return Err(tenants.shared.refused(&tenant, Refused::Full));
            }
            whose.tenant.disconnect();
            whose.tenant = tenant;
        }
        whose.owes_proof = false;
        Ok(())
    }

    /// Whose a token is that only a part of what the connection carries is said under.
    ///
    /// # Errors
    /// When it is nobody's; that is counted.
    pub fn of_token(&self, token: &[u8]) -> Result<TenantRef, Refused> {
        let Shared { tenants, .. } = &*self.shared;
        tenants.by_token(token).ok_or_else(|| tenants.shared.refused(&self.tenant(), Refused::Token))
    }

    /// The sender has begun with something else although it had to say a token first: that is counted, and the connection has
    /// to be closed.
    pub fn is_unproved(&self) -> Refused {
        self.shared.tenants.shared.refused(&self.tenant(), Refused::Unknown)
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Whose> {
        self.whose.lock().expect("nobody panics while a connection changes hands")
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.lock().tenant.disconnect();
    }
}
