//! One request to a target, and what its answer means.

use super::settings::Settings;
use crate::login::tls;
use crate::vault::Vault;
use cmdr_link::files;
use cmdr_protocol::display::clean_to_width;
use data_encoding::BASE64;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use zeroize::Zeroizing;

/// Finding a server and connecting to it may take so long.
const CONNECT: Duration = Duration::from_secs(5);
/// All of a request.
const PATIENCE: Duration = Duration::from_secs(30);
/// Bytes of an answer that are read.
const ANSWER: u64 = 4096;
/// A server that wants to be left alone for longer is asked after this.
const LONGEST: Duration = Duration::from_mins(5);
/// Bytes of a file with a token or a password.
const SECRET: u64 = 16 << 10;

/// What came of a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// It has taken all of it.
    Taken,
    /// It will never take this.
    Refused(String),
    /// It may take it later; not before this has passed, where it said so.
    Later(String, Option<Duration>),
}

/// The way to a target.
#[derive(Debug)]
pub(super) struct Post {
    agent: ureq::Agent,
}

impl Post {
    /// Fails when the certificates in a file cannot be read.
    pub(super) fn new(settings: &Settings) -> Result<Self, String> {
        let roots = match &settings.ca_file {
            None => RootCerts::PlatformVerifier,
            Some(path) => {
                let all = tls::certificates(path)?;
                let all = all.iter().map(|der| Certificate::from_der(der.as_ref()).to_owned());
                RootCerts::Specific(Arc::new(all.collect()))
            }
        };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = TlsConfig::builder()
            .root_certs(roots)
            .unversioned_rustls_crypto_provider(provider)
            .build();
        let agent = ureq::Agent::config_builder()
            .tls_config(tls)
            .proxy(None)
            .timeout_connect(Some(CONNECT))
            .timeout_global(Some(PATIENCE))
            .max_redirects(0)
            .max_redirects_will_error(false)
            .http_status_as_error(false)
            .user_agent(concat!("cmdr-hub/", env!("CARGO_PKG_VERSION")))
            .build()
            .new_agent();
        Ok(Self { agent })
    }

    /// Sends a body. Blocks, no longer than its patience.
    pub(super) fn send(
        &self,
        settings: &Settings,
        authorization: Option<&str>,
        body: &[u8],
    ) -> Answer {
        let mut request = self
            .agent
            .post(&settings.url)
            .header("Content-Type", "application/x-protobuf")
            .header("Content-Encoding", "snappy")
            .header("X-Prometheus-Remote-Write-Version", "0.1.0");
        for (name, value) in &settings.headers {
            request = request.header(name, value);
        }
        if let Some(text) = authorization {
            request = request.header("Authorization", text);
        }
        match request.send(body) {
            Ok(mut answer) => {
                let status = answer.status().as_u16();
                let wait = answer.headers().get("retry-after");
                let wait = wait.and_then(|text| text.to_str().ok()?.trim().parse().ok());
                let said = answer.body_mut().with_config().limit(ANSWER).lossy_utf8(true);
                // What is longer than that says nothing to us.
                let said = said.read_to_string().unwrap_or_default();
                meant(status, wait.map(Duration::from_secs), &said)
            }
            Err(e) => Answer::Later(clean_to_width(&e.to_string(), 200), None),
        }
    }
}

/// What a status means. What somebody can mend without these samples being other ones is tried again: a wrong password, a
/// path that is not there.
fn meant(status: u16, wait: Option<Duration>, said: &str) -> Answer {
    let line = said.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    let said = match line.trim() {
        "" => format!("it answered {status}"),
        line => format!("it answered {status}: {}", clean_to_width(line, 160)),
    };
    match status {
        200..=299 => Answer::Taken,
        400 | 413 | 422 => Answer::Refused(said),
        _ => Answer::Later(said, wait.map(|wait| wait.min(LONGEST))),
    }
}

/// What a target is told of who sends. Read anew for each turn: it may be replaced at any time.
pub(super) fn authorization(
    settings: &Settings,
    vault: &Vault,
) -> Result<Option<Zeroizing<String>>, String> {
    let of = |file: Option<&Path>, secret: &str| -> Result<Option<Zeroizing<String>>, String> {
        let bytes = match (file, secret) {
            (Some(path), _) => {
                let read = files::read_private(path, SECRET);
                Zeroizing::new(read.map_err(|e| format!("reading {}: {e}", path.display()))?)
            }
            (None, "") => return Ok(None),
            (None, name) => vault
                .secret(name, "remote write")
                .map_err(|e| e.to_string())?
                .ok_or_else(|| format!("there is no secret '{name}'; cmdr secrets put makes it"))?,
        };
        let text = std::str::from_utf8(&bytes).map_err(|_| "it is no text".to_owned())?;
        Ok(Some(Zeroizing::new(text.trim().to_owned())))
    };
    if let Some(token) = of(settings.bearer_file.as_deref(), &settings.bearer_secret)? {
        return Ok(Some(Zeroizing::new(format!("Bearer {}", *token))));
    }
    if let Some(password) = of(settings.password_file.as_deref(), &settings.password_secret)? {
        let both = Zeroizing::new(format!("{}:{}", settings.user, *password));
        return Ok(Some(Zeroizing::new(format!("Basic {}", BASE64.encode(both.as_bytes())))));
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_wrong_with_the_samples_themselves_is_refused_for_good() {
        assert_eq!(meant(204, None, ""), Answer::Taken);
        for status in [400, 413, 422] {
            assert!(matches!(meant(status, None, "out of order"), Answer::Refused(_)), "{status}");
        }
        for status in [301, 401, 403, 404, 408, 429, 500, 503] {
            assert!(matches!(meant(status, None, ""), Answer::Later(_, None)), "{status}");
        }
        let hour = Some(Duration::from_hours(1));
        let later = Answer::Later("it answered 429: slow down".into(), Some(LONGEST));
        assert_eq!(meant(429, hour, "\nslow down\nplease"), later);
    }
}
