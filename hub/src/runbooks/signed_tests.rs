//! What a signature is for, and what it is not for.

use super::*;
use cmdr_link::SecretKey;
use cmdr_link::signing::Signer;
use cmdr_protocol::SigningKey;

const TEXT: &str = "name: shop\nsteps:\n- name: a\n  line: ls\n";

fn made(signer: &Signer) -> Signature {
    let mut signature = Signature {
        version: 2,
        hash: hash(TEXT),
        operator: "ann".into(),
        device: KeyId([1; 16]),
        key: signer.public(),
        at_ms: 1_700_000_000_000,
        signature: String::new(),
    };
    signature.signature = HEXLOWER.encode(&signer.sign(&signature.statement("shop")));
    signature
}

#[test]
fn a_signature_is_for_one_text_of_one_name_and_version() {
    let signer = Signer::of(&SecretKey::generate().unwrap()).unwrap();
    let signature = made(&signer);
    assert_eq!(proves("shop", &signature, &hash(TEXT)), Ok(()));
    let bent = [
        Signature { version: 3, ..signature.clone() },
        Signature { operator: "bob".into(), ..signature.clone() },
        Signature { at_ms: signature.at_ms + 1, ..signature.clone() },
        Signature { key: SigningKey([7; 32]), ..signature.clone() },
        Signature { signature: String::new(), ..signature.clone() },
        Signature { signature: signature.signature[..126].to_owned(), ..signature.clone() },
        Signature { signature: signature.signature.to_uppercase(), ..signature.clone() },
        Signature { signature: "zz".repeat(64), ..signature.clone() },
        Signature { signature: format!("{}00", signature.signature), ..signature.clone() },
    ];
    for bent in bent {
        let wrong = proves("shop", &bent, &hash(TEXT)).unwrap_err();
        assert!(wrong.contains("damaged, or was made for another"), "{bent:?}: {wrong}");
    }
    assert!(proves("shoq", &signature, &hash(TEXT)).is_err());
    // Whoever can write to the store can write another hash beside the text, too.
    let other = hash("name: shop\n");
    assert!(proves("shop", &signature, &other).unwrap_err().contains("not the one"));
    let moved = Signature { hash: other.clone(), ..signature };
    assert!(proves("shop", &moved, &other).unwrap_err().contains("damaged"));
}
