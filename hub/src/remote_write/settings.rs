//! What the configuration says of a server that samples are sent to: `[history.remote_write.NAME]`.

use cmdr_protocol::selector::Selector;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::PathBuf;

/// The longest name of a target.
const NAME: usize = 32;
/// Targets at most.
const MOST: usize = 8;

/// A server that takes the remote-write protocol.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Where requests go, as `https://prometheus.example.org/api/v1/write`.
    pub url: String,
    /// A file with a token, sent as `Authorization: Bearer`; for its owner alone.
    pub bearer_file: Option<PathBuf>,
    /// Or the name of a sealed secret that holds it.
    pub bearer_secret: String,
    /// A name for a password.
    pub user: String,
    /// A file with the password, for its owner alone.
    pub password_file: Option<PathBuf>,
    /// Or the name of a sealed secret that holds it.
    pub password_secret: String,
    /// Certificates that the server's must lead to, in place of what the system trusts.
    pub ca_file: Option<PathBuf>,
    /// More headers of requests, as `X-Scope-OrgID`.
    pub headers: BTreeMap<String, String>,
    /// Labels that every series gets.
    pub labels: BTreeMap<String, String>,
    /// Which figures: names, `*` being anything; empty for all.
    pub metrics: Vec<String>,
    /// Of which hosts: a selector; empty for all.
    pub hosts: String,
    /// What waits longer than so many hours is left out.
    pub behind_h: NonZeroU32,
}

const BEHIND_H: NonZeroU32 = NonZeroU32::new(12).unwrap();

impl Default for Settings {
    fn default() -> Self {
        Self {
            url: String::new(),
            bearer_file: None,
            bearer_secret: String::new(),
            user: String::new(),
            password_file: None,
            password_secret: String::new(),
            ca_file: None,
            headers: BTreeMap::new(),
            labels: BTreeMap::new(),
            metrics: Vec::new(),
            hosts: String::new(),
            behind_h: BEHIND_H,
        }
    }
}

fn is_label(name: &str) -> bool {
    let mut bytes = name.bytes();
    let first = bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
    first && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_') && !name.starts_with("__")
}

/// Headers that the protocol or the connection is made of.
const OURS: [&str; 7] = [
    "content-type",
    "content-encoding",
    "content-length",
    "transfer-encoding",
    "x-prometheus-remote-write-version",
    "host",
    "authorization",
];

impl Settings {
    /// The server, for people: no path, which may have a token in it.
    pub(crate) fn server(&self) -> String {
        let uri: Option<hyper::Uri> = self.url.parse().ok();
        let authority = uri.as_ref().and_then(|uri| uri.authority()).map(ToString::to_string);
        authority.unwrap_or_default().rsplit('@').next().unwrap_or_default().to_owned()
    }

    /// Who is asked for: nothing for all.
    pub(super) fn selector(&self) -> Result<Option<Selector>, String> {
        match self.hosts.trim() {
            "" => Ok(None),
            text => Selector::parse(text).map(Some).map_err(|e| e.to_string()),
        }
    }

    /// Whether it can be meant: what is wrong, if not. Samples are kept as they came for `kept_h` hours, 0 being for good.
    fn check(&self, kept_h: u64) -> Result<(), String> {
        let uri: hyper::Uri = self.url.parse().map_err(|_| {
            format!("url '{}' is no address such as https://host/api/v1/write", self.server())
        })?;
        if !matches!(uri.scheme_str(), Some("http" | "https")) {
            return Err("url begins neither with https:// nor with http://".to_owned());
        }
        if uri.authority().is_none_or(|a| a.host().is_empty() || a.as_str().contains('@')) {
            return Err("url names no host, or has a user in it (user, password_file)".to_owned());
        }
        let bearers = [self.bearer_file.is_some(), !self.bearer_secret.is_empty()];
        let passwords = [self.password_file.is_some(), !self.password_secret.is_empty()];
        let given = |all: [bool; 2]| all.into_iter().filter(|given| *given).count();
        if given(bearers) + given(passwords) > 1 {
            return Err(
                "give one of bearer_file, bearer_secret, password_file, password_secret".to_owned()
            );
        }
        if self.user.is_empty() == (given(passwords) == 1) {
            return Err(
                "a user needs a password_file or a password_secret, and these a user".into()
            );
        }
        if let Some(name) = self.labels.keys().find(|name| !is_label(name)) {
            return Err(format!("labels: '{name}' is no name of a label"));
        }
        for (name, value) in &self.headers {
            let fits = hyper::header::HeaderName::from_bytes(name.as_bytes()).is_ok()
                && hyper::header::HeaderValue::from_str(value).is_ok();
            if !fits || OURS.contains(&name.to_ascii_lowercase().as_str()) {
                return Err(format!("headers: '{name}' cannot be set"));
            }
        }
        self.selector().map_err(|e| format!("hosts: {e}"))?;
        if kept_h > 0 && u64::from(self.behind_h.get()) >= kept_h {
            return Err(format!(
                "behind_h is less than the {kept_h} hours for which samples are kept as they came (the first step of [history] ladder)"
            ));
        }
        Ok(())
    }
}

/// Whether all targets can be meant: what is wrong, if not.
pub fn check(targets: &BTreeMap<String, Settings>, kept_h: u64) -> Result<(), String> {
    if targets.len() > MOST {
        return Err(format!("[history.remote_write] has more than {MOST} targets"));
    }
    for (name, settings) in targets {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if name.is_empty() || name.len() > NAME || !name.bytes().all(plain) {
            return Err(format!(
                "[history.remote_write] '{name}': a target's name has 1 to {NAME} of a-z, 0-9 and -"
            ));
        }
        settings.check(kept_h).map_err(|e| format!("[history.remote_write.{name}] {e}"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(text: &str) -> String {
        let settings = cmdr_link::settings::parse(std::path::Path::new("hub.toml"), text).unwrap();
        check(&BTreeMap::from([("one".to_owned(), settings)]), 24).err().unwrap_or_default()
    }

    #[test]
    fn what_cannot_be_meant_is_said_with_the_name_of_its_target() {
        let url = "url = 'https://user.example.org/api/v1/write'\n";
        assert_eq!(wrong(url), "");
        for (text, why) in [
            ("", "is no address"),
            ("url = 'ftp://x/'", "begins neither"),
            ("url = 'http://me:secret@x/'", "has a user in it"),
            (&format!("{url}user = 'me'"), "a user needs"),
            (&format!("{url}password_secret = 'x'"), "a user needs"),
            (&format!("{url}bearer_secret = 'x'\nbearer_file = '/x'"), "give one of"),
            (&format!("{url}behind_h = 24"), "behind_h is less than the 24 hours"),
            (&format!("{url}hosts = 'a,,b'"), "hosts: "),
            (&format!("{url}[labels]\n__name__ = 'x'"), "no name of a label"),
            (&format!("{url}[headers]\nHost = 'x'"), "cannot be set"),
        ] {
            let said = wrong(text);
            assert!(
                said.contains(why) && said.starts_with("[history.remote_write.one] "),
                "{said}"
            );
            assert!(!said.contains("secret@"), "{said}");
        }
        let bad = BTreeMap::from([("../x".to_owned(), Settings::default())]);
        assert!(check(&bad, 24).unwrap_err().contains("a target's name"));
    }
}
