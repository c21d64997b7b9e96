use super::*;
use cmdr_protocol::hosts::HostState;
use cmdr_protocol::methods::index;
use cmdr_protocol::roles::Hours;
use std::cell::Cell;

fn grant(verbs: &[&str], hosts: &str) -> Grant {
    Grant {
        verbs: verbs.iter().map(|&v| v.to_owned()).collect(),
        hosts: hosts.to_owned(),
        ..Grant::default()
    }
}

fn host(n: u32, env: &str) -> Host {
    let mut id = [0; 16];
    id[..4].copy_from_slice(&n.to_be_bytes());
    let labels = [("env".to_owned(), env.to_owned())].into();
    Host {
        id: Some(HostId(id)),
        name: format!("web{n}"),
        state: HostState::Online,
        labels,
        ..Host::default()
    }
}

fn decide(role: &Compiled, verb: &str, resource: &str, host: &Host) -> Result<usize, Missing> {
    let know = || Some(host.clone());
    let asked = Asked { id: host.id.unwrap(), changed: 1, host: &know };
    role.decide(index(verb).unwrap(), About::Host, Some(&asked), &wish(resource))
}

fn wish(resource: &str) -> Wish<'_> {
    Wish { resource: Some(resource), now_ms: 0, requested: false }
}

#[test]
fn grants_that_are_wrong_are_refused_with_their_number() {
    for (wrong, why) in [
        (grant(&[], ""), "no verbs"),
        (grant(&["exec.strat"], ""), "no method is called 'exec.strat'"),
        (grant(&["*"], "a=1,,b"), "selector"),
        (Grant { resources: vec![String::new()], ..grant(&["*"], "") }, "empty"),
        (Grant { resources: vec!["x".repeat(300)], ..grant(&["*"], "") }, "longer than"),
        (Grant { hours: Some(Hours::default()), ..grant(&["*"], "") }, "no time of day"),
    ] {
        let error = Compiled::new(&[grant(&["*"], ""), wrong]).unwrap_err();
        assert!(error.starts_with("grant 2: ") && error.contains(why), "{error}");
    }
    assert!(Compiled::new(&vec![grant(&["*"], ""); MAX_GRANTS + 1]).is_err());
}

#[test]
fn the_nearest_miss_is_named() {
    let role = Compiled::new(&[
        Grant {
            resources: vec!["command:/usr/bin/*".into()],
            hours: Some(Hours { days: vec![], from: "12:00".into(), to: "13:00".into() }),
            ..grant(&["exec.start"], "env=test")
        },
        grant(&["facts.get"], ""),
    ])
    .unwrap();
    let (test, prod) = (host(1, "test"), host(2, "prod"));
    assert_eq!(decide(&role, "facts.get", "", &prod), Ok(1));
    assert_eq!(decide(&role, "metrics.get", "", &test), Err(Missing::Verb));
    assert_eq!(decide(&role, "exec.start", "command:/usr/bin/ls", &prod), Err(Missing::Host));
    assert_eq!(decide(&role, "exec.start", "command:/bin/sh", &test), Err(Missing::Resource));
    assert_eq!(decide(&role, "exec.start", "command:/usr/bin/ls", &test), Err(Missing::Hours));
}

#[test]
fn what_is_about_the_whole_fleet_needs_a_grant_without_hosts() {
    let narrow = Compiled::new(&[grant(&["*"], "env=test")]).unwrap();
    let wide = Compiled::new(&[grant(&["*"], "env=test"), grant(&["tokens.*"], "*")]).unwrap();
    let tokens = index("tokens.create").unwrap();
    let ask = |role: &Compiled| role.decide(tokens, About::Fleet, None, &wish(""));
    assert_eq!((ask(&narrow), ask(&wide)), (Err(Missing::Host), Ok(1)));
    let list = index("hosts.list").unwrap();
    assert_eq!(narrow.decide(list, About::Visible, None, &wish("")), Ok(0));
}

#[test]
fn a_host_is_looked_at_once_a_change() {
    let role = Compiled::new(&[grant(&["facts.get"], "env=test")]).unwrap();
    let (looks, verb) = (Cell::new(0), index("facts.get").unwrap());
    let ask = |changed, env: &str| {
        let known = || {
            looks.set(looks.get() + 1);
            Some(host(1, env))
        };
        let asked = Asked { id: host(1, env).id.unwrap(), changed, host: &known };
        role.decide(verb, About::Host, Some(&asked), &wish("")).is_ok()
    };
    assert!(ask(1, "test") && ask(1, "test") && ask(1, "test"));
    assert_eq!(looks.get(), 1);
    assert!(!ask(2, "prod") && !ask(2, "prod"));
    assert_eq!(looks.get(), 2);
}

