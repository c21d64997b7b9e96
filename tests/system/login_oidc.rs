//! People whom an OpenID Connect provider knows: a real one with somebody at a browser, and one of the
//! test's own that lies.

use cmdr_hub::login::groups::role_of;
use cmdr_hub::login::oidc::{Settings, Started, begin, finish};
use cmdr_hub::login::person::{Person, Unable};
use cmdr_link::clock;
use cmdr_protocol::role::Role;
use data_encoding::BASE64URL_NOPAD;
use harness::provider::{Browser, Provider, settings};
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

async fn start(settings: &Settings) -> Started {
    begin(settings, None).await.unwrap()
}

/// The person's side, while the hub waits.
async fn at_browser(started: &Started, does: impl FnOnce(&mut Browser, &str) + Send + 'static) {
    let address = started.verification_uri_complete.clone().unwrap();
    tokio::task::spawn_blocking(move || does(&mut Browser::new(), &address)).await.unwrap();
}

#[tokio::test]
async fn somebody_confirms_in_a_browser_and_is_known_with_their_groups() {
    let provider = Provider::start(600);
    for client in ["cmdr", "cmdr-secret"] {
        let settings = provider.settings(client);
        let started = start(&settings).await;
        assert!(started.verification_uri.starts_with(&provider.issuer()));
        assert!((500..=600).contains(&started.expires_in));
        let waiting = tokio::spawn({
            let (settings, started) = (settings.clone(), started.clone());
            async move { finish(&settings, None, started).await }
        });
        at_browser(&started, |browser, address| browser.confirm(address, "alice")).await;
        let alice = waiting.await.unwrap().unwrap_or_else(|e| panic!("{e}\n{}", provider.log()));
        let groups = vec!["ops".to_owned(), "dev-web".to_owned()];
        let full_name = "Alice Ångström".to_owned();
        assert!(alice.refresh.is_some());
        let alice = alice.person;
        assert_eq!(alice, Person { name: "alice".to_owned(), full_name, groups });
        assert_eq!(role_of(&alice.groups, &settings.groups), Some(Role::OPERATOR));
        // A code serves once.
        assert!(finish(&settings, None, started).await.is_err());
    }
}

#[tokio::test]
async fn somebody_without_groups_is_known_and_has_no_role() {
    let provider = Provider::start(600);
    let settings = provider.settings("cmdr");
    let started = start(&settings).await;
    at_browser(&started, |browser, address| browser.confirm(address, "bob")).await;
    let bob = finish(&settings, None, started).await.unwrap().person;
    assert_eq!((bob.name.as_str(), role_of(&bob.groups, &settings.groups)), ("bob", None));
}

#[tokio::test]
async fn who_says_no_in_the_browser_does_not_get_in() {
    let provider = Provider::start(600);
    let settings = provider.settings("cmdr");
    let started = start(&settings).await;
    at_browser(&started, Browser::deny).await;
    let asked = finish(&settings, None, started).await;
    assert!(
        matches!(&asked, Err(Unable::Refused(why)) if why.contains("access_denied")),
        "{asked:?}"
    );
}

#[tokio::test]
async fn a_code_that_nobody_confirms_ends_in_time() {
    let provider = Provider::start(7);
    let settings = provider.settings("cmdr");
    let (started, begun) = (start(&settings).await, Instant::now());
    let asked = finish(&settings, None, started).await;
    assert!(matches!(&asked, Err(Unable::Refused(why)) if why.contains("in time")), "{asked:?}");
    assert!(begun.elapsed() < Duration::from_secs(9));
}

#[tokio::test]
async fn a_client_that_the_provider_does_not_know_is_a_mistake_in_the_settings() {
    let provider = Provider::start(600);
    for settings in [provider.settings("stranger"), {
        let mut settings = provider.settings("cmdr-secret");
        settings.client_secret_file = None;
        settings
    }] {
        let asked = begin(&settings, None).await.map(|_| ());
        assert!(matches!(asked, Err(Unable::Misconfigured(_))), "{asked:?}");
    }
    let mut elsewhere = provider.settings("cmdr").clone();
    elsewhere.issuer = format!("{}/", provider.issuer()).try_into().unwrap();
    let asked = begin(&elsewhere, None).await.map(|_| ());
    assert!(
        matches!(&asked, Err(Unable::Misconfigured(why)) if why.contains("calls itself")),
        "{asked:?}"
    );
}

