//! Rights that have to be asked for, limits on hosts, groups, and keys for programs: over real links.

use cmdr_link::service::{Asked, Service};
use cmdr_link::{Client, SecretKey, keys as link_keys};
use cmdr_protocol::approvals::{Approval, Ask, Decide, End, List, State, Wanted, Watch};
use cmdr_protocol::groups::{self, Group, Kind, Member};
use cmdr_protocol::hosts::{Label, Labels};
use cmdr_protocol::operators::{ChangePassword, Create as CreateOperator, Delete, WhoAmI};
use cmdr_protocol::role::Role;
use cmdr_protocol::roles::{Allowed, Grant, Limit, Matrix, Mine, OnRequest, Put, Question, WhoCan};
use cmdr_protocol::tokens::{Create as CreateToken, TokenKind};
use cmdr_protocol::version::{PeerKind, RefusalKind};
use cmdr_protocol::{Call, CallError, ErrorKind, HostId, facts, hosts, keys, tokens};
use harness::{BareAgent, World, until};
use std::sync::Arc;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(10);

async fn told(_: Arc<()>, _: Asked, _: facts::Get) -> Result<facts::Facts, CallError> {
    Ok(facts::Facts::default())
}

struct Scene {
    world: World,
    administrator: Client,
    hosts: Vec<BareAgent>,
}

fn role(name: &str) -> Role {
    Role::parse(name).unwrap()
}

fn grant(verbs: &[&str]) -> Grant {
    Grant { verbs: verbs.iter().map(|&verb| verb.to_owned()).collect(), ..Grant::default() }
}

fn kind<T>(result: Result<T, CallError>) -> Option<ErrorKind> {
    result.err().map(|e| e.kind)
}

async fn facts_of(client: &Client, host: HostId) -> Option<ErrorKind> {
    kind(client.call(Some(host), &facts::Get {}, PATIENCE).await)
}

impl Scene {
    /// Three hosts, `h0` labelled `tier=web`, `h1` labelled `tier=db`, `h2` not at all.
    async fn new() -> Self {
        let world = World::start().await;
        let mut hosts = Vec::new();
        for n in 0..3 {
            hosts.push(world.bare_agent(&format!("h{n}"), Service::new(()).on(told)).await);
        }
        let administrator = world.client(Role::ADMINISTRATOR).await;
        let scene = Self { world, administrator, hosts };
        for (n, tier) in [(0, "web"), (1, "db")] {
            let set = Labels::from([("tier".to_owned(), tier.to_owned())]);
            scene.ask(&Label { host: scene.hosts[n].id, set, remove: Vec::new() }).await.unwrap();
        }
        scene
    }

    async fn ask<C: Call>(&self, call: &C) -> Result<C::Reply, CallError> {
        self.administrator.call(None, call, PATIENCE).await
    }

    async fn put(&self, name: &str, grants: Vec<Grant>) -> Role {
        let name = role(name);
        self.ask(&Put { name, description: String::new(), grants }).await.unwrap();
        name
    }

    /// A device of an operator who is made for it.
    async fn operator(&self, name: &str, role: Role) -> Client {
        let create = CreateOperator { name: name.into(), role, ..CreateOperator::default() };
        self.ask(&create).await.unwrap();
        self.device(name).await
    }

    async fn device(&self, name: &str) -> Client {
        let create = CreateToken {
            kind: TokenKind::Operator,
            operator: name.into(),
            ttl_s: 60,
            uses: 1,
            ..CreateToken::default()
        };
        let token = self.ask(&create).await.unwrap().text;
        let key = SecretKey::generate().unwrap();
        self.world.dialer(PeerKind::Client, key, Some(&token)).connect().await.unwrap().0
    }

    /// A role that reads, and has `facts.get` on request.
    async fn on_request(&self, approvals: u32) -> Role {
        let on_request = Some(OnRequest { approvals, longest_minutes: 30 });
        let asked = Grant { on_request, ..grant(&["facts.get"]) };
        self.put("on-call", vec![grant(&["hosts.*", "approvals.*", "operators.whoami"]), asked])
            .await
    }
}

fn wanted(hosts: &str) -> Ask {
    let wanted = Wanted {
        verbs: vec!["facts.get".into()],
        hosts: hosts.into(),
        minutes: 5,
        ..Wanted::default()
    };
    Ask { wanted, reason: "the disk is full".into() }
}