#[test]
fn a_thousand_grants_are_decided_right_wherever_the_one_that_holds_stands() {
    for at in [0, 63, 64, 500, 999] {
        let mut grants = vec![grant(&["exec.start"], "env=never"); 1000];
        grants[at] = grant(&["exec.start"], "env=test");
        let role = Compiled::new(&grants).unwrap();
        assert_eq!(decide(&role, "exec.start", "", &host(1, "test")), Ok(at));
        assert_eq!(decide(&role, "exec.start", "", &host(2, "prod")), Err(Missing::Host));
    }
}

#[test]
fn a_grant_without_a_limit_goes_before_one_with_and_one_on_request_needs_asking() {
    let limited = Grant {
        limit: Some(Limit { hosts: 1, minutes: 5 }),
        ..grant(&["exec.start", "facts.get"], "")
    };
    let on_request = Grant {
        on_request: Some(OnRequest::default()),
        ..grant(&["exec.start", "hosts.rename"], "")
    };
    let role = Compiled::new(&[on_request, limited, grant(&["facts.get"], "env=test")]).unwrap();
    let (test, prod) = (host(1, "test"), host(2, "prod"));
    assert_eq!(decide(&role, "facts.get", "", &test), Ok(2));
    assert_eq!(decide(&role, "facts.get", "", &prod), Ok(1));
    assert_eq!(decide(&role, "exec.start", "", &test), Ok(1), "no need to ask");
    assert_eq!(decide(&role, "hosts.rename", "", &test), Err(Missing::Request));
    let know = || Some(host(1, "test"));
    let asked = Asked { id: HostId([1; 16]), changed: 1, host: &know };
    let rename = index("hosts.rename").unwrap();
    let wish = Wish { requested: true, ..wish("") };
    assert_eq!(role.decide(rename, About::Host, Some(&asked), &wish), Ok(0));
}

#[test]
fn a_path_that_leads_elsewhere_is_covered_by_no_pattern() {
    let resources = vec!["command:/opt/*".to_owned(), "env+command:/opt/tool".to_owned()];
    let role = Compiled::new(&[Grant { resources, ..grant(&["exec.start"], "") }]).unwrap();
    let test = host(1, "test");
    for right in ["command:/opt/x", "command:/opt/a/b", "command:/opt/..x", "env+command:/opt/tool"]
    {
        assert_eq!(decide(&role, "exec.start", right, &test), Ok(0), "{right}");
    }
    for wrong in [
        "command:/opt/../bin/sh",
        "command:/opt/./x/../../bin/sh",
        "env+command:/opt/x",
        "as=root+command:/opt/x",
    ] {
        assert_eq!(decide(&role, "exec.start", wrong, &test), Err(Missing::Resource), "{wrong}");
    }
    let all = Compiled::new(&[grant(&["exec.start"], "")]).unwrap();
    assert_eq!(decide(&all, "exec.start", "command:/opt/../bin/sh", &test), Ok(0));
}

#[test]
fn what_names_two_places_is_covered_only_where_both_are() {
    let resources = vec!["path:/srv/*".to_owned()];
    let role = Compiled::new(&[Grant { resources, ..grant(&["files.rename"], "") }]).unwrap();
    let test = host(1, "test");
    assert_eq!(decide(&role, "files.rename", "path:/srv/a\0path:/srv/b", &test), Ok(0));
    for wrong in
        ["path:/srv/a\0path:/etc/b", "path:/etc/a\0path:/srv/b", "path:/srv/a\0", "\0path:/srv/a"]
    {
        assert_eq!(decide(&role, "files.rename", wrong, &test), Err(Missing::Resource), "{wrong}");
    }
}

#[test]
fn limits_and_requests_that_make_no_sense_are_refused() {
    for limit in [
        Limit { hosts: 0, minutes: 5 },
        Limit { hosts: 5, minutes: 0 },
        Limit { hosts: 5, minutes: 1441 },
    ] {
        assert!(Compiled::new(&[Grant { limit: Some(limit), ..grant(&["*"], "") }]).is_err());
    }
    for (approvals, longest_minutes) in [(6, 5), (1, 0), (1, 1441)] {
        let on_request = Some(OnRequest { approvals, longest_minutes });
        assert!(Compiled::new(&[Grant { on_request, ..grant(&["*"], "") }]).is_err());
    }
}
