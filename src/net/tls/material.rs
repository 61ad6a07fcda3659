//! What stands in certificate and key files: PEM to certificates, keys and authorities, with a plain word for what is wrong.
//!
//! It opens no file and trusts nobody.

use std::path::Path;

use rustls::RootCertStore;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem;
use rustls_pki_types::pem::PemObject;
use x509_parser::parse_x509_certificate;

use super::error::TlsError;

/// From when to when a certificate holds, in seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Validity {
    pub(super) not_before: i64,
    pub(super) not_after: i64,
}

/// The certificates in a file, in order; at least one.
///
/// # Errors
/// When there is none, or the file is no PEM.
pub(super) fn certificates(path: &Path, bytes: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let certificates: Vec<_> =
        CertificateDer::pem_slice_iter(bytes).collect::<Result<_, _>>().map_err(|error| not_pem(path, &error))?;
    if certificates.is_empty() {
        let path = path.to_owned();
        return Err(match is_der(bytes) {
            true => TlsError::Der { path, is_key: false },
            false => TlsError::NoCertificate { path, has_key: PrivateKeyDer::from_pem_slice(bytes).is_ok() },
        });
    }
    Ok(certificates)
}

/// The first key in a file.
///
/// # Errors
/// When there is none, it is encrypted, or the file is no PEM.
pub(super) fn key(path: &Path, bytes: &[u8]) -> Result<PrivateKeyDer<'static>, TlsError> {
    let contains = |mark: &[u8]| memchr::memmem::find(bytes, mark).is_some();
    if contains(b"BEGIN ENCRYPTED PRIVATE KEY") || contains(b"Proc-Type: 4,ENCRYPTED") {
        return Err(TlsError::EncryptedKey { path: path.to_owned() });
    }
    PrivateKeyDer::from_pem_slice(bytes).map_err(|error| match error {
        pem::Error::NoItemsFound if is_der(bytes) => TlsError::Der { path: path.to_owned(), is_key: true },
        pem::Error::NoItemsFound => {
            TlsError::NoKey { path: path.to_owned(), has_certificate: CertificateDer::from_pem_slice(bytes).is_ok() }
        }
        error => not_pem(path, &error),
    })
}

/// The authorities in a file.
///
/// # Errors
/// When there is none, or one of them cannot be used.
pub(super) fn authorities(path: &Path, bytes: &[u8]) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for (certificate, number) in certificates(path, bytes)?.into_iter().zip(1..) {
        roots.add(certificate).map_err(|error| TlsError::Certificate {
            path: path.to_owned(),
            number,
            what: error.to_string(),
        })?;
    }
    Ok(roots)
}

/// When the first of a file's certificates holds.
///
/// # Errors
/// When it is none after all.
pub(super) fn validity(path: &Path, certificates: &[CertificateDer<'_>]) -> Result<Validity, TlsError> {
    let wrong = |what: String| TlsError::Certificate { path: path.to_owned(), number: 1, what };
    let first = certificates.first().ok_or_else(|| wrong("there is none".to_owned()))?;
    let (_, parsed) = parse_x509_certificate(first).map_err(|error| wrong(error.to_string()))?;
    let validity = parsed.validity();
    Ok(Validity { not_before: validity.not_before.timestamp(), not_after: validity.not_after.timestamp() })
}

/// What the library has against a certificate with its key, in words that name the files.
pub(super) fn unusable(error: rustls::Error, certificate: &Path, key: &Path) -> TlsError {
    match error {
        rustls::Error::InconsistentKeys(_) => TlsError::Mismatch { certificate: certificate.to_owned(), key: key.to_owned() },
        rustls::Error::InvalidCertificate(error) => {
            TlsError::Certificate { path: certificate.to_owned(), number: 1, what: error.to_string() }
        }
        error => TlsError::Library(error.to_string()),
    }
}

fn not_pem(path: &Path, error: &pem::Error) -> TlsError {
    TlsError::Pem { path: path.to_owned(), what: error.to_string() }
}

/// Whether bytes begin as every certificate and key does that is not wrapped in text: with a sequence longer than 127 bytes.
fn is_der(bytes: &[u8]) -> bool {
    matches!(bytes, [0x30, 0x81..=0x83, ..])
}

#[cfg(test)]
mod tests {
    use rcgen::CertifiedKey;
    use rcgen::generate_simple_self_signed;

    use super::*;

    fn certificate_and_key() -> (String, String) {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(["relay.example".to_owned()]).expect("a certificate");
        (cert.pem(), signing_key.serialize_pem())
    }

    #[track_caller]
    fn check<T>(given: Result<T, TlsError>, says: &str) {
        let error = given.err().expect("an error").to_string();
        assert!(error.contains("x.pem") && error.contains(says), "{error}");
    }

    #[test]
    fn what_is_wrong_with_a_file_is_said_with_a_remedy() {
        let (certificate, secret) = certificate_and_key();
        let path = Path::new("x.pem");
        check(certificates(path, b""), "has no certificate");
        check(certificates(path, secret.as_bytes()), "are the two files swapped?");
        check(certificates(path, &CertificateDer::from_pem_slice(certificate.as_bytes()).expect("PEM")), "-inform der");
        check(certificates(path, &certificate.as_bytes()[..certificate.len() / 2]), "is not PEM");
        check(key(path, b"-----BEGIN"), "has no private key");
        check(key(path, certificate.as_bytes()), "are the two files swapped?");
        check(key(path, secret.replace("BEGIN PRIVATE", "BEGIN ENCRYPTED PRIVATE").as_bytes()), "is encrypted");
        check(key(path, b"-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n"), "is encrypted");
        check(key(path, PrivateKeyDer::from_pem_slice(secret.as_bytes()).expect("PEM").secret_der()), "openssl pkey -inform der");
        check(authorities(path, b"-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n"), "certificate 1 in x.pem");
        check(validity(path, &[CertificateDer::from_slice(b"0")]), "certificate 1 in x.pem");
    }

    #[test]
    fn certificate_and_key_may_be_in_one_file() {
        let (certificate, secret) = certificate_and_key();
        let both = format!("{secret}{certificate}");
        let path = Path::new("x.pem");
        assert_eq!(certificates(path, both.as_bytes()).expect("one").len(), 1);
        assert!(key(path, both.as_bytes()).is_ok());
    }
}
