//! Whose certificates are trusted.

use std::collections::HashSet;

use ureq::tls::{Certificate, PemItem, RootCerts, parse_pem};

use super::super::AskError;

/// The built-in roots, the system's, and those of `ca_file`. The system's take some milliseconds to read, and not
/// being able to read them leaves the others. `SSL_CERT_FILE` and `SSL_CERT_DIR` stand for the system's where they are set.
pub(crate) fn trusted(ca_pem: Option<&[u8]>) -> Result<RootCerts, AskError> {
    let own = ca_pem.map(certificates).transpose()?.unwrap_or_default();
    let system = rustls_native_certs::load_native_certs().certs;
    let system = system.iter().map(|root| Certificate::from_der(root).to_owned());
    let built_in = webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().map(|root| Certificate::from_der(root));
    // The system has most of the built-in ones too.
    let mut seen = HashSet::new();
    let all = own.into_iter().chain(system).chain(built_in).filter(|root| seen.insert(root.der().to_vec()));
    Ok(RootCerts::from(all))
}

/// The certificates of a PEM text; at least one.
fn certificates(pem: &[u8]) -> Result<Vec<Certificate<'static>>, AskError> {
    let unusable = |why: String| AskError::Setup {
        why: format!("`ca_file` {why}"),
        next: "name a file with certificates in PEM form, which begin with `-----BEGIN CERTIFICATE-----`".to_owned(),
    };
    let mut found = Vec::new();
    for item in parse_pem(pem) {
        match item {
            Ok(PemItem::Certificate(certificate)) => found.push(certificate),
            // A private key beside them is not ours to use.
            Ok(_) => {}
            Err(_) => return Err(unusable("is not a PEM file".to_owned())),
        }
    }
    if found.is_empty() {
        return Err(unusable("has no certificate".to_owned()));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Any bytes will do: they are looked at only when a connection is made.
    const PEM: &[u8] = b"-----BEGIN CERTIFICATE-----\nAQIDBA==\n-----END CERTIFICATE-----\n";

    fn roots(trusted: RootCerts) -> Vec<Vec<u8>> {
        let RootCerts::Specific(all) = trusted else { panic!("{trusted:?}") };
        all.iter().map(|root| root.der().to_vec()).collect()
    }

    #[test]
    fn a_ca_file_is_trusted_beside_the_built_in_roots() {
        let all = roots(trusted(Some(PEM)).unwrap());
        assert_eq!(all[0], [1, 2, 3, 4]);
        assert!(all.len() > webpki_root_certs::TLS_SERVER_ROOT_CERTS.len());
        assert_eq!(all.iter().collect::<HashSet<_>>().len(), all.len(), "each of them once");
    }

    #[test]
    fn a_ca_file_holds_certificates_and_nothing_broken() {
        assert_eq!(certificates(&PEM.repeat(3)).unwrap().len(), 3);
        for pem in [&b""[..], b"\x30\x82\x01", b"-----BEGIN CERTIFICATE-----\n!\n", b"hello"] {
            let error = trusted(Some(pem)).unwrap_err();
            assert!(error.to_string().contains("`ca_file`"), "{error}");
        }
    }
}
