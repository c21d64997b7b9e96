use super::*;
use crate::config::Config;
use crate::store::Store;
use cmdr_link::SecretKey;
use cmdr_protocol::envelope::Kind;
use cmdr_protocol::methods::METHODS;
use cmdr_protocol::role::Role;
use cmdr_protocol::roles::{Definition, Grant, OnRequest};
use cmdr_protocol::{Access, PublicKey};

/// A hub with the hosts `web1` (labelled `env=prod`) and `db1`.
fn hub() -> (tempfile::TempDir, Arc<Hub>, [HostId; 2]) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let key = SecretKey::generate().unwrap();
    let (config, audit) = (Config::default(), dir.path().join("audit"));
    let hub = Hub::new(
        key,
        store,
        crate::vault::Vault::locked(),
        &audit,
        config,
        String::new(),
        String::new(),
    )
    .unwrap();
    let ids = [(1, "web1", true), (2, "db1", false)].map(|(n, name, prod)| {
        let key = PublicKey([n; 32]);
        let labels = prod.then(|| ("env".to_owned(), "prod".to_owned())).into_iter().collect();
        hub.fleet.admit(hub.fleet.propose(key, name, labels, false));
        cmdr_link::keys::host_id(&key)
    });
    (dir, hub, ids)
}

fn ask(
    hub: &Hub,
    role: Role,
    method: &methods::Method,
    to: Option<HostId>,
    resource: &str,
) -> Result<(), CallError> {
    authorise(hub, &Who::of(role), &header(method, to, resource))
}

fn header(method: &methods::Method, to: Option<HostId>, resource: &str) -> Header {
    Header {
        to,
        method: method.name.into(),
        kind: method.kind,
        resource: resource.into(),
        deadline_ms: None,
        trace: 0,
        caller: None,
    }
}