async fn decide(client: &Client, id: u64, approve: bool) -> Result<Approval, CallError> {
    let reason = if approve { "" } else { "not today" };
    client.call(None, &Decide { id, approve, reason: reason.into() }, PATIENCE).await
}

#[tokio::test]
async fn what_is_asked_for_holds_when_another_person_approves_and_only_there() {
    let scene = Scene::new().await;
    let ann = scene.operator("ann", scene.on_request(1).await).await;
    let [web, db] = [0, 1].map(|n| scene.hosts[n].id);
    assert_eq!(facts_of(&ann, web).await, Some(ErrorKind::OnRequest));
    let asked = ann.call(None, &wanted("tier=web"), PATIENCE).await.unwrap();
    assert_eq!((asked.state, asked.needs, asked.own), (State::Waiting, 1, true));
    assert_eq!(kind(decide(&ann, asked.id, true).await), Some(ErrorKind::Denied), "not by herself");
    let second = scene.device("ann").await;
    assert_eq!(kind(decide(&second, asked.id, true).await), Some(ErrorKind::Denied), "nor so");
    assert_eq!(facts_of(&ann, web).await, Some(ErrorKind::OnRequest));

    let mut watched = scene.administrator.feed(None, &Watch {}).await.unwrap();
    let seen = watched.next().await.unwrap().unwrap().approvals;
    assert!(seen[0].may_decide && !seen[0].own && seen[0].reason == "the disk is full");
    let approved = decide(&scene.administrator, asked.id, true).await.unwrap();
    assert_eq!((approved.state, approved.decisions.len()), (State::Active, 1));
    assert_eq!(watched.next().await.unwrap().unwrap().approvals[0].state, State::Active);
    assert_eq!(facts_of(&ann, web).await, None);
    assert_eq!(facts_of(&second, web).await, None, "it is the operator's, not the device's");
    assert_eq!(facts_of(&ann, db).await, Some(ErrorKind::OnRequest), "asked for the other one");
    let late = decide(&scene.administrator, asked.id, false).await;
    assert_eq!(kind(late), Some(ErrorKind::Conflict));
    // It is her own to give back.
    ann.call(None, &End { id: asked.id }, PATIENCE).await.unwrap();
    assert_eq!(facts_of(&ann, web).await, Some(ErrorKind::OnRequest));
}

#[tokio::test]
async fn events_of_a_request_are_for_who_asked_and_for_who_may_decide() {
    use cmdr_protocol::events;
    let scene = Scene::new().await;
    let ann = scene.operator("ann", scene.on_request(1).await).await;
    let eve = scene.operator("eve", Role::OBSERVER).await;
    let asked = ann.call(None, &wanted("tier=web"), PATIENCE).await.unwrap();
    decide(&scene.administrator, asked.id, true).await.unwrap();
    ann.call(None, &End { id: asked.id }, PATIENCE).await.unwrap();
    let heard = async |client: &Client| {
        let kinds = vec!["approval".to_owned()];
        let watch = events::Watch { once: true, kinds, ..events::Watch::default() };
        let mut feed = client.feed(None, &watch).await.unwrap();
        let mut heard = Vec::new();
        while let Some(event) = feed.next().await {
            let event = event.unwrap();
            assert_eq!(event.about, format!("approval:{}", asked.id));
            assert!(!format!("{event:?}").contains("disk"), "the reason is in the request alone");
            heard.push((event.what.as_str(), event.message));
        }
        heard
    };
    let all = [
        ("approval.asked", "waiting"),
        ("approval.answered", "active"),
        ("approval.ended", "ended"),
    ];
    let all = all.map(|(what, state)| (what, state.to_owned())).to_vec();
    assert_eq!(heard(&scene.administrator).await, all);
    assert_eq!(heard(&ann).await, all, "it is hers");
    assert_eq!(heard(&eve).await, []);
}

