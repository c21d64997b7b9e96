//! Where a program with a key in `CMDR_KEY` keeps what the hub says of its own key, so that the text
//! it was given outlives a rotation of that. Called by [`crate::App::context`].

use cmdr_link::context::{Context, ContextError};
use cmdr_link::keys::key_id;
use cmdr_link::pins::Pins;
use data_encoding::HEXLOWER;
use std::path::Path;

/// The key with a folder in `home`. Another text begins with a folder of its own, and so with the pin that stands
/// in it. Where nothing can be written the text alone counts.
pub(crate) fn with_folder(mut context: Context, home: &Path) -> Context {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&context.target.hub.0).update(context.target.address.as_bytes());
    let text = &HEXLOWER.encode(&hasher.finalize().as_bytes()[..4]);
    let dir = home.join("programs").join(format!("{}-{text}", key_id(&context.key.public())));
    let Context { target, .. } = &mut context;
    let pins = Pins::load(&dir).or_else(|e| {
        if !matches!(e, ContextError::None(_)) {
            return Err(e);
        }
        let pins = Pins { address: target.address.clone(), key: target.hub, next: None };
        cmdr_link::files::private_dir(&dir).ok();
        pins.save(&dir).map(|()| pins)
    });
    match pins {
        Ok(pins) => {
            target.hub = pins.key;
            context.dir = Some(dir);
        }
        Err(e) => tracing::debug!("the hub's next key will not be kept: {e}"),
    }
    context
}

#[cfg(test)]
mod tests {
    use super::*;
    use cmdr_link::SecretKey;
    use cmdr_link::link::Target;
    use cmdr_link::pins;
    use cmdr_protocol::PublicKey;

    #[test]
    fn what_was_learnt_counts_for_the_same_text_and_for_no_other() {
        let home = tempfile::tempdir().unwrap();
        let key = SecretKey::generate().unwrap();
        let of = |hub| Context {
            target: Target { address: "hub:7700".to_owned(), hub: PublicKey([hub; 32]) },
            key: key.clone(),
            dir: None,
        };
        let first = with_folder(of(1), home.path());
        let dir = first.dir.unwrap();
        assert_eq!(first.target.hub, PublicKey([1; 32]));
        pins::learn(&dir, &PublicKey([1; 32]), Some(PublicKey([2; 32]))).unwrap();
        pins::settle(&dir, &PublicKey([2; 32])).unwrap();
        assert_eq!(with_folder(of(1), home.path()).target.hub, PublicKey([2; 32]));
        let other = with_folder(of(3), home.path());
        assert_eq!(other.target.hub, PublicKey([3; 32]));
        assert_ne!(other.dir.unwrap(), dir);
        // A home that cannot be written to changes nothing.
        let nowhere = with_folder(of(1), Path::new("/proc/none"));
        assert_eq!((nowhere.target.hub, nowhere.dir), (PublicKey([1; 32]), None));
    }
}
