//! Which certificates are believed, and what is said of the others.

use std::error::Error;
use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::{CertificateError, ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use super::error::RegistryError;

/// TLS with the authorities of this machine (`SSL_CERT_FILE` and `SSL_CERT_DIR` are honoured), and those in `ca_file` (PEM).
///
/// # Errors
/// A sentence with the file that holds no certificate.
pub(super) fn config(ca_file: Option<&Path>) -> Result<ClientConfig, RegistryError> {
    let mut roots = RootCertStore::empty();
    // A machine without a store of its own can still be given a file; who has neither is told at the first handshake.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(file) = ca_file {
        let refuse = |why: String| RegistryError::File { path: file.to_path_buf(), why };
        let certificates: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(file)
            .and_then(Iterator::collect)
            .map_err(|error| refuse(format!("it is no PEM file of certificates ({error})")))?;
        if certificates.is_empty() {
            return Err(refuse("it holds no certificate".into()));
        }
        for certificate in certificates {
            roots.add(certificate).map_err(|error| refuse(error.to_string()))?;
        }
    }
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| RegistryError::Refused(format!("TLS is not available: {error}")))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// What TLS had against the connection that ended with `error`, and the cure; `None` when it was not TLS.
pub(super) fn refusal(error: &(dyn Error + 'static)) -> Option<String> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = of_tls(error) {
            return Some(match found {
                rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
                    "its certificate is of an authority that is not known here: name the authority's certificate by --ca-file"
                        .into()
                }
                rustls::Error::InvalidCertificate(why) => format!("its certificate is refused: {why}"),
                rustls::Error::InvalidMessage(_) => {
                    "it does not speak TLS: if it is meant to be spoken to in plain, say so by --plain-http".into()
                }
                other => format!("TLS fails: {other}"),
            });
        }
        next = error.source();
    }
    None
}

/// The TLS error that this is, or that it wraps: an `io::Error` does not tell what it wraps by `source`.
fn of_tls<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    if let Some(found) = error.downcast_ref() {
        return Some(found);
    }
    of_tls(error.downcast_ref::<io::Error>()?.get_ref()?)
}
