//! Signatures under versions of runbooks: somebody with the right to says that this text is to be run. Made by the
//! client with the device's own key, checked by the hub, and by whoever has the text.

use super::Signature;
use crate::call::{Access, Call};
use crate::ids::SigningKey;
use serde::{Deserialize, Serialize};

/// How far the clock of who signs may be off, in milliseconds.
pub const MAX_SKEW_MS: u64 = 15 * 60 * 1000;

impl Signature {
    /// What is signed: the name, and all that this says but the device and the signature itself.
    pub fn statement(&self, name: &str) -> Vec<u8> {
        let mut said = b"cmdr signed runbook v1\0".to_vec();
        for part in [name, &self.hash, &self.operator] {
            said.extend((part.len() as u64).to_be_bytes());
            said.extend(part.as_bytes());
        }
        said.extend(self.version.to_be_bytes());
        said.extend(self.at_ms.to_be_bytes());
        said
    }
}

/// Who signed a version, and whether that holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Signed {
    /// Who.
    pub by: String,
    /// When, milliseconds since 1970.
    pub at_ms: u64,
    /// The public half of the key it was signed with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<SigningKey>,
    /// It holds: the text is the one that was signed, and who signed it may do so still.
    pub holds: bool,
    /// Why it does not; empty when it holds.
    pub why: String,
}

/// Keeps a signature with a version of a runbook, in the place of an earlier one. The first signature of a device
/// tells the hub the key that it signs with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Sign {
    /// Which runbook.
    pub name: String,
    /// The signature, of whoever asks with the device that asks.
    pub signature: Option<Signature>,
}

impl Call for Sign {
    const METHOD: &'static str = "runbooks.sign";
    const ACCESS: Access = Access::Admin;
    type Reply = Signed;
    fn resource(&self) -> String {
        format!("runbook:{}", self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::KeyId;

    #[test]
    fn no_two_things_that_can_be_said_read_the_same() {
        let one = Signature {
            version: 3,
            hash: "ab".into(),
            operator: "ann".into(),
            device: KeyId([1; 16]),
            key: SigningKey([2; 32]),
            at_ms: 7,
            signature: String::new(),
        };
        let said = one.statement("shop");
        let others = [
            one.statement("sho"),
            Signature { version: 4, ..one.clone() }.statement("shop"),
            Signature { at_ms: 8, ..one.clone() }.statement("shop"),
            Signature { hash: "abann".into(), operator: String::new(), ..one.clone() }
                .statement("shop"),
            Signature { hash: "pab".into(), ..one.clone() }.statement("sho"),
        ];
        for other in others {
            assert_ne!(other, said);
        }
        // Which device it was, and the signature itself, are not part of what is said.
        let elsewhere = Signature { device: KeyId([9; 16]), signature: "ff".into(), ..one };
        assert_eq!(elsewhere.statement("shop"), said);
    }
}
