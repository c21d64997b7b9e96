//! How a machine comes into a fleet, and what it says when it does not.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use cmdr_agentd::join::{Ask, Joined, join};
use cmdr_agentd::{run, state};
use cmdr_link::link::{self, Target};
use cmdr_link::mux::Limits;
use cmdr_link::token::JoinToken;
use cmdr_link::{SecretKey, context, keys};
use cmdr_protocol::role::Role;
use cmdr_protocol::version::{Hello, PROTOCOL, Refusal, RefusalKind, Welcome};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use tokio::net::TcpListener;

struct Hub {
    key: SecretKey,
    listener: TcpListener,
}

impl Hub {
    async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self { key: SecretKey::generate().unwrap(), listener }
    }

    fn token(&self) -> JoinToken {
        let address = self.listener.local_addr().unwrap().to_string();
        JoinToken::generate(address, self.key.public()).unwrap()
    }

    /// Answers one who dials: takes them in, or refuses.
    async fn answer(&self, refuse: Option<RefusalKind>) -> Hello {
        let (tcp, _) = self.listener.accept().await.unwrap();
        let incoming = link::accept(tcp, &self.key, Limits::default()).await.unwrap();
        let hello = incoming.hello.clone();
        if let Some(kind) = refuse {
            incoming.refuse(Refusal { kind, message: format!("no: {kind}") }).await;
            return hello;
        }
        let welcome = Welcome {
            protocol: PROTOCOL,
            version: String::new(),
            capabilities: Vec::new(),
            name: "web-1".into(),
            host: Some(keys::host_id(&incoming.peer)),
            key: None,
            role: Role::NONE,
            expires_ms: None,
            renew_ms: None,
            verbs: Vec::new(),
            at_ms: 0,
            next_hub_key: None,
        };
        let (link, _streams) = incoming.welcome(welcome).await.unwrap();
        link.down().await;
        hello
    }
}

#[tokio::test]
async fn a_token_lets_this_machine_in_and_what_is_kept_is_private() {
    let (hub, dir) = (Hub::new().await, tempfile::tempdir().unwrap());
    let token = hub.token();
    let id = token.id;
    let asked = join(dir.path(), "web".into(), Ask::Token(token));
    let (joined, hello) = tokio::join!(asked, hub.answer(None));
    let text = joined.unwrap().to_string();
    assert!(text.starts_with("joined 127.0.0.1:") && text.contains(" as web-1 (id "), "{text}");
    assert_eq!((hello.name.as_str(), hello.join.unwrap().token), ("web", Some(id)));
    let context = run::load_context(dir.path()).unwrap();
    assert_eq!(context.target.hub, hub.key.public());
    for file in ["key", "hub.toml"] {
        let mode = std::fs::metadata(dir.path().join(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{file}");
    }
}

#[tokio::test]
async fn without_a_token_it_waits_for_an_administrator() {
    let (hub, dir) = (Hub::new().await, tempfile::tempdir().unwrap());
    let target = Target { address: hub.token().address, hub: hub.key.public() };
    let asked = join(dir.path(), "web".into(), Ask::Hub(target));
    let (joined, hello) = tokio::join!(asked, hub.answer(Some(RefusalKind::Pending)));
    let joined = joined.unwrap();
    assert!(joined.to_string().contains("cmdr hosts approve "), "{joined}");
    assert!(matches!(joined, Joined::Pending { .. }));
    assert_eq!(hello.join.unwrap().token, None);
    assert!(run::load_context(dir.path()).is_ok(), "the agent can run and wait");
}

#[tokio::test]
async fn each_refusal_is_its_own_line_and_leaves_nothing_to_run_with() {
    let refusals = [
        RefusalKind::BadToken,
        RefusalKind::UsedToken,
        RefusalKind::ExpiredToken,
        RefusalKind::RevokedToken,
        RefusalKind::WrongToken,
        RefusalKind::Rejected,
    ];
    for kind in refusals {
        let (hub, dir) = (Hub::new().await, tempfile::tempdir().unwrap());
        let asked = join(dir.path(), "web".into(), Ask::Token(hub.token()));
        let (joined, _) = tokio::join!(asked, hub.answer(Some(kind)));
        let failure = joined.unwrap_err();
        assert_eq!(failure.code, 5);
        assert!(failure.message.contains(&format!("no: {kind}")), "{failure}");
        let none = run::load_context(dir.path()).unwrap_err().message;
        assert!(none.contains("run: cmdr-agentd join TOKEN"), "{none}");
    }
}

#[tokio::test]
async fn an_impostor_is_named_and_a_hub_that_is_away_is_another_thing() {
    let (hub, dir) = (Hub::new().await, tempfile::tempdir().unwrap());
    let mut token = hub.token();
    token.hub = SecretKey::generate().unwrap().public();
    let asked = join(dir.path(), "web".into(), Ask::Token(token));
    let refuse = async {
        let (tcp, _) = hub.listener.accept().await.unwrap();
        link::accept(tcp, &hub.key, Limits::default()).await.map(drop).unwrap_err()
    };
    let (joined, _) = tokio::join!(asked, refuse);
    let failure = joined.unwrap_err();
    assert!(failure.code == 5 && failure.message.contains("posing as the hub"), "{failure}");
    let token = hub.token();
    drop(hub);
    let failure = join(dir.path(), "web".into(), Ask::Token(token)).await.unwrap_err();
    assert!(failure.code == 7 && failure.message.contains("cannot reach the hub"), "{failure}");
}

#[tokio::test]
async fn a_key_that_others_may_read_is_refused_with_the_remedy() {
    let (hub, dir) = (Hub::new().await, tempfile::tempdir().unwrap());
    let key = context::key_file(dir.path());
    SecretKey::generate().unwrap().save(&key).unwrap();
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    let failure = join(dir.path(), "web".into(), Ask::Token(hub.token())).await.unwrap_err();
    assert!(failure.code != 0 && failure.message.contains("chmod 600"), "{failure}");
}

#[tokio::test]
async fn joining_beside_a_running_agent_is_refused() {
    let (hub, dir) = (Hub::new().await, tempfile::tempdir().unwrap());
    let _running = state::take(dir.path()).unwrap();
    let failure = join(dir.path(), "web".into(), Ask::Token(hub.token())).await.unwrap_err();
    assert!(failure.message.contains("another agent"), "{failure}");
    assert!(!Path::new(&context::key_file(dir.path())).exists());
}