#[tokio::test]
async fn a_no_has_a_reason_and_two_approvals_are_of_two_people() {
    let scene = Scene::new().await;
    let ann = scene.operator("ann", scene.on_request(2).await).await;
    let asked = ann.call(None, &wanted(""), PATIENCE).await.unwrap();
    let empty = Decide { id: asked.id, approve: false, reason: " ".into() };
    assert_eq!(kind(scene.ask(&empty).await), Some(ErrorKind::Malformed));
    assert_eq!(decide(&scene.administrator, asked.id, true).await.unwrap().state, State::Waiting);
    let again = decide(&scene.administrator, asked.id, true).await;
    assert_eq!(kind(again), Some(ErrorKind::Conflict));
    // Who would have to ask as well decides about nobody.
    let peer = scene.operator("peer", role("on-call")).await;
    assert_eq!(kind(decide(&peer, asked.id, true).await), Some(ErrorKind::NotFound));
    let leads = vec![grant(&["hosts.*", "approvals.*", "facts.get"])];
    let lead = scene.operator("lead", scene.put("leads", leads).await).await;
    assert_eq!(decide(&lead, asked.id, true).await.unwrap().state, State::Active);
    assert_eq!(facts_of(&ann, scene.hosts[0].id).await, None);
    let denied = ann.call(None, &wanted(""), PATIENCE).await.unwrap();
    assert_eq!(decide(&lead, denied.id, false).await.unwrap().state, State::Denied);
    let mine = ann.call(None, &List {}, PATIENCE).await.unwrap().approvals;
    assert_eq!(mine.iter().find(|a| a.id == denied.id).unwrap().decisions[0].reason, "not today");
    // Somebody who may not do it decides about nobody who may.
    let narrow = scene.put("narrow", vec![grant(&["hosts.list", "approvals.*"])]).await;
    let outsider = scene.operator("outsider", narrow).await;
    let third = ann.call(None, &wanted(""), PATIENCE).await.unwrap();
    assert_eq!(kind(decide(&outsider, third.id, true).await), Some(ErrorKind::NotFound));
    assert!(outsider.call(None, &List {}, PATIENCE).await.unwrap().approvals.is_empty());
}

#[tokio::test]
async fn with_a_reason_alone_it_holds_at_once_and_lapses_and_an_administrator_can_end_it() {
    let scene = Scene::new().await;
    let on_call = scene.on_request(0).await;
    let ann = scene.operator("ann", on_call).await;
    let host = scene.hosts[0].id;
    let without = Ask { reason: String::new(), ..wanted("") };
    assert_eq!(kind(ann.call(None, &without, PATIENCE).await), Some(ErrorKind::Malformed));
    let mut long = wanted("");
    long.wanted.minutes = 31;
    assert_eq!(kind(ann.call(None, &long, PATIENCE).await), Some(ErrorKind::Malformed));
    let mut other = wanted("");
    other.wanted.verbs = vec!["tokens.create".into()];
    assert_eq!(kind(ann.call(None, &other, PATIENCE).await), Some(ErrorKind::Denied));
    let asked = ann.call(None, &wanted(""), PATIENCE).await.unwrap();
    assert_eq!(asked.state, State::Active);
    assert_eq!(facts_of(&ann, host).await, None);
    let Scene { world, administrator, hosts, .. } = scene;
    drop((ann, administrator, hosts));
    // It outlives the hub, and ends by an administrator.
    let world = world.restart().await;
    let approval = world.hub.approvals.get(asked.id).unwrap();
    assert_eq!((approval.state, approval.until_ms), (State::Active, asked.until_ms));
    assert_eq!(world.hub.who_is("ann").approved.len(), 1);
    let administrator = world.client(Role::ADMINISTRATOR).await;
    administrator.call(None, &End { id: asked.id }, PATIENCE).await.unwrap();
    assert!(world.hub.who_is("ann").approved.is_empty());
    let lapsed = Approval { state: State::Active, ..approval };
    let at = cmdr_hub::approvals::state(&lapsed, lapsed.until_ms);
    assert_eq!(at, State::Lapsed);
}

#[tokio::test]
async fn what_was_approved_needs_the_grant_it_was_asked_for_by() {
    let scene = Scene::new().await;
    let ann = scene.operator("ann", scene.on_request(0).await).await;
    ann.call(None, &wanted(""), PATIENCE).await.unwrap();
    assert_eq!(facts_of(&ann, scene.hosts[0].id).await, None);
    scene.put("on-call", vec![grant(&["hosts.*"])]).await;
    ann.link().down().await;
    let ann = scene.device("ann").await;
    assert_eq!(facts_of(&ann, scene.hosts[0].id).await, Some(ErrorKind::Denied));
}

