//! `[login.oidc]`: the provider, and how it calls things.

use crate::login::groups::{self, Mapping};
use crate::login::person::Unable;
use cmdr_protocol::display::clean_to_width;
use serde::Deserialize;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;
use ureq::http::Uri;
use zeroize::Zeroizing;

const LONGEST_TIMEOUT: u64 = 60;
/// Bytes of an address that a provider names.
const LONGEST_ADDRESS: usize = 512;

/// A provider.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The provider's address, exactly as it calls itself.
    pub issuer: Issuer,
    /// What it calls the hub.
    pub client_id: String,
    /// The hub's secret there, by the name of a secret that the hub keeps.
    #[serde(default)]
    pub client_secret_secret: String,
    /// Or a file with it, for its owner alone.
    #[serde(default)]
    pub client_secret_file: Option<PathBuf>,
    /// What the hub asks to know.
    #[serde(default = "scopes")]
    pub scopes: Vec<String>,
    /// The claim that is the operator's name.
    #[serde(default = "preferred_username")]
    pub name_claim: String,
    /// The claim that is what they are called.
    #[serde(default = "name")]
    pub full_name_claim: String,
    /// The claim that lists their groups; a path if it begins with a slash.
    #[serde(default = "groups_claim")]
    pub groups_claim: String,
    /// The certificates that the provider must prove itself by, instead of those the system trusts.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// Seconds that one question may take.
    #[serde(default = "ten")]
    pub timeout_s: u64,
    /// Which groups have which role; the first that fits decides.
    #[serde(default)]
    pub groups: Vec<Mapping>,
}

fn scopes() -> Vec<String> {
    ["openid", "profile", "groups"].map(str::to_owned).to_vec()
}

fn preferred_username() -> String {
    "preferred_username".to_owned()
}

fn name() -> String {
    "name".to_owned()
}

fn groups_claim() -> String {
    "groups".to_owned()
}

const fn ten() -> u64 {
    10
}

/// A provider's address.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Issuer {
    text: String,
    plain: bool,
}

impl TryFrom<String> for Issuer {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let shown = clean_to_width(&text, 80);
        if text.contains(['?', '#']) {
            return Err(format!("'{shown}' has more than a provider's address has"));
        }
        let plain = !secure(&text).map_err(|why| format!("'{shown}' {why}"))?;
        Ok(Self { text, plain })
    }
}

impl fmt::Display for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Whether the address is one of https; false for http on this machine. Anything else is an error.
fn secure(address: &str) -> Result<bool, String> {
    let bad = "is no address of https:// (or http:// on this machine)";
    let printable = address.bytes().all(|b| b.is_ascii_graphic() && b != b'\\');
    if address.len() > LONGEST_ADDRESS || !printable {
        return Err(bad.to_owned());
    }
    let uri: Uri = address.parse().map_err(|_| bad.to_owned())?;
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        return Err(bad.to_owned());
    };
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    let here = host == "localhost" || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback());
    match scheme {
        _ if authority.as_str().contains('@') || host.is_empty() => Err(bad.to_owned()),
        "https" => Ok(true),
        "http" if here => Ok(false),
        _ => Err(bad.to_owned()),
    }
}

impl Issuer {
    /// As it is written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    pub(super) fn discovery(&self) -> String {
        format!("{}/.well-known/openid-configuration", self.text.trim_end_matches('/'))
    }

    /// Whether the hub may ask at an address that the provider names.
    pub(super) fn may_ask(&self, address: &str) -> Result<(), String> {
        let shown = clean_to_width(address, 80);
        match secure(address) {
            Ok(true) => Ok(()),
            // A provider out there must not send the hub's requests to this machine.
            Ok(false) if self.plain => Ok(()),
            Ok(false) => Err(format!("it names '{shown}', which is not secure")),
            Err(why) => Err(format!("it names '{shown}', which {why}")),
        }
    }

    /// Whether somebody may be sent to an address with their browser.
    pub(super) fn may_send_to(&self, address: &str) -> Result<(), String> {
        self.may_ask(address)
    }
}

