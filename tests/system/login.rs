//! Operators who log in with a password and a second factor: what lets them in, what does not, and what
//! becomes of a login.

use cmdr_hub::config::{Config, Login, SecondFactor};
use cmdr_link::session::Dialer;
use cmdr_link::{Client, SecretKey, keys};
use cmdr_protocol::login::{CAPABILITY, LoggedIn, Logout, Password, Renew, Ways};
use cmdr_protocol::operators::{
    By, ChangePassword, Create, Delete, List, Locks, SetPassword, Unlock, Update, WhoAmI,
};
use cmdr_protocol::ping::{Echo, Sound};
use cmdr_protocol::role::Role;
use cmdr_protocol::roles::Assign;
use cmdr_protocol::version::{PeerKind, RefusalKind, Welcome};
use cmdr_protocol::{CallError, ErrorKind, hosts, totp};
use harness::World;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(20);
const FIRST: &str = "given by an admin";
const OWN: &str = "correct horse battery";

struct Scene {
    world: World,
    administrator: Client,
}

/// A program of ann's.
struct Device {
    dialer: Dialer,
}

impl Device {
    async fn dial(&self) -> Result<(Client, Welcome), RefusalKind> {
        self.dialer.connect().await.map_err(|e| match e {
            cmdr_link::link::DialError::Refused { refusal, .. } => refusal.kind,
            e => panic!("not refused but: {e}"),
        })
    }

    /// Logs in; what `with` changes of a plain try.
    async fn login(&self, with: impl Fn(&mut Password)) -> Result<LoggedIn, CallError> {
        let (client, _) = self.dial().await.unwrap();
        let mut ask = Password {
            name: "ann".into(),
            password: OWN.into(),
            device: "ann@desk".into(),
            ..Password::default()
        };
        with(&mut ask);
        client.call(None, &ask, PATIENCE).await
    }
}

impl Scene {
    async fn new() -> Self {
        Self::with(Login::default()).await
    }

    async fn with(login: Login) -> Self {
        let world = World::start_with(Config { login, ..Config::default() }).await;
        let administrator = world.client(Role::ADMINISTRATOR).await;
        Self { world, administrator }
    }

    /// With the operator ann, who has chosen her password.
    async fn with_ann() -> (Self, Device) {
        Self::with_ann_and(Login::default()).await
    }

    async fn with_ann_and(login: Login) -> (Self, Device) {
        let scene = Self::with(login).await;
        scene.create("ann").await;
        let device = scene.device();
        let first = |ask: &mut Password| {
            ask.password = FIRST.into();
            ask.new_password = Some(OWN.into());
        };
        device.login(first).await.unwrap();
        (scene, device)
    }

    async fn create(&self, name: &str) {
        let create = Create {
            name: name.into(),
            role: Role::OBSERVER,
            password: Some(FIRST.into()),
            ..Create::default()
        };
        self.ask(&create).await.unwrap();
    }

    async fn ask<C: cmdr_protocol::Call>(&self, call: &C) -> Result<C::Reply, CallError> {
        self.administrator.call(None, call, PATIENCE).await
    }

    fn device(&self) -> Device {
        let key = SecretKey::generate().unwrap();
        let mut dialer = self.world.dialer(PeerKind::Client, key, None);
        dialer.capabilities = vec![CAPABILITY.to_owned()];
        Device { dialer }
    }
}

fn kind<T>(result: Result<T, CallError>) -> Option<ErrorKind> {
    result.err().map(|e| e.kind)
}