#[tokio::test]
async fn a_limit_of_hosts_is_kept_by_the_hub_whatever_the_client_does() {
    let scene = Scene::new().await;
    let limit = Some(Limit { hosts: 2, minutes: 60 });
    let few = Grant { limit, ..grant(&["facts.get"]) };
    let few = scene.put("few", vec![few, grant(&["hosts.*"])]).await;
    let ann = scene.operator("ann", few).await;
    let [a, b, c] = [0, 1, 2].map(|n| scene.hosts[n].id);
    for _ in 0..2 {
        assert_eq!((facts_of(&ann, a).await, facts_of(&ann, b).await), (None, None));
    }
    let refused = ann.call(Some(c), &facts::Get {}, PATIENCE).await.unwrap_err();
    assert!(refused.message.contains("limit of 2 hosts"), "{refused}");
    let second = scene.device("ann").await;
    assert_eq!(
        facts_of(&second, c).await,
        Some(ErrorKind::Denied),
        "another device is no way around"
    );
    let bob = scene.operator("bob", few).await;
    assert_eq!(facts_of(&bob, c).await, None, "everybody has a count of their own");
}

#[tokio::test]
async fn a_group_gives_a_role_on_its_hosts_and_a_project_no_more_than_its_department_has() {
    let scene = Scene::new().await;
    let ann = scene.operator("ann", Role::NONE).await;
    let [web, db, bare] = [0, 1, 2].map(|n| scene.hosts[n].id);
    assert_eq!(facts_of(&ann, web).await, Some(ErrorKind::Denied));
    let member = |role| vec![Member { operator: "ann".into(), role }];
    let group = |name: &str, kind, hosts: &str, department: Role, members| groups::Put {
        group: Group {
            name: role(name),
            kind,
            department,
            hosts: hosts.into(),
            members,
            ..Group::default()
        },
        was: None,
    };
    let department = group("webbers", Kind::Department, "tier=web", Role::NONE, Vec::new());
    scene.ask(&department).await.unwrap();
    let all = member(Role::OPERATOR);
    let project = group("shop", Kind::Project, "*", role("webbers"), all);
    scene.ask(&project).await.unwrap();
    ann.link().down().await;
    let ann = scene.device("ann").await;
    let found = async |client: &Client, host| facts_of(client, host).await;
    assert_eq!(
        [found(&ann, web).await, found(&ann, db).await, found(&ann, bare).await],
        [None, Some(ErrorKind::Denied), Some(ErrorKind::Denied)]
    );
    let seen = ann.call(None, &hosts::List::default(), PATIENCE).await.unwrap().hosts;
    assert_eq!(seen.iter().map(|host| host.name.as_str()).collect::<Vec<_>>(), ["h0"]);
    let me = ann.call(None, &WhoAmI {}, PATIENCE).await.unwrap();
    assert_eq!(me.groups, [("shop".to_owned(), Role::OPERATOR)]);
    assert_eq!(kind(ann.call(None, &tokens::List::all(), PATIENCE).await), Some(ErrorKind::Denied));
    let mine = ann.call(None, &Mine { hosts: vec![web, db] }, PATIENCE).await.unwrap().hosts;
    assert_eq!(mine.len(), 1, "nothing is said of hosts that one may not see");
    assert!(mine[0].1.iter().any(|verb| verb == "exec.start"));
    assert!(mine[0].1.iter().all(|verb| verb != "hosts.forget"));
    let question = Question { verb: "facts.get".into(), host: Some(web), ..Question::default() };
    let able = scene.ask(&WhoCan { question }).await.unwrap().operators;
    let (_, why) = able.iter().find(|(name, _)| name == "ann").unwrap();
    assert!(why.reason.contains("in shop"), "{}", why.reason);

    for wrong in [
        group("x", Kind::Project, "*", role("nothing"), Vec::new()),
        group("x", Kind::Project, "", Role::NONE, Vec::new()),
        group("x", Kind::Project, "a=1,,", Role::NONE, Vec::new()),
        group("x", Kind::Project, "*", Role::NONE, member(role("ghosts"))),
        group("x", Kind::Unknown, "*", Role::NONE, Vec::new()),
    ] {
        assert!(scene.ask(&wrong).await.is_err(), "{wrong:?}");
    }
    // Without its department, a project gives nothing.
    scene.ask(&groups::Delete { name: role("webbers") }).await.unwrap();
    ann.link().down().await;
    let ann = scene.device("ann").await;
    assert_eq!(facts_of(&ann, web).await, Some(ErrorKind::Denied));
    let listed = ann.call(None, &groups::List {}, PATIENCE).await;
    assert_eq!(kind(listed), Some(ErrorKind::Denied), "she has no role anywhere");
    assert!(scene.world.hub.check().await.unwrap().damage.is_empty());
}