impl Settings {
    /// What is wrong with them, if anything is.
    pub fn check(&self) -> Result<(), String> {
        let wrong = |what: &str| Err(format!("login.oidc: {what}"));
        if self.client_id.is_empty() {
            return wrong("client_id is empty; it is what the provider calls the hub");
        }
        if !self.scopes.iter().any(|s| s == "openid") {
            return wrong("scopes have 'openid' among them, or there is no ID token");
        }
        if self.scopes.iter().any(|s| s.is_empty() || !s.bytes().all(|b| b.is_ascii_graphic())) {
            return wrong("a scope is empty or has a space in it");
        }
        if self.name_claim.is_empty() || self.groups_claim.is_empty() {
            return wrong("name_claim and groups_claim each name a claim");
        }
        if !self.client_secret_secret.is_empty() && self.client_secret_file.is_some() {
            return wrong("one of client_secret_secret and client_secret_file, not both");
        }
        if !(1..=LONGEST_TIMEOUT).contains(&self.timeout_s) {
            return wrong(&format!("timeout_s is from 1 to {LONGEST_TIMEOUT}"));
        }
        groups::check(&self.groups, "login.oidc")
    }

    pub(super) fn patience(&self) -> Duration {
        Duration::from_secs(self.timeout_s)
    }

    /// The hub's own secret: the one that is given, else that in the file. None for a public client.
    pub(super) fn own_secret(
        &self,
        given: Option<&Zeroizing<String>>,
    ) -> Result<Option<Zeroizing<String>>, Unable> {
        match (given, &self.client_secret_file) {
            (Some(secret), _) => Ok(Some(secret.clone())),
            (None, Some(path)) => crate::login::secret_in(path)
                .map(Some)
                .map_err(|why| Unable::Misconfigured(format!("login.oidc: {why}"))),
            (None, None) if self.client_secret_secret.is_empty() => Ok(None),
            (None, None) => Err(Unable::Misconfigured(format!(
                "login.oidc: there is no secret '{}' with the client's secret",
                self.client_secret_secret
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn issuer(text: &str) -> Result<Issuer, String> {
        Issuer::try_from(text.to_owned())
    }

    #[test]
    fn an_issuer_is_https_or_on_this_machine() {
        for text in [
            "https://id.example",
            "https://id.example/realms/a",
            "http://127.0.0.1:5556",
            "http://[::1]:1/x",
            "http://localhost:1",
        ] {
            issuer(text).unwrap();
        }
        for text in [
            "http://id.example",
            "id.example",
            "ftp://x",
            "https://",
            "http://127.0.0.1@evil.example/",
            "http://127.0.0.1.evil.example",
            "https://a b",
            "https://x?y=1",
            "file:///etc",
        ] {
            assert!(issuer(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_provider_out_there_cannot_point_the_hub_at_this_machine_or_at_what_is_not_web() {
        let outside = issuer("https://id.example").unwrap();
        outside.may_ask("https://keys.example/jwks").unwrap();
        for address in [
            "http://127.0.0.1/",
            "http://x.example/",
            "javascript:alert(1)",
            "https://a\u{1b}[2J",
            "https://u:p@x/",
        ] {
            assert!(outside.may_ask(address).is_err(), "{address}");
        }
        issuer("http://localhost:1").unwrap().may_ask("http://127.0.0.1:2/x").unwrap();
        assert!(outside.may_send_to(&format!("https://x/{}", "y".repeat(600))).is_err());
    }

    #[test]
    fn discovery_stands_below_the_issuer() {
        let at = |text| issuer(text).unwrap().discovery();
        assert_eq!(at("https://x/r/"), "https://x/r/.well-known/openid-configuration");
        assert_eq!(at("https://x"), "https://x/.well-known/openid-configuration");
    }
}