/// A provider that answers as the test wants.
#[derive(Clone)]
struct Liar {
    address: String,
    /// Answers to questions for tokens, one after the other; the last one stays.
    tokens: Arc<Mutex<VecDeque<(u16, String)>>>,
    device: Arc<Mutex<Value>>,
    jwks: Arc<Mutex<VecDeque<String>>>,
    key: Arc<Ed25519KeyPair>,
    asked: Arc<Mutex<Vec<String>>>,
}

fn pair() -> Ed25519KeyPair {
    let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
    Ed25519KeyPair::from_pkcs8(document.as_ref()).unwrap()
}

fn jwks(key: &Ed25519KeyPair, id: &str) -> String {
    let x = BASE64URL_NOPAD.encode(key.public_key().as_ref());
    json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "x": x, "kid": id, "use": "sig"}]}).to_string()
}

impl Liar {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let key = pair();
        let device = json!({
            "device_code": "d", "user_code": "ABCD", "expires_in": 600, "interval": 1,
            "verification_uri": format!("{address}/go"),
        });
        let jwks = VecDeque::from([jwks(&key, "1")]);
        let liar = Self {
            address,
            tokens: Arc::default(),
            device: Arc::new(Mutex::new(device)),
            jwks: Arc::new(Mutex::new(jwks)),
            key: Arc::new(key),
            asked: Arc::default(),
        };
        let server = liar.clone();
        tokio::spawn(async move {
            while let Ok((mut tcp, _)) = listener.accept().await {
                let server = server.clone();
                tokio::spawn(async move {
                    let mut bytes = Vec::new();
                    while !bytes.windows(4).any(|w| w == b"\r\n\r\n") {
                        if tcp.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
                            return;
                        }
                    }
                    let text = String::from_utf8_lossy(&bytes).into_owned();
                    let path = text.split(' ').nth(1).unwrap_or_default().to_owned();
                    let (status, body) = server.answer(&path);
                    let more = if status == 302 { "Location: /elsewhere\r\n" } else { "" };
                    let head = format!(
                        "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\n{more}\
                         Content-Length: {}\r\nConnection: close\r\n\r\n",
                        body.len()
                    );
                    tcp.write_all(head.as_bytes()).await.ok();
                    tcp.write_all(body.as_bytes()).await.ok();
                    // What is left of the question must not reset the answer.
                    tcp.shutdown().await.ok();
                    while tcp
                        .read_buf(&mut bytes)
                        .await
                        .is_ok_and(|n| n > 0 && bytes.len() < 1 << 20)
                    {}
                });
            }
        });
        liar
    }

    fn answer(&self, path: &str) -> (u16, String) {
        fn next<T: Clone>(of: &Mutex<VecDeque<T>>) -> Option<T> {
            let mut of = of.lock().unwrap();
            if of.len() > 1 { of.pop_front() } else { of.front().cloned() }
        }
        self.asked.lock().unwrap().push(path.to_owned());
        let at = |path: &str| format!("{}{path}", self.address);
        match path {
            "/.well-known/openid-configuration" => (
                200,
                json!({
                    "issuer": self.address, "token_endpoint": at("/token"),
                    "device_authorization_endpoint": at("/device"), "jwks_uri": at("/jwks"),
                })
                .to_string(),
            ),
            "/device" => (200, self.device.lock().unwrap().to_string()),
            "/token" => next(&self.tokens).unwrap(),
            "/jwks" => (200, next(&self.jwks).unwrap()),
            _ => (404, "{}".to_owned()),
        }
    }

    fn settings(&self) -> Settings {
        settings(&format!("issuer = \"{}\"\nclient_id = \"cmdr\"\ntimeout_s = 3\n", self.address))
    }

    /// An ID token with these claims changed, signed as the header says.
    fn id_token(&self, header: &Value, changes: Value) -> String {
        let now = clock::now_ms() / 1000;
        let mut claims = json!({
            "iss": self.address, "aud": "cmdr", "sub": "1", "iat": now, "exp": now + 300,
            "preferred_username": "mallory", "groups": ["ops"],
        });
        let Value::Object(changes) = changes else { panic!("an object") };
        claims.as_object_mut().unwrap().extend(changes);
        let encode = |value: &Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
        let signed = format!("{}.{}", encode(header), encode(&claims));
        let signature = match header["alg"].as_str().unwrap() {
            "none" => String::new(),
            "HS256" => {
                let public = self.key.public_key().as_ref();
                let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, public);
                BASE64URL_NOPAD.encode(ring::hmac::sign(&key, signed.as_bytes()).as_ref())
            }
            _ => BASE64URL_NOPAD.encode(self.key.sign(signed.as_bytes()).as_ref()),
        };
        format!("{signed}.{signature}")
    }

    async fn login(&self, tokens: &[(u16, String)]) -> Result<Person, Unable> {
        *self.tokens.lock().unwrap() = tokens.iter().cloned().collect();
        let settings = self.settings();
        let started = begin(&settings, None).await?;
        finish(&settings, None, started).await.map(|vouched| vouched.person)
    }

    async fn with(&self, header: &Value, changes: Value) -> Result<Person, Unable> {
        self.login(&[(200, granted(&self.id_token(header, changes)))]).await
    }
}

