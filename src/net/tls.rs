//! The listening side of TLS: certificate, key and authorities as files say, made anew when they change. The side that connects
//! is in `outgoing`.
//!
//! It offers TLS 1.2 and 1.3 with what aws-lc-rs has and nothing is to be chosen about that; there is no early data. Files are
//! read when somebody asks, never on a connection's way; when is not decided here.

mod clients;
mod error;
mod files;
mod fresh;
mod handshake;
mod material;
mod outgoing;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs;
use rustls::server::NoServerSessionStorage;
use rustls::server::WebPkiClientVerifier;
use rustls::version::TLS12;
use rustls::version::TLS13;

use self::clients::AllowedNames;
pub use self::error::TlsError;
use self::files::Files;
use self::fresh::Fresh;
pub use self::handshake::Refusal;
pub use self::handshake::Session;
use self::material::Validity;
pub use self::outgoing::ClientTls;
pub use self::outgoing::ClientTlsPlan;
pub use self::outgoing::HandshakeFailed;
pub use self::outgoing::Unacceptable;
pub use self::outgoing::is_server_name;
pub use self::outgoing::unacceptable;

/// The TLS of one listener, as decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsPlan {
    /// The file with the relay's certificate and those that signed it, in PEM.
    pub certificate: PathBuf,
    /// The file with its key, in PEM.
    pub key: PathBuf,
    /// The file with the authorities whose certificates senders may have.
    pub client_ca: Option<PathBuf>,
    /// Whether senders show a certificate. Without authorities nobody is asked.
    pub client_auth: ClientAuth,
    /// Names of which a sender's certificate has to have one; empty: any.
    pub client_names: Vec<String>,
    /// A connection that is not through with the handshake by then is closed.
    pub handshake_timeout: Duration,
}

/// Whether senders show a certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientAuth {
    /// They are not asked for one.
    #[default]
    None,
    /// They may. One that is wrong is refused all the same.
    Optional,
    /// They have to.
    Required,
}

impl ClientAuth {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::None, Self::Optional, Self::Required];

    /// The word for it.
    pub const fn label(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Optional => "optional",
            Self::Required => "required",
        }
    }
}

/// What is spoken once the handshake is through, which decides what it offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speaks {
    /// Lines. Senders may write and close without ever reading: a session ticket would lie unread in their kernel, which then
    /// resets the connection, what they wrote included.
    Lines,
    /// HTTP/2 or HTTP/1.1, which is agreed upon in the handshake.
    Http,
    /// Lumberjack. Its senders keep their connections, so there is nothing to resume.
    Beats,
}

/// What became of a look at the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Looked {
    /// They are as before, or have changed a moment ago and cannot be used as they are: somebody may be about to replace the
    /// second of two.
    Same,
    /// They have changed and are in use for new connections.
    Loaded,
}

/// The TLS of one listener, loaded.
#[derive(Debug)]
pub struct ServerTls {
    plan: TlsPlan,
    speaks: Speaks,
    fresh: Fresh<Files, Loaded>,
}

/// What files became.
#[derive(Debug)]
struct Loaded {
    config: Arc<ServerConfig>,
    validity: Validity,
}

impl ServerTls {
    /// Reads the files. Blocks as long as the disk does.
    ///
    /// # Errors
    /// Which file is no use, why, and what to do.
    pub fn load(plan: &TlsPlan, speaks: Speaks) -> Result<Self, TlsError> {
        let files = Files::read(plan)?;
        let loaded = build(plan, speaks, &files)?;
        Ok(Self { plan: plan.clone(), speaks, fresh: Fresh::new(files, loaded) })
    }

    /// What new connections are offered.
    pub fn current(&self) -> Arc<ServerConfig> {
        self.fresh.current().config.clone()
    }

    /// When the relay's certificate expires, in seconds since 1970.
    pub fn not_after(&self) -> i64 {
        self.fresh.current().validity.not_after
    }