/// Every method, and which of administrator, operator, developer and observer may use it: developers
/// are asked about a host that is not labelled `env=prod`.
const MATRIX: &[(&str, &str)] = &[
    ("ping.ping", "aodv"),
    ("ping.echo", "aodv"),
    ("facts.get", "aodv"),
    ("metrics.get", "aodv"),
    ("metrics.watch", "aodv"),
    ("processes.list", "aodv"),
    ("processes.watch", "aodv"),
    ("processes.signal", "aod"),
    ("processes.renice", "aod"),
    ("recorder.list", "aodv"),
    ("recorder.at", "aodv"),
    ("recorder.range", "aodv"),
    ("ports.list", "aodv"),
    ("ports.watch", "aodv"),
    ("services.list", "aodv"),
    ("services.watch", "aodv"),
    ("services.show", "aodv"),
    ("services.start", "aod"),
    ("services.stop", "aod"),
    ("services.restart", "aod"),
    ("services.reload", "aod"),
    ("services.enable", "aod"),
    ("services.disable", "aod"),
    ("services.mask", "aod"),
    ("services.unmask", "aod"),
    ("services.reset-failed", "aod"),
    ("system.mounts", "aodv"),
    ("system.interfaces", "aodv"),
    ("system.logins", "aodv"),
    ("system.packages", "aodv"),
    ("system.jobs", "aodv"),
    ("engine.info", "aodv"),
    ("engine.disk", "aodv"),
    ("engine.events", "aodv"),
    ("engine.unused", "aodv"),
    ("engine.prune", "aod"),
    ("images.list", "aodv"),
    ("images.watch", "aodv"),
    ("images.history", "aodv"),
    ("images.inspect", "aodv"),
    ("images.tag", "aod"),
    ("images.remove", "aod"),
    ("images.pull", "aod"),
    ("images.push", "aod"),
    ("images.layers", "aodv"),
    ("images.having", "aodv"),
    ("images.save", "aod"),
    ("images.load", "aod"),
    ("images.copy", "aod"),
    ("history.query", "aodv"),
    ("history.list", "aodv"),
    ("history.sizes", "aodv"),
    ("history.purge", "a"),
    ("data.sizes", "aodv"),
    ("data.purge", "a"),
    ("volumes.list", "aodv"),
    ("volumes.watch", "aodv"),
    ("volumes.inspect", "aodv"),
    ("volumes.create", "aod"),
    ("volumes.create-special", "a"),
    ("volumes.remove", "aod"),
    ("networks.list", "aodv"),
    ("networks.watch", "aodv"),
    ("networks.inspect", "aodv"),
    ("networks.create", "aod"),
    ("networks.remove", "aod"),
    ("networks.connect", "aod"),
    ("networks.disconnect", "aod"),
    ("exec.start", "aod"),
    ("files.list", "aodv"),
    ("files.stat", "aodv"),
    ("files.real", "aodv"),
    ("files.read", "aod"),
    ("files.write", "aod"),
    ("files.mkdir", "aod"),
    ("files.rename", "aod"),
    ("files.delete", "aod"),
    ("files.chmod", "aod"),
    ("files.checksum", "aod"),
    ("files.archive", "aod"),
    ("files.unpack", "aod"),
    ("files.copy", "aod"),
    ("edits.open", "aod"),
    ("edits.save", "aod"),
    ("edits.confirm", "aod"),
    ("edits.revert", "aod"),
    ("edits.pending", "aodv"),
    ("edits.versions", "aodv"),
    ("edits.version", "aod"),
    ("edits.restore", "aod"),
    ("environment.list", "aodv"),
    ("environment.values", "aod"),
    ("environment.set", "aod"),
    ("environment.unset", "aod"),
    ("logs.sources", "aodv"),
    ("logs.follow", "aodv"),
    ("sessions.open", "aod"),
    ("sessions.attach", "aod"),
    ("sessions.join", "a"),
    ("sessions.end", "aod"),
    ("sessions.end-any", "a"),
    ("sessions.list", "aodv"),
    ("sessions.watch", "aodv"),
    ("ssh.open", "aod"),
    ("ssh.known", "aodv"),
    ("ssh.trust", "aod"),
    ("ssh.forget", "aod"),
    ("inside.open", "aod"),
    ("inside.exec", "aod"),
    ("proxy.look", "aodv"),
    ("proxy.request", "a"),
    ("gateways.list", "aodv"),
    ("gateways.show", "aodv"),
    ("gateways.check", "aodv"),
    ("gateways.save", "a"),
    ("gateways.versions", "aodv"),
    ("gateways.delete", "a"),
    ("gateways.status", "aodv"),
    ("gateways.log", "aodv"),
    ("gateways.bans", "aodv"),
    ("gateways.drain", "aod"),
    ("gateways.weight", "aod"),
    ("gateways.ban", "aod"),
    ("forwards.dial", "aod"),
    ("forwards.list", "aodv"),
    ("forwards.put", "a"),
    ("forwards.switch", "a"),
    ("forwards.stop", "a"),
    ("forwards.resume", "a"),
    ("forwards.cut", "a"),
    ("forwards.delete", "a"),
    ("containers.list", "aodv"),
    ("containers.watch", "aodv"),
    ("containers.inspect", "aodv"),
    ("containers.values", "aod"),
    ("containers.top", "aodv"),
    ("containers.diff", "aodv"),
    ("containers.start", "aod"),
    ("containers.stop", "aod"),
    ("containers.restart", "aod"),
    ("containers.pause", "aod"),
    ("containers.unpause", "aod"),
    ("containers.kill", "aod"),
    ("containers.rename", "aod"),
    ("containers.remove", "aod"),
    ("containers.create", "aod"),
    ("containers.create-privileged", "a"),
    ("containers.like", "aod"),
    ("containers.stats", "aodv"),
    ("containers.update", "aod"),
    ("containers.recreate", "aod"),
    ("containers.commit", "aod"),
    ("containers.export", "aod"),
    ("containers.copy-out", "aod"),
    ("containers.copy-in", "aod"),
    ("compose.look", "aodv"),
    ("compose.check", "aod"),
    ("compose.up", "aod"),
    ("compose.up-privileged", "a"),
    ("compose.stop", "aod"),
    ("compose.down", "aod"),
    ("compose.list", "aodv"),
    ("compose.show", "aodv"),
    ("compose.save", "a"),
    ("compose.restore", "a"),
    ("compose.versions", "aodv"),
    ("compose.delete", "a"),
    ("compose.plan", "aodv"),
    ("compose.deploy", "aod"),
    ("hosts.list", "aodv"),
    ("hosts.resolve", "aodv"),
    ("hosts.watch", "aodv"),
    ("hosts.rename", "a"),
    ("hosts.label", "a"),
    ("hosts.forget", "a"),
    ("hosts.approve", "a"),
    ("hosts.reject", "a"),
    ("hostkeys.rotate", "a"),
    ("hostkeys.next", "a"),
    ("tokens.create", "a"),
    ("tokens.list", "a"),
    ("tokens.revoke", "a"),
    ("operators.whoami", "aodv"),
    ("operators.list", "a"),
    ("operators.create", "a"),
    ("operators.update", "a"),
    ("operators.delete", "a"),
    ("operators.set-password", "a"),
    ("operators.change-password", "aodv"),
    ("operators.revoke", "a"),
    ("operators.locks", "a"),
    ("operators.unlock", "a"),
    ("roles.list", "aodv"),
    ("roles.put", "a"),
    ("roles.delete", "a"),
    ("roles.assign", "a"),
    ("roles.can-i", "aodv"),
    ("roles.who-can", "a"),
    ("roles.matrix", "aodv"),
    ("roles.mine", "aodv"),
    ("groups.list", "aodv"),
    ("groups.put", "a"),
    ("groups.delete", "a"),
    ("login.ways", "aodv"),
    ("login.password", "aodv"),
    ("login.oidc", "aodv"),
    ("login.renew", "aodv"),
    ("login.logout", "aodv"),
    ("totp.begin", "aodv"),
    ("totp.confirm", "aodv"),
    ("totp.disable", "aodv"),
    ("totp.reset", "a"),
    ("keys.create", "aodv"),
    ("keys.list", "aodv"),
    ("keys.revoke", "aodv"),
    ("approvals.ask", "aodv"),
    ("approvals.decide", "a"),
    ("approvals.end", "aodv"),
    ("approvals.list", "aodv"),
    ("approvals.watch", "aodv"),
    ("secrets.put", "a"),
    ("secrets.list", "a"),
    ("secrets.delete", "a"),
    ("secrets.rotate", "a"),
    ("runbooks.list", "aodv"),
    ("runbooks.show", "aodv"),
    ("runbooks.check", "aodv"),
    ("runbooks.save", "a"),
    ("runbooks.versions", "aodv"),
    ("runbooks.delete", "a"),
    ("runbooks.sign", "a"),
    ("runbooks.steps", "aod"),
    ("configs.list", "aodv"),
    ("configs.show", "aodv"),
    ("configs.check", "aodv"),
    ("configs.save", "a"),
    ("configs.versions", "aodv"),
    ("configs.delete", "a"),
    ("configs.expect", "aodv"),
    ("probes.list", "aodv"),
    ("probes.show", "aodv"),
    ("probes.check", "aodv"),
    ("probes.save", "a"),
    ("probes.versions", "aodv"),
    ("probes.delete", "a"),
    ("probes.try", "a"),
    ("probes.status", "aodv"),
    ("rules.list", "aodv"),
    ("rules.show", "aodv"),
    ("rules.check", "aodv"),
    ("rules.save", "a"),
    ("rules.switch", "a"),
    ("rules.versions", "aodv"),
    ("rules.delete", "a"),
    ("rules.try", "aodv"),
    ("alerts.list", "aodv"),
    ("alerts.watch", "aodv"),
    ("alerts.show", "aodv"),
    ("alerts.history", "aodv"),
    ("alerts.acknowledge", "aod"),
    ("alerts.unacknowledge", "aod"),
    ("alerts.dismiss", "aod"),
    ("alerts.silence", "ao"),
    ("alerts.unsilence", "ao"),
    ("alerts.silences", "aodv"),
    ("alerts.policies", "aodv"),
    ("alerts.check-policies", "aodv"),
    ("alerts.save-policies", "a"),
    ("notifiers.list", "aodv"),
    ("notifiers.show", "aodv"),
    ("notifiers.check", "aodv"),
    ("notifiers.save", "a"),
    ("notifiers.delete", "a"),
    ("notifiers.test", "a"),
    ("notifiers.notices", "aodv"),
    ("registries.put", "a"),
    ("registries.list", "aodv"),
    ("registries.delete", "a"),
    ("registries.catalog", "aod"),
    ("registries.tags", "aod"),
    ("registries.manifest", "aod"),
    ("registries.delete-tag", "aod"),
    ("registries.pull", "aod"),
    ("registries.push", "aod"),
    ("registries.updates", "aod"),
    ("pushes.list", "a"),
    ("pushes.put", "a"),
    ("pushes.delete", "a"),
    ("pushes.test", "a"),
    ("events.watch", "aodv"),
    ("blobs.upload", "aod"),
    ("blobs.list", "a"),
    ("blobs.delete", "a"),
    ("hub.info", "aodv"),
    ("hub.backup", "a"),
    ("hub.check", "a"),
    ("hubkey.begin", "a"),
    ("hubkey.status", "a"),
    ("hubkey.switch", "a"),
    ("hubkey.finish", "a"),
    ("hubkey.abort", "a"),
    ("audit.list", "a"),
    ("audit.watch", "a"),
    ("audit.verify", "a"),
    ("recordings.rules", "a"),
    ("recordings.put-rule", "a"),
    ("recordings.delete-rule", "a"),
    ("recordings.list", "a"),
    ("recordings.read", "a"),
    ("recordings.watch", "a"),
    ("recordings.stop", "a"),
    ("recordings.search", "a"),
    ("recordings.verify", "a"),
    ("recordings.mark", "a"),
    ("recordings.delete", "a"),
    ("runs.start", "aod"),
    ("runs.plan", "aod"),
    ("runs.list", "aodv"),
    ("runs.list.watch", "aodv"),
    ("runs.show", "aodv"),
    ("runs.watch", "aodv"),
    ("runs.output", "aod"),
    ("runs.stop", "aod"),
    ("runs.pause", "aod"),
    ("runs.resume", "aod"),
    ("runs.retry", "aod"),
    ("runs.delete", "aod"),
    ("runs.schedules.put", "aod"),
    ("runs.schedules.pause", "aod"),
    ("runs.schedules.list", "aodv"),
    ("runs.schedules.delete", "aod"),
];

