//! People of a directory who log in at a hub: with the password that they have there, or with a browser.

use crate::sim::{PATIENCE, ask};
use cmdr_hub::config::{Config, Login};
use cmdr_link::session::Dialer;
use cmdr_link::{SecretKey, keys};
use cmdr_protocol::login::{CAPABILITY, LoggedIn, Oidc, Password, Renew, Ways};
use cmdr_protocol::operators::{By, Create, List, SetPassword, Source, Update, WhoAmI};
use cmdr_protocol::role::Role;
use cmdr_protocol::secrets::Rotate;
use cmdr_protocol::version::PeerKind;
use cmdr_protocol::{CallError, ErrorKind};
use harness::World;
use harness::directory::Directory;
use harness::provider::{Browser, Provider};

const OWN: &str = "correct horse battery";

fn kind<T>(result: Result<T, CallError>) -> Option<ErrorKind> {
    result.err().map(|e| e.kind)
}

fn device(world: &World) -> Dialer {
    let dialer = world.dialer(PeerKind::Client, SecretKey::generate().unwrap(), None);
    Dialer { capabilities: vec![CAPABILITY.to_owned()], ..dialer }
}

async fn login(dialer: &Dialer, name: &str, password: &str) -> Result<LoggedIn, CallError> {
    let (client, _) = dialer.connect().await.unwrap();
    let ask = Password {
        name: name.into(),
        password: password.into(),
        device: "a test".into(),
        ..Password::default()
    };
    client.call(None, &ask, PATIENCE).await
}

#[tokio::test]
async fn people_of_an_ldap_directory_come_in_with_the_role_of_their_groups() {
    let mut directory = Directory::start();
    let login_settings = Login { ldap: Some(directory.settings("")), ..Login::default() };
    let world = World::start_with(Config { login: login_settings, ..Config::default() }).await;
    let administrator = world.client(Role::ADMINISTRATOR).await;
    let create = Create {
        name: "local".into(),
        role: Role::ADMINISTRATOR,
        password: Some("given by another".into()),
        ..Create::default()
    };
    ask(&administrator, &create).await.unwrap();

    let alices = device(&world);
    let done = login(&alices, "Alice", "wonderland").await.unwrap();
    assert_eq!((done.name.as_str(), done.role), ("alice", Role::OPERATOR));
    let (client, _) = alices.connect().await.unwrap();
    assert_eq!(ask(&client, &WhoAmI {}).await.unwrap().by, By::Ldap);
    let wrong = login(&device(&world), "alice", "not it").await;
    assert_eq!(kind(wrong), Some(ErrorKind::Denied));
    let given = SetPassword { name: "alice".into(), password: Some("another for alice".into()) };
    assert_eq!(kind(ask(&administrator, &given).await), Some(ErrorKind::Malformed));
    // A name of the hub's own is never the directory's.
    let bob = Create { name: "bob".into(), role: Role::OBSERVER, ..Create::default() };
    ask(&administrator, &bob).await.unwrap();
    let taken = login(&device(&world), "bob", "builder").await;
    assert_eq!(kind(taken), Some(ErrorKind::Denied));
    let listed = ask(&administrator, &List::default()).await.unwrap().operators;
    let alice = listed.iter().find(|one| one.name == "alice").unwrap();
    assert_eq!((alice.source, alice.full_name.as_str()), (Source::Ldap, "Alice Ångström"));

    // Whoever is shut out here stays out, whatever the directory says.
    let update =
        |disabled| Update { name: "alice".into(), full_name: None, disabled: Some(disabled) };
    ask(&administrator, &update(true)).await.unwrap();
    client.link().down().await;
    assert!(
        login(&device(&world), "alice", "wonderland")
            .await
            .unwrap_err()
            .message
            .contains("shut out")
    );
    ask(&administrator, &update(false)).await.unwrap();

    // A directory that is down keeps its own people out, and nobody else.
    directory.kill();
    let down = login(&device(&world), "alice", "wonderland").await;
    assert_eq!(kind(down), Some(ErrorKind::Unreachable));
    let locals = device(&world);
    let (client, _) = locals.connect().await.unwrap();
    let own = Password {
        name: "local".into(),
        password: "given by another".into(),
        new_password: Some(OWN.into()),
        ..Password::default()
    };
    assert_eq!(ask(&client, &own).await.unwrap().role, Role::ADMINISTRATOR);
    let (client, _) = alices.connect().await.unwrap();
    assert!(ask(&client, &WhoAmI {}).await.is_ok(), "who is in stays in");
    assert_eq!(kind(ask(&client, &Renew {}).await), Some(ErrorKind::Unreachable));

    // Whoever the directory does not know any more is out at the next renewal.
    directory.start_again();
    ask(&client, &Renew {}).await.unwrap();
    directory.remove("uid=alice,ou=people,dc=example,dc=com");
    assert_eq!(kind(ask(&client, &Renew {}).await), Some(ErrorKind::Denied));
    assert!(client.link().down().await.contains("does not know you any more"));
    let key = keys::key_id(&alices.key.public());
    assert!(world.hub.keyring.device(key).is_none());
}

