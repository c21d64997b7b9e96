//! The hub's optional configuration file.

use crate::api;
use crate::audit::forward::syslog::Destination;
use crate::audit::retention::Keep;
use crate::gate::Bounds;
use crate::lockout::Rules;
use crate::login::{ldap, oidc, password};
use crate::network::Network;
use crate::records::{AccountRecord, DeviceRecord};
use cmdr_link::settings::{self, SettingsError};
use cmdr_protocol::operators::By;
use cmdr_protocol::recordings::Level;
use cmdr_protocol::role::Role;
use serde::Deserialize;
use std::num::{NonZeroU32, NonZeroU64};
use std::path::{Path, PathBuf};

/// Everything that can be configured, with what holds when nothing is.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where to listen, `address:port`.
    pub listen: Vec<String>,
    /// Where peers shall dial, `host:port`; written into tokens. By default this machine's name.
    pub address: String,
    /// The data folder.
    pub data: Option<PathBuf>,
    /// Limits.
    pub limits: Limits,
    /// Who may log in from where, and how often they may be wrong.
    pub login: Login,
    /// The audit log.
    pub audit: Audit,
    /// Where the master key of the sealed secrets comes from.
    pub secrets: Secrets,
    /// Recordings.
    pub recordings: Recordings,
    /// The HTTP interface for programs.
    pub api: api::Settings,
    /// Contents of files that orders put on hosts.
    pub blobs: Blobs,
    /// Orders to many hosts.
    pub runs: Runs,
    /// The history of hosts' figures.
    pub history: crate::history::Settings,
    /// Alerts and who is told of them.
    pub alerts: crate::alerts::Settings,
    /// Sessions over SSH from the hub's own machine.
    pub ssh: crate::ssh::Settings,
    /// Playbooks as steps of runbooks.
    pub ansible: crate::playbooks::Settings,
}

/// Where the master key comes from: at most one of these. Without any it is the file `secrets.key` in the
/// data folder, which the hub makes. That it is one of them is looked at by
/// [`crate::vault::master::Source::of`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Secrets {
    /// A file for its owner alone.
    pub key_file: Option<PathBuf>,
    /// A program and its arguments, which writes the key on its standard output.
    #[serde(deserialize_with = "wrong::command")]
    pub key_command: Option<Vec<String>>,
    /// A variable of the hub's environment.
    pub key_env: String,
}

/// Contents of files on their way to hosts: how much they may take, and for how long.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Blobs {
    /// The oldest are removed when all take more than so many GiB; a larger one is refused.
    pub keep_gb: NonZeroU64,
    /// One that nothing has used for so many hours is removed.
    pub unused_h: NonZeroU32,
}

const KEEP_GB: NonZeroU64 = NonZeroU64::new(20).unwrap();
const UNUSED_H: NonZeroU32 = NonZeroU32::new(7 * 24).unwrap();

impl Default for Blobs {
    fn default() -> Self {
        Self { keep_gb: KEEP_GB, unused_h: UNUSED_H }
    }
}

/// Recordings: how much they may take, and what strikes in them.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Recordings {
    /// The oldest recordings are removed when all take more than so many GiB; 0 for no limit.
    pub keep_gb: u64,
    /// A recording holds so many MiB of output at most.
    pub largest_mb: NonZeroU64,
    /// Nothing is recorded while less than so many MiB of the disk are free: the hub needs them itself.
    pub free_mb: u64,
    /// Dangerous commands, beside those that the hub knows.
    pub danger: Vec<Pattern>,
}

/// Runs: what guards them, how long hosts are waited for, what is kept of them.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Runs {
    /// For more hosts than this their number has to be typed.
    pub confirm_above: u32,
    /// Hosts for which it has to be typed in any case, unless it is one alone, and of which the first is tried
    /// before the others: a selector; empty for none.
    #[serde(deserialize_with = "wrong::selector")]
    pub protected: String,
    /// A host that had its order and has lost its link is told lost after so many seconds.
    pub patience_s: u64,
    /// A host whose link has ended a moment ago, and every host after a start of the hub, is waited for so many
    /// seconds before it is told unreachable.
    pub rejoin_s: u64,
    /// What a schedule should have begun longer ago than so many seconds is not begun any more.
    pub late_s: u64,
    /// Runs are removed when they ended more than so many days ago; 0 keeps them.
    pub keep_days: u64,
    /// So many runs that are over are kept at most.
    pub keep: NonZeroU64,
    /// The oldest runs with output are removed when all output takes more than so many MiB; 0 for no limit.
    pub keep_mb: u64,
    /// So many KiB of output are kept of each target.
    pub target_output_kb: u64,
    /// So many MiB of output are kept of one run.
    pub run_output_mb: u64,
    /// No output is kept while less than so many MiB of the disk are free: the hub needs them itself.
    pub free_mb: u64,
}

const KEEP_RUNS: NonZeroU64 = NonZeroU64::new(20_000).unwrap();

