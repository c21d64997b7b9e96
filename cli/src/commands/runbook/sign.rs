//! `runbook sign` and `runbook verify`: the signature is made and checked here, with the device's own key.

use crate::App;
use crate::connect::Hub;
use crate::exit::{Exit, Failure};
use crate::human;
use crate::output::{Cell, Format, Paint};
use cmdr_link::signing::{Signer, verifies};
use cmdr_link::{clock, keys};
use cmdr_protocol::SigningKey;
use cmdr_protocol::display::clean;
use cmdr_protocol::operators::WhoAmI;
use cmdr_protocol::runbooks::{Shown, Sign, Signature, Signed};
use data_encoding::HEXLOWER;
use serde::Serialize;

/// What signing is for.
pub(super) const HELP: &str = "\
To sign needs the right runbooks.sign on runbook:NAME. A role whose only grant of exec.start is on 'signed-runbook:*' can run \
signed runbooks and nothing else:

  cmdr roles set junior --file - <<END
  [[grant]]
  verbs = [\"@read\", \"runs.*\"]
  [[grant]]
  verbs = [\"exec.start\"]
  resources = [\"signed-runbook:*\"]
  END

A third grant of exec.start with on_request = { approvals = 1 } lets everything else wait for a second person.

A signature is for one version of one runbook. It holds no more when its text is changed, when the device it was made with is \
taken away, and when who made it is removed or loses the right to sign. Saved runbooks that it includes have to be signed, too.";

/// Signs a text as a version of a runbook.
pub(super) async fn sign(
    app: &App,
    hub: &Hub,
    name: &str,
    version: u64,
    text: &str,
) -> Result<(), Failure> {
    let key = app.context()?.key;
    let signer = Signer::of(&key).map_err(|e| Failure::failed(e.to_string()))?;
    let me = hub.ask(&WhoAmI {}).await?;
    let mut signature = Signature {
        version,
        hash: hash(text),
        operator: me.name,
        device: keys::key_id(&key.public()),
        key: signer.public(),
        at_ms: clock::now_ms(),
        signature: String::new(),
    };
    signature.signature = HEXLOWER.encode(&signer.sign(&signature.statement(name)));
    let signed = hub.ask(&Sign { name: name.to_owned(), signature: Some(signature) }).await?;
    app.out.note(&format!("version {version} of {name} is signed by {}", clean(&signed.by)));
    app.out.detail(&format!("with the key {}", signer.public()));
    Ok(())
}

fn hash(text: &str) -> String {
    blake3::hash(text.as_bytes()).to_hex().to_string()
}

/// What came of a check, for scripts.
#[derive(Serialize)]
struct Verified<'a> {
    runbook: &'a str,
    version: u64,
    /// The signature is under this very text, as was looked at here.
    text: bool,
    /// And the hub says so too, and that who signed it may do so still.
    holds: bool,
    by: &'a str,
    at_ms: u64,
    key: Option<SigningKey>,
    why: String,
}

/// Checks what the hub has told of a runbook.
pub(super) fn verify(app: &App, shown: &Shown, key: Option<SigningKey>) -> Result<Exit, Failure> {
    let (name, version) = (shown.runbook.name.as_str(), shown.runbook.version);
    let wrong = shown.signature.as_ref().map(|signature| wrong(shown, signature, key));
    let told = shown.runbook.signed.as_ref();
    let why = match (&wrong, told) {
        (None, _) if version == 0 => "it comes with the hub; nobody has signed it".to_owned(),
        (None, _) => format!("nobody has signed it; to sign it: cmdr runbook sign {name}"),
        (Some(Some(wrong)), _) => wrong.clone(),
        (Some(None), Some(told)) => told.why.clone(),
        (Some(None), None) => "the hub does not say whether it holds".to_owned(),
    };
    let signature = shown.signature.as_ref();
    let verified = Verified {
        runbook: name,
        version,
        text: wrong == Some(None),
        holds: why.is_empty() && told.is_some_and(|told| told.holds),
        by: signature.map_or("", |signature| &signature.operator),
        at_ms: signature.map_or(0, |signature| signature.at_ms),
        key: signature.map(|signature| signature.key),
        why,
    };
    if !matches!(app.out.format, Format::Table | Format::Wide) {
        app.out.one(&verified, &[], name)?;
    } else if verified.holds {
        let signed = told.map(self::told).unwrap_or_default();
        let key = verified.key.map(|key| key.to_string()).unwrap_or_default();
        let fields = [
            ("runbook", name.to_owned()),
            ("version", version.to_string()),
            ("signature", signed),
            ("key", key),
        ];
        app.out.one(&verified, &fields, name)?;
    }
    if verified.holds {
        return Ok(Exit::Ok);
    }
    let by = match verified.by {
        "" => String::new(),
        by => format!(", by {}", clean(by)),
    };
    Err(Failure::failed(format!(
        "no signature holds under version {version} of {name}{by}: {}",
        clean(&verified.why)
    )))
}

/// What is wrong with a signature under the text that came with it, as far as that can be seen from here.
fn wrong(shown: &Shown, signature: &Signature, key: Option<SigningKey>) -> Option<String> {
    if signature.version != shown.runbook.version || signature.hash != hash(&shown.text) {
        return Some("the text is not the one that was signed".to_owned());
    }
    let bytes = HEXLOWER.decode(signature.signature.as_bytes()).unwrap_or_default();
    if !verifies(&signature.key, &signature.statement(&shown.runbook.name), &bytes) {
        return Some("it is damaged, or was made for another runbook, version or text".to_owned());
    }
    match key {
        Some(key) if key != signature.key => {
            Some(format!("it was signed with another key, {}", signature.key))
        }
        _ => None,
    }
}

/// Who signed, in a sentence.
pub(super) fn told(signed: &Signed) -> String {
    let (by, at) = (clean(&signed.by), human::moment(signed.at_ms));
    if signed.holds {
        format!("signed by {by} at {at}; the signature holds")
    } else {
        format!("signed by {by} at {at}; the signature does not hold: {}", clean(&signed.why))
    }
}

/// Who signed, for a table.
pub(super) fn cell(signed: Option<&Signed>) -> Cell {
    match signed {
        None => "-".into(),
        Some(signed) if signed.holds => clean(&signed.by).into_owned().into(),
        Some(signed) => Cell::painted(format!("{} (does not hold)", clean(&signed.by)), Paint::Bad),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cmdr_link::SecretKey;
    use cmdr_protocol::KeyId;
    use cmdr_protocol::runbooks::Runbook;

    fn signed() -> (Signer, Shown) {
        let signer = Signer::of(&SecretKey::generate().unwrap()).unwrap();
        let text = "name: shop\n".to_owned();
        let mut signature = Signature {
            version: 2,
            hash: hash(&text),
            operator: "ann".into(),
            device: KeyId([1; 16]),
            key: signer.public(),
            at_ms: 1,
            signature: String::new(),
        };
        signature.signature = HEXLOWER.encode(&signer.sign(&signature.statement("shop")));
        let runbook = Runbook { name: "shop".into(), version: 2, ..Runbook::default() };
        (signer, Shown { runbook, text, signature: Some(signature), ..Shown::default() })
    }

    fn seen(shown: &Shown, key: Option<SigningKey>) -> String {
        wrong(shown, shown.signature.as_ref().unwrap(), key).unwrap_or_default()
    }

    #[test]
    fn what_a_hub_says_of_a_signature_is_checked_here() {
        let (signer, shown) = signed();
        assert_eq!(seen(&shown, None), "");
        assert_eq!(seen(&shown, Some(signer.public())), "");
        let other = Signer::of(&SecretKey::generate().unwrap()).unwrap().public();
        assert!(seen(&shown, Some(other)).contains("another key"));
        let changed = Shown { text: "name: shop\n#\n".into(), ..shown.clone() };
        assert!(seen(&changed, None).contains("not the one that was signed"));
        let mut other_name = shown.clone();
        other_name.runbook.name = "shoq".into();
        assert!(seen(&other_name, None).contains("another runbook"));
        let mut later = shown.clone();
        later.runbook.version = 3;
        assert!(seen(&later, None).contains("not the one that was signed"));
        for cut in [0, 1, 64, 127] {
            let mut cut_off = shown.clone();
            cut_off.signature.as_mut().unwrap().signature.truncate(cut);
            assert!(seen(&cut_off, None).contains("damaged"), "{cut}");
        }
    }
}