#[tokio::test]
async fn a_password_that_somebody_else_has_set_is_changed_at_the_first_login() {
    let scene = Scene::new().await;
    scene.create("ann").await;
    let device = scene.device();
    let first = |ask: &mut Password| ask.password = FIRST.into();
    assert_eq!(kind(device.login(first).await), Some(ErrorKind::NeedsPassword));
    for (new, why) in [("short", "at least 12"), (FIRST, "yours before"), ("ann ann ann a", "")] {
        let renew = |ask: &mut Password| {
            first(ask);
            ask.new_password = Some(new.into());
        };
        let error = device.login(renew).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Malformed, "{error}");
        assert!(error.message.contains(why), "{error}");
        scene.ask(&Unlock::default()).await.unwrap();
    }
    let renew = |ask: &mut Password| {
        first(ask);
        ask.new_password = Some(OWN.into());
    };
    let done = device.login(renew).await.unwrap();
    assert_eq!((done.name.as_str(), done.role), ("ann", Role::OBSERVER));
    let (client, welcome) = device.dial().await.unwrap();
    assert_eq!((welcome.name.as_str(), welcome.expires_ms), ("ann", Some(done.expires_ms)));
    let me = client.call(None, &WhoAmI {}, PATIENCE).await.unwrap();
    assert_eq!((me.by, me.device.as_str()), (By::Password, "ann@desk"));
    assert_eq!(kind(device.login(first).await), Some(ErrorKind::Denied), "the first one is gone");
}

#[tokio::test]
async fn strangers_can_do_nothing_but_log_in() {
    let scene = Scene::new().await;
    let device = scene.device();
    let (client, welcome) = device.dial().await.unwrap();
    assert_eq!((welcome.role, welcome.name.as_str()), (Role::NONE, ""));
    assert!(welcome.verbs.iter().all(|verb| verb.starts_with("login.")), "{:?}", welcome.verbs);
    assert!(client.call(None, &Ways {}, PATIENCE).await.unwrap().password);
    assert_eq!(
        kind(client.call(None, &hosts::List::default(), PATIENCE).await),
        Some(ErrorKind::Denied)
    );
    assert_eq!(kind(client.call(None, &WhoAmI {}, PATIENCE).await), Some(ErrorKind::Denied));
    assert_eq!(kind(client.call(None, &Renew {}, PATIENCE).await), Some(ErrorKind::Denied));
    assert_eq!(kind(client.call(None, &Logout {}, PATIENCE).await), Some(ErrorKind::Denied));
    // Who does not say that it wants to log in is told to.
    let silent = Dialer { capabilities: Vec::new(), ..device.dialer.clone() };
    assert_eq!(Device { dialer: silent }.dial().await.unwrap_err(), RefusalKind::UnknownKey);
    // Only so many of them come in from one address.
    let mut held = Vec::new();
    let refused = loop {
        match scene.device().dial().await {
            Ok(link) => held.push(link),
            Err(refusal) => break refusal,
        }
    };
    assert_eq!(refused, RefusalKind::Busy);
    assert!(held.len() < 25, "{}", held.len());
}

#[tokio::test]
async fn wrong_names_and_passwords_get_one_answer_and_after_five_a_wait() {
    let (scene, device) = Scene::with_ann().await;
    let wrong = |ask: &mut Password| ask.password = "not this one at all".into();
    let nobody = |ask: &mut Password| ask.name = "nobody".into();
    let (a, b) = (device.login(wrong).await.unwrap_err(), device.login(nobody).await.unwrap_err());
    assert_eq!(a, b);
    scene.ask(&Unlock::default()).await.unwrap();
    let other =
        Device { dialer: Dialer { from: Some([127, 0, 0, 9].into()), ..scene.device().dialer } };
    for name in ["ann", "nobody"] {
        for _ in 0..5 {
            let named = |ask: &mut Password| {
                wrong(ask);
                ask.name = name.into();
            };
            assert_eq!(kind(device.login(named).await), Some(ErrorKind::Denied));
        }
        let locked = other.login(|ask| ask.name = name.into()).await.unwrap_err();
        assert!(
            locked.message.contains("too many wrong tries were made with that name"),
            "{locked}"
        );
        let unlock = Unlock { address: Some("127.0.0.1".into()), operator: None };
        scene.ask(&unlock).await.unwrap();
    }
    let locks = scene.ask(&Locks {}).await.unwrap();
    let names: Vec<_> = locks.operators.iter().map(|lock| lock.address.as_str()).collect();
    assert!(names.contains(&"ann") && names.contains(&"nobody"), "{names:?}");
    assert!(locks.operators.iter().all(|lock| lock.wait_s > 0));
    let lifted = Unlock { address: None, operator: Some("ann".into()) };
    assert_eq!(scene.ask(&lifted).await.unwrap().count, 1);
    other.login(|_| {}).await.unwrap();
    // A key that is known comes and goes while its operator's name waits.
    assert!(device.dial().await.is_ok());
}

