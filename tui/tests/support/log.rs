//! A made-up hub's audit log, roles and requests for rights, for tests and the demo.

use cmdr_protocol::approvals::{self, Approval, Decision, State, Wanted};
use cmdr_protocol::audit::{Event, List, Outcome, Page, Record, Value, Verified};
use cmdr_protocol::hosts::{HostState, Targets};
use cmdr_protocol::methods::METHODS;
use cmdr_protocol::operators::{self, By, Device, Operator};
use cmdr_protocol::role::Role;
use cmdr_protocol::roles::{
    Allowed, Cell, Definition, Grant, Hours, Limit, Listing, OnRequest, Row, Table,
};
use cmdr_protocol::{Access, CallError, HostId, KeyId};
use cmdr_tui::link::fake::Asked;
use serde_json::Value as Json;

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

fn map(fields: &[(&str, Value)]) -> Value {
    Value::Map(fields.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect())
}

fn asked(seq: u64, at_ms: u64, who: &str, method: &str, host: Option<(HostId, &str)>) -> Record {
    Record {
        seq,
        at_ms,
        event: Event::Asked,
        operator: who.into(),
        key: Some(KeyId([who.len() as u8; 16])),
        address: "10.1.0.4:51822".into(),
        method: method.into(),
        host: host.map(|(id, _)| id),
        host_name: host.map(|(_, name)| name.to_owned()).unwrap_or_default(),
        ..Record::default()
    }
}

fn answered(of: &Record, seq: u64, took_ms: u64, outcome: Outcome, message: &str) -> Record {
    Record {
        seq,
        at_ms: of.at_ms + took_ms,
        event: Event::Answered,
        asked: Some(of.seq),
        outcome: Some(outcome),
        message: message.into(),
        took_ms: Some(took_ms),
        body: None,
        ..of.clone()
    }
}

/// The log up to now, newest first: so many requests, of which the last command still runs.
pub(crate) fn records(now_ms: u64, hosts: &[(HostId, String)], count: u64) -> Vec<Record> {
    let mut records = vec![Record {
        seq: 1,
        at_ms: now_ms.saturating_sub((count + 2) * 47_000),
        event: Event::Started,
        message: "cmdr-hub 0.1.0 begins".into(),
        ..Record::default()
    }];
    for n in 0..count {
        let seq = records.len() as u64 + 1;
        let at_ms = now_ms.saturating_sub((count - n) * 47_000);
        let who = ["li@laptop", "ann@desk", "deploy@ci"][(n % 3) as usize];
        let (id, name) = &hosts[(n * 7 % hosts.len() as u64) as usize];
        let host = Some((*id, name.as_str()));
        let last = n + 1 == count;
        let (mut request, outcome, message, result) = match n % 8 {
            0 => {
                let mut request = asked(seq, at_ms, who, "processes.signal", host);
                request.resource = format!("process:{}", 4000 + n);
                let pid = Value::Int(4000 + n.cast_signed());
                request.body = Some(map(&[("pid", pid), ("signal", Value::Int(15))]));
                (request, Outcome::Ok, "", None)
            }
            1 => {
                let mut request = asked(seq, at_ms, who, "hosts.label", None);
                request.resource = format!("host:{id}");
                let labels = map(&[("env", text("prod"))]);
                let remove = Value::List(vec![text("old")]);
                let host = text(&id.to_string());
                request.body = Some(map(&[("host", host), ("set", labels), ("remove", remove)]));
                (request, Outcome::Ok, "", None)
            }
            2 => (asked(seq, at_ms, who, "audit.list", None), Outcome::Ok, "", None),
            3 => {
                let mut request = asked(seq, at_ms, who, "tokens.create", None);
                request.body = Some(map(&[("kind", text("host"))]));
                (request, Outcome::Denied, "your role does not allow tokens.create", None)
            }
            _ => {
                let mut request = asked(seq, at_ms, who, "exec.start", host);
                let commands: [&[&str]; 4] = [
                    &["systemctl", "restart", "nginx.service"],
                    &["apt-get", "upgrade", "-y"],
                    &["/usr/local/bin/rotate", "日志 归档", "--keep", "7"],
                    &["sh", "-c", "printf '\u{1b}]0;owned\u{7}'; exit 3"],
                ];
                let argv = commands[(n % 4) as usize];
                request.resource = format!("command:{}", argv[0]);
                let env = map(&[("API_TOKEN", text("‹secret›"))]);
                let argv = Value::List(argv.iter().map(|word| text(word)).collect());
                request.body = Some(map(&[
                    ("argv", argv),
                    ("env", env),
                    ("user", text("root")),
                    ("stdin", Value::Bool(false)),
                ]));
                let code = if n % 4 == 3 { 3 } else { 0 };
                let outcome = if code == 0 { Outcome::Ok } else { Outcome::Failed };
                let result = map(&[("outcome", text("exited")), ("code", Value::Int(code))]);
                (request, outcome, "", Some(result))
            }
        };
        if outcome == Outcome::Denied {
            request.event = Event::Denied;
            request.outcome = Some(outcome);
            request.message = message.into();
            records.push(request);
            continue;
        }
        records.push(request.clone());
        if !last {
            let took_ms = 14 + n * 391 % 9000;
            let answer = answered(&request, seq + 1, took_ms, outcome, message);
            records.push(Record { result, ..answer });
        }
    }
    records.reverse();
    records
}