#[test]
fn every_method_is_open_to_exactly_the_roles_the_matrix_names() {
    let (_dir, hub, [_, db1]) = hub();
    for method in METHODS {
        let listed = MATRIX.iter().find(|(name, _)| *name == method.name);
        let (_, expected) =
            listed.unwrap_or_else(|| panic!("{} is not in the matrix", method.name));
        let to = (method.place == Place::Host).then_some(db1);
        let resource =
            if method.about == About::Host { format!("host:{db1}") } else { String::new() };
        let roles = Role::BUILT_IN.iter().zip(["a", "o", "d", "v"]);
        let open: String = roles
            .filter(|(role, _)| ask(&hub, **role, method, to, &resource).is_ok())
            .map(|(_, letter)| letter)
            .collect();
        assert_eq!(&open, expected, "{}", method.name);
        for nobody in [Role::NONE, Role::parse("ghosts").unwrap()] {
            // One's own affairs need no role.
            let open = matches!(method.access, Access::Open | Access::Own);
            let asked = ask(&hub, nobody, method, to, &resource);
            assert_eq!(
                asked.err().map(|e| e.kind),
                (!open).then_some(ErrorKind::Denied),
                "{}",
                method.name
            );
        }
        let stranger = authorise(&hub, &Who::default(), &header(method, to, &resource));
        assert_eq!(stranger.is_ok(), method.access == Access::Open, "{}", method.name);
    }
    assert_eq!(MATRIX.len(), METHODS.len(), "the matrix names methods that do not exist");
}