#[tokio::test]
async fn of_many_guesses_at_once_no_more_are_looked_at_than_one_after_the_other() {
    let (scene, _) = Scene::with_ann().await;
    let tries =
        (0..30u8).map(|n| {
            let mut device = scene.device();
            device.dialer.from = Some([127, 0, 2, n + 1].into());
            async move {
                device.login(|ask| ask.password = format!("guess number {n}")).await.unwrap_err()
            }
        });
    let answers = futures::future::join_all(tries).await;
    let looked_at = answers.iter().filter(|e| !e.message.contains("too many wrong tries")).count();
    assert!((1..=5).contains(&looked_at), "{looked_at} of 30");
}

#[tokio::test]
async fn a_login_that_ends_in_mid_session_cuts_what_runs_and_says_so() {
    let (scene, device) = Scene::with_ann().await;
    let (client, _) = device.dial().await.unwrap();
    let mut running = client.feed(None, &Echo {}).await.unwrap();
    running.send(&Sound::default()).await.unwrap();
    assert!(running.next().await.unwrap().is_ok());
    let id = keys::key_id(&device.dialer.key.public());
    let now = cmdr_link::clock::now_ms();
    scene.world.hub.keyring.change_device(id, |d| d.expires_ms = Some(now)).await.unwrap();
    // Refused from the next request on, and cut a little later.
    assert_eq!(kind(client.call(None, &WhoAmI {}, PATIENCE).await), Some(ErrorKind::Denied));
    let (again, welcome) = device.dial().await.unwrap();
    assert_eq!(welcome.role, Role::NONE, "it may only log in again");
    drop(again);
    let silent = Dialer { capabilities: Vec::new(), ..device.dialer.clone() };
    assert_eq!(Device { dialer: silent }.dial().await.unwrap_err(), RefusalKind::LoginExpired);
    let reason = tokio::time::timeout(Duration::from_secs(20), client.link().down()).await.unwrap();
    assert!(reason.contains("the login has ended"), "{reason}");
    device.login(|_| {}).await.unwrap();
    assert_eq!(device.dial().await.unwrap().1.role, Role::OBSERVER);
}

#[tokio::test]
async fn a_login_is_lengthened_while_it_can_be_and_no_further() {
    let (scene, device) = Scene::with_ann().await;
    let (client, _) = device.dial().await.unwrap();
    let id = keys::key_id(&device.dialer.key.public());
    let now = cmdr_link::clock::now_ms();
    let set = |expires_ms, renewable_ms| {
        scene.world.hub.keyring.change_device(id, move |device| {
            (device.expires_ms, device.renewable_ms) = (Some(expires_ms), Some(renewable_ms));
        })
    };
    set(now + 60_000, now + 1_000_000_000).await.unwrap();
    let renewed = client.call(None, &Renew {}, PATIENCE).await.unwrap();
    assert!(renewed.expires_ms >= now + 12 * 3_600_000, "{renewed:?}");
    set(now + 60_000, now + 120_000).await.unwrap();
    let renewed = client.call(None, &Renew {}, PATIENCE).await.unwrap();
    assert_eq!(renewed.expires_ms, now + 120_000);
    let lasting = scene.administrator.call(None, &Renew {}, PATIENCE).await;
    assert_eq!(kind(lasting), Some(ErrorKind::Malformed));
}

