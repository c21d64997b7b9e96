//! Signed runbooks through a real hub over real links: who may run signed ones alone runs these and nothing else, and a
//! signature holds no longer than its text, its device and its signer's right.

use crate::sim::{Sim, ask, command, over};
use cmdr_hub::records::DeviceRecord;
use cmdr_hub::store::Batch;
use cmdr_link::signing::Signer;
use cmdr_link::{Client, SecretKey, clock, keys};
use cmdr_protocol::operators::{Delete as Remove, Revoke, Update, WhoAmI};
use cmdr_protocol::role::Role;
use cmdr_protocol::roles::{Assign, Grant, OnRequest, Put};
use cmdr_protocol::runbooks::{List, Save, Show, Sign, Signature, Signed, Versions};
use cmdr_protocol::runs::{Order, Retry, Runbook, Start, Started, TargetState};
use cmdr_protocol::tokens::TokenKind;
use cmdr_protocol::version::PeerKind;
use cmdr_protocol::{CallError, ErrorKind, KeyId, SigningKey};
use data_encoding::HEXLOWER;
use harness::World;

/// Somebody with a device that signs.
struct Person {
    client: Client,
    signer: Signer,
    device: KeyId,
    name: String,
}

impl Person {
    async fn new(world: &World, role: Role) -> Self {
        let token = world.token(TokenKind::Operator, role, 1).await;
        let key = SecretKey::generate().unwrap();
        let dialer = world.dialer(PeerKind::Client, key.clone(), Some(&token));
        let client = dialer.connect().await.unwrap().0;
        let me = ask(&client, &WhoAmI {}).await.unwrap();
        let (signer, device) = (Signer::of(&key).unwrap(), keys::key_id(&key.public()));
        Self { client, signer, device, name: me.name }
    }

    /// A signature under a version, as it is now.
    async fn made(&self, name: &str, version: u64) -> Signature {
        let show = Show { name: name.into(), version: Some(version) };
        let text = ask(&self.client, &show).await.unwrap().text;
        let unsigned = Signature {
            version,
            hash: blake3::hash(text.as_bytes()).to_hex().to_string(),
            operator: self.name.clone(),
            device: self.device,
            key: self.signer.public(),
            at_ms: clock::now_ms(),
            signature: String::new(),
        };
        self.signed(name, unsigned)
    }

    fn signed(&self, name: &str, signature: Signature) -> Signature {
        let said = signature.statement(name);
        Signature { signature: HEXLOWER.encode(&self.signer.sign(&said)), ..signature }
    }

    async fn put(&self, name: &str, signature: Signature) -> Result<Signed, CallError> {
        let sign = Sign { name: name.into(), signature: Some(signature) };
        ask(&self.client, &sign).await
    }

    async fn sign(&self, name: &str, version: u64) {
        let signature = self.made(name, version).await;
        let signed = self.put(name, signature).await.unwrap();
        assert!(signed.holds && signed.by == self.name && signed.why.is_empty(), "{signed:?}");
    }
}

async fn save(client: &Client, name: &str, steps: &str) -> u64 {
    let text = format!("name: {name}\nsteps:\n{steps}");
    let save = Save { name: name.into(), text, ..Save::default() };
    ask(client, &save).await.unwrap().version
}

const ECHO: &str = "- name: a\n  command: [echo, one]\n";

fn start(name: &str, version: u32) -> Start {
    let runbook = Runbook { name: name.into(), version, ..Runbook::default() };
    let order = Order { runbook: Some(runbook), ..Order::default() };
    Start { hosts: "*".into(), order, ..Start::default() }
}

async fn begin(client: &Client, name: &str, version: u32) -> Result<Started, CallError> {
    ask(client, &start(name, version)).await
}

/// Why somebody may not begin it.
async fn refused(client: &Client, name: &str, version: u32) -> String {
    let refused = begin(client, name, version).await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Denied, "{refused}");
    refused.message
}

