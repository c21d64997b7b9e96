//! Whether an ID token is one: who signed it, for whom, until when (OpenID Connect Core, 3.1.3.7).
//!
//! The keys decide what a signature may be, not the token: each key is good for the algorithms of its own
//! kind, and there are none without a public key among them.

use data_encoding::BASE64URL_NOPAD;
use ring::signature::{self, RsaPublicKeyComponents, UnparsedPublicKey};
use serde::Deserialize;
use serde_json::{Map, Value};

/// Bytes of a token.
const LONGEST: usize = 64 * 1024;
/// Keys of a provider.
const MOST_KEYS: usize = 100;
/// Seconds by which clocks may differ.
const SKEW: u64 = 60;

/// What a token must say.
pub(super) struct Expected<'a> {
    pub(super) issuer: &'a str,
    pub(super) client: &'a str,
    /// Seconds since 1970.
    pub(super) now: u64,
}

/// Why a token is none.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Flaw {
    #[error("its ID token is signed with a key that it does not show")]
    UnknownKey,
    #[error("{0}")]
    Wrong(&'static str),
}

use Flaw::Wrong;

/// A public key of the provider.
#[derive(Debug)]
pub(super) struct Key {
    id: Option<String>,
    only: Option<String>,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Rsa { n: Vec<u8>, e: Vec<u8> },
    P256(Vec<u8>),
    P384(Vec<u8>),
    Ed25519(Vec<u8>),
}

#[derive(Deserialize)]
struct KeySet {
    keys: Vec<Value>,
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    purpose: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    crit: Option<Value>,
}

fn decode(text: &str) -> Option<Vec<u8>> {
    BASE64URL_NOPAD.decode(text.trim_end_matches('=').as_bytes()).ok()
}

impl Jwk {
    fn kind(&self) -> Option<Kind> {
        let part = |text: &Option<String>| text.as_deref().and_then(decode);
        let point = |len: usize| {
            let (x, y) = (part(&self.x)?, part(&self.y)?);
            // Uncompressed, as ring reads it.
            (x.len() == len && y.len() == len).then(|| [&[4], x.as_slice(), y.as_slice()].concat())
        };
        match (self.kty.as_str(), self.crv.as_deref()) {
            ("RSA", _) => Some(Kind::Rsa { n: part(&self.n)?, e: part(&self.e)? }),
            ("EC", Some("P-256")) => point(32).map(Kind::P256),
            ("EC", Some("P-384")) => point(48).map(Kind::P384),
            ("OKP", Some("Ed25519")) => part(&self.x).filter(|x| x.len() == 32).map(Kind::Ed25519),
            _ => None,
        }
    }
}

/// The keys that a provider shows; those for other purposes or of other kinds are left out.
pub(super) fn keys(body: &[u8]) -> Result<Vec<Key>, String> {
    let set: KeySet =
        serde_json::from_slice(body).map_err(|e| format!("its keys cannot be read: {e}"))?;
    if set.keys.len() > MOST_KEYS {
        return Err(format!("it shows more than {MOST_KEYS} keys"));
    }
    let usable = |value: Value| {
        let key: Jwk = serde_json::from_value(value).ok()?;
        let signs = key.purpose.as_deref().is_none_or(|purpose| purpose == "sig");
        let kind = key.kind().filter(|_| signs)?;
        Some(Key { id: key.kid, only: key.alg, kind })
    };
    Ok(set.keys.into_iter().filter_map(usable).collect())
}

impl Key {
    /// Whether this key may have made a signature of this kind.
    fn makes(&self, alg: &str) -> bool {
        let fits = match self.kind {
            Kind::Rsa { .. } => {
                matches!(alg, "RS256" | "RS384" | "RS512" | "PS256" | "PS384" | "PS512")
            }
            Kind::P256(_) => alg == "ES256",
            Kind::P384(_) => alg == "ES384",
            Kind::Ed25519(_) => matches!(alg, "EdDSA" | "Ed25519"),
        };
        let same = |only: &str| only == alg || (alg == "EdDSA" && only == "Ed25519");
        fits && self.only.as_deref().is_none_or(same)
    }