#[tokio::test]
async fn a_programs_key_does_what_it_is_for_from_where_it_may_and_not_for_ever() {
    let scene = Scene::new().await;
    let ann = scene.operator("ann", Role::OPERATOR).await;
    let [web, db] = [0, 1].map(|n| scene.hosts[n].id);
    let secret = SecretKey::generate().unwrap();
    let create = keys::Create {
        key: secret.public(),
        name: "deploy".into(),
        scope: vec![Grant {
            hosts: "tier=web".into(),
            ..grant(&["facts.get", "hosts.resolve", "tokens.*"])
        }],
        networks: vec!["127.0.0.0/30".into()],
        ttl_s: 3600,
        http: None,
    };
    for wrong in [
        keys::Create { scope: Vec::new(), ..create.clone() },
        keys::Create { scope: vec![grant(&["no.such"])], ..create.clone() },
        keys::Create { networks: vec!["nowhere".into()], ..create.clone() },
        keys::Create { ttl_s: 0, ..create.clone() },
        keys::Create { name: " ".into(), ..create.clone() },
    ] {
        assert_eq!(kind(ann.call(None, &wrong, PATIENCE).await), Some(ErrorKind::Malformed));
    }
    ann.call(None, &create, PATIENCE).await.unwrap();
    let again = ann.call(None, &create, PATIENCE).await;
    assert_eq!(kind(again), Some(ErrorKind::Conflict), "this key is somebody's already");

    let dialer = scene.world.dialer(PeerKind::Client, secret.clone(), None);
    let (program, welcome) = dialer.connect().await.unwrap();
    assert_eq!(welcome.name, "ann");
    assert_eq!(facts_of(&program, web).await, None);
    assert_eq!(facts_of(&program, db).await, Some(ErrorKind::Denied), "ann may, her program not");
    let resolve = hosts::Resolve::of(String::new());
    let targets = program.call(None, &resolve, PATIENCE).await.unwrap().targets;
    assert_eq!(targets.len(), 1);
    let tokens = program.call(None, &tokens::List::all(), PATIENCE).await;
    assert_eq!(kind(tokens), Some(ErrorKind::Denied), "no more than its operator may");
    let change = ChangePassword { old: String::new(), new: "a new long password".into() };
    assert_eq!(kind(program.call(None, &change, PATIENCE).await), Some(ErrorKind::Denied));
    let more = keys::Create { key: SecretKey::generate().unwrap().public(), ..create };
    assert_eq!(kind(program.call(None, &more, PATIENCE).await), Some(ErrorKind::Denied));
    let itself = program.call(None, &WhoAmI {}, PATIENCE).await.unwrap();
    assert_eq!(itself.device, "deploy");

    let mut from = dialer.clone();
    from.from = Some([127, 0, 0, 9].into());
    match from.connect().await {
        Err(cmdr_link::link::DialError::Refused { refusal, .. }) => {
            assert_eq!(refusal.kind, RefusalKind::Elsewhere);
        }
        other => panic!("it may not come from there: {other:?}"),
    }
    let listed = async || ann.call(None, &keys::List {}, PATIENCE).await.unwrap().keys;
    until("its use is known", async || {
        listed().await.iter().any(|key| key.used_ms.is_some() && key.used_from == "127.0.0.1")
    })
    .await;
    let id = link_keys::key_id(&secret.public());
    let bob = scene.operator("bob", Role::OPERATOR).await;
    let not_his = bob.call(None, &keys::Revoke { key: id }, PATIENCE).await;
    assert_eq!(kind(not_his), Some(ErrorKind::NotFound));
    ann.call(None, &keys::Revoke { key: id }, PATIENCE).await.unwrap();
    assert!(program.link().down().await.contains("revoked"));
    assert!(dialer.connect().await.is_err());
}

