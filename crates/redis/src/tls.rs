//! TLS: the server proves its name by a public certificate, or by one that the secret names.

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use std::sync::Arc;
use tokio_rustls::TlsConnector;

/// Why no TLS could be set up.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The extra certificates are not PEM.
    #[error("it is not a list of certificates in PEM ({0})")]
    Pem(rustls::pki_types::pem::Error),
    /// rustls refuses the configuration.
    #[error(transparent)]
    Rustls(#[from] rustls::Error),
}

/// The TLS of a connection. Its own crypto provider is named, so that no process-wide one is needed.
pub fn connector(extra_roots: Option<&str>) -> Result<TlsConnector, Error> {
    let mut roots = RootCertStore {
        roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
    };
    if let Some(pem) = extra_roots {
        for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
            roots.add(certificate.map_err(Error::Pem)?)?;
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}
