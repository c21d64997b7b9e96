//! Questions to a registry over HTTP: bounded in time and size, no redirects. Each runs on a thread for what blocks.
//!
//! One that wants a token of another server is asked with that; the password goes there only as the registry itself is
//! reached: encrypted, unless an administrator said otherwise.

use super::Known;
use cmdr_protocol::display::clean_to_width;
use cmdr_protocol::images::{USUAL, is_digest};
use cmdr_protocol::{CallError, ErrorKind};
use data_encoding::BASE64;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use ureq::http::{Request, StatusCode, header};
use ureq::tls::{RootCerts, TlsConfig};
use zeroize::Zeroizing;

/// Bytes of an answer.
const LARGEST: u64 = 4 << 20;
/// One question takes no longer.
const PATIENCE: Duration = Duration::from_secs(20);
/// As much of a registry's words as anybody reads.
const WORDS: usize = 300;
/// The kinds of manifests that are understood; those of several platforms first, which tags usually name.
const KINDS: &str = "application/vnd.oci.image.index.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, \
    application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.v2+json";

/// Asks one registry.
#[derive(Clone)]
pub(crate) struct Web {
    agent: ureq::Agent,
    known: Arc<Known>,
    /// The token of another server, as it was last given, with what it is for.
    token: Arc<Mutex<Option<Token>>>,
}

/// What it is for, and the token.
type Token = (String, Zeroizing<String>);

/// What a registry answered.
pub(crate) struct Found {
    pub(crate) digest: String,
    pub(crate) media_type: String,
    pub(crate) body: Vec<u8>,
    /// There is more behind it.
    pub(crate) more: bool,
}

struct Answer {
    status: StatusCode,
    challenge: String,
    found: Found,
}

impl Web {
    pub(crate) fn new(known: Known) -> Self {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::PlatformVerifier)
            .unversioned_rustls_crypto_provider(provider)
            .build();
        let agent = ureq::Agent::config_builder()
            .tls_config(tls)
            .timeout_global(Some(PATIENCE))
            .max_redirects(0)
            .max_redirects_will_error(false)
            .http_status_as_error(false)
            .user_agent(concat!("cmdr-hub/", env!("CARGO_PKG_VERSION")))
            .build()
            .new_agent();
        Self { agent, known: Arc::new(known), token: Arc::default() }
    }

    fn name(&self) -> &str {
        &self.known.record.registry
    }

    /// Asks; `attempted` says what for, `path` begins after the version, `scope` is what a token would be for.
    pub(crate) async fn ask(
        &self,
        attempted: &str,
        method: &'static str,
        path: &str,
        scope: &str,
    ) -> Result<Found, CallError> {
        let (web, path, scope) = (self.clone(), path.to_owned(), scope.to_owned());
        let answer = tokio::task::spawn_blocking(move || web.blocking(method, &path, &scope));
        let failed = |why: String| {
            let name = self.name();
            CallError::failed(format!("{attempted}: the registry {name} cannot be asked: {why}"))
        };
        let answer = answer.await.map_err(|_| failed("it was given up".to_owned()))?;
        let answer = answer.map_err(failed)?;
        if answer.status.is_success() {
            return Ok(answer.found);
        }
        Err(self.refused(attempted, &answer))
    }

    /// The same, read as JSON.
    pub(crate) async fn read<T: DeserializeOwned>(
        &self,
        attempted: &str,
        path: &str,
        scope: &str,
    ) -> Result<(T, bool), CallError> {
        let found = self.ask(attempted, "GET", path, scope).await?;
        let read = serde_json::from_slice(&found.body).map_err(|e| {
            let name = self.name();
            CallError::failed(format!(
                "{attempted}: what the registry {name} answers is no list: {e}"
            ))
        })?;
        Ok((read, found.more))
    }

    /// The digest of what a tag names now.
    pub(crate) async fn digest(&self, repository: &str, tag: &str) -> Result<String, CallError> {
        let attempted = format!("look up {repository}:{tag}");
        let path = format!("{repository}/manifests/{tag}");
        let scope = format!("repository:{repository}:pull");
        let found = self.ask(&attempted, "HEAD", &path, &scope).await?;
        if is_digest(&found.digest) {
            return Ok(found.digest);
        }
        Err(CallError::failed(format!("{attempted}: the registry {} tells no digest", self.name())))
    }

    fn blocking(&self, method: &str, path: &str, scope: &str) -> Result<Answer, String> {
        let record = &self.known.record;
        let scheme = if record.plain { "http" } else { "https" };
        // The usual one answers under another name than its images have.
        let host = if record.registry == USUAL { "registry-1.docker.io" } else { &record.registry };
        let url = format!("{scheme}://{host}/v2/{path}");
        let held = self.token.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let proof = match held {
            Some((of, token)) if of == scope => {
                Some(Zeroizing::new(format!("Bearer {}", token.as_str())))
            }
            _ => self.basic(),
        };
        let answer = self.once(method, &url, proof)?;
        let Some(challenge) = Challenge::read(&answer.challenge) else { return Ok(answer) };
        if answer.status != StatusCode::UNAUTHORIZED {
            return Ok(answer);
        }
        let token = self.token(&challenge, scope)?;
        let proof = Zeroizing::new(format!("Bearer {}", token.as_str()));
        *self.token.lock().unwrap_or_else(PoisonError::into_inner) =
            Some((scope.to_owned(), token));
        self.once(method, &url, Some(proof))
    }

    fn basic(&self) -> Option<Zeroizing<String>> {
        let name = &self.known.record.username;
        if name.is_empty() {
            return None;
        }
        let pair = Zeroizing::new(format!("{name}:{}", self.known.password.as_str()));
        let pair = Zeroizing::new(BASE64.encode(pair.as_bytes()));
        Some(Zeroizing::new(format!("Basic {}", pair.as_str())))
    }

    fn token(&self, challenge: &Challenge, scope: &str) -> Result<Zeroizing<String>, String> {
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Given {
            token: String,
            access_token: String,
        }
        if !(challenge.realm.starts_with("https://")
            || self.known.record.plain && challenge.realm.starts_with("http://"))
        {
            return Err("it sends to a place for tokens that is not encrypted".to_owned());
        }
        let mut url = format!("{}?scope={}", challenge.realm, encoded(scope));
        if !challenge.service.is_empty() {
            url = format!("{url}&service={}", encoded(&challenge.service));
        }
        let answer = self.once("GET", &url, self.basic())?;
        if !answer.status.is_success() {
            return Err(format!("its place for tokens says {}", answer.status));
        }
        let given: Given = serde_json::from_slice(&answer.found.body)
            .map_err(|e| format!("its place for tokens gave none: {e}"))?;
        let Given { token, access_token } = given;
        Ok(Zeroizing::new(if token.is_empty() { access_token } else { token }))
    }

    fn once(
        &self,
        method: &str,
        url: &str,
        proof: Option<Zeroizing<String>>,
    ) -> Result<Answer, String> {
        let mut request = Request::builder().method(method).uri(url).header(header::ACCEPT, KINDS);
        if let Some(proof) = proof {
            request = request.header(header::AUTHORIZATION, proof.as_str());
        }
        let request = request.body(()).map_err(|e| e.to_string())?;
        let mut answer = self.agent.run(request).map_err(|e| e.to_string())?;
        let text = |name: &str| {
            let value = answer.headers().get(name).and_then(|value| value.to_str().ok());
            value.unwrap_or_default().to_owned()
        };
        let (challenge, digest) = (text("www-authenticate"), text("docker-content-digest"));
        let (media_type, more) = (text("content-type"), !text("link").is_empty());
        let status = answer.status();
        if status.is_redirection() {
            return Err(format!("it sends elsewhere ({status}), which is not followed"));
        }
        let body = match answer.body_mut().with_config().limit(LARGEST).read_to_vec() {
            Ok(body) => body,
            Err(ureq::Error::BodyExceedsLimit(_)) => {
                return Err(format!("its answer is larger than {LARGEST} bytes"));
            }
            Err(e) => return Err(e.to_string()),
        };
        Ok(Answer { status, challenge, found: Found { digest, media_type, body, more } })
    }

    /// What a registry says when it does not do it.
    fn refused(&self, attempted: &str, answer: &Answer) -> CallError {
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Said {
            errors: Vec<Wrong>,
        }
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Wrong {
            code: String,
            message: String,
        }
        let said: Said = serde_json::from_slice(&answer.found.body).unwrap_or_default();
        let words = said.errors.first().map(|wrong| format!("{} ({})", wrong.message, wrong.code));
        let words = clean_to_width(&words.unwrap_or_default(), WORDS);
        let name = self.name();
        let (kind, hint) = match answer.status.as_u16() {
            401 | 403 if self.known.record.username.is_empty() => {
                (ErrorKind::Denied, "; it wants to know who asks: cmdr docker registry add")
            }
            401 | 403 => {
                (ErrorKind::Denied, "; the hub's name or password there may be out of date")
            }
            404 => (ErrorKind::NotFound, ""),
            405 => (ErrorKind::UnknownMethod, "; its owner has to allow that"),
            429 => (ErrorKind::Busy, "; try again later"),
            _ => (ErrorKind::Failed, ""),
        };
        let status = answer.status.as_u16();
        CallError::new(
            kind,
            format!("{attempted}: the registry {name} says {status} {words}{hint}"),
        )
    }
}

