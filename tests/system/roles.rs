//! Roles over real links: a narrow right does what it names, shows what it may see, and a change of it
//! holds at once, also for what is running.

use cmdr_link::service::{Asked, Feeding, Service};
use cmdr_link::{Client, SecretKey};
use cmdr_protocol::hosts::{Label, Labels, List, Rename, Resolve, Watch};
use cmdr_protocol::ping::{Echo, Sound};
use cmdr_protocol::role::Role;
use cmdr_protocol::roles::{Assign, CanI, Delete, Grant, Listing, Put, Question, WhoCan};
use cmdr_protocol::tokens::{Create, TokenKind};
use cmdr_protocol::version::PeerKind;
use cmdr_protocol::{Call, CallError, ErrorKind, HostId, facts, roles};
use harness::{BareAgent, World, until};
use std::sync::Arc;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(10);

async fn told(_: Arc<()>, _: Asked, _: facts::Get) -> Result<facts::Facts, CallError> {
    Ok(facts::Facts::default())
}

async fn echo(_: Arc<()>, _: Asked, _: Echo, mut feeding: Feeding<Echo>) -> Result<(), CallError> {
    loop {
        let sound = feeding.input().await?;
        feeding.send(&sound).await?;
    }
}

struct Scene {
    world: World,
    administrator: Client,
    web: BareAgent,
    db: BareAgent,
    role: Role,
}

fn grants(verbs: &[&str], hosts: &str) -> Vec<Grant> {
    let verbs = verbs.iter().map(|&verb| verb.to_owned()).collect();
    vec![Grant { verbs, hosts: hosts.to_owned(), ..Grant::default() }]
}

impl Scene {
    /// Two hosts, and a role that may look at what is labelled `tier=web`.
    async fn new() -> Self {
        let world = World::start().await;
        let service = || Service::new(()).on(told).feed(echo);
        let (web, db) =
            (world.bare_agent("web1", service()).await, world.bare_agent("db1", service()).await);
        let administrator = world.client(Role::ADMINISTRATOR).await;
        let role = Role::parse("web-watchers").unwrap();
        let scene = Self { world, administrator, web, db, role };
        scene.label(scene.web.id, "web").await;
        scene.put(grants(&["@read"], "tier=web")).await.unwrap();
        scene
    }

    async fn label(&self, host: HostId, tier: &str) {
        let set = Labels::from([("tier".to_owned(), tier.to_owned())]);
        self.ask(&Label { host, set, remove: Vec::new() }).await.unwrap();
    }

    async fn put(&self, grants: Vec<Grant>) -> Result<(), CallError> {
        let put = Put { name: self.role, description: "looks at the web".into(), grants };
        self.ask(&put).await.map(drop)
    }

    async fn ask<C: Call>(&self, call: &C) -> Result<C::Reply, CallError> {
        self.administrator.call(None, call, PATIENCE).await
    }
}

async fn facts_of(client: &Client, host: HostId) -> Result<(), ErrorKind> {
    client.call(Some(host), &facts::Get {}, PATIENCE).await.map(drop).map_err(|e| e.kind)
}

async fn names(client: &Client) -> Vec<String> {
    let hosts = client.call(None, &List::default(), PATIENCE).await.unwrap().hosts;
    hosts.into_iter().map(|host| host.name).collect()
}

#[tokio::test]
async fn a_role_for_some_hosts_sees_and_reaches_those_and_learns_of_no_other() {
    let scene = Scene::new().await;
    let client = scene.world.client(scene.role).await;
    assert_eq!(facts_of(&client, scene.web.id).await, Ok(()));
    assert_eq!(facts_of(&client, scene.db.id).await, Err(ErrorKind::Denied));
    assert_eq!(facts_of(&client, HostId([7; 16])).await, Err(ErrorKind::Denied));
    assert_eq!(names(&client).await, ["web1"]);
    let every = Resolve::of("*");
    let targets = client.call(None, &every, PATIENCE).await.unwrap().targets;
    assert_eq!(targets.len(), 1);
    let rename = Rename { host: scene.web.id, name: "mine".into() };
    let refused = client.call(None, &rename, PATIENCE).await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Denied);
    assert!(refused.message.contains("hosts.rename"), "{refused}");
}