/// A page of these.
pub(crate) fn page(records: &[Record], list: &List) -> Page {
    let before = list.before.unwrap_or(u64::MAX);
    let mut found = records.iter().filter(|r| r.seq < before && list.filter.matches(r));
    let page: Vec<Record> = found.by_ref().take(list.limit as usize).cloned().collect();
    let next = found.next().and(page.last()).map(|last| last.seq);
    Page { records: page, next, damage: String::new() }
}

fn role(name: &str) -> Role {
    Role::parse(name).unwrap_or_default()
}

fn grant(verbs: &[&str], hosts: &str) -> Grant {
    let verbs = verbs.iter().map(|verb| (*verb).to_owned()).collect();
    Grant { verbs, hosts: hosts.into(), ..Grant::default() }
}

/// The roles of this hub.
pub(crate) fn roles() -> Vec<Definition> {
    let definition = |name: &str, description: &str, grants, built_in| Definition {
        name: role(name),
        description: description.into(),
        grants,
        built_in,
        operators: 2,
    };
    let hours = Hours {
        days: ["mon", "tue", "wed", "thu", "fri"].map(str::to_owned).to_vec(),
        from: "08:00".into(),
        to: "18:00".into(),
    };
    vec![
        definition("administrator", "everything", vec![grant(&["*"], "")], true),
        definition("operator", "looks and acts", vec![grant(&["@read", "@act"], "")], true),
        definition(
            "developer",
            "looks, and acts outside of production",
            vec![grant(&["@read"], ""), grant(&["@act"], "env!=prod")],
            true,
        ),
        definition("observer", "looks, changes nothing", vec![grant(&["@read"], "")], true),
        definition(
            "deployer",
            "restarts what was deployed",
            vec![
                grant(&["@read"], ""),
                Grant {
                    resources: vec!["command:/usr/bin/systemctl".into()],
                    hours: Some(hours),
                    limit: Some(Limit { hosts: 5, minutes: 60 }),
                    ..grant(&["exec.start"], "role=web")
                },
                Grant {
                    on_request: Some(OnRequest { approvals: 1, longest_minutes: 120 }),
                    ..grant(&["processes.signal", "hosts.label"], "")
                },
            ],
            false,
        ),
    ]
}

/// What each of these roles allows.
pub(crate) fn matrix(only: Option<Role>) -> Table {
    let all = roles();
    let roles: Vec<Role> = all.iter().map(|one| one.name).collect();
    let roles: Vec<Role> = roles.into_iter().filter(|one| only.is_none_or(|o| o == *one)).collect();
    let cell = |role: &Role, verb: &str, access: Access| {
        let (allowed, grants, reason) = match (role.as_str(), access, verb) {
            ("administrator", ..) => (Allowed::Yes, vec![1], "grant 1 allows everything"),
            ("operator", Access::Admin, _) | ("observer", Access::Act | Access::Admin, _) => {
                (Allowed::No, vec![], "no grant of this role has the verb")
            }
            ("deployer", _, "exec.start") => {
                (Allowed::Some, vec![2], "only with command:/usr/bin/systemctl, on some hosts")
            }
            ("deployer", _, "processes.signal" | "hosts.label") => {
                (Allowed::OnRequest, vec![3], "it holds after another person has approved it")
            }
            (_, Access::Read, _) | ("operator", ..) => {
                (Allowed::Yes, vec![1], "grant 1 allows it everywhere")
            }
            ("developer", Access::Act, _) => {
                (Allowed::Some, vec![2], "only on hosts that are not labelled env=prod")
            }
            _ => (Allowed::No, vec![], "no grant of this role has the verb"),
        };
        Cell { allowed, grants, reason: reason.into() }
    };
    // A few features: the pictures must not change with each new one.
    let features = ["facts", "metrics", "processes", "exec", "hosts", "tokens"];
    let few = |name: &str| features.contains(&name.split('.').next().unwrap_or_default());
    let rows = METHODS.iter().filter(|method| few(method.name)).map(|method| Row {
        verb: method.name.into(),
        class: format!("{:?}", method.access).to_lowercase(),
        cells: roles.iter().map(|role| cell(role, method.name, method.access)).collect(),
    });
    Table { rows: rows.collect(), roles, ..Table::default() }
}

