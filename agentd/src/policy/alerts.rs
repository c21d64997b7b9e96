//! Who is told of alerts while the hub is away: `[alerts]` of the policy file.

use serde::de::{Error as _, Unexpected};
use serde::{Deserialize, Deserializer};

/// Who is told of alerts while the hub is away.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Alerts {
    /// A program of this host by its full path, with its arguments; empty for none. It gets what happened as a line of
    /// JSON on its standard input.
    pub program: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct WrittenAlerts {
    #[serde(deserialize_with = "program")]
    program: Vec<String>,
}

fn program<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let program = Vec::<String>::deserialize(deserializer)?;
    match program.first().filter(|path| !path.starts_with('/')) {
        Some(path) => {
            Err(D::Error::invalid_value(Unexpected::Str(path), &"a path that begins with '/'"))
        }
        None => Ok(program),
    }
}

impl From<WrittenAlerts> for Alerts {
    fn from(written: WrittenAlerts) -> Self {
        Self { program: written.program }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Policy;
    use std::path::Path;

    #[test]
    fn a_program_is_named_by_its_full_path() {
        let parse = |text: &str| Policy::parse(Path::new("/etc/cmdr/agent.toml"), text);
        let policy = parse("[alerts]\nprogram = [\"/usr/local/bin/page\", \"-q\"]\n").unwrap();
        assert_eq!(policy.alerts.program, ["/usr/local/bin/page", "-q"]);
        let wrong = parse("[alerts]\nprogram = [\"page\"]\n").unwrap_err().to_string();
        assert!(wrong.contains("begins with '/'"), "{wrong}");
        assert!(Policy::default().alerts.program.is_empty());
    }
}
