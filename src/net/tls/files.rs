//! Reads the files a listener's TLS is made from. What is in them is read elsewhere.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::TlsPlan;
use super::error::TlsError;

/// A hundred times what a chain of certificates needs; a store of every public authority has 250 KiB. Keeps a wrong path from
/// filling memory.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// The contents of the files of one listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Files {
    pub(super) certificate: Vec<u8>,
    pub(super) key: Vec<u8>,
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
            key: read(&plan.key)?,
            client_ca: plan.client_ca.as_deref().map(read).transpose()?,
        })
    }
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
