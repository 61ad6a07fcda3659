//! Who senders are by their certificates: the names in them, and whether those may come in.
//!
//! Chains, times and usages are webpki's business; here a certificate that passes there is looked at for names.

use std::sync::Arc;

use rustls::CertificateError;
use rustls::DigitallySignedStruct;
use rustls::DistinguishedName;
use rustls::Error;
use rustls::SignatureScheme;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::server::danger::ClientCertVerified;
use rustls::server::danger::ClientCertVerifier;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::UnixTime;
use x509_parser::extensions::GeneralName;
use x509_parser::parse_x509_certificate;

/// Names of one certificate that are looked at. Real ones have a handful; a certificate has at most 64 KiB.
const NAMES_MAX: usize = 256;

/// Lets only senders in whose certificate has one of some names.
#[derive(Debug)]
pub(super) struct AllowedNames {
    verifier: Arc<dyn ClientCertVerifier>,
    allowed: Vec<String>,
}

impl AllowedNames {
    /// What `verifier` asks for, and one of these names.
    pub(super) fn new(verifier: Arc<dyn ClientCertVerifier>, allowed: &[String]) -> Self {
        Self { verifier, allowed: allowed.to_vec() }
    }
}

impl ClientCertVerifier for AllowedNames {
    fn offer_client_auth(&self) -> bool {
        self.verifier.offer_client_auth()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.verifier.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.verifier.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.verifier.verify_client_cert(end_entity, intermediates, now)?;
        let names = names(end_entity);
        let is_allowed = |name: &str| self.allowed.iter().any(|allowed| allowed.eq_ignore_ascii_case(name));
        match names.iter().any(|name| is_allowed(name)) {
            true => Ok(verified),
            // The peer is told `access_denied`.
            false => Err(CertificateError::ApplicationVerificationFailure.into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }
}

/// The names in a certificate: its DNS, e-mail and URI names and its common names, each once. None in one that cannot be read,
/// which has not been verified either.
pub(super) fn names(certificate: &CertificateDer<'_>) -> Vec<Box<str>> {
    let Ok((_, parsed)) = parse_x509_certificate(certificate) else { return Vec::new() };
    let alternative = parsed.subject_alternative_name().ok().flatten();
    let alternative = alternative.iter().flat_map(|names| &names.value.general_names).filter_map(|name| match name {
        GeneralName::DNSName(name) | GeneralName::RFC822Name(name) | GeneralName::URI(name) => Some(*name),
        _ => None,
    });
    let common = parsed.subject().iter_common_name().filter_map(|name| name.as_str().ok());
    let mut names: Vec<Box<str>> = Vec::new();
    for name in alternative.chain(common).take(NAMES_MAX) {
        if !name.is_empty() && !names.iter().any(|have| **have == *name) {
            names.push(name.into());
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use rcgen::CertificateParams;
    use rcgen::DnType;
    use rcgen::KeyPair;
    use rcgen::SanType;

    use super::*;

    #[test]
    fn the_names_of_a_certificate_are_its_alternative_names_and_its_common_name() {
        let mut params = CertificateParams::new(["web.example".to_owned(), "192.0.2.1".to_owned()]).expect("names");
        params.subject_alt_names.push(SanType::URI("spiffe://example/lambda".try_into().expect("ASCII")));
        params.subject_alt_names.push(SanType::Rfc822Name("ops@example".try_into().expect("ASCII")));
        params.distinguished_name.push(DnType::CommonName, "lambda-web é");
        let certificate = params.self_signed(&KeyPair::generate().expect("a key")).expect("a certificate");
        let names = names(certificate.der());
        let names: Vec<&str> = names.iter().map(|name| &**name).collect();
        assert_eq!(names, ["web.example", "spiffe://example/lambda", "ops@example", "lambda-web é"], "an address is no name");
    }

    #[test]
    fn what_is_no_certificate_has_no_names() {
        assert!(names(&CertificateDer::from_slice(b"0")).is_empty());
    }
}