/// A role whose only right on hosts, as long as nobody is asked, is to run what is signed.
async fn junior(world: &World, admin: &Person) -> Client {
    let grant = |verbs: &[&str], resources: &[&str]| Grant {
        verbs: verbs.iter().map(|&verb| verb.to_owned()).collect(),
        resources: resources.iter().map(|&resource| resource.to_owned()).collect(),
        ..Grant::default()
    };
    let name: Role = "junior".parse().unwrap();
    // All else waits for a second person.
    let on_request = Some(OnRequest { approvals: 1, longest_minutes: 60 });
    let grants = vec![
        grant(&["@read", "runs.*"], &[]),
        grant(&["exec.start"], &["signed-runbook:*"]),
        Grant { on_request, ..grant(&["exec.start"], &[]) },
    ];
    let put = Put { name, description: String::new(), grants };
    ask(&admin.client, &put).await.unwrap();
    world.client(name).await
}

#[tokio::test]
async fn who_may_run_signed_runbooks_alone_runs_these_and_nothing_else() {
    let world = World::start().await;
    let host = Sim::new(&world, "sim").await;
    let admin = Person::new(&world, Role::ADMINISTRATOR).await;
    let junior = junior(&world, &admin).await;
    assert_eq!(save(&admin.client, "book", ECHO).await, 1);
    let why = refused(&junior, "book", 0).await;
    assert!(why.contains("version 1 of 'book' is not signed"), "{why}");
    assert!(why.contains("cmdr runbook sign book"), "{why}");
    admin.sign("book", 1).await;
    let run = begin(&junior, "book", 0).await.unwrap().run.unwrap();
    assert_eq!(over(&junior, run).await.targets[0].state, TargetState::Ok);
    // Nothing else: no order of their own, and nothing that comes with the hub and nobody stands for.
    let free = Start { hosts: "*".into(), order: command(&["echo", "x"]), ..Start::default() };
    let denied = ask(&junior, &free).await.unwrap_err();
    assert_eq!(denied.kind, ErrorKind::Denied);
    assert!(denied.message.contains("cmdr approvals ask exec.start"), "{denied}");
    let why = refused(&junior, "nginx", 0).await;
    assert!(why.contains("comes with the hub and was signed by nobody"), "{why}");
    // Another text is another version, and that is signed by nobody yet; the one before is still.
    assert_eq!(save(&admin.client, "book", "- name: b\n  command: [echo, two]\n").await, 2);
    let why = refused(&junior, "book", 0).await;
    assert!(why.contains("version 2 of 'book' is not signed"), "{why}");
    assert!(begin(&junior, "book", 1).await.is_ok());
    // What it includes has to be signed as well.
    let outer = "- name: inner\n  runbook: book\n";
    assert_eq!(save(&admin.client, "outer", outer).await, 1);
    admin.sign("outer", 1).await;
    let why = refused(&junior, "outer", 0).await;
    assert!(why.contains("version 2 of 'book' is not signed"), "{why}");
    admin.sign("book", 2).await;
    let run = begin(&junior, "outer", 0).await.unwrap().run.unwrap();
    assert_eq!(over(&junior, run).await.targets[0].state, TargetState::Ok);
    // Who may run every runbook needs no signature.
    save(&admin.client, "plain", ECHO).await;
    assert!(begin(&admin.client, "plain", 0).await.is_ok());
    drop(host);
}

#[tokio::test]
async fn lists_say_who_signed_what_and_it_outlives_the_hub() {
    let world = World::start().await;
    let admin = Person::new(&world, Role::ADMINISTRATOR).await;
    save(&admin.client, "book", ECHO).await;
    save(&admin.client, "book", "- name: b\n  command: [echo, two]\n").await;
    admin.sign("book", 1).await;
    let world = world.restart().await;
    let looks = world.client(Role::OBSERVER).await;
    let versions = ask(&looks, &Versions { name: "book".into() }).await.unwrap().versions;
    assert!(versions[0].signed.is_none());
    let signed = versions[1].signed.clone().unwrap();
    assert!(signed.holds && signed.by == admin.name, "{signed:?}");
    assert_eq!(signed.key, Some(admin.signer.public()));
    let book = async || {
        let all = ask(&looks, &List {}).await.unwrap().runbooks;
        all.into_iter().find(|book| book.name == "book").unwrap()
    };
    assert!(book().await.signed.is_none(), "the newest version is not signed");
    let show = Show { name: "book".into(), version: Some(1) };
    let shown = ask(&looks, &show).await.unwrap();
    assert!(shown.runbook.signed.unwrap().holds && shown.signature.unwrap().version == 1);
    // Who may only look signs nothing.
    let looks_too = Person::new(&world, Role::OBSERVER).await;
    let signature = looks_too.made("book", 1).await;
    let denied = looks_too.put("book", signature).await.unwrap_err();
    assert_eq!(denied.kind, ErrorKind::Denied);
}

