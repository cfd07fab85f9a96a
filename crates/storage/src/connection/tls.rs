//! TLS connections to PostgreSQL with the parameters of libpq.

mod verifier;

use std::{
    convert::Infallible,
    future::{Ready, ready},
    io,
    path::PathBuf,
    sync::Arc,
};

use diesel::ConnectionResult;
use percent_encoding::percent_decode_str;
use rustls::{
    ClientConfig, RootCertStore,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use strum::EnumString;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_postgres::tls::{MakeTlsConnect, TlsConnect};
use tokio_postgres_rustls::MakeRustlsConnect;
use tokio_util::either::Either;

use self::verifier::NoHostnameVerification;
use super::{
    bad,
    sqlstate::{LastError, Observed},
};

/// `SSLRequest`: its length and its code, which is not a protocol version.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];

/// A socket before the negotiation of TLS.
pub(super) type Socket = Box<dyn Io>;

/// A socket after the negotiation of TLS: plain or encrypted.
pub(super) type Stream = Either<Socket, <MakeRustlsConnect as MakeTlsConnect<Socket>>::Stream>;

pub(super) trait Io: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}

/// `sslmode`, from the weakest to the strongest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, EnumString)]
#[strum(serialize_all = "kebab-case")]
enum Mode {
    Disable,
    #[default]
    Prefer,
    Require,
    VerifyCa,
    VerifyFull,
}

/// `sslmode`, `sslrootcert`, `sslcert` and `sslkey` of a URL.
///
/// The files are read whenever a connection is opened, so that renewing certificates requires no restart.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct TlsOptions {
    mode: Mode,
    roots: Option<Roots>,
    identity: Option<Identity>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Roots {
    System,
    File(PathBuf),
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Identity {
    certificate: PathBuf,
    key: PathBuf,
}

impl TlsOptions {
    /// Splits a URL into TLS options and the rest, which the driver parses.
    pub(super) fn take_from(url: &str) -> ConnectionResult<(Self, String)> {
        let Some((base, query)) = url.split_once('?') else {
            return Ok((Self::default(), url.to_owned()));
        };
        let (mut mode, mut roots, mut certificate, mut key) = (None, None, None, None);
        let mut rest = Vec::new();
        for pair in query.split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let option = match name {
                "sslmode" => &mut mode,
                "sslrootcert" => &mut roots,
                "sslcert" => &mut certificate,
                "sslkey" => &mut key,
                _ => {
                    rest.push(pair);
                    continue;
                }
            };
            let value = percent_decode_str(value).decode_utf8();
            *option = Some(value.map_err(|_| bad(format!("{name} is not UTF-8")))?);
        }
        let options = Self {
            mode: mode.as_deref().map_or(Ok(Mode::default()), Mode::parse)?,
            roots: roots.map(|roots| match roots.as_ref() {
                "system" => Roots::System,
                path => Roots::File(path.into()),
            }),
            identity: match (certificate, key) {
                (Some(certificate), Some(key)) => Some(Identity {
                    certificate: certificate.as_ref().into(),
                    key: key.as_ref().into(),
                }),
                (None, None) => None,
                _ => return Err(bad("sslcert and sslkey are only accepted together")),
            },
        };
        options.check()?;
        Ok((options, format!("{base}?{}", rest.join("&"))))
    }

    fn check(&self) -> ConnectionResult<()> {
        if self.mode >= Mode::VerifyCa && self.roots.is_none() {
            return Err(bad(
                "sslmode verify-ca and verify-full need sslrootcert, a file of CA certificates",
            ));
        }
        if self.roots == Some(Roots::System) && self.mode != Mode::VerifyFull {
            // Without a check of the name, any certificate of a public CA would be valid.
            return Err(bad("sslrootcert=system needs sslmode=verify-full"));
        }
        Ok(())
    }

    /// Encrypts a socket as required by the mode and supported by the server.
    pub(super) async fn negotiate(
        &self,
        mut socket: Socket,
        host: &str,
    ) -> Result<Negotiated, String> {
        if self.mode == Mode::Disable {
            return Ok(Negotiated::plain(socket));
        }
        let options = self.clone();
        let config = tokio::task::spawn_blocking(move || options.client_config());
        let config = config.await.map_err(|error| error.to_string())??;
        match request_tls(&mut socket).await.map_err(|e| e.to_string())? {
            b'S' => {}
            b'N' if self.mode == Mode::Prefer => return Ok(Negotiated::plain(socket)),
            b'N' => return Err("the server does not support TLS".to_owned()),
            _ => return Err("the server did not answer the request for TLS".to_owned()),
        }
        let mut connector = MakeRustlsConnect::new(config);
        let Ok(connector) = MakeTlsConnect::<Socket>::make_tls_connect(&mut connector, host);
        let stream = connector.connect(socket).await;
        let stream = stream.map_err(|error| format!("TLS handshake failed: {error}"))?;
        Ok(Negotiated(Observed::new(Either::Right(stream))))
    }

    fn client_config(&self) -> Result<ClientConfig, String> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .dangerous()
            .with_custom_certificate_verifier(self.verifier(provider)?);
        match &self.identity {
            None => Ok(builder.with_no_client_auth()),
            Some(identity) => {
                let unreadable = |error| format!("{}: {error}", identity.key.display());
                let key = PrivateKeyDer::from_pem_file(&identity.key).map_err(unreadable)?;
                let chain = certificates(&identity.certificate)?;
                builder
                    .with_client_auth_cert(chain, key)
                    .map_err(|error| format!("sslcert and sslkey: {error}"))
            }
        }
    }

    /// Returns the verifier. As with libpq, `require` verifies the CA only if `sslrootcert` is given.
    fn verifier(
        &self,
        provider: Arc<CryptoProvider>,
    ) -> Result<Arc<dyn rustls::client::danger::ServerCertVerifier>, String> {
        let mut store = RootCertStore::empty();
        match &self.roots {
            None => {
                return Ok(Arc::new(NoHostnameVerification {
                    provider,
                    chain: None,
                }));
            }
            Some(Roots::System) => {
                let system = rustls_native_certs::load_native_certs();
                store.add_parsable_certificates(system.certs);
            }
            Some(Roots::File(path)) => {
                for certificate in certificates(path)? {
                    let added = store.add(certificate);
                    added.map_err(|error| format!("{}: {error}", path.display()))?;
                }
            }
        }
        let full = verifier::verify_full(store, Arc::clone(&provider))?;
        if self.mode == Mode::VerifyFull {
            return Ok(full);
        }
        let chain = Some(full);
        Ok(Arc::new(NoHostnameVerification { provider, chain }))
    }
}