#[test]
fn a_developer_acts_where_it_is_not_production_and_looks_everywhere() {
    let (_dir, hub, [web1, db1]) = hub();
    let exec = methods::find("exec.start").unwrap();
    let facts = methods::find("facts.get").unwrap();
    let developer = Role::DEVELOPER;
    assert!(ask(&hub, developer, exec, Some(db1), "command:ls").is_ok());
    let refused = ask(&hub, developer, exec, Some(web1), "command:ls").unwrap_err();
    assert!(refused.message.contains("but not here"), "{refused}");
    assert!(ask(&hub, developer, facts, Some(web1), "").is_ok());
}

#[tokio::test]
async fn a_narrow_role_does_what_it_names_and_nothing_beside_it() {
    let (_dir, hub, [web1, db1]) = hub();
    let role = Role::parse("restarters").unwrap();
    let grants = vec![
        Grant {
            verbs: vec!["hosts.*".into(), "facts.get".into()],
            hosts: "env=prod".into(),
            ..Grant::default()
        },
        Grant {
            verbs: vec!["exec.start".into()],
            resources: vec!["command:/usr/bin/systemctl".into()],
            hosts: "web*".into(),
            ..Grant::default()
        },
    ];
    hub.rights.put(Definition { name: role, grants, ..Definition::default() }).await.unwrap();
    let may = |verb: &str, to: Option<HostId>, resource: &str| {
        ask(&hub, role, methods::find(verb).unwrap(), to, resource).map_err(|e| e.message)
    };
    assert_eq!(may("exec.start", Some(web1), "command:/usr/bin/systemctl"), Ok(()));
    for (to, resource, why) in [
        (web1, "command:/bin/sh", "but not on"),
        (web1, "script:x.sh", "but not on"),
        (web1, "", "but not on"),
        (db1, "command:/usr/bin/systemctl", "not here"),
        (HostId([9; 16]), "command:/usr/bin/systemctl", "not here"),
    ] {
        let refused = may("exec.start", Some(to), resource).unwrap_err();
        assert!(refused.contains(why), "{refused}");
    }
    assert!(may("processes.signal", Some(web1), "process:1").unwrap_err().contains("has the verb"));
    assert_eq!(may("hosts.list", None, ""), Ok(()));
    assert_eq!(may("hosts.rename", None, &format!("host:{web1}")), Ok(()));
    for elsewhere in [format!("host:{db1}"), "host:nonsense".to_owned(), String::new()] {
        assert!(may("hosts.rename", None, &elsewhere).is_err(), "{elsewhere}");
    }
    let visible: Vec<_> = [web1, db1].map(|id| hub.sees(&Who::of(role), id)).into();
    assert_eq!(visible, [true, false]);
    // A change of the host counts at once, and so does the end of the role.
    hub.fleet.label(db1, &[("env".to_owned(), "prod".to_owned())].into(), &[]).await.unwrap();
    assert!(hub.sees(&Who::of(role), db1));
    assert!(hub.rights.delete(role).await.unwrap());
    assert!(may("hosts.list", None, "").unwrap_err().contains("does not exist"));
}