#[tokio::test]
async fn a_signature_that_was_not_made_for_this_by_who_asks_is_refused() {
    let world = World::start().await;
    let ann = Person::new(&world, Role::ADMINISTRATOR).await;
    let bob = Person::new(&world, Role::ADMINISTRATOR).await;
    save(&ann.client, "book", ECHO).await;
    save(&ann.client, "other", ECHO).await;
    let old = ann.made("book", 1).await;
    save(&ann.client, "book", "- name: b\n  command: [echo, two]\n").await;
    let now = ann.made("book", 2).await;
    // Another signature that is right, of another time.
    let earlier = Signature { at_ms: now.at_ms - 1000, ..now.clone() };
    let wrong: Vec<(&str, Signature)> = vec![
        ("another version's, as it was", Signature { version: 2, ..old.clone() }),
        ("another version's with this text", Signature { hash: now.hash.clone(), ..old.clone() }),
        ("cut", Signature { signature: now.signature[..100].into(), ..now.clone() }),
        ("none", Signature { signature: String::new(), ..now.clone() }),
        ("bob's", Signature { operator: bob.name.clone(), ..now.clone() }),
        ("of another device", Signature { device: bob.device, ..now.clone() }),
        ("with another key", Signature { key: bob.signer.public(), ..now.clone() }),
        ("with no key", Signature { key: SigningKey([0; 32]), ..now.clone() }),
        ("of another time than it says", earlier),
        (
            "of last week",
            ann.signed("book", Signature { at_ms: now.at_ms - 7 * 86_400_000, ..now.clone() }),
        ),
        (
            "of a version that is not there",
            ann.signed("book", Signature { version: 9, ..now.clone() }),
        ),
        ("of what comes with the hub", ann.signed("book", Signature { version: 0, ..now.clone() })),
    ];
    for (what, signature) in wrong {
        assert!(ann.put("book", signature).await.is_err(), "{what}");
    }
    // The same text under another name is something else.
    let same = Signature { version: 1, hash: old.hash.clone(), ..now.clone() };
    assert!(ann.put("other", ann.signed("book", same)).await.is_err());
    // And nobody hands in what somebody else has made.
    assert_eq!(bob.put("book", now.clone()).await.unwrap_err().kind, ErrorKind::Denied);
    let nothing = Sign { name: "book".into(), signature: None };
    assert!(ask(&ann.client, &nothing).await.is_err());
    assert!(ask(&ann.client, &List {}).await.unwrap().runbooks.iter().all(|b| b.signed.is_none()));
    assert!(ann.put("book", now).await.unwrap().holds);
    // A device signs with one key.
    let mine = Signature { key: bob.signer.public(), ..ann.made("book", 2).await };
    let mine = bob.signed("book", mine);
    assert_eq!(ann.put("book", mine).await.unwrap_err().kind, ErrorKind::Conflict);
}