    fn signed(&self, alg: &str, data: &[u8], signature: &[u8]) -> bool {
        match &self.kind {
            Kind::Rsa { n, e } => {
                let by = match alg {
                    "RS256" => &signature::RSA_PKCS1_2048_8192_SHA256,
                    "RS384" => &signature::RSA_PKCS1_2048_8192_SHA384,
                    "RS512" => &signature::RSA_PKCS1_2048_8192_SHA512,
                    "PS256" => &signature::RSA_PSS_2048_8192_SHA256,
                    "PS384" => &signature::RSA_PSS_2048_8192_SHA384,
                    "PS512" => &signature::RSA_PSS_2048_8192_SHA512,
                    _ => return false,
                };
                RsaPublicKeyComponents { n, e }.verify(by, data, signature).is_ok()
            }
            Kind::P256(point) => UnparsedPublicKey::new(&signature::ECDSA_P256_SHA256_FIXED, point)
                .verify(data, signature)
                .is_ok(),
            Kind::P384(point) => UnparsedPublicKey::new(&signature::ECDSA_P384_SHA384_FIXED, point)
                .verify(data, signature)
                .is_ok(),
            Kind::Ed25519(key) => {
                UnparsedPublicKey::new(&signature::ED25519, key).verify(data, signature).is_ok()
            }
        }
    }
}

/// What a token says, once it has proven to be one.
pub(super) fn verify(
    token: &str,
    keys: &[Key],
    expected: &Expected<'_>,
) -> Result<Map<String, Value>, Flaw> {
    let malformed = Wrong("its ID token cannot be read");
    if token.len() > LONGEST {
        return Err(Wrong("its ID token is too long"));
    }
    let parts: Vec<&str> = token.split('.').collect();
    let [head, body, signature] = parts.as_slice() else { return Err(malformed) };
    let json = |text: &str| BASE64URL_NOPAD.decode(text.as_bytes()).ok();
    let header: Header = json(head)
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .ok_or(Wrong("its ID token cannot be read"))?;
    if header.crit.is_some() {
        return Err(Wrong("its ID token asks for what the hub does not know"));
    }
    let signed = &token[..head.len() + 1 + body.len()];
    let Some(signature) = json(signature) else { return Err(malformed) };
    let known = [
        "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA", "Ed25519",
    ];
    if !known.contains(&header.alg.as_str()) {
        return Err(Wrong("its ID token is not signed in a way that the hub accepts"));
    }
    let named = |key: &&Key| header.kid.is_none() || key.id == header.kid;
    let mut fitting = keys.iter().filter(named).filter(|key| key.makes(&header.alg)).peekable();
    if fitting.peek().is_none() {
        return Err(Flaw::UnknownKey);
    }
    if !fitting.any(|key| key.signed(&header.alg, signed.as_bytes(), &signature)) {
        return Err(Wrong("the signature of its ID token is wrong"));
    }
    let claims: Map<String, Value> =
        json(body).and_then(|bytes| serde_json::from_slice(&bytes).ok()).ok_or(malformed)?;
    check(&claims, expected)?;
    Ok(claims)
}

