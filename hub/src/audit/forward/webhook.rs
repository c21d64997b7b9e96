//! Records as HTTP POSTs: JSON objects, one a line, signed.
//!
//! `Cmdr-Timestamp` holds seconds since 1970, `Cmdr-Signature` holds `v1=` and the HMAC-SHA256 of the
//! timestamp, a full stop and the body, in hexadecimal, made with the shared secret. Any answer of the
//! 200s means that the batch was taken; anything else is tried again.

use super::{Sink, line};
use crate::config;
use anyhow::{Context as _, ensure};
use cmdr_link::{clock, files};
use cmdr_protocol::audit::Record;
use data_encoding::HEXLOWER;
use ring::hmac;
use std::sync::Arc;
use std::time::Duration;
use ureq::tls::{RootCerts, TlsConfig};

const PATIENCE: Duration = Duration::from_secs(15);

/// A sink.
pub(super) struct Webhook {
    url: String,
    key: hmac::Key,
    agent: ureq::Agent,
}

impl Webhook {
    pub(super) fn new(config: &config::Webhook) -> anyhow::Result<Self> {
        let url = config.url.clone();
        ensure!(
            url.starts_with("https://") || url.starts_with("http://"),
            "audit.webhook: url '{url}' begins neither with https:// nor with http://"
        );
        let path = &config.secret_file;
        let reading = || format!("audit.webhook: reading the secret in {}", path.display());
        let secret = files::read_private(path, 4096).with_context(reading)?;
        let secret = secret.trim_ascii();
        ensure!(
            secret.len() >= 16,
            "audit.webhook: the secret in {} has fewer than 16 characters",
            path.display()
        );
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::PlatformVerifier)
            .unversioned_rustls_crypto_provider(provider)
            .build();
        let agent = ureq::Agent::config_builder()
            .tls_config(tls)
            .timeout_global(Some(PATIENCE))
            .max_redirects(0)
            .user_agent(concat!("cmdr-hub/", env!("CARGO_PKG_VERSION")))
            .build()
            .new_agent();
        Ok(Self { url, key: hmac::Key::new(hmac::HMAC_SHA256, secret), agent })
    }
}

impl Sink for Webhook {
    fn send(&mut self, records: &[Record]) -> Result<(), String> {
        let mut body = String::new();
        for record in records {
            body += &line(record)?;
            body.push('\n');
        }
        let timestamp = (clock::now_ms() / 1000).to_string();
        let mut signing = hmac::Context::with_key(&self.key);
        signing.update(timestamp.as_bytes());
        signing.update(b".");
        signing.update(body.as_bytes());
        let signature = format!("v1={}", HEXLOWER.encode(signing.sign().as_ref()));
        let answer = self
            .agent
            .post(&self.url)
            .header("Content-Type", "application/x-ndjson")
            .header("Cmdr-Timestamp", &timestamp)
            .header("Cmdr-Signature", &signature)
            .send(body);
        match answer {
            Ok(answer) if answer.status().is_success() => Ok(()),
            Ok(answer) => Err(format!("{} answered {}", self.url, answer.status())),
            Err(e) => Err(format!("posting to {}: {e}", self.url)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn webhook(url: &str, secret: &[u8]) -> anyhow::Result<Webhook> {
        let dir = tempfile::tempdir()?;
        let secret_file = dir.path().join("secret");
        files::write_private(&secret_file, secret)?;
        Webhook::new(&config::Webhook { url: url.to_owned(), secret_file })
    }

    #[test]
    fn a_server_that_proves_no_certificate_gets_nothing_over_https() {
        use std::io::Read as _;
        let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("https://{}/", server.local_addr().unwrap());
        let heard = std::thread::spawn(move || {
            let (mut tcp, _) = server.accept().unwrap();
            let mut bytes = [0; 4096];
            let read = tcp.read(&mut bytes).unwrap();
            bytes[..read].to_vec()
        });
        let mut sink = webhook(&url, b"a secret of some length").unwrap();
        let record = Record { operator: "somebody".to_owned(), ..Record::default() };
        let error = sink.send(&[record]).unwrap_err();
        assert!(error.contains("posting to https://"), "{error}");
        let heard = heard.join().unwrap();
        // A TLS hello, and no word of the record.
        assert_eq!(heard[0], 0x16);
        assert!(!heard.windows(8).any(|w| w == b"somebody"));
    }

    #[test]
    fn a_wrong_address_or_a_short_secret_is_said_at_once() {
        let error = |url, secret: &[u8]| webhook(url, secret).err().unwrap().to_string();
        assert!(error("ftp://x", b"a secret of some length").contains("begins neither"));
        assert!(error("https://x", b"short\n").contains("fewer than 16"));
    }
}
