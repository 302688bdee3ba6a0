//! TLS of a port: its certificate, read again when the files change, and the handshake

use std::fmt;
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{self, ServerConfig};
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

use super::HEAD_TIMEOUT;

/// The protocols that are offered by ALPN (RFC 7301), the preferred one first.
const H2: &[u8] = b"h2";
const HTTP_1_1: &[u8] = b"http/1.1";
/// How often the files are looked at. A certificate is usually renewed weeks before it expires.
const RELOAD_INTERVAL: Duration = Duration::from_secs(1);

/// The files of a certificate and its private key, in PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate, followed by the intermediate ones.
    pub cert: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// Why a certificate can't be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file can't be read, or holds no PEM of this kind.
    #[error("{}: {error}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        error: rustls::pki_types::pem::Error,
    },
    /// The file of the certificate holds none.
    #[error("{} holds no certificate in PEM", .0.display())]
    NoCertificate(PathBuf),
    /// The key belongs to another certificate, or is of an unknown kind.
    #[error("{} and {} don't belong together: {error}", files.cert.display(), files.key.display())]
    Unusable {
        /// The files.
        files: TlsFiles,
        /// What rustls says.
        error: rustls::Error,
    },
}

/// The certificate of a port. Clones share it.
#[derive(Clone)]
pub struct Tls {
    acceptor: TlsAcceptor,
    current: Arc<Current>,
    files: TlsFiles,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tls({})", self.files.cert.display())
    }
}

/// The certificate that new connections get.
#[derive(Debug)]
struct Current(RwLock<Arc<CertifiedKey>>);

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

impl Tls {
    /// Reads the certificate and its key.
    ///
    /// # Errors
    ///
    /// See [`TlsError`].
    pub fn load(files: TlsFiles) -> Result<Self, TlsError> {
        let current = Arc::new(Current(RwLock::new(Arc::new(certified_key(&files)?))));
        let versions = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions();
        let unusable = |error| TlsError::Unusable { files: files.clone(), error };
        let resolver = Arc::clone(&current) as Arc<dyn ResolvesServerCert>;
        let mut config = versions.map_err(unusable)?.with_no_client_auth().with_cert_resolver(resolver);
        config.alpn_protocols = vec![H2.to_vec(), HTTP_1_1.to_vec()];
        Ok(Self { acceptor: TlsAcceptor::from(Arc::new(config)), current, files })
    }

    /// Reads the files again whenever they change, until `stop`. Connections that are open keep the certificate they have;
    /// a certificate that can't be used is reported, and the former one stays.
    pub async fn reload_on_change(self, stop: CancellationToken) {
        let mut seen = Version::of(&self.files);
        let mut interval = tokio::time::interval(RELOAD_INTERVAL);
        while stop.run_until_cancelled(interval.tick()).await.is_some() {
            let now = Version::of(&self.files);
            if now == seen {
                continue;
            }
            seen = now;
            match certified_key(&self.files) {
                Ok(key) => {
                    *self.current.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(key);
                    tracing::info!(cert = %self.files.cert.display(), "TLS certificate reloaded");
                }
                // The two files are rarely replaced at the same moment: the second change loads both.
                Err(error) => tracing::warn!(%error, "TLS certificate not reloaded, the former one stays in use"),
            }
        }
    }

    /// Does the handshake. Returns the stream and whether the client chose HTTP/2; `None` if the handshake fails or takes
    /// too long.
    pub(super) async fn accept<IO>(&self, io: IO) -> Option<(TlsStream<IO>, bool)>
    where
        IO: AsyncRead + AsyncWrite + Unpin,
    {
        let stream = tokio::time::timeout(HEAD_TIMEOUT, self.acceptor.accept(io)).await.ok()?.ok()?;
        let is_h2 = stream.get_ref().1.alpn_protocol() == Some(H2);
        Some((stream, is_h2))
    }
}

fn certified_key(files: &TlsFiles) -> Result<CertifiedKey, TlsError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |error| TlsError::File { path, error }
    };
    let certs = CertificateDer::pem_file_iter(&files.cert)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(failed(&files.cert))?;
    if certs.is_empty() {
        return Err(TlsError::NoCertificate(files.cert.clone()));
    }
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(failed(&files.key))?;
    CertifiedKey::from_der(certs, key, &ring::default_provider())
        .map_err(|error| TlsError::Unusable { files: files.clone(), error })
}

/// What tells one version of the two files from another.
#[derive(Debug, PartialEq, Eq)]
struct Version([Option<(u64, u64, i64, i64)>; 2]);

impl Version {
    fn of(files: &TlsFiles) -> Self {
        let version = |file: Metadata| (file.ino(), file.len(), file.mtime(), file.mtime_nsec());
        let read = |path: &PathBuf| -> io::Result<Metadata> { std::fs::metadata(path) };
        Self([read(&files.cert), read(&files.key)].map(|file| file.ok().map(version)))
    }
}
