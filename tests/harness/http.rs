//! A program that speaks HTTPS to a hub, and servers that hear what the hub posts.

use crate::World;
use crate::directory::certificates;
use cmdr_hub::api::Settings;
use cmdr_link::bearer::Bearer;
use cmdr_link::{Client, SecretKey, keys};
use cmdr_protocol::keys::{Create, Http};
use cmdr_protocol::roles::Grant;
use serde_json::Value;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

/// Settings for an interface on this machine, with certificates of its own.
pub fn settings(dir: &Path) -> Settings {
    certificates(dir);
    let key_file = dir.join("api.key");
    let key = std::fs::read(dir.join("server.key")).unwrap();
    cmdr_link::files::write_private(&key_file, &key).unwrap();
    Settings {
        listen: vec!["127.0.0.1:0".to_owned()],
        certificate_file: dir.join("server.pem"),
        key_file,
        ..Settings::default()
    }
}

/// Makes a key for HTTP that may do this; its text.
pub async fn key(client: &Client, name: &str, scope: Vec<Grant>) -> String {
    let secret = SecretKey::generate().unwrap();
    let bearer = Bearer::generate(keys::key_id(&secret.public())).unwrap();
    let create = Create {
        key: secret.public(),
        name: name.to_owned(),
        scope,
        networks: Vec::new(),
        ttl_s: 3600,
        http: Some(Http { hash: bearer.hash().to_vec(), signing: bearer.signing().to_vec() }),
    };
    client.call(None, &create, Duration::from_secs(10)).await.unwrap();
    bearer.to_text().to_string()
}

/// What is allowed: everything that the operator is.
pub fn everything() -> Vec<Grant> {
    vec![Grant { verbs: vec!["*".to_owned()], ..Grant::default() }]
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.text()))
    }

    /// The body as lines of JSON.
    pub fn lines(&self) -> Vec<Value> {
        self.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// A header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// The sentence of a problem, which it has to be.
    pub fn problem(&self) -> String {
        assert_eq!(
            self.header("content-type"),
            Some("application/problem+json"),
            "{}",
            self.text()
        );
        let json = self.json();
        assert_eq!(json["status"], self.status, "{json}");
        json["detail"].as_str().unwrap().to_owned()
    }
}

/// A program.
#[derive(Clone, Debug)]
pub struct Program {
    agent: ureq::Agent,
    base: String,
    bearer: Option<String>,
}

impl Program {
    /// One that trusts the certificates of `dir` and shows this key.
    pub fn new(world: &World, dir: &Path, bearer: Option<&str>) -> Self {
        let pem = std::fs::read(dir.join("ca.pem")).unwrap();
        let ca = Certificate::from_pem(&pem).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::Specific(Arc::new(vec![ca])))
            .unversioned_rustls_crypto_provider(provider)
            .build();
        let agent = ureq::Agent::config_builder()
            .tls_config(tls)
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_mins(1)))
            .build()
            .new_agent();
        let base = format!("https://{}", world.api.expect("the interface is configured"));
        Self { agent, base, bearer: bearer.map(str::to_owned) }
    }

    /// The same with another key.
    #[must_use]
    pub fn with(&self, bearer: Option<&str>) -> Self {
        Self { bearer: bearer.map(str::to_owned), ..self.clone() }
    }

    /// Sends a request.
    pub async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Answer {
        let mut request =
            ureq::http::Request::builder().method(method).uri(format!("{}{path}", self.base));
        if let Some(bearer) = &self.bearer {
            request = request.header("Authorization", format!("Bearer {bearer}"));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(body).unwrap();
        let agent = self.agent.clone();
        tokio::task::spawn_blocking(move || {
            let mut answer = agent.run(request).unwrap();
            let headers = answer.headers().iter();
            Answer {
                status: answer.status().as_u16(),
                headers: headers
                    .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
                    .collect(),
                body: answer.body_mut().read_to_vec().unwrap(),
            }
        })
        .await
        .unwrap()
    }

    /// Asks for something.
    pub async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], Vec::new()).await
    }

    /// Sends JSON.
    pub async fn json(&self, method: &str, path: &str, body: &Value) -> Answer {
        let headers = [("Content-Type", "application/json")];
        self.send(method, path, &headers, body.to_string().into_bytes()).await
    }
}