#[tokio::test]
async fn a_programs_key_is_no_way_past_its_own_bounds() {
    let scene = Scene::new().await;
    let secret = SecretKey::generate().unwrap();
    let create = keys::Create {
        key: secret.public(),
        name: "everything".into(),
        scope: vec![grant(&["*"])],
        networks: Vec::new(),
        ttl_s: 3600,
        http: None,
    };
    scene.ask(&create).await.unwrap();
    let (program, _) = scene.world.dialer(PeerKind::Client, secret, None).connect().await.unwrap();
    let me = scene.ask(&WhoAmI {}).await.unwrap().name;
    let token = CreateToken {
        kind: TokenKind::Operator,
        operator: me,
        ttl_s: 60,
        uses: 1,
        ..CreateToken::default()
    };
    assert_eq!(kind(program.call(None, &token, PATIENCE).await), Some(ErrorKind::Denied));
    let operator = CreateOperator { name: "eve".into(), ..CreateOperator::default() };
    assert_eq!(kind(program.call(None, &operator, PATIENCE).await), Some(ErrorKind::Denied));
    let ann = scene.operator("ann", scene.on_request(1).await).await;
    let asked = ann.call(None, &wanted(""), PATIENCE).await.unwrap();
    assert_eq!(kind(decide(&program, asked.id, true).await), Some(ErrorKind::Denied));
    // What it is for it may: a host's token is for a machine.
    let host = CreateToken { kind: TokenKind::Host, operator: String::new(), ..token };
    program.call(None, &host, PATIENCE).await.unwrap();
}

#[tokio::test]
async fn of_two_who_change_a_group_at_once_neither_undoes_the_other() {
    let scene = Scene::new().await;
    let group =
        Group { name: role("web"), kind: Kind::Department, hosts: "*".into(), ..Group::default() };
    scene.ask(&groups::Put { group: group.clone(), was: None }).await.unwrap();
    let changed = Group { description: "ours".into(), ..group.clone() };
    let put = |group| groups::Put { group, was: Some(Group::default()) };
    assert_eq!(kind(scene.ask(&put(changed.clone())).await), Some(ErrorKind::Conflict));
    let right = groups::Put { group: changed.clone(), was: Some(group.clone()) };
    scene.ask(&right).await.unwrap();
    assert_eq!(kind(scene.ask(&right).await), Some(ErrorKind::Conflict), "it is another by now");
}

#[tokio::test]
async fn a_programs_key_goes_with_its_operator() {
    let scene = Scene::new().await;
    let ann = scene.operator("ann", Role::OPERATOR).await;
    let secret = SecretKey::generate().unwrap();
    let create = keys::Create {
        key: secret.public(),
        name: "deploy".into(),
        scope: vec![grant(&["*"])],
        networks: Vec::new(),
        ttl_s: 3600,
        http: None,
    };
    ann.call(None, &create, PATIENCE).await.unwrap();
    let dialer = scene.world.dialer(PeerKind::Client, secret, None);
    let (program, _) = dialer.connect().await.unwrap();
    scene.ask(&Delete { name: "ann".into() }).await.unwrap();
    program.link().down().await;
    assert!(dialer.connect().await.is_err());
}

#[tokio::test]
async fn the_matrix_shows_what_each_role_allows_and_others_only_their_own() {
    let scene = Scene::new().await;
    scene.on_request(1).await;
    let table = scene.ask(&Matrix::default()).await.unwrap();
    let cell = |verb: &str, name: Role| {
        let column = table.roles.iter().position(|role| *role == name).unwrap();
        table.rows.iter().find(|row| row.verb == verb).unwrap().cells[column].clone()
    };
    assert_eq!(cell("exec.start", Role::ADMINISTRATOR).allowed, Allowed::Yes);
    assert_eq!(cell("exec.start", Role::OBSERVER).allowed, Allowed::No);
    let developer = cell("exec.start", Role::DEVELOPER);
    assert_eq!((developer.allowed, developer.grants.as_slice()), (Allowed::Some, &[2][..]));
    assert!(developer.reason.contains("env!=prod"), "{}", developer.reason);
    assert_eq!(cell("facts.get", role("on-call")).allowed, Allowed::OnRequest);
    assert_eq!(cell("login.renew", Role::OBSERVER).allowed, Allowed::Yes);
    let on_host =
        scene.ask(&Matrix { host: Some(scene.hosts[0].id), ..Matrix::default() }).await.unwrap();
    let column = on_host.roles.iter().position(|role| *role == Role::DEVELOPER).unwrap();
    let exec = on_host.rows.iter().find(|row| row.verb == "exec.start").unwrap();
    assert_eq!(exec.cells[column].allowed, Allowed::Yes, "this host is not production");
    let observer = scene.operator("eve", Role::OBSERVER).await;
    let own = observer.call(None, &Matrix::default(), PATIENCE).await.unwrap();
    assert_eq!(own.roles, [Role::OBSERVER]);
}