/// Requests for rights in every state.
pub(crate) fn approvals(now_ms: u64) -> Vec<Approval> {
    let wanted = |verbs: &[&str], hosts: &str, minutes| Wanted {
        verbs: verbs.iter().map(|verb| (*verb).to_owned()).collect(),
        hosts: hosts.into(),
        minutes,
        ..Wanted::default()
    };
    let minute = 60_000;
    let deployer = role("deployer");
    vec![
        Approval {
            id: 14,
            state: State::Waiting,
            operator: "ann@desk".into(),
            role: deployer,
            wanted: Wanted {
                resources: vec!["process:4711".into()],
                ..wanted(&["processes.signal"], "role=web", 30)
            },
            reason: "worker hangs since the 13:40 release, 北京 customers wait".into(),
            asked_ms: now_ms - 2 * minute,
            needs: 1,
            until_ms: now_ms + 58 * minute,
            may_decide: true,
            ..Approval::default()
        },
        Approval {
            id: 13,
            state: State::Active,
            operator: "li@laptop".into(),
            role: deployer,
            wanted: wanted(&["hosts.label"], "", 60),
            reason: "moving the web hosts to prod".into(),
            asked_ms: now_ms - 50 * minute,
            needs: 1,
            decisions: vec![Decision {
                by: "ann@desk".into(),
                approve: true,
                reason: "as agreed".into(),
                at_ms: now_ms - 48 * minute,
            }],
            until_ms: now_ms + 12 * minute,
            own: true,
            ..Approval::default()
        },
        Approval {
            id: 12,
            state: State::Denied,
            operator: "deploy@ci".into(),
            role: deployer,
            wanted: wanted(&["exec.start", "hosts.label"], "db*", 120),
            reason: "nightly".into(),
            asked_ms: now_ms - 90 * minute,
            needs: 2,
            decisions: vec![Decision {
                by: "li@laptop".into(),
                approve: false,
                reason: "not on the databases".into(),
                at_ms: now_ms - 80 * minute,
            }],
            until_ms: now_ms - 80 * minute,
            ..Approval::default()
        },
    ]
}

fn json(value: &impl serde::Serialize) -> Result<Json, CallError> {
    serde_json::to_value(value).map_err(|e| CallError::malformed(e.to_string()))
}

/// What this hub answers; `None` for what it does not know.
pub(crate) fn answer(
    now_ms: u64,
    records: &[Record],
    hosts: &[(HostId, String)],
    asked: &Asked,
) -> Option<Result<Json, CallError>> {
    let body = asked.body.clone();
    Some(match asked.method {
        "audit.list" => {
            let list = serde_json::from_value(body).unwrap_or_default();
            json(&page(records, &list))
        }
        "audit.verify" => json(&Verified {
            records: records.len() as u64,
            segments: 3,
            first_seq: 1,
            last_seq: records.len() as u64,
            first_ms: records.last().map_or(0, |record| record.at_ms),
            last_ms: now_ms,
            ..Verified::default()
        }),
        "roles.list" => json(&Listing { roles: roles() }),
        "roles.matrix" => json(&matrix(None)),
        "operators.list" => {
            let operator = |n: u8, name: &str, role, links| Operator {
                name: name.into(),
                role,
                devices: vec![Device {
                    key: KeyId([n; 16]),
                    name: name.into(),
                    by: By::default(),
                    joined_ms: now_ms - 86_400_000,
                    expires_ms: None,
                    links,
                }],
                ..Operator::default()
            };
            json(&operators::Listing {
                operators: vec![
                    operator(1, "ann@desk", role("deployer"), 1),
                    operator(2, "deploy@ci", role("deployer"), 0),
                    operator(3, "li@laptop", Role::ADMINISTRATOR, 2),
                ],
                ..operators::Listing::default()
            })
        }
        "hosts.resolve" => {
            let named = hosts.iter().take(3);
            let targets = named.map(|(id, name)| (*id, name.clone(), HostState::Online)).collect();
            json(&Targets { targets, ..Targets::default() })
        }
        "approvals.ask" => {
            let ask: approvals::Ask = serde_json::from_value(body).unwrap_or_default();
            json(&Approval { id: 15, wanted: ask.wanted, own: true, ..Approval::default() })
        }
        _ => return None,
    })
}