fn check(claims: &Map<String, Value>, expected: &Expected<'_>) -> Result<(), Flaw> {
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    // A moment may have a fraction.
    let seconds = |name: &str| claims.get(name).and_then(Value::as_f64);
    if text("iss") != Some(expected.issuer) {
        return Err(Wrong("its ID token is another provider's"));
    }
    let (ours, alone) = match claims.get("aud") {
        Some(Value::String(one)) => (one == expected.client, true),
        Some(Value::Array(all)) => (all.iter().any(|one| one == expected.client), all.len() == 1),
        _ => (false, true),
    };
    let party = text("azp");
    let party =
        party == Some(expected.client) || (party.is_none() && alone && !claims.contains_key("azp"));
    if !ours || !party {
        return Err(Wrong("its ID token is for somebody else than the hub"));
    }
    let (now, skew) = (expected.now as f64, SKEW as f64);
    match seconds("exp") {
        Some(end) if end > now - skew => {}
        Some(_) => return Err(Wrong("its ID token has expired; do the clocks agree?")),
        None => return Err(Wrong("its ID token has no end")),
    }
    match seconds("iat") {
        Some(begin) if begin <= now + skew => {}
        Some(_) => return Err(Wrong("its ID token is from the future; do the clocks agree?")),
        None => return Err(Wrong("its ID token does not say when it was made")),
    }
    if claims.contains_key("nbf") && seconds("nbf").is_none_or(|begin| begin > now + skew) {
        return Err(Wrong("its ID token does not hold yet"));
    }
    if text("sub").is_none_or(str::is_empty) {
        return Err(Wrong("its ID token is about nobody"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use ring::rand::SystemRandom;
    use ring::signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _,
    };
    use serde_json::json;

    const EXPECTED: Expected<'_> =
        Expected { issuer: "https://id.example", client: "cmdr", now: 1_000_000 };

    struct Signer {
        key: Ed25519KeyPair,
        keys: Vec<Key>,
    }

    fn encode(value: &Value) -> String {
        BASE64URL_NOPAD.encode(value.to_string().as_bytes())
    }

    fn signer() -> Signer {
        let random = SystemRandom::new();
        let document = Ed25519KeyPair::generate_pkcs8(&random).unwrap();
        let key = Ed25519KeyPair::from_pkcs8(document.as_ref()).unwrap();
        let x = BASE64URL_NOPAD.encode(key.public_key().as_ref());
        let set = json!({"keys": [
            {"kty": "OKP", "crv": "Ed25519", "x": x, "kid": "1"},
            {"kty": "oct", "k": "c2VjcmV0", "kid": "2"},
            {"kty": "OKP", "crv": "Ed25519", "x": x, "kid": "3", "use": "enc"},
        ]});
        let keys = keys(set.to_string().as_bytes()).unwrap();
        assert_eq!(keys.len(), 1);
        Signer { key, keys }
    }

    fn claims() -> Value {
        json!({"iss": "https://id.example", "aud": "cmdr", "sub": "7", "exp": 1_000_300, "iat": 1_000_000})
    }

    impl Signer {
        fn token(&self, header: &Value, claims: &Value) -> String {
            let signed = format!("{}.{}", encode(header), encode(claims));
            let signature = BASE64URL_NOPAD.encode(self.key.sign(signed.as_bytes()).as_ref());
            format!("{signed}.{signature}")
        }

        fn with(&self, name: &str, value: Value) -> Result<Map<String, Value>, Flaw> {
            let mut all = claims();
            match value {
                Value::Null => all.as_object_mut().unwrap().remove(name),
                value => all.as_object_mut().unwrap().insert(name.to_owned(), value),
            };
            self.verify(&self.token(&json!({"alg": "EdDSA", "kid": "1"}), &all))
        }

        fn verify(&self, token: &str) -> Result<Map<String, Value>, Flaw> {
            verify(token, &self.keys, &EXPECTED)
        }
    }

    #[test]
    fn a_right_token_is_read_and_each_wrong_claim_is_refused() {
        let signer = signer();
        assert_eq!(signer.with("x", json!(1)).unwrap()["x"], 1);
        signer.with("aud", json!(["cmdr"])).unwrap();
        signer.with("exp", json!(999_950)).unwrap();
        signer.with("iat", json!(1_000_050.5)).unwrap();
        for (name, value) in [
            ("iss", json!("https://id.example/")),
            ("iss", Value::Null),
            ("aud", json!("other")),
            ("aud", json!(["cmdr", "other"])),
            ("aud", json!([])),
            ("aud", Value::Null),
            ("azp", json!("other")),
            ("azp", json!(["cmdr"])),
            ("exp", json!(999_939)),
            ("exp", json!("1000300")),
            ("exp", Value::Null),
            ("iat", json!(1_000_061)),
            ("iat", Value::Null),
            ("nbf", json!(1_000_061)),
            ("nbf", json!("now")),
            ("sub", json!("")),
            ("sub", Value::Null),
        ] {
            assert!(signer.with(name, value.clone()).is_err(), "{name} {value}");
        }
    }

    #[test]
    fn a_signature_that_the_key_did_not_make_is_refused_whatever_the_token_says_of_it() {
        let (signer, other) = (signer(), signer());
        let right = json!({"alg": "EdDSA", "kid": "1"});
        let token = signer.token(&right, &claims());
        signer.verify(&token).unwrap();
        // Signed by another, and changed after it was signed.
        assert!(signer.verify(&other.token(&right, &claims())).is_err());
        let parts: Vec<_> = token.split('.').collect();
        let mut changed = claims();
        changed["sub"] = json!("8");
        assert!(signer.verify(&format!("{}.{}.{}", parts[0], encode(&changed), parts[2])).is_err());
        // Unsigned, or signed with what everybody knows.
        for alg in ["none", "None", "", "HS256", "RS256", "ES256"] {
            let header = encode(&json!({"alg": alg, "kid": "1"}));
            let body = encode(&claims());
            let public = signer.key.public_key();
            let hmac = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, public.as_ref());
            let tag = ring::hmac::sign(&hmac, format!("{header}.{body}").as_bytes());
            for signature in
                [String::new(), BASE64URL_NOPAD.encode(tag.as_ref()), parts[2].to_owned()]
            {
                assert!(signer.verify(&format!("{header}.{body}.{signature}")).is_err(), "{alg}");
            }
        }
    }

    #[test]
    fn a_key_that_is_not_shown_is_told_from_a_wrong_signature() {
        let signer = signer();
        let unknown = signer.token(&json!({"alg": "EdDSA", "kid": "9"}), &claims());
        assert_eq!(signer.verify(&unknown), Err(Flaw::UnknownKey));
        signer.verify(&signer.token(&json!({"alg": "Ed25519"}), &claims())).unwrap();
        let critical = json!({"alg": "EdDSA", "kid": "1", "crit": ["x"]});
        assert!(signer.verify(&signer.token(&critical, &claims())).is_err());
        for token in ["", "..", "a.b", "a.b.c.d", &"x".repeat(70_000)] {
            assert!(signer.verify(token).is_err());
        }
    }

    #[test]
    fn a_key_is_good_for_its_own_kind_alone() {
        let random = SystemRandom::new();
        let by = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let document = EcdsaKeyPair::generate_pkcs8(by, &random).unwrap();
        let key = EcdsaKeyPair::from_pkcs8(by, document.as_ref(), &random).unwrap();
        let point = key.public_key().as_ref();
        let coordinate = |at: usize| BASE64URL_NOPAD.encode(&point[at..at + 32]);
        let mut jwk = json!({"kty": "EC", "crv": "P-256", "x": coordinate(1), "y": coordinate(33)});
        let signed = format!("{}.{}", encode(&json!({"alg": "ES256"})), encode(&claims()));
        let signature = key.sign(&random, signed.as_bytes()).unwrap();
        let token = format!("{signed}.{}", BASE64URL_NOPAD.encode(signature.as_ref()));
        let check = |jwk: &Value| {
            let keys = keys(json!({"keys": [jwk]}).to_string().as_bytes()).unwrap();
            verify(&token, &keys, &EXPECTED).map(|_| ())
        };
        check(&jwk).unwrap();
        jwk["alg"] = json!("ES384");
        assert_eq!(check(&jwk), Err(Flaw::UnknownKey));
        jwk["alg"] = Value::Null;
        jwk["crv"] = json!("P-384");
        assert_eq!(check(&jwk), Err(Flaw::UnknownKey));
    }
}
