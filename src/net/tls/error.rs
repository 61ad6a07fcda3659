//! Why the TLS of a listener or a sink cannot be made from its files: which file, what is wrong with it, what to do.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

/// Why files are no use.
#[derive(Debug, Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("{} cannot be read: {source}{}", path.display(), read_remedy(.source))]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file is too large to be one.
    #[error("{} is larger than 1 MiB: that is neither a certificate nor a key", path.display())]
    Large {
        /// The file.
        path: PathBuf,
    },
    /// A file is in the binary form.
    #[error(
        "{} is DER, not PEM; convert it: openssl {} -inform der -in {0} -out {0}.pem",
        path.display(),
        if *.is_key { "pkey" } else { "x509" }
    )]
    Der {
        /// The file.
        path: PathBuf,
        /// Whether a key is wanted there.
        is_key: bool,
    },
    /// A file is no PEM.
    #[error("{} is not PEM: {what}", path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// There is no certificate in a file.
    #[error("{} has no certificate in it: it needs a block -----BEGIN CERTIFICATE-----{}", path.display(), swapped(*.has_key, "key"))]
    NoCertificate {
        /// The file.
        path: PathBuf,
        /// Whether there is a key instead.
        has_key: bool,
    },
    /// There is no key in a file.
    #[error(
        "{} has no private key in it: it needs a block -----BEGIN PRIVATE KEY-----, or one of RSA or EC{}",
        path.display(),
        swapped(*.has_certificate, "certificate")
    )]
    NoKey {
        /// The file.
        path: PathBuf,
        /// Whether there is a certificate instead.
        has_certificate: bool,
    },
    /// A key is encrypted.
    #[error(
        "the key in {} is encrypted, and nobody is there to type its passphrase; decrypt it (openssl pkey -in {0} -out FILE) and keep \
         others from reading it (chmod 600 FILE)",
        path.display()
    )]
    EncryptedKey {
        /// The file.
        path: PathBuf,
    },
    /// A key cannot be used.
    #[error("the key in {} cannot be used: {what}; RSA of 2048 to 8192 bits, P-256, P-384, P-521 and Ed25519 can be", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// What the library said.
        what: String,
    },
    /// The key is another certificate's.
    #[error(
        "the key in {} does not belong to the first certificate in {}; that has to be the relay's own, before those that signed it",
        key.display(),
        certificate.display()
    )]
    Mismatch {
        /// The file of the certificate.
        certificate: PathBuf,
        /// The file of the key.
        key: PathBuf,
    },
    /// A certificate cannot be used.
    #[error("certificate {number} in {} cannot be used: {what}", path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// Which of those in it, from 1.
        number: usize,
        /// What the library said.
        what: String,
    },
    /// The system trusts nobody, or does not say whom.
    #[error(
        "the system's certificate authorities cannot be found: {0}; install them (the package is called ca-certificates in most \
         systems), or name a file of your own in ca"
    )]
    NoSystemAuthorities(String),
    /// A peer cannot have this name.
    #[error("{0:?} is neither a DNS name nor an IP address: no certificate can be for it")]
    ServerName(String),
    /// The library does not want what it was given.
    #[error("TLS cannot be set up: {0}")]
    Library(String),
}

fn read_remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound => "; paths that do not begin with / are taken from the directory the relay was started in",
        io::ErrorKind::PermissionDenied => "; the user who runs the relay has to be able to read it",
        _ => "",
    }
}

fn swapped(is: bool, what: &str) -> String {
    if is { format!("; it has a {what}: are the two files swapped?") } else { String::new() }
}