#[tokio::test]
async fn an_operator_who_is_shut_out_or_removed_is_cut_off_at_once() {
    let (scene, device) = Scene::with_ann().await;
    let (client, _) = device.dial().await.unwrap();
    let update =
        |disabled| Update { name: "ann".into(), full_name: None, disabled: Some(disabled) };
    scene.ask(&update(true)).await.unwrap();
    assert!(client.link().down().await.contains("shut this operator out"));
    assert_eq!(device.dial().await.unwrap_err(), RefusalKind::Disabled);
    let other = scene.device();
    assert!(other.login(|_| {}).await.unwrap_err().message.contains("was shut out"));
    scene.ask(&update(false)).await.unwrap();
    let (client, _) = device.dial().await.unwrap();
    scene.ask(&Delete { name: "ann".into() }).await.unwrap();
    assert!(client.link().down().await.contains("removed"));
    assert_eq!(device.dial().await.unwrap().1.role, Role::NONE);
    assert_eq!(kind(device.login(|_| {}).await), Some(ErrorKind::Denied));
    assert_eq!(kind(scene.ask(&Delete { name: "ann".into() }).await), Some(ErrorKind::NotFound));
}

#[tokio::test]
async fn changing_a_password_ends_the_other_logins_by_it() {
    let (scene, device) = Scene::with_ann().await;
    let other = scene.device();
    other.login(|_| {}).await.unwrap();
    let ((mine, _), (others, _)) = (device.dial().await.unwrap(), other.dial().await.unwrap());
    let change = |old: &str, new: &str| ChangePassword { old: old.into(), new: new.into() };
    let wrong = mine.call(None, &change("not it", "another long one"), PATIENCE).await;
    assert_eq!(kind(wrong), Some(ErrorKind::Denied));
    mine.call(None, &change(OWN, "another long one"), PATIENCE).await.unwrap();
    assert!(others.link().down().await.contains("password was changed"));
    assert!(mine.call(None, &WhoAmI {}, PATIENCE).await.is_ok());
    let back = mine.call(None, &change("another long one", OWN), PATIENCE).await;
    assert_eq!(kind(back), Some(ErrorKind::Malformed), "it was hers before");
    scene.ask(&SetPassword { name: "ann".into(), password: None }).await.unwrap();
    assert!(mine.link().down().await.contains("password was changed"));
    assert_eq!(kind(other.login(|_| {}).await), Some(ErrorKind::Denied), "she has none any more");
}

#[tokio::test]
async fn the_second_factor_is_asked_for_and_each_code_works_once() {
    let (scene, device) = Scene::with_ann().await;
    let (client, _) = device.dial().await.unwrap();
    let begin = |password: &str| totp::Begin { password: password.into() };
    assert_eq!(kind(client.call(None, &begin("wrong"), PATIENCE).await), Some(ErrorKind::Denied));
    let made = client.call(None, &begin(OWN), PATIENCE).await.unwrap();
    assert!(made.uri.starts_with("otpauth://totp/Commander:ann?"), "{}", made.uri);
    let other = scene.device();
    other.login(|_| {}).await.expect("not asked for before it is confirmed");
    let codes = harness::totp::Codes::of(&made.secret);
    let wrong = totp::Confirm { code: "000000".into() };
    let wrong = client.call(None, &wrong, PATIENCE).await;
    assert_eq!(kind(wrong), Some(ErrorKind::Denied));
    let confirm = totp::Confirm { code: codes.now() };
    let recovery = client.call(None, &confirm, PATIENCE).await.unwrap().codes;
    assert_eq!(recovery.len(), 10);
    assert_eq!(kind(other.login(|_| {}).await), Some(ErrorKind::NeedsCode));
    let again = other.login(|ask| ask.code = Some(confirm.code.clone())).await;
    assert_eq!(kind(again), Some(ErrorKind::Denied), "this code was used to confirm");
    scene.ask(&Unlock::default()).await.unwrap();
    let next = codes.next();
    let twice =
        futures::future::join_all((0..2).map(|_| other.login(|ask| ask.code = Some(next.clone()))));
    assert_eq!(twice.await.iter().filter(|done| done.is_ok()).count(), 1, "one of two at once");
    let by_recovery = |ask: &mut Password| ask.code = Some(recovery[2].to_uppercase());
    other.login(by_recovery).await.unwrap();
    assert_eq!(kind(other.login(by_recovery).await), Some(ErrorKind::Denied));
    // Whoever has lost it asks an administrator.
    scene.ask(&totp::Reset { name: "ann".into() }).await.unwrap();
    scene.ask(&Unlock::default()).await.unwrap();
    other.login(|_| {}).await.unwrap();
    assert!(scene.world.hub.check().await.unwrap().damage.is_empty());
}

