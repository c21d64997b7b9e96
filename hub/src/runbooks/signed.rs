//! Whether signatures under runbooks hold: looked at when the hub starts, when one is shown, when a run is to begin by
//! one, and as long as that run goes on. A signature holds while the text is the one that was signed, and while who
//! signed it could do so still.

use super::{Library, shipped, signers};
use crate::keyring::Standing;
use crate::rights::Missing;
use crate::server::Hub;
use cmdr_link::{clock, signing};
use cmdr_protocol::runbooks::signed::MAX_SKEW_MS;
use cmdr_protocol::runbooks::{Sign, Signature, Signed};
use cmdr_protocol::runs::Runbook;
use cmdr_protocol::{Call as _, CallError, KeyId, configs, methods};
use data_encoding::HEXLOWER;

/// Bytes of a signature in hex.
const HEX: usize = 128;

fn hash(text: &str) -> String {
    blake3::hash(text.as_bytes()).to_hex().to_string()
}

/// Whether a key has signed this text, under this name.
fn proves(name: &str, signature: &Signature, text_hash: &str) -> Result<(), String> {
    if signature.hash != text_hash {
        return Err(
            "the text is not the one that was signed: it was changed without being saved as a new version; find out who writes to the hub's store"
                .to_owned(),
        );
    }
    let bytes = (signature.signature.len() == HEX)
        .then(|| HEXLOWER.decode(signature.signature.as_bytes()).ok())
        .flatten();
    if bytes.is_some_and(|it| signing::verifies(&signature.key, &signature.statement(name), &it)) {
        return Ok(());
    }
    Err("it is damaged, or was made for another runbook, version or text".to_owned())
}

/// Whether who signed may do so still.
fn stands(hub: &Hub, name: &str, signature: &Signature) -> Result<(), String> {
    let operator = &signature.operator;
    let device = match hub.keyring.standing(signature.device) {
        // A login that has ended took nothing back.
        Standing::Active(device, _) | Standing::Expired(device) => device,
        Standing::Disabled(_) => return Err(format!("{operator} was shut out")),
        Standing::Revoked(_) => {
            return Err(format!("the device that {operator} signed it with was taken away"));
        }
        Standing::Unknown => {
            return Err(format!(
                "the device it was signed with is not known any more: {operator} or the device was removed"
            ));
        }
    };
    if device.operator != *operator {
        return Err(format!("the device it was signed with is none of {operator}'s"));
    }
    if signers::known(hub, signature.device, &device) != Some(signature.key) {
        return Err(format!("the device of {operator}'s has never signed with this key"));
    }
    let method = methods::index(Sign::METHOD).ok_or("signing is not in the table of methods")?;
    let (who, resource) = (hub.who_is(operator), format!("runbook:{name}"));
    match hub.decide(&who, method, Some(&resource), None) {
        // What was signed at the right hour, or on request, stays signed.
        Ok(_) | Err(Missing::Hours | Missing::Request) => Ok(()),
        Err(missing) => Err(format!(
            "{operator} may sign it no more: {}",
            missing.told(&who, Sign::METHOD, &resource)
        )),
    }
}

fn holds(hub: &Hub, name: &str, signature: &Signature, text_hash: &str) -> Result<(), String> {
    proves(name, signature, text_hash)?;
    stands(hub, name, signature)
}

/// Who signed, and whether that holds.
fn told(hub: &Hub, name: &str, signature: &Signature, text_hash: &str) -> Signed {
    let why = holds(hub, name, signature, text_hash).err().unwrap_or_default();
    Signed {
        by: signature.operator.clone(),
        at_ms: signature.at_ms,
        key: Some(signature.key),
        holds: why.is_empty(),
        why,
    }
}

/// Why a runbook may not be run by who may run signed ones alone.
fn unsigned(name: &str, version: u64) -> String {
    match version {
        0 => format!(
            "'{name}' comes with the hub and was signed by nobody: save it as one of yours (cmdr runbook restore {name} 0) and have it signed (cmdr runbook sign {name})"
        ),
        version => format!(
            "version {version} of '{name}' is not signed: somebody with the right to looks at it and signs it (cmdr runbook sign {name})"
        ),
    }
}

