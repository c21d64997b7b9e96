//! People whom an OpenID Connect provider knows, by device flow (RFC 8628): `[login.oidc]`.
//!
//! The hub asks for a code, the person confirms it in a browser wherever they have one, and the hub asks
//! until that has happened. What vouches for them is the ID token, checked by `token`; what it leaves
//! out is asked of the userinfo endpoint. Whatever a provider answers is bounded and checked before
//! anybody sees it, and no redirect is followed.

mod settings;
mod token;
mod web;

pub use settings::{Issuer, Settings};

use super::person::{Person, Unable, words};
use cmdr_link::clock;
use cmdr_protocol::display::is_harmful;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};
use std::time::Duration;
use tokio::time::{Instant, sleep};
use web::{Auth, Web};
use zeroize::Zeroizing;

/// No code is waited for longer than this.
const LONGEST_WAIT: u64 = 1800;
/// Between two questions, when the provider does not say.
const INTERVAL: u64 = 5;
const LONGEST_INTERVAL: u64 = 60;
/// What `slow_down` adds (RFC 8628, 3.5).
const SLOWER: u64 = 5;
/// Questions in a row that the provider may leave without an answer.
const MOST_FAILED: u32 = 5;
/// Before keys are asked for a second time.
const KEYS_AGAIN: Duration = Duration::from_secs(1);
const LONGEST_CODE: usize = 64;
const DEVICE_GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";

/// What a provider says about itself.
#[derive(Clone, Debug, Deserialize)]
struct Provider {
    issuer: String,
    token_endpoint: String,
    device_authorization_endpoint: Option<String>,
    jwks_uri: String,
    userinfo_endpoint: Option<String>,
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
}

/// A login that waits for somebody's browser.
#[derive(Clone)]
pub struct Started {
    /// Where to go with a browser.
    pub verification_uri: String,
    /// The same with the code in it.
    pub verification_uri_complete: Option<String>,
    /// What to type there.
    pub user_code: String,
    /// Seconds for it.
    pub expires_in: u64,
    device_code: Zeroizing<String>,
    interval: u64,
    until: Instant,
    provider: Provider,
}

impl std::fmt::Debug for Started {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Started").field("user_code", &self.user_code).finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
struct DeviceAnswer {
    #[serde(deserialize_with = "wiped")]
    device_code: Zeroizing<String>,
    user_code: String,
    #[serde(alias = "verification_url")]
    verification_uri: String,
    verification_uri_complete: Option<String>,
    expires_in: u64,
    interval: Option<u64>,
}

#[derive(Deserialize)]
struct Tokens {
    #[serde(rename = "access_token", deserialize_with = "wiped")]
    access: Zeroizing<String>,
    /// Empty when there is none.
    #[serde(rename = "id_token", default, deserialize_with = "wiped")]
    id: Zeroizing<String>,
    /// As well.
    #[serde(rename = "refresh_token", default, deserialize_with = "wiped")]
    refresh: Zeroizing<String>,
}

/// Somebody whom the provider vouches for.
#[derive(Clone, PartialEq, Eq)]
pub struct Vouched {
    /// Who that is.
    pub person: Person,
    /// With this it can be asked again later; none when the provider gives none.
    pub refresh: Option<Zeroizing<String>>,
}

impl std::fmt::Debug for Vouched {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Vouched").field("person", &self.person).finish_non_exhaustive()
    }
}

