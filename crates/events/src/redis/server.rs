use bb8_redis::redis::{Client, ClientTlsConfig, TlsCertificates};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};

use crate::bus::BusError;

/// The address of a Redis server and the credentials for it.
///
/// With `rediss://`, connections use TLS 1.2 or 1.3, and the server certificate must be valid for the host
/// in the URL. This cannot be disabled.
#[derive(Debug, Clone)]
pub struct RedisServer(Client);

/// TLS certificates in PEM format.
#[derive(Clone, Default)]
pub struct RedisCertificates {
    /// The CAs that may have issued the server certificate; `None` for those of the operating system.
    pub authorities: Option<Vec<u8>>,
    /// The certificate chain and the private key of this client.
    pub client: Option<(Vec<u8>, Vec<u8>)>,
}

impl RedisServer {
    /// Parses `url`, which is `redis://` or, with TLS, `rediss://`, with an optional user name, password
    /// and database number. Does not connect.
    ///
    /// # Errors
    ///
    /// [`BusError::Address`] if `url` is invalid; [`BusError::Authorities`] or
    /// [`BusError::ClientCertificate`] if a certificate or the key cannot be used.
    pub fn new(url: &str, certificates: &RedisCertificates) -> Result<Self, BusError> {
        let address = |error: bb8_redis::redis::RedisError| BusError::Address(error.to_string());
        if !url.starts_with("rediss:") {
            return Client::open(url).map(Self).map_err(address);
        }
        // Fails if a provider is installed, which can only be this one.
        let _ = aws_lc_rs::default_provider().install_default();
        check(certificates)?;
        let tls = TlsCertificates {
            client_tls: certificates
                .client
                .clone()
                .map(|(chain, key)| ClientTlsConfig {
                    client_cert: chain,
                    client_key: key,
                }),
            root_cert: certificates.authorities.clone(),
        };
        Client::build_with_tls(url, tls).map(Self).map_err(address)
    }

    pub(super) fn into_client(self) -> Client {
        self.0
    }
}

/// Reports at startup what would otherwise fail at every connection.
fn check(certificates: &RedisCertificates) -> Result<(), BusError> {
    if let Some(authorities) = &certificates.authorities {
        let authorities = chain(authorities).map_err(BusError::Authorities)?;
        let mut store = RootCertStore::empty();
        for authority in authorities {
            let added = store.add(authority);
            added.map_err(|error| BusError::Authorities(error.to_string()))?;
        }
    }
    if let Some((certificate, key)) = &certificates.client {
        let chain = chain(certificate).map_err(BusError::ClientCertificate)?;
        let key = PrivateKeyDer::from_pem_slice(key)
            .map_err(|_| BusError::ClientCertificate("there is no private key".to_owned()))?;
        ClientConfig::builder()
            .with_root_certificates(RootCertStore::empty())
            .with_client_auth_cert(chain, key)
            .map_err(|error| BusError::ClientCertificate(error.to_string()))?;
    }
    Ok(())
}

fn chain(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|error| error.to_string())?;
    if chain.is_empty() {
        return Err("there is no certificate".to_owned());
    }
    Ok(chain)
}