impl Default for Runs {
    fn default() -> Self {
        Self {
            confirm_above: 20,
            protected: "env=prod".to_owned(),
            patience_s: 120,
            rejoin_s: 30,
            late_s: 60,
            keep_days: 90,
            keep: KEEP_RUNS,
            keep_mb: 4096,
            target_output_kb: 1024,
            run_output_mb: 1024,
            free_mb: 256,
        }
    }
}

/// What a dangerous command looks like.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pattern {
    /// A regular expression; `^` and `$` are the ends of lines.
    #[serde(deserialize_with = "wrong::pattern")]
    pub pattern: String,
    /// `notice`, `warning` or `danger`.
    #[serde(deserialize_with = "wrong::level")]
    pub level: Level,
    /// What it does, in a few words.
    pub what: String,
}

const LARGEST_MB: NonZeroU64 = NonZeroU64::new(64).unwrap();

impl Default for Recordings {
    fn default() -> Self {
        Self { keep_gb: 10, largest_mb: LARGEST_MB, free_mb: 256, danger: Vec::new() }
    }
}

/// What holds for those who want to get in.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Login {
    /// Networks from which operators' programs may come; empty for all. Hosts may come from anywhere.
    pub allow: Vec<Network>,
    /// What wrong tries cost.
    pub wrong: Rules,
    /// Hours that a login holds, by password or directory, unless it is renewed.
    pub lasts_h: u32,
    /// Hours within which it can be renewed; then the person has to log in again.
    pub renewable_h: u32,
    /// Whether those who log in with a password need a second factor.
    pub second_factor: SecondFactor,
    /// What passwords have to be like.
    pub password: password::Rules,
    /// People in an LDAP directory.
    pub ldap: Option<ldap::Settings>,
    /// People whom an OpenID Connect provider knows.
    pub oidc: Option<oidc::Settings>,
}

/// Who needs a second factor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SecondFactor {
    /// Who has set one up.
    Optional,
    /// Everybody who logs in with a password, the hub's own or the directory's. An OpenID Connect provider
    /// asks for what it wants itself, and a device's key of its own is something that one has.
    Required,
}

impl Default for Login {
    fn default() -> Self {
        Self {
            allow: Vec::new(),
            wrong: Rules::default(),
            lasts_h: 12,
            renewable_h: 7 * 24,
            second_factor: SecondFactor::Optional,
            password: password::Rules::default(),
            ldap: None,
            oidc: None,
        }
    }
}

impl Login {
    /// Whether a login still lacks the second factor that this hub wants.
    pub fn owes_factor(&self, device: &DeviceRecord, account: &AccountRecord) -> bool {
        self.second_factor == SecondFactor::Required
            && matches!(device.by, By::Password | By::Ldap)
            && !account.totp.as_ref().is_some_and(|totp| totp.confirmed)
    }

    /// Roles that groups of directories are mapped to.
    pub fn mapped(&self) -> impl Iterator<Item = Role> {
        let ldap = self.ldap.iter().flat_map(|ldap| &ldap.groups);
        let oidc = self.oidc.iter().flat_map(|oidc| &oidc.groups);
        ldap.chain(oidc).map(|mapping| mapping.role)
    }

    /// Whether what is said of directories makes sense; else, what does not.
    pub fn check(&self) -> Result<(), String> {
        self.ldap.as_ref().map_or(Ok(()), ldap::Settings::check)?;
        self.oidc.as_ref().map_or(Ok(()), oidc::Settings::check)
    }
}

/// The audit log: how long it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Audit {
    /// Records older than so many days are removed; 0 keeps them for ever.
    pub keep_days: u64,
    /// The oldest records are removed when the log is larger than so many MiB; 0 for no limit.
    pub keep_mb: u64,
    /// Sends every record to a syslog server.
    pub syslog: Option<Syslog>,
    /// Sends every record to a web server.
    pub webhook: Option<Webhook>,
}

/// Records as syslog messages.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Syslog {
    /// `udp://host:port`, `tcp://host:port` or `unix:///dev/log`.
    pub to: Destination,
}

/// Records as signed HTTP requests.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Webhook {
    /// Where to.
    pub url: String,
    /// A file with the secret that signs them, for its owner alone.
    pub secret_file: PathBuf,
}

impl Audit {
    /// What retention has to keep.
    pub const fn keep(&self) -> Keep {
        Keep { days: self.keep_days, bytes: self.keep_mb.saturating_mul(1 << 20) }
    }
}

impl Default for Audit {
    fn default() -> Self {
        Self { keep_days: 400, keep_mb: 1024, syslog: None, webhook: None }
    }
}