/// Where a token is to be had.
#[derive(Debug, Default, PartialEq, Eq)]
struct Challenge {
    realm: String,
    service: String,
}

impl Challenge {
    fn read(text: &str) -> Option<Self> {
        let (kind, mut rest) = text.split_once(' ')?;
        if !kind.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let mut challenge = Self::default();
        while let Some((name, after)) = rest.split_once("=\"") {
            let (value, left) = after.split_once('"')?;
            match name.trim_start_matches([',', ' ']) {
                "realm" => value.clone_into(&mut challenge.realm),
                "service" => value.clone_into(&mut challenge.service),
                _ => {}
            }
            rest = left;
        }
        (!challenge.realm.is_empty() && !challenge.realm.contains(['?', '#'])).then_some(challenge)
    }
}

/// As values in a query are written.
pub(crate) fn encoded(value: &str) -> String {
    use std::fmt::Write as _;
    let mut out = String::new();
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(byte.into());
        } else {
            write!(out, "%{byte:02X}").ok();
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_a_token_is_to_be_had_is_read_and_what_is_no_such_word_is_not() {
        let text = r#"Bearer realm="https://auth.example.org/token",service="reg",scope="x""#;
        let expected =
            Challenge { realm: "https://auth.example.org/token".into(), service: "reg".into() };
        assert_eq!(Challenge::read(text), Some(expected));
        for other in ["", "Basic realm=\"x\"", "Bearer", "Bearer realm=\"", "Bearer x=\"y\""] {
            assert_eq!(Challenge::read(other), None, "{other}");
        }
    }

    #[test]
    fn a_value_cannot_end_its_place_in_a_query() {
        assert_eq!(encoded("a&b=c %ü"), "a%26b%3Dc%20%25%C3%BC");
    }
}