#[tokio::test]
async fn a_right_on_a_host_is_one_to_see_that_host_and_no_other() {
    let (_dir, hub, [web1, db1]) = hub();
    let role = Role::parse("runners").unwrap();
    let put = async |verbs: &[&str], hosts: &str, grant: Grant| {
        let verbs = verbs.iter().map(|&verb| verb.to_owned()).collect();
        let grants = vec![Grant { verbs, hosts: hosts.into(), ..grant }];
        hub.rights.put(Definition { name: role, grants, ..Definition::default() }).await.unwrap();
    };
    let looks = || {
        let verbs = ["hosts.list", "hosts.resolve", "hosts.watch"];
        let may = |verb| ask(&hub, role, methods::find(verb).unwrap(), None, "").is_ok();
        let told = hub.rights.verbs(&Who::of(role));
        for verb in verbs {
            assert_eq!(told.iter().any(|one| one == verb), may(verb), "{verb}");
        }
        verbs.map(may)
    };
    let sees = || [web1, db1].map(|id| hub.sees(&Who::of(role), id));
    let only = vec!["command:/usr/bin/uptime".to_owned()];
    put(&["exec.start"], "web*", Grant { resources: only, ..Grant::default() }).await;
    assert_eq!((looks(), sees()), ([true; 3], [true, false]));
    let allowed = hub.decide(&Who::of(role), methods::index("hosts.list").unwrap(), None, None);
    assert!(allowed.unwrap().implied);
    // To ask for something on a host one has to know of it.
    let asked = Grant { on_request: Some(OnRequest::default()), ..Grant::default() };
    put(&["exec.start"], "db*", asked).await;
    assert_eq!((looks(), sees()), ([true; 3], [false, true]));
    // What is not done on hosts shows none, and neither does a role without grants.
    put(&["audit.list", "tokens.create"], "", Grant::default()).await;
    assert_eq!((looks(), sees()), ([false; 3], [false, false]));
    hub.rights.put(Definition { name: role, ..Definition::default() }).await.unwrap();
    assert_eq!((looks(), sees()), ([false; 3], [false, false]));
}

#[test]
fn a_method_asked_in_the_wrong_place_or_manner_is_refused_even_for_administrators() {
    let (_dir, hub, [web1, _]) = hub();
    let administrator = Role::ADMINISTRATOR;
    for method in METHODS {
        let wrong = match method.place {
            Place::Hub => Some(web1),
            Place::Host => None,
            Place::Both => continue,
        };
        let error = ask(&hub, administrator, method, wrong, "").unwrap_err();
        assert_eq!(error.kind, ErrorKind::UnknownMethod);
    }
    let bogus = methods::Method { name: "no.such", ..METHODS[0] };
    let error = ask(&hub, administrator, &bogus, None, "").unwrap_err();
    assert_eq!(error.kind, ErrorKind::UnknownMethod);
    let call_as_feed = methods::Method { kind: Kind::Feed, ..METHODS[0] };
    let error = ask(&hub, administrator, &call_as_feed, None, "").unwrap_err();
    assert_eq!(error.kind, ErrorKind::Malformed);
}
