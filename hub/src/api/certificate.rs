//! The hub's certificate for HTTPS, read again when its files change.

use super::settings::Settings;
use anyhow::{Context as _, ensure};
use cmdr_link::files;
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(5);
/// Bytes of a file.
const LARGEST: u64 = 1 << 20;

/// What the listener proves itself with.
#[derive(Debug)]
pub(super) struct Certificate {
    chain: PathBuf,
    key: PathBuf,
    now: RwLock<Arc<ServerConfig>>,
}

/// What tells one content of a file from another.
type Stamp = Option<(u64, u64, i64, i64)>;

fn stamp(path: &Path) -> Stamp {
    let meta = std::fs::metadata(path).ok()?;
    Some((meta.ino(), meta.len(), meta.mtime(), meta.mtime_nsec()))
}

fn read(certificate: &Path, key: &Path) -> anyhow::Result<Arc<ServerConfig>> {
    let reading = |path: &Path| format!("reading {}", path.display());
    let size = std::fs::metadata(certificate).with_context(|| reading(certificate))?.len();
    ensure!(size <= LARGEST, "{} is larger than 1 MiB", certificate.display());
    let pem = std::fs::read(certificate).with_context(|| reading(certificate))?;
    let chain =
        CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>().map_err(|e| {
            anyhow::anyhow!("{} has no certificate in PEM form: {e}", certificate.display())
        })?;
    ensure!(!chain.is_empty(), "{} has no certificate in PEM form", certificate.display());
    let secret =
        zeroize::Zeroizing::new(files::read_private(key, LARGEST).with_context(|| reading(key))?);
    let secret = PrivateKeyDer::from_pem_slice(&secret)
        .map_err(|e| anyhow::anyhow!("{} has no key in PEM form: {e}", key.display()))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .context("setting up TLS")?
        .with_no_client_auth()
        .with_single_cert(chain, secret)
        .with_context(|| {
            format!(
                "the certificate in {} and the key in {} do not go together",
                certificate.display(),
                key.display()
            )
        })?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

impl Certificate {
    pub(super) fn load(settings: &Settings) -> anyhow::Result<Self> {
        let (certificate, key) = (settings.certificate_file.clone(), settings.key_file.clone());
        ensure!(
            !certificate.as_os_str().is_empty() && !key.as_os_str().is_empty(),
            "api: certificate_file and key_file have to be given: it speaks nothing but HTTPS"
        );
        let now = RwLock::new(read(&certificate, &key).context("api")?);
        Ok(Self { chain: certificate, key, now })
    }

    /// What to prove with now.
    pub(super) fn now(&self) -> Arc<ServerConfig> {
        self.now.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reads the files again whenever they change, for good. What cannot be used leaves the old one.
    pub(super) async fn renew(&self) {
        let look = || (stamp(&self.chain), stamp(&self.key));
        let mut known = look();
        let mut tick = tokio::time::interval(LOOK);
        loop {
            tick.tick().await;
            let new = look();
            if new == known {
                continue;
            }
            known = new;
            match read(&self.chain, &self.key) {
                Ok(config) => {
                    *self.now.write().unwrap_or_else(PoisonError::into_inner) = config;
                    tracing::info!("the certificate of the HTTP interface was read anew");
                }
                Err(e) => tracing::warn!(
                    "the changed certificate of the HTTP interface cannot be used, so the old one is: {e:#}"
                ),
            }
        }
    }
}
