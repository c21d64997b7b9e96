//! The name of a role.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

const LONGEST: usize = 31;

/// A role by its name: one of the built-in ones, or one that an administrator made. What it allows
/// only the hub knows; a role that the hub does not know allows nothing.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Role {
    text: [u8; LONGEST],
    len: u8,
}

/// Why a text is not the name of a role.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{}' cannot name a role: 1 to {LONGEST} of a-z, 0-9 and '-', beginning with a letter",
    crate::display::clean_to_width(.0, 40)
)]
pub struct BadRole(String);

impl Role {
    /// No role.
    pub const NONE: Self = Self { text: [0; LONGEST], len: 0 };
    /// Everything.
    pub const ADMINISTRATOR: Self = Self::known("administrator");
    /// Looks and acts on all hosts; cannot change who and what belongs to the fleet.
    pub const OPERATOR: Self = Self::known("operator");
    /// Looks at all hosts and acts on those that are not labelled `env=prod`.
    pub const DEVELOPER: Self = Self::known("developer");
    /// Looks only.
    pub const OBSERVER: Self = Self::known("observer");
    /// The roles that every hub has.
    pub const BUILT_IN: [Self; 4] =
        [Self::ADMINISTRATOR, Self::OPERATOR, Self::DEVELOPER, Self::OBSERVER];

    const fn known(name: &str) -> Self {
        let (mut text, bytes, mut at) = ([0; LONGEST], name.as_bytes(), 0);
        while at < bytes.len() {
            text[at] = bytes[at];
            at += 1;
        }
        Self { text, len: bytes.len() as u8 }
    }

    /// The role of this name, whether there is one or not.
    pub fn parse(name: &str) -> Result<Self, BadRole> {
        let fits = (1..=LONGEST).contains(&name.len())
            && name.starts_with(|c: char| c.is_ascii_lowercase())
            && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && name != "unknown";
        if fits { Ok(Self::known(name)) } else { Err(BadRole(name.to_owned())) }
    }

    /// Its name on the wire; `unknown` when there is none.
    pub fn as_str(&self) -> &str {
        match std::str::from_utf8(&self.text[..usize::from(self.len)]) {
            Ok(name) if !name.is_empty() => name,
            _ => "unknown",
        }
    }

    /// Whether every hub has it.
    pub fn is_built_in(&self) -> bool {
        Self::BUILT_IN.contains(self)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // For people no role is a dash, as every value that is not there.
        f.pad(if *self == Self::NONE { "-" } else { self.as_str() })
    }
}

impl fmt::Debug for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Role({self})")
    }
}

impl std::str::FromStr for Role {
    type Err = BadRole;
    fn from_str(name: &str) -> Result<Self, BadRole> {
        Self::parse(name)
    }
}

impl Serialize for Role {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Role {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(d)?;
        // A name that cannot be one allows nothing, and must not break the message around it.
        Ok(Self::parse(&text).unwrap_or(Self::NONE))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back_and_what_cannot_be_a_name_is_no_role() {
        for name in ["administrator", "db-team2", "a", "x234567890123456789012345678901"] {
            assert_eq!(Role::parse(name).unwrap().as_str(), name);
        }
        for name in
            ["", "Admin", "2x", "-x", "a b", "a\n", "unknown", "x2345678901234567890123456789012"]
        {
            assert!(Role::parse(name).is_err(), "{name}");
        }
        let decoded: Role = serde_json::from_str("\"Web Team\"").unwrap();
        assert_eq!((decoded, decoded.as_str()), (Role::NONE, "unknown"));
        assert_eq!(decoded.to_string(), "-");
    }
}
