//! What came of a try: taken, not now, or never.

use cmdr_protocol::display::clean_to_width;
use std::time::Duration;

/// The longest that a server may ask us to wait.
const LONGEST: Duration = Duration::from_hours(24);
/// Cells of what a server says.
const WORDS: usize = 200;

/// It was taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// The next one to this place should not come earlier: what it takes is limited.
    pub pause: Duration,
    /// Of a mail to several: who did not get it, and why. Nobody is tried again for them.
    pub refused: Vec<String>,
}

/// It was not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Another try makes sense.
    Later {
        /// What the server asked for, at most a day.
        after: Option<Duration>,
        /// What was attempted, what went wrong, in words.
        what: String,
    },
    /// Trying again changes nothing: the configuration is wrong, or the server will not take this.
    Never {
        /// As above.
        what: String,
    },
}

impl Failure {
    pub(crate) fn later(what: impl Into<String>) -> Self {
        Self::Later { after: None, what: what.into() }
    }

    pub(crate) fn after(after: Option<Duration>, what: impl Into<String>) -> Self {
        Self::Later { after: after.map(|after| after.min(LONGEST)), what: what.into() }
    }

    pub(crate) fn never(what: impl Into<String>) -> Self {
        Self::Never { what: what.into() }
    }

    /// What was attempted and what went wrong. Has no secrets in it.
    pub fn what(&self) -> &str {
        match self {
            Self::Later { what, .. } | Self::Never { what } => what,
        }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.what())
    }
}

impl std::error::Error for Failure {}

/// What a server said, in quotes and harmless; nothing where it said nothing. Secrets that it says back to us are
/// struck out.
pub(crate) fn words(said: &str, secrets: &[&str]) -> String {
    let start: String = said.chars().take(4 * WORDS).collect();
    let mut said = start.split_whitespace().collect::<Vec<_>>().join(" ");
    for secret in secrets.iter().filter(|secret| secret.len() >= 4) {
        said = said.replace(secret, "***");
    }
    if said.is_empty() {
        String::new()
    } else {
        format!(": “{}”", clean_to_width(&said, WORDS))
    }
}