#[tokio::test]
async fn a_right_to_run_one_thing_shows_the_hosts_it_is_for_and_says_why() {
    let scene = Scene::new().await;
    scene.put(grants(&["exec.start"], "tier=web")).await.unwrap();
    let client = scene.world.client(scene.role).await;
    assert_eq!(names(&client).await, ["web1"]);
    let mut feed = client.feed(None, &Watch::default()).await.unwrap();
    let first = feed.next().await.unwrap().unwrap();
    assert_eq!(first.put.iter().map(|h| h.name.as_str()).collect::<Vec<_>>(), ["web1"]);
    let question = Question { verb: "hosts.list".into(), ..Question::default() };
    let can_i = CanI { question, ..CanI::default() };
    let answer = client.call(None, &can_i, PATIENCE).await.unwrap();
    assert_eq!((answer.allowed, answer.grant), (true, Some(1)));
    assert!(answer.reason.contains("implied by grant 1 of the role web-watchers"), "{answer:?}");
    let table = client.call(None, &roles::Matrix::default(), PATIENCE).await.unwrap();
    // The same, packed for a thin line.
    let packed = roles::Matrix { packed: true, ..roles::Matrix::default() };
    let packed = client.call(None, &packed, PATIENCE).await.unwrap();
    let [large, small] =
        [&table, &packed].map(|table| cmdr_link::codec::encode(table).unwrap().len());
    assert!(small < 4096 && small * 4 < large, "{small} bytes instead of {large}");
    let unpacked: roles::Table = cmdr_link::packed::unpack_value(&packed.packed, 1 << 20).unwrap();
    assert_eq!(unpacked, table);
    let row = table.rows.iter().find(|row| row.verb == "hosts.watch").unwrap();
    assert_eq!(row.cells[0].allowed, roles::Allowed::Some);
    assert!(row.cells[0].reason.contains("implied by grant 1"), "{:?}", row.cells[0]);
    assert_eq!(facts_of(&client, scene.web.id).await, Err(ErrorKind::Denied));
}

#[tokio::test]
async fn everybody_reads_their_own_roles_and_administrators_all() {
    let scene = Scene::new().await;
    scene.put(grants(&["exec.start"], "tier=web")).await.unwrap();
    let all = async |client: &Client| {
        let roles = client.call(None, &roles::List {}, PATIENCE).await.unwrap().roles;
        roles.into_iter().map(|role| role.name).collect::<Vec<_>>()
    };
    assert_eq!(all(&scene.administrator).await.len(), 5);
    let client = scene.world.client(scene.role).await;
    assert_eq!(all(&client).await, [scene.role]);
    let observer = scene.world.client(Role::OBSERVER).await;
    assert_eq!(all(&observer).await, [Role::OBSERVER]);
}

#[tokio::test]
async fn a_host_comes_into_sight_and_goes_out_of_it_with_its_labels() {
    let scene = Scene::new().await;
    let client = scene.world.client(scene.role).await;
    let mut feed =
        client.feed(None, &Watch { interval_ms: 250, ..Watch::default() }).await.unwrap();
    let first = feed.next().await.unwrap().unwrap();
    assert_eq!(first.put.iter().map(|h| h.name.as_str()).collect::<Vec<_>>(), ["web1"]);
    scene.label(scene.db.id, "web").await;
    loop {
        let change = feed.next().await.unwrap().unwrap();
        if change.put.iter().any(|host| host.id == Some(scene.db.id)) {
            break;
        }
    }
    scene.label(scene.web.id, "archive").await;
    loop {
        let change = feed.next().await.unwrap().unwrap();
        if change.gone.contains(&scene.web.id) {
            break;
        }
    }
    assert_eq!(facts_of(&client, scene.web.id).await, Err(ErrorKind::Denied));
}

