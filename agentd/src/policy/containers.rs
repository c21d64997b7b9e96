//! What containers may do to this host.

use super::Policy;
use cmdr_protocol::CallError;
use cmdr_protocol::display::clean_to_width;
use cmdr_protocol::selector::glob;
use serde::de::{Error as _, Unexpected};
use serde::{Deserialize, Deserializer};
use std::path::{Path, PathBuf};

/// Limits of what new containers may do to their host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Containers {
    /// Patterns of powers that they may have ([`cmdr_protocol::containers::powers`]); absent for any.
    pub powers: Option<Vec<String>>,
    /// Where the engine listens; absent for the usual place.
    pub socket: Option<PathBuf>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct WrittenContainers {
    powers: Option<Vec<String>>,
    #[serde(deserialize_with = "absolute")]
    socket: Option<PathBuf>,
}

/// A path from the root on.
fn absolute<'de, D: Deserializer<'de>>(from: D) -> Result<Option<PathBuf>, D::Error> {
    let path = PathBuf::deserialize(from)?;
    if path.is_absolute() {
        return Ok(Some(path));
    }
    let got = path.to_string_lossy();
    Err(D::Error::invalid_value(Unexpected::Str(&got), &"a path from / on, without unix://"))
}

impl From<WrittenContainers> for Containers {
    fn from(written: WrittenContainers) -> Self {
        Self { powers: written.powers, socket: written.socket }
    }
}

impl Containers {
    /// Whether one may have all of these.
    pub(crate) fn allows(&self, powers: &[String], policy: &Policy) -> Result<(), CallError> {
        let Some(allowed) = &self.powers else { return Ok(()) };
        let listed = |power: &str| allowed.iter().any(|pattern| glob(pattern, power));
        let fits = |power: &String| listed(power) && real(power).is_none_or(|real| listed(&real));
        match powers.iter().find(|power| !fits(power)) {
            None => Ok(()),
            Some(power) => Err(CallError::denied(format!(
                "this host's policy {} does not let a container have '{}'",
                policy.place(),
                clean_to_width(power, 200)
            ))),
        }
    }
}

/// A path of the host behind all links: one may not lead out of what is allowed.
fn real(power: &str) -> Option<String> {
    let (kind, path) = power.split_once(':')?;
    if !matches!(kind, "mount" | "device") {
        return None;
    }
    // What is not there yet is where its nearest folder leads.
    let path = Path::new(path);
    let real = path.ancestors().find_map(|above| {
        let rest = path.strip_prefix(above).ok()?;
        Some(
            above
                .canonicalize()
                .ok()?
                .components()
                .chain(rest.components())
                .collect::<std::path::PathBuf>(),
        )
    })?;
    Some(format!("{kind}:{}", real.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(patterns: &[&str], power: &str) -> bool {
        let powers = Some(patterns.iter().map(|&pattern| pattern.to_owned()).collect());
        let containers = Containers { powers, ..Containers::default() };
        containers.allows(&[power.to_owned()], &Policy::default()).is_ok()
    }

    #[test]
    fn what_is_not_listed_is_denied_and_a_link_leads_nowhere_else() {
        assert!(Containers::default().allows(&["privileged".into()], &Policy::default()).is_ok());
        assert!(!allows(&[], "privileged") && allows(&["capability:*"], "capability:NET_ADMIN"));
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        std::fs::create_dir(root.join("a")).unwrap();
        std::os::unix::fs::symlink("/etc", root.join("a/out")).unwrap();
        let pattern = format!("mount:{}/a*", root.display());
        let mount = |path: &str| format!("mount:{}/{path}", root.display());
        assert!(allows(&[&pattern], &mount("a/new/deep")));
        assert!(!allows(&[&pattern], &mount("a/out")) && !allows(&[&pattern], &mount("b")));
    }

    #[test]
    fn the_policy_file_says_it() {
        let parse = |text: &str| Policy::parse(Path::new("/etc/cmdr/agent.toml"), text);
        let policy = parse("[containers]\npowers = [\"mount:/srv/*\"]\n").unwrap();
        assert_eq!(policy.containers.powers.as_deref(), Some(&["mount:/srv/*".to_owned()][..]));
        let error = policy.containers.allows(&["privileged".into()], &policy).unwrap_err();
        assert!(
            error.message.contains("/etc/cmdr/agent.toml") && error.message.contains("privileged"),
            "{error}"
        );
        assert_eq!(parse("").unwrap().containers, Containers::default());
        let policy = parse("[containers]\nsocket = \"/run/podman/podman.sock\"\n").unwrap();
        assert_eq!(policy.containers.socket.as_deref(), Some(Path::new("/run/podman/podman.sock")));
        let error = parse("[containers]\nsocket = \"unix:///run/x.sock\"\n").unwrap_err();
        assert!(error.to_string().contains("a path from / on"), "{error}");
        assert!(parse("[containers]\nprivileged = false\n").is_err());
    }
}