impl Mode {
    fn parse(name: &str) -> ConnectionResult<Self> {
        let reason = "sslmode must be disable, prefer, require, verify-ca or verify-full";
        name.parse().map_err(|_| bad(reason))
    }
}

async fn request_tls(socket: &mut Socket) -> io::Result<u8> {
    socket.write_all(&SSL_REQUEST).await?;
    socket.flush().await?;
    // Reads a single byte, because the following ones belong to the handshake.
    socket.read_u8().await
}

fn certificates(path: &PathBuf) -> Result<Vec<CertificateDer<'static>>, String> {
    let unreadable = |error| format!("{}: {error}", path.display());
    let certificates = CertificateDer::pem_file_iter(path).map_err(unreadable)?;
    let certificates: Vec<_> = certificates.collect::<Result<_, _>>().map_err(unreadable)?;
    if certificates.is_empty() {
        return Err(format!("{}: no certificate in PEM", path.display()));
    }
    Ok(certificates)
}

/// A stream after the negotiation of TLS.
pub(super) struct Negotiated((Observed, LastError));

impl Negotiated {
    pub(super) fn plain(socket: Socket) -> Self {
        Self(Observed::new(Either::Left(socket)))
    }

    pub(super) fn observed(self) -> (Observed, LastError) {
        self.0
    }
}

/// A connector for streams on which TLS has been negotiated.
pub(super) struct Done;

impl TlsConnect<Observed> for Done {
    type Stream = Observed;
    type Error = Infallible;
    type Future = Ready<Result<Observed, Infallible>>;

    fn connect(self, stream: Observed) -> Self::Future {
        ready(Ok(stream))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(query: &str) -> Result<(TlsOptions, String), String> {
        TlsOptions::take_from(&format!("postgres://u:p@h/db?{query}")).map_err(|e| e.to_string())
    }

    #[test]
    fn splits_tls_options_from_other_parameters() {
        let query = "connect_timeout=1&sslmode=verify-full&sslrootcert=/a%20b/ca+x.pem\
                     &sslcert=c.pem&sslkey=k.pem&application_name=x";
        let (options, rest) = take(query).unwrap();
        assert_eq!(
            rest,
            "postgres://u:p@h/db?connect_timeout=1&application_name=x"
        );
        assert_eq!(options.mode, Mode::VerifyFull);
        assert_eq!(options.roots, Some(Roots::File("/a b/ca+x.pem".into())));
        let identity = options.identity.unwrap();
        assert_eq!(identity.certificate, PathBuf::from("c.pem"));
        assert_eq!(identity.key, PathBuf::from("k.pem"));
    }

    #[test]
    fn prefers_tls_by_default() {
        let (options, rest) = TlsOptions::take_from("postgres://u@h/db").unwrap();
        assert_eq!(options.mode, Mode::Prefer);
        assert_eq!(rest, "postgres://u@h/db");
    }

    #[test]
    fn rejects_insecure_and_incomplete_options() {
        for query in [
            "sslmode=verify-full",
            "sslmode=verify-ca",
            "sslmode=allow",
            "sslmode=",
            "sslcert=c.pem",
            "sslkey=k.pem",
            "sslmode=require&sslrootcert=system",
        ] {
            assert!(take(query).is_err(), "{query}");
        }
        assert!(take("sslmode=verify-full&sslrootcert=system").is_ok());
    }
}