#[tokio::test]
async fn somebody_confirms_in_a_browser_and_is_in() {
    let provider = Provider::start(600);
    let login = Login { oidc: Some(provider.settings("cmdr")), ..Login::default() };
    let world = World::start_with(Config { login, ..Config::default() }).await;
    let dialer = device(&world);
    let (client, _) = dialer.connect().await.unwrap();
    let ways = ask(&client, &Ways {}).await.unwrap();
    assert_eq!(ways.oidc, Some(provider.issuer()));
    let mut feed = client.feed(None, &Oidc { device: "a test".into() }).await.unwrap();
    let step = feed.next().await.unwrap().unwrap();
    assert!(step.uri.starts_with(&provider.issuer()) && !step.code.is_empty());
    let address = step.uri_complete;
    let confirm = move || Browser::new().confirm(&address, "alice");
    tokio::task::spawn_blocking(confirm).await.unwrap();
    let done = feed.next().await.unwrap().unwrap_or_else(|e| panic!("{e}\n{}", provider.log()));
    assert_eq!(done.done.unwrap().role, Role::OPERATOR);
    let (client, welcome) = dialer.connect().await.unwrap();
    assert_eq!((welcome.name.as_str(), welcome.role), ("alice", Role::OPERATOR));
    assert_eq!(ask(&client, &WhoAmI {}).await.unwrap().by, By::Oidc);

    // It is asked again when the login is renewed, more than once; what it is asked with survives a
    // rotation of keys.
    for _ in 0..2 {
        ask(&client, &Renew {}).await.unwrap();
    }
    // Two clients of the device at once: the provider replaces its token with each answer.
    let (one, two) = tokio::join!(ask(&client, &Renew {}), ask(&client, &Renew {}));
    one.and(two).unwrap();
    let administrator = world.client(Role::ADMINISTRATOR).await;
    let mut rotation = administrator.feed(None, &Rotate::default()).await.unwrap();
    while let Some(step) = rotation.next().await {
        step.unwrap();
    }
    ask(&client, &Renew {}).await.unwrap();
    assert!(world.hub.check().await.unwrap().damage.is_empty());

    let other = device(&world);
    let (others, _) = other.connect().await.unwrap();
    let mut feed = others.feed(None, &Oidc::default()).await.unwrap();
    let step = feed.next().await.unwrap().unwrap();
    let address = step.uri_complete;
    tokio::task::spawn_blocking(move || Browser::new().deny(&address)).await.unwrap();
    let denied = feed.next().await.unwrap().unwrap_err();
    assert_eq!(denied.kind, ErrorKind::Denied, "{denied}");
    assert_eq!(other.connect().await.unwrap().1.role, Role::NONE);

    // Whom the provider does not let in any more is out at the next renewal.
    provider.remove("alice");
    assert_eq!(kind(ask(&client, &Renew {}).await), Some(ErrorKind::Denied));
    assert!(client.link().down().await.contains("does not know you any more"));
    assert!(world.hub.keyring.device(keys::key_id(&dialer.key.public())).is_none());
}
