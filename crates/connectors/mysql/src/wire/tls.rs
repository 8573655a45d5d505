//! TLS: which certificates are believed, for each `ssl_mode`.

use super::transport::{Socket, Transport};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore, SignatureScheme};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use xdb_core::{Error, ErrorKind, Result};

/// As MySQL's own clients: <https://dev.mysql.com/doc/refman/8.4/en/connection-options.html#option_general_ssl-mode>.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SslMode {
    Disabled,
    /// TLS where the server has it, unverified.
    Preferred,
    /// TLS or nothing, unverified.
    Required,
    /// The chain must lead to a trusted authority; the host name is not compared.
    VerifyCa,
    VerifyIdentity,
}
impl SslMode {
    pub(crate) const NAMES: &'static [&'static str] =
        &["disabled", "preferred", "required", "verify_ca", "verify_identity"];
    pub(crate) fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "disabled" => Self::Disabled,
            "preferred" => Self::Preferred,
            "required" => Self::Required,
            "verify_ca" => Self::VerifyCa,
            "verify_identity" => Self::VerifyIdentity,
            _ => return None,
        })
    }
}

#[derive(Clone, Debug)]
pub(crate) struct TlsOptions {
    pub(crate) mode: SslMode,
    pub(crate) ca: Option<PathBuf>,
    pub(crate) cert: Option<PathBuf>,
    pub(crate) key: Option<PathBuf>,
}

impl TlsOptions {
    /// TLS over `socket`, which was connected to `host`.
    pub(crate) fn connect(&self, socket: Socket, host: &str) -> Result<Transport> {
        let config = self.client_config()?;
        let name = ServerName::try_from(host.to_string())
            .map_err(|_| Error::config(format!("`{host}` is not a host name that a certificate can be made for")))?;
        let mut conn = ClientConnection::new(Arc::new(config), name).map_err(tls_error)?;
        let mut socket = socket;
        // The whole handshake now, so that its failure is told apart from a query's.
        while conn.is_handshaking() {
            conn.complete_io(&mut socket).map_err(|e| {
                match e.get_ref().and_then(|e| e.downcast_ref::<rustls::Error>()) {
                    Some(t) => tls_error(t.clone()),
                    None => Error::new(ErrorKind::Connect, format!("TLS: {e}")),
                }
            })?;
        }
        Ok(Transport::Tls(Box::new(rustls::StreamOwned::new(conn, socket))))
    }

    fn client_config(&self) -> Result<ClientConfig> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier: Arc<dyn ServerCertVerifier> = match self.mode {
            SslMode::Disabled | SslMode::Preferred | SslMode::Required => Arc::new(AnyCertificate(provider.clone())),
            SslMode::VerifyCa | SslMode::VerifyIdentity => {
                let webpki = WebPkiServerVerifier::builder_with_provider(Arc::new(self.roots()?), provider.clone())
                    .build()
                    .map_err(|e| Error::config(format!("`ssl_ca`: {e}")))?;
                if self.mode == SslMode::VerifyCa { Arc::new(AnyName(webpki)) } else { webpki }
            }
        };
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(tls_error)?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        match (&self.cert, &self.key) {
            (Some(cert), Some(key)) => {
                let key_der = PrivateKeyDer::from_pem_file(key).map_err(|e| pem_error("ssl_key", key, &e))?;
                builder
                    .with_client_auth_cert(certificates("ssl_cert", cert)?, key_der)
                    .map_err(|e| Error::config(format!("`ssl_cert` and `ssl_key`: {e}")))
            }
            _ => Ok(builder.with_no_client_auth()),
        }
    }
    fn roots(&self) -> Result<RootCertStore> {
        let mut roots = RootCertStore::empty();
        match &self.ca {
            Some(path) => {
                for c in certificates("ssl_ca", path)? {
                    roots.add(c).map_err(|e| Error::config(format!("`ssl_ca` ({}): {e}", path.display())))?;
                }
            }
            None => {
                // Some of a system's certificates may be unusable; the others are enough.
                let (_, _) = roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            }
        }
        if roots.is_empty() {
            return Err(Error::config("there is no certificate authority to trust")
                .hint("set `ssl_ca` to the file with the server's certificate authority"));
        }
        Ok(roots)
    }
}

fn certificates(param: &str, path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let all = CertificateDer::pem_file_iter(path)
        .and_then(|i| i.collect::<std::result::Result<Vec<_>, _>>())
        .map_err(|e| pem_error(param, path, &e))?;
    if all.is_empty() {
        return Err(Error::config(format!("`{param}` ({}) holds no certificate", path.display())));
    }
    Ok(all)
}
fn pem_error(param: &str, path: &Path, e: &rustls::pki_types::pem::Error) -> Error {
    Error::config(format!("`{param}` ({}) cannot be read: {e}", path.display()))
}
fn tls_error(e: rustls::Error) -> Error {
    let certificate = matches!(e, rustls::Error::InvalidCertificate(_));
    let out = Error::new(ErrorKind::Connect, format!("TLS: {e}")).retryable(false);
    if certificate {
        out.hint(
            "set `ssl_ca` to the authority that signed the server's certificate, and `host` to a name that is in it",
        )
    } else {
        out
    }
}

/// Encryption without knowing the other side: `preferred` and `required`.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);
impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> std::result::Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }
    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }
    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// The chain is checked, the name is not: `verify_ca`.
#[derive(Debug)]
struct AnyName(Arc<WebPkiServerVerifier>);
impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        end: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> std::result::Result<ServerCertVerified, rustls::Error> {
        // The name is compared only after the chain was found good.
        match self.0.verify_server_cert(end, chain, name, ocsp, now) {
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            other => other,
        }
    }
    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls12_signature(message, cert, dss)
    }
    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls13_signature(message, cert, dss)
    }
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}