/// Whether a runbook may be run by signature: its own text and all that it includes have to be signed, but for what
/// comes with the hub, which is part of the program that looks at it. `runbook` is as it was pinned.
pub(crate) fn check(hub: &Hub, runbook: &Runbook) -> Result<(), String> {
    if runbook.name.starts_with(configs::ORDER) {
        return Err("config groups are not signed".to_owned());
    }
    if !runbook.texts.contains_key(&runbook.name) {
        return Err(format!("the text of '{}' is not known here", runbook.name));
    }
    for (name, text) in &runbook.texts {
        let is_own = *name == runbook.name;
        let Some(signature) = runbook.signatures.get(name) else {
            if !is_own && shipped::find(name).is_some_and(|(_, known)| known == text) {
                continue;
            }
            let version = if is_own {
                u64::from(runbook.version)
            } else {
                hub.runbooks.text(name, None).map_or(0, |(about, _)| about.version)
            };
            return Err(unsigned(name, version));
        };
        let other = is_own && signature.version != u64::from(runbook.version);
        let held = if other {
            Err("it is that of another version".to_owned())
        } else {
            holds(hub, name, signature, &hash(text))
        };
        held.map_err(|why| {
            format!(
                "the signature of {} under version {} of '{name}' does not hold: {why}; look at the text (cmdr runbook show {name} --text) and have it signed again (cmdr runbook sign {name})",
                signature.operator, signature.version
            )
        })?;
    }
    Ok(())
}

impl Library {
    /// Fills in who signed what, in a list.
    pub fn fill(&self, hub: &Hub, runbook: &mut cmdr_protocol::runbooks::Runbook) {
        runbook.signed = self.signed(hub, &runbook.name, runbook.version);
    }

    /// Who signed a version, and whether that holds.
    pub fn signed(&self, hub: &Hub, name: &str, version: u64) -> Option<Signed> {
        let held = self.signature(name, version)?;
        Some(told(hub, name, &held.signature, &held.text))
    }

    /// Takes in a signature of whoever asks, with the device that asks.
    pub async fn sign(
        &self,
        hub: &Hub,
        (operator, device): (&str, KeyId),
        sign: Sign,
    ) -> Result<Signed, CallError> {
        let Some(signature) = sign.signature else {
            return Err(CallError::malformed("there is no signature in this"));
        };
        if signature.operator != operator || signature.device != device {
            return Err(CallError::denied(format!(
                "a signature is made by who asks, with the device that asks: this is to be {operator}'s"
            )));
        }
        if clock::now_ms().abs_diff(signature.at_ms) > MAX_SKEW_MS {
            return Err(CallError::malformed(format!(
                "the signature says another time than this hub's by more than {} minutes; set the clock of this machine, and sign again",
                MAX_SKEW_MS / 60_000
            )));
        }
        let name = &sign.name;
        let (about, text) = self.text(name, Some(signature.version))?;
        if about.version == 0 {
            return Err(CallError::malformed(unsigned(name, 0)));
        }
        let text = hash(&text);
        proves(name, &signature, &text).map_err(|why| {
            CallError::malformed(format!(
                "this is no signature under version {} of '{name}': {why}",
                about.version
            ))
        })?;
        signers::tell(hub, device, signature.key).await?;
        self.keep_signature(name, signature, text).await?;
        self.signed(hub, name, about.version)
            .ok_or_else(|| CallError::failed("the version is gone meanwhile"))
    }

    /// Texts that are not the ones that were signed, and signatures that were never made, one sentence each. That the
    /// right of who signed has ended since is none of them.
    pub fn forged(&self) -> Vec<String> {
        let mut forged = Vec::new();
        for (name, held) in self.signatures() {
            if let Err(why) = proves(&name, &held.signature, &held.text) {
                let Signature { version, operator, .. } = &held.signature;
                forged.push(format!(
                    "the signature of {operator} under version {version} of the runbook '{name}' does not hold: {why}"
                ));
            }
        }
        forged
    }
}

#[cfg(test)]
#[path = "signed_tests.rs"]
mod tests;