    /// What whoever runs the relay should know of the certificate at this time, in seconds since 1970.
    pub fn warning(&self, now: i64) -> Option<String> {
        let Validity { not_before, not_after } = self.fresh.current().validity;
        let path = self.plan.certificate.display();
        let at =
            |seconds| Timestamp::from_second(seconds).map_or_else(|_| "a time nobody can write".to_owned(), |at| at.to_string());
        if now > not_after {
            return Some(format!("the certificate in {path} has expired at {}: senders that check it stay away", at(not_after)));
        }
        (now < not_before)
            .then(|| format!("the certificate in {path} is not valid before {}: senders that check it stay away", at(not_before)))
    }

    /// Looks at the files and takes them into use where they have changed; connections that are open stay as they are.
    /// Whoever `asked` for it wants to know at once what is wrong; otherwise it is said at the second look, because two files are
    /// never replaced at the same moment. Blocks as long as the disk does.
    ///
    /// # Errors
    /// Why changed files are no use, once for each change; what was loaded before stays in use.
    pub fn reload(&self, asked: bool) -> Result<Looked, TlsError> {
        self.fresh.look(asked, |_| Files::read(&self.plan), |files| build(&self.plan, self.speaks, files))
    }
}

/// Makes of files what connections are offered.
fn build(plan: &TlsPlan, speaks: Speaks, files: &Files) -> Result<Loaded, TlsError> {
    let library = |error: rustls::Error| TlsError::Library(error.to_string());
    let chain = material::certificates(&plan.certificate, &files.certificate)?;
    let validity = material::validity(&plan.certificate, &chain)?;
    let key = material::key(&plan.key, &files.key.0)?;
    // Named here, because a second provider somewhere in the tree would make the library's own choice panic.
    let provider = Arc::new(aws_lc_rs::default_provider());
    provider
        .key_provider
        .load_private_key(key.clone_key())
        .map_err(|error| TlsError::Key { path: plan.key.clone(), what: error.to_string() })?;
    let builder = ServerConfig::builder_with_provider(provider.clone()).with_protocol_versions(&[&TLS13, &TLS12]);
    let builder = builder.map_err(library)?;
    let builder = match clients(plan, files, &provider)? {
        Some(verifier) => builder.with_client_cert_verifier(verifier),
        None => builder.with_no_client_auth(),
    };
    let config = builder.with_single_cert(chain, key);
    let mut config = config.map_err(|error| material::unusable(error, &plan.certificate, &plan.key))?;
    // Nobody's session goes on without being looked at again: its certificate may no longer be allowed in.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    if speaks == Speaks::Http {
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        if plan.client_auth == ClientAuth::None {
            config.ticketer = aws_lc_rs::Ticketer::new().map_err(library)?;
            config.send_tls13_tickets = 1;
        }
    }
    Ok(Loaded { config: Arc::new(config), validity })
}

/// What looks at senders' certificates; `None` where they are not asked for any.
fn clients(
    plan: &TlsPlan,
    files: &Files,
    provider: &Arc<CryptoProvider>,
) -> Result<Option<Arc<dyn rustls::server::danger::ClientCertVerifier>>, TlsError> {
    let (Some(path), Some(bytes)) = (&plan.client_ca, &files.client_ca) else { return Ok(None) };
    if plan.client_auth == ClientAuth::None {
        return Ok(None);
    }
    let roots = Arc::new(material::authorities(path, bytes)?);
    let builder = WebPkiClientVerifier::builder_with_provider(roots, provider.clone());
    let builder = if plan.client_auth == ClientAuth::Optional { builder.allow_unauthenticated() } else { builder };
    let verifier = builder.build().map_err(|error| TlsError::Library(error.to_string()))?;
    Ok(Some(if plan.client_names.is_empty() { verifier } else { Arc::new(AllowedNames::new(verifier, &plan.client_names)) }))
}

#[cfg(test)]
pub(crate) mod tests;