fn granted(id_token: &str) -> String {
    json!({"access_token": "a", "token_type": "Bearer", "id_token": id_token}).to_string()
}

fn problem(error: &str) -> (u16, String) {
    (400, json!({ "error": error }).to_string())
}

fn right() -> Value {
    json!({"alg": "EdDSA", "kid": "1"})
}

fn check_untrusted(asked: &Result<Person, Unable>, what: &str) {
    assert!(
        matches!(asked, Err(Unable::Down(why)) if why.contains("vouches for nobody")),
        "{what}: {asked:?}"
    );
}

#[tokio::test]
async fn a_forged_token_vouches_for_nobody() {
    let liar = Liar::start().await;
    assert_eq!(liar.with(&right(), json!({})).await.unwrap().name, "mallory");
    let now = clock::now_ms() / 1000;
    let header = |alg: &str| json!({"alg": alg, "kid": "1"});
    let mut all = Vec::new();
    for (what, header, changes) in [
        ("unsigned", header("none"), json!({})),
        ("signed with the public key", header("HS256"), json!({})),
        ("another kind of signature", header("RS256"), json!({})),
        ("for another", right(), json!({"aud": "other"})),
        ("for others too", right(), json!({"aud": ["cmdr", "other"]})),
        ("another's", right(), json!({"iss": "https://id.example"})),
        ("expired", right(), json!({"exp": now - 120})),
        ("from the future", right(), json!({"iat": now + 600})),
        ("about nobody", right(), json!({"sub": ""})),
    ] {
        let liar = liar.clone();
        let one = async move { (what, liar.clone_alone().await.with(&header, changes).await) };
        all.push(tokio::spawn(one));
    }
    for one in all {
        let (what, asked) = one.await.unwrap();
        check_untrusted(&asked, what);
    }
    // Signed by a key that the provider does not show: its keys are asked for once more, no oftener.
    let other = Liar { key: Arc::new(pair()), ..Liar::start().await };
    check_untrusted(&other.with(&right(), json!({})).await, "another key");
    let stranger = Liar::start().await;
    check_untrusted(
        &stranger.with(&json!({"alg": "EdDSA", "kid": "9"}), json!({})).await,
        "no key",
    );
    let asked = stranger.asked.lock().unwrap().iter().filter(|p| *p == "/jwks").count();
    assert_eq!(asked, 2);
}

impl Liar {
    /// Another one with its own answers.
    async fn clone_alone(&self) -> Self {
        Self::start().await
    }
}

#[tokio::test]
async fn keys_that_have_just_changed_are_asked_for_again() {
    let liar = Liar::start().await;
    let old = jwks(&pair(), "0");
    liar.jwks.lock().unwrap().push_front(old);
    assert_eq!(liar.with(&right(), json!({})).await.unwrap().name, "mallory");
}

