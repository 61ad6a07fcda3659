//! The TLS of sources and sinks: loaded at the start, and again when its files have changed.

use std::sync::Arc;

use jiff::Timestamp;

use super::relay::SourcePlan;
use super::reload::Look;
use super::reload::Looks;
use super::start_error::StartError;
use crate::metrics::TlsMetrics;
use crate::net::tls::ClientTls;
use crate::net::tls::Looked;
use crate::net::tls::ServerTls;
use crate::sink::Sink;
use crate::sink::SinkPlan;

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

/// The TLS of one sink.
#[derive(Clone, Debug)]
pub struct Trust {
    /// The sink's name.
    pub sink: String,
    /// Its TLS.
    pub tls: Arc<ClientTls>,
}

/// Loads the TLS of a sink, where it has one. Blocks as long as the disk does.
///
/// # Errors
/// Which file is no use, and why.
pub fn load_sink(plan: SinkPlan) -> Result<Sink, StartError> {
    Sink::load(plan).map_err(|(name, source)| StartError::SinkTls { name, source })
}

impl Trust {
    fn look(&self, look: Look) {
        let sink = &self.sink;
        match self.tls.reload(look == Look::Asked) {
            Ok(Looked::Same) => {}
            Ok(Looked::Loaded) => {
                tracing::info!(%sink, "a changed certificate, key or authority has been loaded; connections that are open stay");
            }
            Err(error) => {
                tracing::error!(%sink, %error, "a changed certificate, key or authority cannot be used; what it was before stays in use");
            }
        }
    }
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
pub async fn keep_fresh(certificates: Vec<Certificate>, trusts: Vec<Trust>, mut looks: Looks) {
    let all = Arc::new((certificates, trusts));
    loop {
        let look = looks.next().await;
        let all = all.clone();
        let looked = tokio::task::spawn_blocking(move || {
            all.0.iter().for_each(|certificate| certificate.look(look));
            all.1.iter().for_each(|trust| trust.look(look));
        });
        if let Err(error) = looked.await {
            tracing::error!(%error, "certificates are no longer looked at: what has been loaded stays in use");
            return;
        }
    }
}
