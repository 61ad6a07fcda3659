//! The TLS of sources: loaded at the start, and again when its files have changed.

use std::sync::Arc;

use jiff::Timestamp;

use super::relay::SourcePlan;
use super::reload::Look;
use super::reload::Looks;
use super::start_error::StartError;
use crate::metrics::TlsMetrics;
use crate::net::tls::Looked;
use crate::net::tls::ServerTls;

/// The TLS of one source.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// The source's name.
    pub source: String,
    /// Its TLS.
    pub tls: Arc<ServerTls>,
    /// What is counted of it.
    pub metrics: TlsMetrics,
}

/// Loads the TLS of a source, where it has one. Blocks as long as the disk does.
///
/// # Errors
/// Which file is no use, and why.
pub fn load(plan: &SourcePlan) -> Result<Option<Arc<ServerTls>>, StartError> {
    let Some(tls) = &plan.door.tls else { return Ok(None) };
    let loaded = ServerTls::load(tls, plan.kind.speaks());
    let failed = |source| StartError::Tls { name: plan.door.name.clone(), source };
    loaded.map(|tls| Some(Arc::new(tls))).map_err(failed)
}

impl Certificate {
    /// Says what is to be said of a certificate that has just been loaded.
    pub fn announce(&self) {
        self.metrics.not_after(self.tls.not_after());
        if let Some(warning) = self.tls.warning(Timestamp::now().as_second()) {
            tracing::warn!(source = %self.source, "{warning}");
        }
    }

    fn look(&self, look: Look) {
        let source = &self.source;
        match self.tls.reload(look == Look::Asked) {
            Ok(Looked::Same) => {}
            Ok(Looked::Loaded) => {
                self.metrics.loaded();
                tracing::info!(%source, "a changed certificate, key or authority has been loaded; connections that are open stay");
                self.announce();
            }
            Err(error) => {
                self.metrics.refused();
                tracing::error!(%source, %error, "a changed certificate, key or authority cannot be used; what it was before stays in use");
            }
        }
    }
}

/// Looks at the files until the process ends.
pub async fn keep_fresh(certificates: Vec<Certificate>, mut looks: Looks) {
    let certificates: Arc<[Certificate]> = certificates.into();
    loop {
        let look = looks.next().await;
        let certificates = certificates.clone();
        let looked = tokio::task::spawn_blocking(move || certificates.iter().for_each(|certificate| certificate.look(look)));
        if let Err(error) = looked.await {
            tracing::error!(%error, "certificates are no longer looked at: what has been loaded stays in use");
            return;
        }
    }
}