fn wiped<'de, D: Deserializer<'de>>(d: D) -> Result<Zeroizing<String>, D::Error> {
    String::deserialize(d).map(Zeroizing::new)
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Problem {
    error: String,
    error_description: String,
}

impl Problem {
    fn read(body: &[u8]) -> Self {
        serde_json::from_slice(body).unwrap_or_default()
    }

    fn said(&self) -> String {
        let (error, more) = (words(&self.error), words(&self.error_description));
        if more.is_empty() { error } else { format!("{error}: {more}") }
    }
}

fn down(settings: &Settings, why: &str) -> Unable {
    Unable::Down(format!("asking the provider {}: {why}", settings.issuer))
}

fn misconfigured(settings: &Settings, why: &str) -> Unable {
    Unable::Misconfigured(format!("login.oidc: {}: {why}", settings.issuer))
}

/// Begins a login.
pub async fn begin(
    settings: &Settings,
    client_secret: Option<&Zeroizing<String>>,
) -> Result<Started, Unable> {
    settings.check().map_err(Unable::Misconfigured)?;
    let secret = settings.own_secret(client_secret)?;
    let web = Web::new(settings).map_err(Unable::Misconfigured)?;
    let provider = discover(settings, &web).await?;
    let Some(endpoint) = &provider.device_authorization_endpoint else {
        return Err(misconfigured(settings, "it offers no device flow"));
    };
    let scopes = settings.scopes.join(" ");
    let auth = provider.auth(settings, secret.as_ref());
    let (status, body) = web
        .post(endpoint, &[("scope", &scopes)], auth, None)
        .await
        .map_err(|why| down(settings, &why))?;
    if status != 200 {
        let problem = Problem::read(&body);
        return Err(match problem.error.as_str() {
            "" => down(settings, &format!("it answered {status} when asked for a code")),
            _ => misconfigured(settings, &format!("it gives no code: {}", problem.said())),
        });
    }
    let answer: DeviceAnswer = serde_json::from_slice(&body)
        .map_err(|e| down(settings, &format!("it gave a code that cannot be read: {e}")))?;
    started(settings, provider, answer).map_err(|why| down(settings, &why))
}

fn started(
    settings: &Settings,
    provider: Provider,
    answer: DeviceAnswer,
) -> Result<Started, String> {
    // These go to somebody's terminal and browser.
    let code = &answer.user_code;
    if code.is_empty() || code.len() > LONGEST_CODE || code.contains(is_harmful) {
        return Err("the code that it gave cannot be shown".to_owned());
    }
    settings.issuer.may_send_to(&answer.verification_uri)?;
    // Only a convenience: left out when it is not as it should be.
    let verification_uri_complete = answer
        .verification_uri_complete
        .filter(|address| settings.issuer.may_send_to(address).is_ok());
    let expires_in = answer.expires_in.min(LONGEST_WAIT);
    Ok(Started {
        verification_uri: answer.verification_uri,
        verification_uri_complete,
        user_code: answer.user_code,
        expires_in,
        device_code: answer.device_code,
        interval: answer.interval.unwrap_or(INTERVAL).clamp(1, LONGEST_INTERVAL),
        until: Instant::now() + Duration::from_secs(expires_in),
        provider,
    })
}

async fn discover(settings: &Settings, web: &Web) -> Result<Provider, Unable> {
    let address = settings.issuer.discovery();
    let (status, body) = web.get(&address, None).await.map_err(|why| down(settings, &why))?;
    if status != 200 {
        return Err(down(settings, &format!("{address} answered {status}")));
    }
    let provider: Provider = serde_json::from_slice(&body)
        .map_err(|e| down(settings, &format!("{address} does not describe a provider: {e}")))?;
    if provider.issuer != settings.issuer.as_str() {
        let named = words(&provider.issuer);
        return Err(misconfigured(settings, &format!("it calls itself '{named}'; write that")));
    }
    let endpoints = [&provider.token_endpoint, &provider.jwks_uri].into_iter();
    let optional = [&provider.device_authorization_endpoint, &provider.userinfo_endpoint];
    for endpoint in endpoints.chain(optional.into_iter().flatten()) {
        settings.issuer.may_ask(endpoint).map_err(|why| down(settings, &why))?;
    }
    Ok(provider)
}

impl Provider {
    /// How the hub proves that it is the client: as the provider likes it.
    fn auth<'a>(&self, settings: &'a Settings, secret: Option<&'a Zeroizing<String>>) -> Auth<'a> {
        let id = settings.client_id.as_str();
        let Some(secret) = secret else { return Auth::Public { id } };
        // Without a word it is Basic (OpenID Connect Discovery, 3).
        let methods = self.token_endpoint_auth_methods_supported.as_deref();
        let has = |name: &str| methods.is_some_and(|all| all.iter().any(|m| m == name));
        if has("client_secret_post") && !has("client_secret_basic") {
            Auth::Post { id, secret }
        } else {
            Auth::Basic { id, secret }
        }
    }
}

/// Asks until somebody has confirmed the code, or has not; then who that is.
pub async fn finish(
    settings: &Settings,
    client_secret: Option<&Zeroizing<String>>,
    started: Started,
) -> Result<Vouched, Unable> {
    settings.check().map_err(Unable::Misconfigured)?;
    let secret = settings.own_secret(client_secret)?;
    let web = Web::new(settings).map_err(Unable::Misconfigured)?;
    let tokens = poll(settings, &web, secret.as_ref(), &started).await?;
    if tokens.id.is_empty() {
        return Err(misconfigured(settings, "it gives no ID token; is 'openid' among the scopes?"));
    }
    let claims = proven(settings, &web, &started.provider, &tokens.id).await?;
    vouched(settings, &web, &started.provider, tokens, claims).await
}

/// Asks once more about somebody who has logged in before. None when the provider does not let them in
/// any more.
pub async fn again(
    settings: &Settings,
    client_secret: Option<&Zeroizing<String>>,
    refresh: &Zeroizing<String>,
) -> Result<Option<Vouched>, Unable> {
    settings.check().map_err(Unable::Misconfigured)?;
    let secret = settings.own_secret(client_secret)?;
    let web = Web::new(settings).map_err(Unable::Misconfigured)?;
    let provider = discover(settings, &web).await?;
    let form = [("grant_type", "refresh_token"), ("refresh_token", refresh.as_str())];
    let auth = provider.auth(settings, secret.as_ref());
    let asked = web.post(&provider.token_endpoint, &form, auth, None).await;
    let (status, body) = asked.map_err(|why| down(settings, &why))?;
    if status != 200 {
        let problem = Problem::read(&body);
        return match problem.error.as_str() {
            "invalid_grant" => Ok(None),
            _ => Err(down(settings, &format!("it answered {status} when asked again"))),
        };
    }
    let mut tokens: Tokens = serde_json::from_slice(&body)
        .map_err(|e| down(settings, &format!("its tokens cannot be read: {e}")))?;
    if tokens.refresh.is_empty() {
        // The one it gave before goes on to hold (RFC 6749, 6).
        tokens.refresh.clone_from(refresh);
    }
    let claims = if tokens.id.is_empty() {
        about(settings, &web, &provider, &tokens).await?
    } else {
        proven(settings, &web, &provider, &tokens.id).await?
    };
    vouched(settings, &web, &provider, tokens, claims).await.map(Some)
}

async fn vouched(
    settings: &Settings,
    web: &Web,
    provider: &Provider,
    tokens: Tokens,
    mut claims: Map<String, Value>,
) -> Result<Vouched, Unable> {
    complete(settings, web, provider, &tokens, &mut claims).await?;
    let person = person(settings, &claims)?;
    let refresh = Some(tokens.refresh).filter(|token| !token.is_empty());
    Ok(Vouched { person, refresh })
}

/// What an ID token says, once it has proven to be one.
async fn proven(
    settings: &Settings,
    web: &Web,
    provider: &Provider,
    id_token: &str,
) -> Result<Map<String, Value>, Unable> {
    let untrusted = |why: &str| down(settings, &format!("it vouches for nobody: {why}"));
    for again in [false, true] {
        let keys = keys(settings, web, provider).await?;
        let expected = token::Expected {
            issuer: settings.issuer.as_str(),
            client: &settings.client_id,
            now: clock::now_ms() / 1000,
        };
        match token::verify(id_token, &keys, &expected) {
            Ok(claims) => return Ok(claims),
            // Its keys have just changed, perhaps: once more, and no more than that.
            Err(token::Flaw::UnknownKey) if !again => sleep(KEYS_AGAIN).await,
            Err(flaw) => return Err(untrusted(&flaw.to_string())),
        }
    }
    Err(untrusted("its keys are unknown"))
}

async fn poll(
    settings: &Settings,
    web: &Web,
    secret: Option<&Zeroizing<String>>,
    started: &Started,
) -> Result<Tokens, Unable> {
    let late = || Unable::Refused("the code was not confirmed in time".to_owned());
    let (mut interval, mut failed) = (started.interval, 0);
    loop {
        let wait = Duration::from_secs(interval);
        if Instant::now() + wait >= started.until {
            return Err(late());
        }
        sleep(wait).await;
        let form = [("grant_type", DEVICE_GRANT), ("device_code", &started.device_code)];
        let auth = started.provider.auth(settings, secret);
        let endpoint = &started.provider.token_endpoint;
        let answer = web.post(endpoint, &form, auth, Some(started.until)).await;
        let (status, body) = match answer {
            Ok((status, body)) if status < 500 => (status, body),
            other => {
                let why =
                    other.map_or_else(|why| why, |(status, _)| format!("it answered {status}"));
                failed += 1;
                if failed == MOST_FAILED {
                    return Err(down(settings, &why));
                }
                // Twice as long, as RFC 8628 asks (3.5).
                interval = (interval * 2).min(LONGEST_INTERVAL);
                continue;
            }
        };
        failed = 0;
        if status == 200 {
            return serde_json::from_slice(&body)
                .map_err(|e| down(settings, &format!("its tokens cannot be read: {e}")));
        }
        let problem = Problem::read(&body);
        match problem.error.as_str() {
            "authorization_pending" => {}
            "slow_down" => interval = (interval + SLOWER).min(LONGEST_INTERVAL),
            "access_denied" => return Err(Unable::Refused(problem.said())),
            "expired_token" => return Err(late()),
            "" => {
                return Err(down(settings, &format!("it answered {status} when asked for tokens")));
            }
            _ => {
                return Err(misconfigured(
                    settings,
                    &format!("it gives no tokens: {}", problem.said()),
                ));
            }
        }
    }
}

async fn keys(
    settings: &Settings,
    web: &Web,
    provider: &Provider,
) -> Result<Vec<token::Key>, Unable> {
    let (status, body) =
        web.get(&provider.jwks_uri, None).await.map_err(|why| down(settings, &why))?;
    if status != 200 {
        return Err(down(settings, &format!("it answered {status} when asked for its keys")));
    }
    token::keys(&body).map_err(|why| down(settings, &why))
}

/// What the provider says of whom its access token is for.
async fn about(
    settings: &Settings,
    web: &Web,
    provider: &Provider,
    tokens: &Tokens,
) -> Result<Map<String, Value>, Unable> {
    let Some(endpoint) = &provider.userinfo_endpoint else {
        return Err(misconfigured(settings, "it says nothing about whom it lets in"));
    };
    let (status, body) =
        web.get(endpoint, Some(&tokens.access)).await.map_err(|why| down(settings, &why))?;
    if status != 200 {
        return Err(down(settings, &format!("it answered {status} when asked who that is")));
    }
    serde_json::from_slice(&body)
        .map_err(|e| down(settings, &format!("its user info cannot be read: {e}")))
}

/// Asks for what the ID token leaves out.
async fn complete(
    settings: &Settings,
    web: &Web,
    provider: &Provider,
    tokens: &Tokens,
    claims: &mut Map<String, Value>,
) -> Result<(), Unable> {
    let has = |claims: &Map<String, Value>, name: &str| claim(claims, name).is_some();
    if provider.userinfo_endpoint.is_none()
        || has(claims, &settings.name_claim) && has(claims, &settings.groups_claim)
    {
        return Ok(());
    }
    let more = about(settings, web, provider, tokens).await?;
    // Of the same person, or it must not be used (OpenID Connect Core, 5.3.2).
    if more.get("sub").is_none() || more.get("sub") != claims.get("sub") {
        return Err(down(settings, "its user info is about somebody else"));
    }
    for (name, value) in more {
        // What is signed holds.
        claims.entry(name).or_insert(value);
    }
    Ok(())
}

/// A claim by its name, or by a path such as `/realm_access/roles`.
fn claim<'a>(claims: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    let mut parts = name.strip_prefix('/').map(|path| path.split('/'));
    let Some(parts) = &mut parts else { return claims.get(name) };
    let first = claims.get(parts.next()?)?;
    parts.try_fold(first, |value, part| value.get(part))
}