#[tokio::test]
async fn a_provider_that_asks_for_patience_is_asked_less_often() {
    let liar = Liar::start().await;
    let token = granted(&liar.id_token(&right(), json!({})));
    let begun = Instant::now();
    let answers = [problem("authorization_pending"), problem("slow_down"), (200, token)];
    liar.login(&answers).await.unwrap();
    // One second, one more, then six.
    assert!(begun.elapsed() >= Duration::from_secs(8), "{:?}", begun.elapsed());
    for (error, kind) in [("access_denied", "refuses"), ("expired_token", "not confirmed in time")]
    {
        let asked = liar.login(&[problem(error)]).await.unwrap_err();
        assert!(asked.to_string().contains(kind), "{asked}");
    }
    let asked = liar.login(&[problem("invalid_client")]).await;
    assert!(matches!(asked, Err(Unable::Misconfigured(_))), "{asked:?}");
    // For a moment it has no answer.
    let token = granted(&liar.id_token(&right(), json!({})));
    liar.login(&[(502, String::new()), (200, token)]).await.unwrap();
}

#[tokio::test]
async fn answers_that_are_too_large_elsewhere_or_nonsense_are_not_followed() {
    let liar = Liar::start().await;
    for (answer, what) in [
        ((200, "x".repeat(1 << 20)), "larger than"),
        ((302, String::new()), "not followed"),
        ((200, "{".to_owned()), "cannot be read"),
        ((200, "[".repeat(100_000)), "cannot be read"),
        ((418, "tea".to_owned()), "answered 418"),
    ] {
        let alone = Liar::start().await;
        *alone.tokens.lock().unwrap() = VecDeque::from([answer]);
        let settings = alone.settings();
        let started = begin(&settings, None).await.unwrap();
        // Five tries with growing pauses end as one does.
        tokio::time::pause();
        let asked = finish(&settings, None, started).await;
        tokio::time::resume();
        let Err(Unable::Down(why)) = &asked else { panic!("{asked:?}") };
        assert!(why.contains(what), "{why}");
        assert!(!alone.asked.lock().unwrap().iter().any(|path| path == "/elsewhere"));
    }
    *liar.jwks.lock().unwrap() = VecDeque::from(["x".repeat(1 << 20)]);
    let asked = liar.with(&right(), json!({})).await;
    assert!(matches!(&asked, Err(Unable::Down(why)) if why.contains("larger than")), "{asked:?}");
}

#[tokio::test]
async fn what_a_provider_wants_shown_is_harmless_or_not_shown() {
    let liar = Liar::start().await;
    let good = liar.device.lock().unwrap().clone();
    for (name, value) in [
        ("user_code", json!("\u{1b}]0;x\u{7}")),
        ("user_code", json!("")),
        ("user_code", json!("x".repeat(65))),
        ("verification_uri", json!("javascript:alert(1)")),
        ("verification_uri", json!("http://evil.example/")),
        ("verification_uri", json!("https://x/\u{1b}[2J")),
        ("verification_uri", json!(format!("https://x/{}", "y".repeat(600)))),
    ] {
        let mut device = good.clone();
        device[name] = value.clone();
        *liar.device.lock().unwrap() = device;
        let asked = begin(&liar.settings(), None).await.map(|_| ());
        assert!(matches!(asked, Err(Unable::Down(_))), "{name} {value}");
    }
    let mut device = good;
    device["verification_uri_complete"] = json!("javascript:alert(1)");
    device["expires_in"] = json!(u64::MAX);
    device["interval"] = json!(u64::MAX);
    *liar.device.lock().unwrap() = device;
    let started = begin(&liar.settings(), None).await.unwrap();
    assert_eq!((started.verification_uri_complete, started.expires_in), (None, 1800));
}

#[tokio::test]
async fn a_provider_that_is_down_or_hangs_is_said_to_be() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let text =
        |port| format!("issuer = \"http://127.0.0.1:{port}\"\nclient_id = \"x\"\ntimeout_s = 1\n");
    let hanging = settings(&text(listener.local_addr().unwrap().port()));
    let gone = settings(&text(cmdr_link::port::choose()));
    for settings in [hanging, gone] {
        let begun = Instant::now();
        let asked = begin(&settings, None).await.map(|_| ());
        let Err(Unable::Down(why)) = asked else { panic!("{asked:?}") };
        assert!(why.starts_with("asking the provider http://127.0.0.1:"), "{why}");
        assert!(begun.elapsed() < Duration::from_secs(5));
    }
}
