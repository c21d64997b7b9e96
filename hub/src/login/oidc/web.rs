//! Questions to a provider over HTTP: bounded in time and size, no redirects. Each runs on a thread for
//! what blocks.

use super::Settings;
use crate::login::tls;
use data_encoding::BASE64;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use zeroize::Zeroizing;

/// Bytes of an answer.
const LARGEST: u64 = 256 * 1024;

/// Status and body.
pub(super) type Answer = Result<(u16, Vec<u8>), String>;

/// How the hub proves that it is the client.
#[derive(Clone, Copy)]
pub(super) enum Auth<'a> {
    /// Not at all.
    Public { id: &'a str },
    /// In a header.
    Basic { id: &'a str, secret: &'a Zeroizing<String> },
    /// Among the fields.
    Post { id: &'a str, secret: &'a Zeroizing<String> },
}

/// Asks.
pub(super) struct Web {
    agent: ureq::Agent,
    patience: Duration,
}

impl Web {
    pub(super) fn new(settings: &Settings) -> Result<Self, String> {
        let roots = match &settings.ca_file {
            Some(path) => {
                let all = tls::certificates(path).map_err(|why| format!("login.oidc: {why}"))?;
                let all: Vec<_> =
                    all.iter().map(|der| Certificate::from_der(der).to_owned()).collect();
                RootCerts::new_with_certs(&all)
            }
            None => RootCerts::PlatformVerifier,
        };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = TlsConfig::builder()
            .root_certs(roots)
            .unversioned_rustls_crypto_provider(provider)
            .build();
        let agent = ureq::Agent::config_builder()
            .tls_config(tls)
            .timeout_global(Some(settings.patience()))
            .max_redirects(0)
            .max_redirects_will_error(false)
            .http_status_as_error(false)
            .user_agent(concat!("cmdr-hub/", env!("CARGO_PKG_VERSION")))
            .build()
            .new_agent();
        Ok(Self { agent, patience: settings.patience() })
    }

    /// Reads an address, with a token if it wants one.
    pub(super) async fn get(&self, address: &str, token: Option<&Zeroizing<String>>) -> Answer {
        let mut request = self.agent.get(address).header("Accept", "application/json");
        if let Some(token) = token {
            request = request.header("Authorization", format!("Bearer {}", token.as_str()));
        }
        blocking(address, move || request.call()).await
    }

    /// Posts fields, until `until` at the latest.
    pub(super) async fn post(
        &self,
        address: &str,
        fields: &[(&str, &str)],
        auth: Auth<'_>,
        until: Option<Instant>,
    ) -> Answer {
        let mut form = Zeroizing::new(String::new());
        let mut add = |name: &str, value: &str| {
            if !form.is_empty() {
                form.push('&');
            }
            form.push_str(name);
            form.push('=');
            encode(&mut form, value);
        };
        for (name, value) in fields {
            add(name, value);
        }
        let left = until.map_or(self.patience, |u| u.saturating_duration_since(Instant::now()));
        let mut request = self
            .agent
            .post(address)
            .config()
            .timeout_global(Some(left.min(self.patience).max(Duration::from_millis(100))))
            .build()
            .header("Accept", "application/json")
            .header("Content-Type", "application/x-www-form-urlencoded");
        match auth {
            Auth::Public { id } => add("client_id", id),
            Auth::Post { id, secret } => {
                add("client_id", id);
                add("client_secret", secret);
            }
            Auth::Basic { id, secret } => {
                // Both encoded as in a form first (RFC 6749, 2.3.1).
                let mut pair = Zeroizing::new(String::new());
                encode(&mut pair, id);
                pair.push(':');
                encode(&mut pair, secret);
                let pair = Zeroizing::new(BASE64.encode(pair.as_bytes()));
                request = request.header("Authorization", format!("Basic {}", pair.as_str()));
            }
        }
        blocking(address, move || request.send(form.as_bytes())).await
    }
}

async fn blocking(
    address: &str,
    ask: impl FnOnce() -> Result<ureq::http::Response<ureq::Body>, ureq::Error> + Send + 'static,
) -> Answer {
    let answer = tokio::task::spawn_blocking(move || {
        let mut answer = ask().map_err(|e| e.to_string())?;
        let status = answer.status().as_u16();
        if (300..400).contains(&status) {
            return Err(format!("it sends elsewhere ({status}), which is not followed"));
        }
        let body = answer.body_mut().with_config().limit(LARGEST).read_to_vec();
        match body {
            Ok(body) => Ok((status, body)),
            Err(ureq::Error::BodyExceedsLimit(_)) => {
                Err(format!("its answer is larger than {LARGEST} bytes"))
            }
            Err(e) => Err(e.to_string()),
        }
    });
    let answer = answer.await.map_err(|_| "the question was given up".to_owned())?;
    answer.map_err(|why| format!("{address}: {why}"))
}

/// As a form's values are written.
fn encode(out: &mut String, value: &str) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(byte.into());
        } else {
            out.push('%');
            out.push(HEX[usize::from(byte >> 4)].into());
            out.push(HEX[usize::from(byte & 15)].into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_cannot_end_its_field() {
        let mut out = String::new();
        encode(&mut out, "a&b=c %+ü\n");
        assert_eq!(out, "a%26b%3Dc%20%25%2B%C3%BC%0A");
    }
}