#[tokio::test]
async fn where_a_second_factor_is_wanted_nothing_else_is_allowed_before_there_is_one() {
    let login = Login { second_factor: SecondFactor::Required, ..Login::default() };
    let (scene, device) = Scene::with_ann_and(login).await;
    assert!(device.login(|_| {}).await.unwrap().owes_factor);
    let (client, _) = device.dial().await.unwrap();
    let look = hosts::List::default();
    let refused = client.call(None, &look, PATIENCE).await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Denied);
    assert!(refused.message.contains("cmdr totp enable"), "{refused}");
    let programs = cmdr_protocol::keys::List {};
    assert_eq!(kind(client.call(None, &programs, PATIENCE).await), Some(ErrorKind::Denied));
    client.call(None, &cmdr_protocol::operators::WhoAmI {}, PATIENCE).await.unwrap();
    let begin = totp::Begin { password: OWN.into() };
    let made = client.call(None, &begin, PATIENCE).await.unwrap();
    assert_eq!(kind(client.call(None, &look, PATIENCE).await), Some(ErrorKind::Denied));
    let codes = harness::totp::Codes::of(&made.secret);
    let confirm = totp::Confirm { code: codes.now() };
    client.call(None, &confirm, PATIENCE).await.unwrap();
    client.call(None, &look, PATIENCE).await.unwrap();
    let disable = totp::Disable { code: codes.next() };
    assert_eq!(kind(client.call(None, &disable, PATIENCE).await), Some(ErrorKind::Conflict));
    // A device whose own key is its login owes nothing.
    scene.ask(&look).await.unwrap();
}

#[tokio::test]
async fn logging_out_lets_the_hub_forget_the_device() {
    let (scene, device) = Scene::with_ann().await;
    let (client, _) = device.dial().await.unwrap();
    client.call(None, &Logout {}, PATIENCE).await.unwrap();
    client.link().close("bye");
    assert_eq!(device.dial().await.unwrap().1.role, Role::NONE);
    let last = scene.administrator.call(None, &Logout {}, PATIENCE).await;
    assert_eq!(kind(last), Some(ErrorKind::Conflict), "nobody could administer the hub any more");
}

#[tokio::test]
async fn operators_are_made_listed_and_given_roles_by_administrators_alone() {
    let (scene, device) = Scene::with_ann().await;
    let create =
        |name: &str| Create { name: name.into(), role: Role::OPERATOR, ..Create::default() };
    assert_eq!(kind(scene.ask(&create("ann")).await), Some(ErrorKind::Conflict));
    assert_eq!(kind(scene.ask(&create("Bad Name")).await), Some(ErrorKind::Malformed));
    let ghost = Create { role: Role::parse("ghosts").unwrap(), ..create("bob") };
    assert_eq!(kind(scene.ask(&ghost).await), Some(ErrorKind::NotFound));
    let (client, _) = device.dial().await.unwrap();
    assert_eq!(kind(client.call(None, &create("eve"), PATIENCE).await), Some(ErrorKind::Denied));
    let listed = scene.ask(&List::default()).await.unwrap().operators;
    let ann = listed.iter().find(|one| one.name == "ann").unwrap();
    assert!(ann.password && !ann.second_factor && ann.devices.len() == 1);
    assert!(ann.devices[0].links >= 1);
    scene.ask(&Assign { operator: "ann".into(), role: Role::DEVELOPER }).await.unwrap();
    assert!(client.link().down().await.contains("rights have changed"));
    assert_eq!(device.dial().await.unwrap().1.role, Role::DEVELOPER);
    let nobody = Assign { operator: "eve".into(), role: Role::DEVELOPER };
    assert_eq!(kind(scene.ask(&nobody).await), Some(ErrorKind::NotFound));
}