#[tokio::test]
async fn what_is_on_no_request_is_refused_at_once_and_put_to_nobody() {
    let scene = Scene::new().await;
    let asked = Grant {
        hosts: "tier=web".into(),
        resources: vec!["facts:*".into()],
        on_request: Some(OnRequest { approvals: 1, longest_minutes: 30 }),
        ..grant(&["facts.get"])
    };
    let narrow = scene.put("on-call-web", vec![grant(&["hosts.*"]), asked]).await;
    let ann = scene.operator("ann", narrow).await;
    let ask =
        async |ask: Ask| ann.call(None, &ask, PATIENCE).await.map_err(|e| (e.kind, e.message));
    for hosts in ["tier=db", "h0,h1"] {
        let (kind, message) = ask(wanted(hosts)).await.unwrap_err();
        assert_eq!(kind, ErrorKind::Denied);
        assert!(message.contains("at h1") && message.contains("no request"), "{message}");
    }
    assert_eq!(ask(wanted("h9")).await.unwrap_err().0, ErrorKind::NotFound);
    let mut elsewhere = wanted("h0");
    elsewhere.wanted.resources = vec!["command:ls".into()];
    let (kind, message) = ask(elsewhere).await.unwrap_err();
    assert!(kind == ErrorKind::Denied && message.contains("on 'command:ls'"), "{message}");
    let listing = scene.ask(&List {}).await.unwrap();
    assert!(listing.approvals.is_empty(), "nobody is asked about what cannot be given");
    assert_eq!(listing.may_ask, Some(Vec::new()), "an administrator has nothing on request");
    let mine = ann.call(None, &List {}, PATIENCE).await.unwrap();
    assert_eq!(mine.may_ask, Some(vec!["facts.get".to_owned()]));
    for hosts in ["", "*", "h0", "tier=web"] {
        assert_eq!(ask(wanted(hosts)).await.unwrap().state, State::Waiting, "{hosts}");
    }
}

#[tokio::test]
async fn five_requests_of_one_person_are_open_at_most_those_that_hold_among_them() {
    let scene = Scene::new().await;
    let ann = scene.operator("ann", scene.on_request(0).await).await;
    let mut last = 0;
    for _ in 0..5 {
        last = ann.call(None, &wanted(""), PATIENCE).await.unwrap().id;
    }
    let refused = ann.call(None, &wanted(""), PATIENCE).await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Busy);
    assert!(refused.message.contains("cmdr approvals end"), "{refused}");
    let bob = scene.operator("bob", role("on-call")).await;
    bob.call(None, &wanted(""), PATIENCE).await.unwrap();
    ann.call(None, &End { id: last }, PATIENCE).await.unwrap();
    ann.call(None, &wanted(""), PATIENCE).await.unwrap();
}

#[tokio::test]
async fn the_roles_that_one_has_in_groups_are_ones_own_to_read_and_others_are_not() {
    let scene = Scene::new().await;
    let web = scene.put("web-readers", vec![grant(&["facts.get"])]).await;
    scene.put("others", vec![grant(&["exec.start"])]).await;
    let ann = scene.operator("ann", Role::NONE).await;
    let own = async |client: &Client| {
        let listing = client.call(None, &cmdr_protocol::roles::List {}, PATIENCE).await.unwrap();
        listing.roles.into_iter().map(|role| role.name).collect::<Vec<_>>()
    };
    assert_eq!(own(&ann).await, []);
    let group = Group {
        name: role("web"),
        kind: Kind::Project,
        hosts: "tier=web".into(),
        members: vec![Member { operator: "ann".into(), role: web }],
        ..Group::default()
    };
    scene.ask(&groups::Put { group, was: None }).await.unwrap();
    ann.link().down().await;
    let ann = scene.device("ann").await;
    assert_eq!(own(&ann).await, [web]);
    // A right in a group shows the hosts of that group, and no more.
    let seen = ann.call(None, &hosts::List::default(), PATIENCE).await.unwrap().hosts;
    assert_eq!(seen.iter().map(|host| host.name.as_str()).collect::<Vec<_>>(), ["h0"]);
}