#[tokio::test]
async fn a_changed_role_holds_at_once_and_ends_what_runs_by_it() {
    let scene = Scene::new().await;
    let token = scene.world.token(TokenKind::Operator, scene.role, 1).await;
    let key = SecretKey::generate().unwrap();
    let dial = |token| {
        let dialer = scene.world.dialer(PeerKind::Client, key.clone(), token);
        async move { dialer.connect().await.unwrap() }
    };
    let (client, welcome) = dial(Some(token.as_str())).await;
    assert!(welcome.verbs.iter().any(|v| v == "facts.get"));
    assert!(!welcome.verbs.iter().any(|v| v == "exec.start" || v == "hosts.rename"));
    let mut running = client.feed(Some(scene.web.id), &Echo {}).await.unwrap();
    running.send(&Sound { data: b"x".to_vec() }).await.unwrap();
    assert!(running.next().await.unwrap().is_ok());
    scene.put(grants(&["hosts.list"], "tier=web")).await.unwrap();
    assert!(running.next().await.unwrap().is_err(), "what ran by the old rights is over");
    let reason = client.link().down().await;
    assert!(reason.contains("rights have changed"), "{reason}");
    let (client, _) = dial(None).await;
    assert_eq!(facts_of(&client, scene.web.id).await, Err(ErrorKind::Denied));
    assert_eq!(names(&client).await, ["web1"]);
    // A role that is gone allows nothing, and whoever had it can be given another.
    scene.ask(&Delete { name: scene.role }).await.unwrap();
    client.link().down().await;
    let (client, welcome) = dial(None).await;
    assert!(welcome.verbs.iter().all(|verb| verb != "hosts.list"), "{:?}", welcome.verbs);
    let refused = client.call(None, &List::default(), PATIENCE).await.unwrap_err();
    assert!(refused.message.contains("does not exist"), "{refused}");
    let me = client.call(None, &cmdr_protocol::operators::WhoAmI {}, PATIENCE).await;
    assert_eq!(me.unwrap().role, scene.role, "who one is, everybody may know");
    let operator = welcome.name;
    scene.ask(&Assign { operator, role: Role::OBSERVER }).await.unwrap();
    client.link().down().await;
    let (client, _) = dial(None).await;
    assert_eq!(facts_of(&client, scene.db.id).await, Ok(()));
}

#[tokio::test]
async fn rights_are_explained_to_those_whose_they_are_and_to_those_who_give_them() {
    let scene = Scene::new().await;
    let client = scene.world.client(scene.role).await;
    let question = |host| Question { verb: "facts.get".into(), resource: String::new(), host };
    let ask = async |host, role| {
        client.call(None, &CanI { question: question(host), role, operator: None }, PATIENCE).await
    };
    let web = ask(Some(scene.web.id), None).await.unwrap();
    assert_eq!((web.allowed, web.grant), (true, Some(1)));
    let db = ask(Some(scene.db.id), None).await.unwrap();
    assert!(!db.allowed && db.reason.contains("not here"), "{}", db.reason);
    let other = ask(None, Some(Role::ADMINISTRATOR)).await.unwrap_err();
    assert_eq!(other.kind, ErrorKind::Denied);
    let unknown = Question { verb: "facts.gte".into(), ..Question::default() };
    let unknown = CanI { question: unknown, ..CanI::default() };
    assert_eq!(client.call(None, &unknown, PATIENCE).await.unwrap_err().kind, ErrorKind::NotFound);
    let able = scene.ask(&WhoCan { question: question(Some(scene.web.id)) }).await.unwrap();
    let roles: Vec<_> = able.roles.iter().map(|answer| answer.role).collect();
    assert!(roles.contains(&scene.role) && roles.contains(&Role::OBSERVER));
    assert!(able.operators.iter().any(|(_, answer)| answer.role == scene.role));
    let able = scene.ask(&WhoCan { question: question(Some(scene.db.id)) }).await.unwrap();
    assert!(able.roles.iter().all(|answer| answer.role != scene.role));
}

