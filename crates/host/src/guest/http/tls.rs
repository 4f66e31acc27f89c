//! TLS by rustls, and whom it trusts: the node's roots, and those that the pod brings.
//!
//! Roots are read for the first `https` request and not before: a guest that makes none pays nothing for them.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use rustix::fs::{CWD, Dir, FileType, Mode, OFlags, ResolveFlags, openat, openat2};
use rustls::client::Resumption;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use wasmtime_wasi_http::Error;

use super::connection::Connection;
use super::errors;

/// Where most images have their roots.
const USUAL: &str = "/etc/ssl/certs/ca-certificates.crt";

/// The largest file of certificates that is read, in bytes.
const LARGEST: u64 = 4 << 20;
/// The most files of a folder of certificates.
const MOST_FILES: usize = 1024;
/// Sessions that may be resumed.
const SESSIONS: usize = 32;

const HTTP2: &[u8] = b"h2";

/// Where the certificates are that a guest trusts.
#[derive(Debug)]
pub(in crate::guest) struct Roots {
    node: Option<File>,
    /// The directory that is the guest's `/`.
    guest: Option<PathBuf>,
    /// `SSL_CERT_FILE` and `SSL_CERT_DIR` of the guest's environment, as OpenSSL reads them.
    file: Option<String>,
    folders: Option<String>,
}

impl Roots {
    pub fn new(node: Option<File>, guest: Option<&Path>, env: &[(String, String)]) -> Self {
        let variable = |wanted: &str| {
            env.iter()
                .find(|(name, value)| name == wanted && !value.is_empty())
                .map(|(_, value)| value.clone())
        };
        Self {
            node,
            guest: guest.map(Path::to_owned),
            file: variable("SSL_CERT_FILE"),
            folders: variable("SSL_CERT_DIR"),
        }
    }

    /// Reads all of them. A file that the pod names and that cannot be read is an error: without it, every connection
    /// would fail for a reason that nobody could guess.
    fn read(&self) -> Result<RootCertStore, String> {
        let mut store = RootCertStore::empty();
        if let Some(node) = &self.node {
            add(&mut store, &bytes(node).map_err(|error| format!("the node's root certificates: {error}"))?);
        }
        if let Some(guest) = &self.guest {
            let guest = openat(CWD, guest, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
                .map_err(|error| format!("the root file system: {error}"))?;
            if let Ok(usual) = open(&guest, USUAL).and_then(|file| bytes(&file)) {
                add(&mut store, &usual);
            }
            if let Some(path) = &self.file {
                let named = open(&guest, path).and_then(|file| bytes(&file));
                add(&mut store, &named.map_err(|error| format!("SSL_CERT_FILE={path}: {error}"))?);
            }
            for folder in self.folders.iter().flat_map(|folders| folders.split(':')).filter(|f| !f.is_empty())
            {
                for file in
                    files(&guest, folder).map_err(|error| format!("SSL_CERT_DIR={folder}: {error}"))?
                {
                    // A folder holds all sorts of things.
                    if let Ok(bytes) = open(&guest, &file).and_then(|file| bytes(&file)) {
                        add(&mut store, &bytes);
                    }
                }
            }
        }
        if store.is_empty() {
            return Err("there are no root certificates, neither of the node nor of the container".to_owned());
        }
        Ok(store)
    }
}

/// Adds the certificates among the PEM sections; what is none, or is no root that could be used, is passed over.
fn add(store: &mut RootCertStore, pem: &[u8]) {
    store.add_parsable_certificates(CertificateDer::pem_slice_iter(pem).flatten());
}

/// Opens a file below the guest's root, as the guest itself would find it.
fn open(guest: &OwnedFd, path: &str) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let inside = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let file = openat2(guest, path, flags, Mode::empty(), inside)?;
    let kind = FileType::from_raw_mode(rustix::fs::fstat(&file)?.st_mode);
    match kind {
        FileType::RegularFile | FileType::Directory => Ok(file.into()),
        _ => Err(io::Error::new(io::ErrorKind::InvalidInput, "is no regular file")),
    }
}

fn files(guest: &OwnedFd, folder: &str) -> io::Result<Vec<String>> {
    let mut names: Vec<String> = Dir::read_from(open(guest, folder)?)?
        .filter_map(Result::ok)
        .filter(|entry| entry.file_type() != FileType::Directory)
        .map(|entry| format!("{folder}/{}", entry.file_name().to_string_lossy()))
        .take(MOST_FILES)
        .collect();
    names.sort();
    Ok(names)
}

fn bytes(mut file: &File) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if file.by_ref().take(LARGEST + 1).read_to_end(&mut bytes)? as u64 > LARGEST {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("has more than {LARGEST} bytes")));
    }
    Ok(bytes)
}

/// What a guest's TLS connections have in common.
pub(super) struct Tls {
    roots: Roots,
    config: OnceLock<Result<Arc<ClientConfig>, String>>,
}

impl Tls {
    pub fn new(roots: Roots) -> Self {
        Self { roots, config: OnceLock::new() }
    }

    /// Shakes hands with the server that was asked for as `host`, which its certificate has to name.
    pub async fn connect(&self, host: &str, stream: TcpStream) -> Result<Connection, Error> {
        let name = ServerName::try_from(host.strip_suffix('.').unwrap_or(host).to_owned())
            .map_err(|_| Error::HttpRequestUriInvalid)?;
        let config = self.config.get_or_init(|| self.configure()).clone();
        let config = config.map_err(|why| Error::InternalError(Some(why)))?;
        let stream =
            TlsConnector::from(config).connect(name, stream).await.map_err(|error| errors::of_tls(&error))?;
        let http2 = stream.get_ref().1.alpn_protocol() == Some(HTTP2);
        Ok(Connection { stream: Box::new(stream), http2 })
    }

    fn configure(&self) -> Result<Arc<ClientConfig>, String> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_root_certificates(self.roots.read()?)
            .with_no_client_auth();
        config.alpn_protocols = vec![HTTP2.to_vec(), b"http/1.1".to_vec()];
        config.resumption = Resumption::in_memory_sessions(SESSIONS);
        Ok(Arc::new(config))
    }
}