/// Limits that keep strangers from hurting anyone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Handshakes on their way from one address.
    pub handshakes_per_address: usize,
    /// Handshakes on their way in all.
    pub handshakes: usize,
    /// Streams that one client may have open.
    pub streams_per_client: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: vec!["0.0.0.0:7700".to_owned()],
            address: String::new(),
            data: None,
            limits: Limits::default(),
            login: Login::default(),
            audit: Audit::default(),
            secrets: Secrets::default(),
            recordings: Recordings::default(),
            api: api::Settings::default(),
            blobs: Blobs::default(),
            runs: Runs::default(),
            history: crate::history::Settings::default(),
            alerts: crate::alerts::Settings::default(),
            ssh: crate::ssh::Settings::default(),
            ansible: crate::playbooks::Settings::default(),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self { handshakes_per_address: 10, handshakes: 100, streams_per_client: 4096 }
    }
}

impl Config {
    /// Reads a configuration file.
    pub fn read(path: &Path) -> Result<Self, SettingsError> {
        settings::read(path)
    }

    /// The bounds of the gate.
    pub fn bounds(&self) -> Bounds {
        Bounds {
            per_address: self.limits.handshakes_per_address.max(1),
            total: self.limits.handshakes.max(1),
        }
    }
}

/// Values that have the right kind and make no sense.
mod wrong {
    use crate::recording::danger_regex;
    use cmdr_protocol::recordings::Level;
    use cmdr_protocol::selector::Selector;
    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer};

    pub(super) fn pattern<'de, D: Deserializer<'de>>(d: D) -> Result<String, D::Error> {
        let pattern = String::deserialize(d)?;
        if pattern.is_empty() {
            return Err(D::Error::custom("an empty pattern would mark every command"));
        }
        match danger_regex(&pattern) {
            Ok(_) => Ok(pattern),
            // The last line says what; those before it draw where.
            Err(e) => Err(D::Error::custom(format!(
                "this is no regular expression: {}",
                e.to_string().lines().last().unwrap_or_default().trim_start_matches("error: ")
            ))),
        }
    }

    pub(super) fn level<'de, D: Deserializer<'de>>(d: D) -> Result<Level, D::Error> {
        let text = String::deserialize(d)?;
        match Level::parse(&text) {
            Level::Unknown | Level::None => {
                Err(D::Error::custom("here should be notice, warning or danger"))
            }
            level => Ok(level),
        }
    }

    pub(super) fn selector<'de, D: Deserializer<'de>>(d: D) -> Result<String, D::Error> {
        let text = String::deserialize(d)?;
        match Selector::parse(&text) {
            Ok(_) => Ok(text),
            Err(e) => Err(D::Error::custom(e.to_string())),
        }
    }

    pub(super) fn command<'de, D: Deserializer<'de>>(
        d: D,
    ) -> Result<Option<Vec<String>>, D::Error> {
        let words = Vec::<String>::deserialize(d)?;
        match words.first().map(String::as_str) {
            None | Some("") => {
                Err(D::Error::custom("key_command is empty; name a program that prints the key"))
            }
            Some(_) => Ok(Some(words)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_may_set_one_value_and_keep_the_rest() {
        let config: Config =
            settings::parse(Path::new("hub.toml"), "[limits]\nhandshakes = 7\n").unwrap();
        let limits = Limits { handshakes: 7, ..Limits::default() };
        assert_eq!(config, Config { limits, ..Config::default() });
    }

    #[test]
    fn a_mistyped_key_is_named_with_file_line_and_the_nearest_key() {
        let text = "listen = []\n\n[limits]\nhandshake = 7\n";
        let error = settings::parse::<Config>(Path::new("/etc/cmdr/hub.toml"), text).unwrap_err();
        assert_eq!(
            error.to_string(),
            "/etc/cmdr/hub.toml:4: unknown key 'handshake'; did you mean 'handshakes'?"
        );
    }

    #[test]
    fn a_value_that_makes_no_sense_is_named_with_its_line() {
        let wrong = |text: &str| {
            settings::parse::<Config>(Path::new("hub.toml"), text).unwrap_err().to_string()
        };
        let pattern = |pattern: &str, level: &str| {
            format!("[[recordings.danger]]\nwhat = 'x'\npattern = '{pattern}'\nlevel = '{level}'\n")
        };
        assert_eq!(
            wrong(&pattern("rm", "doom")),
            "hub.toml:4: here should be notice, warning or danger"
        );
        assert_eq!(
            wrong(&pattern("", "danger")),
            "hub.toml:3: an empty pattern would mark every command"
        );
        let error = wrong(&pattern("rm (", "danger"));
        assert_eq!(error, "hub.toml:3: this is no regular expression: unclosed group");
        assert_eq!(
            wrong("[recordings]\nlargest_mb = 0\n"),
            "hub.toml:2: here should be a whole number of at least 1"
        );
        assert_eq!(
            wrong("\n[secrets]\nkey_command = []\n"),
            "hub.toml:3: key_command is empty; name a program that prints the key"
        );
        assert!(wrong("[login]\nsecond_factor = 'requird'\n").contains("did you mean 'required'"));
    }
}
