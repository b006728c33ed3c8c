//! The server's certificate and key: read from files, checked, and read anew while connections are
//! served. Knows rustls; what a file that cannot be used holds is `net/tls/files.rs`', what travels inside is
//! `net/stream.rs`'.

mod files;

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{self, ServerConfig};
use tokio_rustls::server::TlsStream;

/// What is spoken inside, the best first.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// Why a certificate cannot be used. Names the file and what to do.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read, or is not PEM.
    #[error("{key} {}: {error}", path.display())]
    File {
        /// The setting that names it.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        error: String,
    },
    /// Certificate and key cannot be used, alone or together.
    #[error("tls_certificate {}, tls_key {}: {error}", certificate.display(), key.display())]
    Unfit {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// What is wrong.
        error: rustls::Error,
    },
}

/// Where certificate and key lie, both as PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The chain, the server's own certificate first.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// Opens TLS connections with the certificate that was read last. Clones share it.
#[derive(Clone)]
pub struct Tls {
    files: TlsFiles,
    current: Arc<Current>,
    acceptor: TlsAcceptor,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("files", &self.files).finish_non_exhaustive()
    }
}

impl Tls {
    /// Reads certificate and key.
    pub fn open(files: TlsFiles) -> Result<Self, TlsError> {
        let provider = Arc::new(ring::default_provider());
        let current = read(&files, &provider)?;
        let current =
            Arc::new(Current { provider: Arc::clone(&provider), key: RwLock::new(current) });
        let unfit = |error| TlsError::Unfit {
            certificate: files.certificate.clone(),
            key: files.key.clone(),
            error,
        };
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(unfit)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&current) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).into();
        Ok(Self { files, current, acceptor: TlsAcceptor::from(Arc::new(config)) })
    }

    /// Reads certificate and key again, for connections that are opened from here on. When they
    /// cannot be used, those of before stay.
    pub fn reload(&self) -> Result<(), TlsError> {
        let read = read(&self.files, &self.current.provider)?;
        *self.current.key.write().unwrap_or_else(PoisonError::into_inner) = read;
        Ok(())
    }

    /// Shakes hands with a client.
    pub async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        self.acceptor.accept(stream).await
    }
}

/// The certificate that new connections are shown.
struct Current {
    provider: Arc<CryptoProvider>,
    key: RwLock<Arc<CertifiedKey>>,
}

impl fmt::Debug for Current {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Current(..)")
    }
}

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.key.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

fn read(files: &TlsFiles, provider: &CryptoProvider) -> Result<Arc<CertifiedKey>, TlsError> {
    let TlsFiles { certificate, key } = files;
    let chain = items::<CertificateDer<'static>>("tls_certificate", certificate)?;
    let private = items::<PrivateKeyDer<'static>>("tls_key", key)?.swap_remove(0);
    if provider.key_provider.load_private_key(private.clone_key()).is_err() {
        let error = files::unusable_key(&private);
        return Err(TlsError::File { key: "tls_key", path: key.clone(), error });
    }
    let certified = CertifiedKey::from_der(chain, private, provider);
    certified.map(Arc::new).map_err(|error| TlsError::Unfit {
        certificate: certificate.clone(),
        key: key.clone(),
        error,
    })
}

/// Everything of a kind that a file holds, at least one.
fn items<T: PemObject + files::Kind>(key: &'static str, path: &Path) -> Result<Vec<T>, TlsError> {
    let file = |error| TlsError::File { key, path: path.to_owned(), error };
    let text = fs::read(path).map_err(|error| file(error.to_string()))?;
    let text = files::without_mark(&text);
    match T::pem_slice_iter(text).collect::<Result<Vec<T>, _>>() {
        Ok(items) if !items.is_empty() => Ok(items),
        Ok(_) => Err(file(files::none_of::<T>(text))),
        Err(error) => Err(file(files::malformed(text, &error))),
    }
}