fn person(settings: &Settings, claims: &Map<String, Value>) -> Result<Person, Unable> {
    let text = |name: &str| claim(claims, name).and_then(Value::as_str).unwrap_or_default();
    let name = text(&settings.name_claim);
    if name.is_empty() {
        let claim = &settings.name_claim;
        return Err(misconfigured(
            settings,
            &format!("it does not say '{claim}' of this person; check scopes and name_claim"),
        ));
    }
    // An address that nobody has checked may be anybody's.
    let checked = claims.get("email_verified").and_then(Value::as_bool);
    if settings.name_claim == "email" && checked != Some(true) {
        return Err(Unable::Refused("the e-mail address is not verified".to_owned()));
    }
    let groups = match claim(claims, &settings.groups_claim) {
        Some(Value::Array(all)) => {
            all.iter().filter_map(Value::as_str).map(str::to_owned).collect()
        }
        Some(Value::String(one)) => vec![one.clone()],
        _ => Vec::new(),
    };
    Person::new(name, text(&settings.full_name_claim), groups)
}

/// Reads bytes as each of the answers of a provider, for the fuzzers; whether they were taken for a token.
pub fn try_bytes(data: &[u8]) -> bool {
    drop(serde_json::from_slice::<Provider>(data));
    drop(serde_json::from_slice::<DeviceAnswer>(data));
    drop(serde_json::from_slice::<Tokens>(data));
    drop(Problem::read(data).said());
    let own = br#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;
    let expected = token::Expected { issuer: "https://id.example", client: "cmdr", now: 1 << 31 };
    let text = String::from_utf8_lossy(data);
    [own.as_slice(), data].into_iter().filter_map(|keys| token::keys(keys).ok()).any(|keys| {
        // A key of its own makes no signature by chance either.
        token::verify(&text, &keys, &expected).is_ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(more: &str) -> Settings {
        let text = format!(
            "issuer = \"https://id.example\"\nclient_id = \"cmdr\"\n{more}\n\
             groups = [{{ group = \"ops\", role = \"operator\" }}]\n"
        );
        cmdr_link::settings::parse(std::path::Path::new("hub.toml"), &text).unwrap()
    }

    fn of(more: &str, claims: &str) -> Result<Person, Unable> {
        person(&settings(more), &serde_json::from_str(claims).unwrap())
    }

    #[test]
    fn name_and_groups_come_from_the_claims_that_are_configured() {
        let claims = r#"{"preferred_username":"alice","name":"Alice","groups":["ops",3,"dev"],
                         "https://x/g":"one","realm":{"roles":["r"]}}"#;
        let plain = of("", claims).unwrap();
        assert_eq!((plain.name.as_str(), plain.full_name.as_str()), ("alice", "Alice"));
        assert_eq!(plain.groups, ["ops", "dev"]);
        assert_eq!(of("groups_claim = \"https://x/g\"", claims).unwrap().groups, ["one"]);
        assert_eq!(of("groups_claim = \"/realm/roles\"", claims).unwrap().groups, ["r"]);
        assert!(of("groups_claim = \"none\"", claims).unwrap().groups.is_empty());
        assert!(matches!(of("name_claim = \"upn\"", claims), Err(Unable::Misconfigured(_))));
    }

    #[test]
    fn an_address_is_a_name_only_when_it_is_verified() {
        let by_address = "name_claim = \"email\"";
        for (claims, right) in [
            (r#"{"email":"a@x"}"#, false),
            (r#"{"email":"a@x","email_verified":"true"}"#, false),
            (r#"{"email":"a@x","email_verified":false}"#, false),
            (r#"{"email":"a@x","email_verified":true}"#, true),
        ] {
            assert_eq!(of(by_address, claims).is_ok(), right, "{claims}");
        }
    }
}