#[tokio::test]
async fn a_signature_ends_with_the_device_the_right_and_the_operator() {
    let world = World::start().await;
    let host = Sim::new(&world, "sim").await;
    let admin = Person::new(&world, Role::ADMINISTRATOR).await;
    let junior = junior(&world, &admin).await;
    save(&admin.client, "book", "- name: a\n  command: [wait]\n").await;
    // By the device: what is tried again after that does not begin.
    let ann = Person::new(&world, Role::ADMINISTRATOR).await;
    ann.sign("book", 1).await;
    let run = begin(&junior, "book", 0).await.unwrap().run.unwrap();
    host.finish(TargetState::Failed, 1).await;
    over(&junior, run).await;
    ask(&admin.client, &Revoke { key: ann.device }).await.unwrap();
    let why = refused(&junior, "book", 0).await;
    assert!(why.contains("under version 1 of 'book'"), "{why}");
    assert!(why.contains("was taken away") && why.contains(&ann.name), "{why}");
    assert!(why.contains("cmdr runbook sign book"), "{why}");
    let retry = Retry { run, targets: Vec::new(), cancelled: false, confirm: None };
    assert_eq!(ask(&junior, &retry).await.unwrap_err().kind, ErrorKind::Denied);
    let list = ask(&junior, &List {}).await.unwrap().runbooks;
    let signed = list.iter().find(|book| book.name == "book").unwrap().signed.clone().unwrap();
    assert!(!signed.holds && signed.why.contains("taken away"), "{signed:?}");
    // By the right to sign.
    let bob = Person::new(&world, Role::ADMINISTRATOR).await;
    bob.sign("book", 1).await;
    let assign = Assign { operator: bob.name.clone(), role: Role::OPERATOR };
    ask(&admin.client, &assign).await.unwrap();
    let why = refused(&junior, "book", 0).await;
    assert!(why.contains("may sign it no more"), "{why}");
    let assign = Assign { operator: bob.name.clone(), role: Role::ADMINISTRATOR };
    ask(&admin.client, &assign).await.unwrap();
    assert!(begin(&junior, "book", 0).await.is_ok());
    // By the operator, shut out or removed.
    let shut = Update { name: bob.name.clone(), disabled: Some(true), ..Update::default() };
    ask(&admin.client, &shut).await.unwrap();
    assert!(refused(&junior, "book", 0).await.contains("was shut out"));
    ask(&admin.client, &Remove { name: bob.name.clone() }).await.unwrap();
    let why = refused(&junior, "book", 0).await;
    assert!(why.contains("is not known any more"), "{why}");
    admin.sign("book", 1).await;
    assert!(begin(&junior, "book", 0).await.is_ok());
}

#[tokio::test]
async fn what_was_changed_in_the_store_is_found_when_the_hub_begins_and_is_not_run() {
    let world = World::start().await;
    let host = Sim::new(&world, "sim").await;
    let admin = Person::new(&world, Role::ADMINISTRATOR).await;
    let mallory = Person::new(&world, Role::ADMINISTRATOR).await;
    let user = junior(&world, &admin).await;
    for name in ["book", "other", "third"] {
        save(&admin.client, name, ECHO).await;
        admin.sign(name, 1).await;
    }
    mallory.sign("other", 1).await;
    assert!(world.hub.check().await.unwrap().damage.is_empty());
    // A text, with the hash of it that stands in the list.
    let evil = "name: book\nsteps:\n- name: a\n  command: [echo, evil]\n".to_owned();
    let text = Batch::new().put("runbook-text/book/0000000001", &evil);
    world.hub.store.apply(text).await.unwrap();
    // The key of one device, in the place of another's.
    let record = |id: KeyId| format!("operator/{id}");
    let of = |id: KeyId| world.hub.store.get::<DeviceRecord>(&record(id)).unwrap().unwrap();
    let (own, theirs) = (of(admin.device), of(mallory.device));
    let moved = DeviceRecord { signing: theirs.signing, ..own };
    world.hub.store.apply(Batch::new().put(record(admin.device), &moved)).await.unwrap();
    drop(host);
    let world = world.restart().await;
    let damage = world.hub.check().await.unwrap().damage.join("\n");
    assert!(damage.contains("the runbook 'book'") && damage.contains("not the one"), "{damage}");
    let again = world.client("junior".parse().unwrap()).await;
    let _host = Sim::new(&world, "sim2").await;
    let why = refused(&again, "book", 0).await;
    assert!(why.contains("the text is not the one that was signed"), "{why}");
    let why = refused(&again, "third", 0).await;
    assert!(why.contains("has never signed with this key"), "{why}");
    assert!(begin(&again, "other", 0).await.is_ok());
    drop(user);
}