#[tokio::test]
async fn an_unknown_name_takes_as_long_to_refuse_as_a_wrong_password() {
    let (scene, device) = Scene::with_ann().await;
    let mut spans = [Vec::new(), Vec::new()];
    for _ in 0..9 {
        for (at, name) in ["ann", "nobody"].into_iter().enumerate() {
            let (client, _) = device.dial().await.unwrap();
            let ask =
                Password { name: name.into(), password: "wrong".into(), ..Password::default() };
            let began = std::time::Instant::now();
            let refused = client.call(None, &ask, PATIENCE).await.unwrap_err();
            spans[at].push(began.elapsed());
            assert!(refused.message.contains("is wrong"), "{refused}");
            scene.ask(&Unlock::default()).await.unwrap();
        }
    }
    let [known, unknown] = spans.map(|mut all| {
        all.sort_unstable();
        all[all.len() / 2].as_secs_f64()
    });
    // The machine is shared, so the bound is wide; without the made-up hash it is a factor of ten.
    assert!((0.5..2.0).contains(&(known / unknown)), "{known} s and {unknown} s");
}

#[tokio::test]
async fn a_flood_of_wrong_passwords_leaves_those_who_are_known_quick() {
    let (scene, device) = Scene::with_ann().await;
    let flood = async {
        for round in 0u32.. {
            // Ten at once, from ever other addresses and with ever other names: as fast as the hub answers.
            let tries = (0..10u32).map(|n| {
                let number = round * 10 + n;
                let [_, a, b, c] = number.to_be_bytes();
                let mut guess = scene.device();
                guess.dialer.from = Some([127, 1 + a % 100, b, c.max(1)].into());
                async move {
                    let Ok((client, _)) = guess.dialer.connect().await else { return };
                    let name = format!("guess-{number}");
                    let ask = Password { name, password: "wrong".into(), ..Password::default() };
                    drop(client.call(None, &ask, PATIENCE).await);
                }
            });
            futures::future::join_all(tries).await;
        }
    };
    let honest = async {
        let mut slowest = Duration::ZERO;
        for _ in 0..50 {
            let began = std::time::Instant::now();
            let (client, welcome) = device.dial().await.unwrap();
            assert_eq!(welcome.name, "ann");
            client.call(None, &WhoAmI {}, PATIENCE).await.unwrap();
            slowest = slowest.max(began.elapsed());
        }
        slowest
    };
    let slowest = tokio::select! {
        slowest = honest => slowest,
        () = flood => unreachable!("it never ends by itself"),
    };
    assert!(slowest < Duration::from_secs(1), "the slowest connect took {slowest:?}");
}

#[tokio::test]
async fn a_client_that_stays_lengthens_its_login_by_itself() {
    let (scene, device) = Scene::with_ann().await;
    let id = keys::key_id(&device.dialer.key.public());
    let now = cmdr_link::clock::now_ms();
    // Half of twelve hours is over in a moment.
    let soon = now + 6 * 3_600_000 + 500;
    scene.world.hub.keyring.change_device(id, |d| d.expires_ms = Some(soon)).await.unwrap();
    let session = cmdr_link::session::Session::start(device.dialer.clone());
    harness::until("the login is lengthened", async || {
        let device = scene.world.hub.keyring.device(id);
        device.is_some_and(|device| device.expires_ms > Some(soon))
    })
    .await;
    session.close();
}
