//! Reads the files that TLS is made from, and the system's authorities. What is in files is read elsewhere.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use rustls_native_certs::load_native_certs;
use rustls_pki_types::CertificateDer;

use super::ClientTlsPlan;
use super::TlsPlan;
use super::error::TlsError;

/// A hundred times what a chain of certificates needs; a store of every public authority has 250 KiB. Keeps a wrong path from
/// filling memory.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// The contents of a file with a key, which nothing shows.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct KeyFile(pub(super) Vec<u8>);

impl fmt::Debug for KeyFile {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("***")
    }
}

/// The contents of the files of one listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Files {
    pub(super) certificate: Vec<u8>,
    pub(super) key: KeyFile,
    pub(super) client_ca: Option<Vec<u8>>,
}

impl Files {
    /// Reads all of them. Takes as long as the disk takes.
    ///
    /// # Errors
    /// The first that cannot be read.
    pub(super) fn read(plan: &TlsPlan) -> Result<Self, TlsError> {
        Ok(Self {
            certificate: read(&plan.certificate)?,
            key: KeyFile(read(&plan.key)?),
            client_ca: plan.client_ca.as_deref().map(read).transpose()?,
        })
    }
}

/// The contents of the files of one sink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ClientFiles {
    pub(super) authorities: Authorities,
    pub(super) certificate: Option<Vec<u8>>,
    pub(super) key: Option<KeyFile>,
}

/// Who signs for peers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Authorities {
    /// Those in a file of ours, in PEM.
    File(Vec<u8>),
    /// Those the system trusts.
    System(Vec<CertificateDer<'static>>),
}

impl ClientFiles {
    /// Reads all of them. The system's authorities are some hundred files on some systems, so they are kept where some are `known`.
    /// Takes as long as the disk takes.
    ///
    /// # Errors
    /// The first that cannot be read.
    pub(super) fn read(plan: &ClientTlsPlan, known: Option<&Authorities>) -> Result<Self, TlsError> {
        let authorities = match (&plan.ca, known) {
            (Some(path), _) => Authorities::File(read(path)?),
            (None, Some(known)) => known.clone(),
            (None, None) => Authorities::System(system()?),
        };
        let certificate = plan.certificate.as_deref().map(read).transpose()?;
        Ok(Self { authorities, certificate, key: plan.key.as_deref().map(read).transpose()?.map(KeyFile) })
    }
}

/// What the system trusts. Single files in it that are no use are none of ours, as long as there are others.
fn system() -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found = load_native_certs();
    if found.certs.is_empty() {
        let why = found.errors.first().map_or_else(|| "there are none".to_owned(), ToString::to_string);
        return Err(TlsError::NoSystemAuthorities(why));
    }
    Ok(found.certs)
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    let failed = |source| TlsError::Read { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    File::open(path).map_err(failed)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(TlsError::Large { path: path.to_owned() });
    }
    Ok(bytes)
}