#[tokio::test]
async fn no_right_is_a_way_to_more_rights() {
    let scene = Scene::new().await;
    scene.put(grants(&["*"], "")).await.unwrap();
    let client = scene.world.client(scene.role).await;
    let denied = async |result: Result<(), CallError>| {
        assert_eq!(result.unwrap_err().kind, ErrorKind::Denied);
    };
    let more =
        Put { name: Role::parse("more").unwrap(), grants: grants(&["*"], ""), ..Put::default() };
    denied(client.call(None, &more, PATIENCE).await.map(drop)).await;
    denied(client.call(None, &Delete { name: scene.role }, PATIENCE).await.map(drop)).await;
    let create =
        |role| Create { kind: TokenKind::Operator, role, ttl_s: 60, uses: 1, ..Create::default() };
    denied(client.call(None, &create(Role::ADMINISTRATOR), PATIENCE).await.map(drop)).await;
    // Not even with the own role: a second self could approve what the first one asks for.
    denied(client.call(None, &create(scene.role), PATIENCE).await.map(drop)).await;
    let me = client.call(None, &cmdr_protocol::operators::WhoAmI {}, PATIENCE).await.unwrap();
    let one_more = Create { operator: me.name, ..create(Role::NONE) };
    client.call(None, &one_more, PATIENCE).await.unwrap();
}

#[tokio::test]
async fn roles_that_are_wrong_or_built_in_are_refused_and_good_ones_outlive_a_restart() {
    let scene = Scene::new().await;
    let wrong = scene.put(grants(&["exec.strat"], "")).await.unwrap_err();
    assert!(wrong.message.contains("grant 1") && wrong.message.contains("exec.strat"), "{wrong}");
    for name in [Role::OBSERVER, Role::NONE] {
        let put = Put { name, grants: grants(&["*"], ""), ..Put::default() };
        assert_eq!(scene.ask(&put).await.unwrap_err().kind, ErrorKind::Malformed);
    }
    let create = Create {
        kind: TokenKind::Operator,
        role: Role::parse("nobody-made-it").unwrap(),
        ttl_s: 60,
        uses: 1,
        ..Create::default()
    };
    assert_eq!(scene.ask(&create).await.unwrap_err().kind, ErrorKind::NotFound);
    let Scene { world, administrator, web, db, role } = scene;
    drop((administrator, web, db));
    let world = world.restart().await;
    let client = world.client(Role::ADMINISTRATOR).await;
    let Listing { roles } = client.call(None, &roles::List {}, PATIENCE).await.unwrap();
    let kept = roles.iter().find(|one| one.name == role).unwrap();
    assert_eq!((kept.grants.clone(), kept.built_in), (grants(&["@read"], "tier=web"), false));
    assert_eq!(roles[0].name, Role::ADMINISTRATOR);
}

#[tokio::test]
async fn the_last_administrator_stays_one() {
    let world = World::start().await;
    let administrator = world.client(Role::ADMINISTRATOR).await;
    let ask = async |role| {
        let me = administrator.call(None, &cmdr_protocol::operators::WhoAmI {}, PATIENCE).await;
        administrator.call(None, &Assign { operator: me.unwrap().name, role }, PATIENCE).await
    };
    assert_eq!(ask(Role::OBSERVER).await.unwrap_err().kind, ErrorKind::Conflict);
    let _second = world.client(Role::ADMINISTRATOR).await;
    ask(Role::OBSERVER).await.unwrap();
    until("the link is cut", async || administrator.link().ended().is_some()).await;
}

#[tokio::test]
async fn two_administrators_who_take_each_others_rights_at_once_leave_one() {
    let world = World::start().await;
    let (one, two) =
        (world.client(Role::ADMINISTRATOR).await, world.client(Role::ADMINISTRATOR).await);
    let name = async |client: &Client| {
        let me = client.call(None, &cmdr_protocol::operators::WhoAmI {}, PATIENCE).await;
        me.unwrap().name
    };
    let (first, second) = (name(&one).await, name(&two).await);
    let demote = |operator| Assign { operator, role: Role::OBSERVER };
    let (a, b) = (demote(second), demote(first));
    let results = tokio::join!(one.call(None, &a, PATIENCE), two.call(None, &b, PATIENCE));
    assert!(results.0.is_err() || results.1.is_err(), "both were let do it");
    assert!(world.hub.keyring.has_administrator());
}
