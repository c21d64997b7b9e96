//! What the hub answers to the alerts page, in these tests.

use crate::support::{NOW_MS, Setup, World, id, some_hosts};
use cmdr_protocol::alerts::{
    Ack, Alert, Done, Happened, Happening, News, PolicyText, Refused, Severity, Shown, Silence,
    SilenceListing, State, Watch,
};
use cmdr_protocol::notifiers::{self, Fate, Notice, NoticeListing, Notifier, Tested};
use cmdr_protocol::rules::{self, Fired, Rule, Tried};
use cmdr_protocol::runbooks::{Problem, Saved, Version, VersionListing};
use cmdr_protocol::{CallError, ErrorKind};
use cmdr_tui::link::fake::Asked;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

pub(super) const TEXT: &str = "rules:\n  # ours\n  - name: disk-used\n    when: mount.used{*} / mount.total{*} > 60%\n    for: 10m\n    severity: warning\n    message: '{host}: {value} of {instance} is used'\n";
const POLICIES: &str = "policies:\n  - name: all\n    to: [mail]\n";
const MAIL: &str = "to:\n  kind: email\n  host: mail.example.com\n  password: mail.password\n";

const MINUTE: u64 = 60_000;

/// An alert that fired so many minutes ago.
pub(super) fn alert(n: u16, rule: &str, severity: Severity, state: State, minutes: u64) -> Alert {
    let name = if n == 4 { "边缘-北京1".to_owned() } else { format!("web{n}") };
    Alert {
        id: format!("a-{n}-{rule}"),
        rule: rule.into(),
        host: Some(id(n)),
        message: format!("{name}: {rule} is too high"),
        name,
        severity,
        state,
        value: "91 %".into(),
        limit: "60 %".into(),
        pending_ms: NOW_MS - (minutes + 1) * MINUTE,
        fired_ms: Some(NOW_MS - minutes * MINUTE),
        policy: "all".into(),
        ..Alert::default()
    }
}

/// Alerts in every state, one of them of somebody who wants to own the terminal.
pub(super) fn alerts() -> Vec<Alert> {
    let warning = |n, rule, state, minutes| alert(n, rule, Severity::Warning, state, minutes);
    vec![
        warning(1, "cpu-busy", State::Firing, 30),
        Alert {
            instance: "/home".into(),
            labels: BTreeMap::from([("env".into(), "prod".into()), ("team".into(), "db".into())]),
            ..alert(2, "disk-used", Severity::Critical, State::Firing, 5)
        },
        Alert {
            message: "web3: \u{1b}]0;owned\u{7} 内存 \u{202e}txt".into(),
            ..warning(3, "memory-used", State::Flapping, 90)
        },
        Alert {
            ack: Some(Ack {
                who: "ann@desk".into(),
                why: "a new disk is on its way".into(),
                at_ms: NOW_MS - 20 * MINUTE,
            }),
            ..alert(4, "disk-filling", Severity::Critical, State::Acknowledged, 200)
        },
        Alert { silence: Some(7), ..warning(1, "load", State::Silenced, 300) },
        Alert { down: "gw1".into(), ..warning(2, "unit-failed", State::Suppressed, 2) },
        Alert {
            message: String::new(),
            fired_ms: None,
            ..alert(3, "sockets", Severity::Info, State::Pending, 1)
        },
    ]
}

fn rule(name: &str, severity: Severity, firing: u32) -> Rule {
    Rule {
        name: name.into(),
        description: format!("about {name}"),
        when: "avg(cpu.busy, 5m) > 60%".into(),
        hold_ms: 10 * MINUTE,
        severity,
        matched: 5,
        firing,
        version: 3,
        saved_ms: NOW_MS - 90 * MINUTE,
        saved_by: "ann@desk".into(),
        ..Rule::default()
    }
}

/// What the hub says, which tests can change.
pub(super) struct Stage {
    pub(super) text: String,
    pub(super) version: u64,
    pub(super) problems: Vec<Problem>,
    /// Alerts that are over by now.
    pub(super) over: Vec<String>,
    pub(super) failing: bool,
    pub(super) denied: Vec<&'static str>,
}

#[derive(Clone)]
pub(super) struct Hub(Arc<Mutex<Stage>>);

impl Hub {
    pub(super) fn of(world: &World) -> Self {
        let stage = Stage {
            text: TEXT.to_owned(),
            version: 3,
            problems: Vec::new(),
            over: Vec::new(),
            failing: false,
            denied: Vec::new(),
        };
        let hub = Self(Arc::new(Mutex::new(stage)));
        let answers = hub.clone();
        world.far.answer(move |asked| answers.now().answer(asked));
        hub
    }

    pub(super) fn now(&self) -> MutexGuard<'_, Stage> {
        self.0.lock().expect("the stage")
    }
}

fn json(value: &impl serde::Serialize) -> Result<Value, CallError> {
    serde_json::to_value(value).map_err(|e| CallError::failed(e.to_string()))
}

fn happened(alert: &Alert, state: State, minutes: u64, why: &str) -> Happening {
    Happening {
        at_ms: NOW_MS - minutes * MINUTE,
        id: alert.id.clone(),
        rule: alert.rule.clone(),
        host: alert.host,
        name: alert.name.clone(),
        instance: alert.instance.clone(),
        severity: alert.severity,
        state,
        message: alert.message.clone(),
        why: why.into(),
    }
}

fn notices() -> Vec<Notice> {
    let notice = |fate, tries, last: &str, minutes| Notice {
        id: format!("n{minutes}"),
        notifier: "mail".into(),
        policy: "all".into(),
        title: "web2: disk-used is too high".into(),
        fate,
        tries,
        made_ms: NOW_MS - minutes * MINUTE,
        at_ms: NOW_MS,
        last: last.into(),
    };
    vec![
        notice(Fate::Waiting, 2, "mail.example.com: \u{1b}[31mrefused", 2),
        notice(Fate::Taken, 1, "", 5),
    ]
}

impl Stage {
    fn done(&self, asked: &Asked) -> Result<Value, CallError> {
        let ids = asked.body["alerts"].as_array().cloned().unwrap_or_default();
        let mut done = Done::default();
        for id in ids.iter().filter_map(Value::as_str) {
            if self.over.iter().any(|over| over == id) {
                let why = "there is no such alert any more".to_owned();
                done.refused.push(Refused { id: id.to_owned(), why });
            } else {
                done.done += 1;
            }
        }
        json(&done)
    }

    fn rules(&self) -> Vec<Rule> {
        vec![
            rule("cpu-busy", Severity::Warning, 1),
            Rule {
                when: "mount.used{*} / mount.total{*} > 60%".into(),
                version: self.version,
                ..rule("disk-used", Severity::Critical, 1)
            },
            Rule { off: true, saved_by: String::new(), ..rule("load", Severity::Info, 0) },
            Rule {
                problem: "the selector has no meaning any more \u{1b}[2J".into(),
                hosts: "role=db".into(),
                ..rule("数据库-慢", Severity::Warning, 0)
            },
        ]
    }

    fn notifiers(&self) -> Vec<Notifier> {
        let notifier = |name: &str, kind: &str, to: &str| Notifier {
            name: name.into(),
            kind: kind.into(),
            to: to.into(),
            policies: vec!["all".into()],
            version: 1,
            ..Notifier::default()
        };
        vec![
            Notifier {
                taken_ms: Some(NOW_MS - 5 * MINUTE),
                failing_ms: self.failing.then_some(NOW_MS - 2 * MINUTE),
                last: if self.failing { "mail.example.com: refused".into() } else { String::new() },
                waiting: u32::from(self.failing),
                ..notifier("mail", "email", "ops@example.com")
            },
            Notifier {
                policies: Vec::new(), ..notifier("钉钉", "dingtalk", "oapi.dingtalk.com")
            },
            notifier("pager", "webhook", "https://pager.example.com/\u{1b}[2J"),
        ]
    }

    fn shown(asked: &Asked) -> Result<Value, CallError> {
        let id = asked.body["id"].as_str().unwrap_or_default();
        let Some(alert) = alerts().into_iter().find(|alert| alert.id == id) else {
            return Err(CallError::not_found("there is no such alert"));
        };
        let happened = vec![
            happened(&alert, State::Pending, 6, ""),
            happened(&alert, State::Firing, 5, ""),
            happened(&alert, State::Acknowledged, 3, "li@laptop: looking \u{1b}[2J"),
            happened(&alert, State::Firing, 1, "li@laptop took it back"),
        ];
        let moment = "  94.6%  1981 MiB  4711  root  /usr/bin/dd if=/dev/zero\n\n/var/log/syslog\nkernel: \u{1b}[2J full".into();
        json(&Shown { alert, happened, moment })
    }

    fn answer(&mut self, asked: &Asked) -> Result<Value, CallError> {
        if self.denied.contains(&asked.method) {
            return Err(CallError::denied(format!(
                "{} is not allowed for li@laptop",
                asked.method
            )));
        }
        match asked.method {
            "alerts.show" => Self::shown(asked),
            "alerts.history" => {
                let all = alerts();
                let happened = vec![
                    happened(&all[0], State::Pending, 31, ""),
                    happened(&all[0], State::Firing, 30, ""),
                    happened(&all[2], State::Firing, 20, "it has begun again and again"),
                    happened(&all[3], State::Acknowledged, 20, "ann@desk: a new disk"),
                    happened(&all[1], State::Resolved, 10, ""),
                ];
                json(&Happened { happened, more: true })
            }
            "alerts.acknowledge" | "alerts.unacknowledge" | "alerts.dismiss" => self.done(asked),
            "alerts.silence" => json(&Silence { id: 8, quiet: 2, ..Silence::default() }),
            "alerts.silences" => {
                let silence = |id, matcher: &str, minutes: u64, why: &str| Silence {
                    id,
                    matcher: matcher.into(),
                    who: "ann@desk".into(),
                    why: why.into(),
                    made_ms: NOW_MS - MINUTE,
                    until_ms: NOW_MS + minutes * MINUTE,
                    quiet: 1,
                };
                let silences = vec![
                    silence(7, "host=web1, rule=load", 50, "迁移 \u{1b}[2J"),
                    silence(3, "env!=prod", 3000, ""),
                ];
                json(&SilenceListing { silences })
            }
            "alerts.policies" => {
                json(&PolicyText { text: POLICIES.into(), version: 2, problems: Vec::new() })
            }
            "alerts.check-policies" => {
                json(&PolicyText { problems: self.problems.clone(), ..PolicyText::default() })
            }
            "rules.list" => json(&rules::Listing { rules: self.rules() }),
            "rules.show" => {
                let version = asked.body["version"].as_u64().unwrap_or(self.version);
                let text = match version {
                    v if v == self.version => self.text.clone(),
                    v => self.text.replace("60%", &format!("{v}0%")),
                };
                let rule = Rule { version, ..self.rules()[1].clone() };
                json(&rules::Shown { rule, text, ..rules::Shown::default() })
            }
            "rules.check" => {
                let text = asked.body["text"].as_str().unwrap_or_default();
                let names = text.lines().filter_map(|line| line.trim().strip_prefix("- name: "));
                let names = names.map(str::to_owned).collect();
                json(&rules::Checked { problems: self.problems.clone(), names })
            }
            "rules.save" | "alerts.save-policies" | "notifiers.save" => {
                let was = asked.body["was"].as_u64();
                if asked.method == "rules.save" && was.is_some_and(|w| w != 0 && w != self.version)
                {
                    return Err(CallError::new(ErrorKind::Conflict, "saved meanwhile"));
                }
                self.version += 1;
                asked.body["text"].as_str().unwrap_or_default().clone_into(&mut self.text);
                json(&Saved { version: self.version, unchanged: false })
            }
            "rules.switch" => json(&Saved { version: 4, unchanged: false }),
            "rules.versions" => {
                let version = |n: u64| Version {
                    version: n,
                    saved_ms: NOW_MS - (self.version - n) * 86_400_000,
                    saved_by: "ann@desk".into(),
                    ..Version::default()
                };
                json(&VersionListing { versions: (1..=self.version).rev().map(version).collect() })
            }
            "rules.try" => json(&Tried {
                times: 14,
                firing_ms: 200 * MINUTE,
                from_ms: NOW_MS - 6 * 86_400_000,
                to_ms: NOW_MS,
                hosts: 5,
                step_ms: MINUTE,
                fired: (1..=12)
                    .map(|n| Fired {
                        host: Some(id(1)),
                        name: "web1\u{1b}[2J".into(),
                        instance: "/home".into(),
                        from_ms: NOW_MS - (13 - n) * 600 * MINUTE,
                        until_ms: (n < 12).then_some(NOW_MS - (13 - n) * 590 * MINUTE),
                    })
                    .collect(),
            }),
            "notifiers.list" => json(&notifiers::Listing { notifiers: self.notifiers() }),
            "notifiers.show" => json(&notifiers::Shown {
                notifier: self.notifiers()[0].clone(),
                text: MAIL.into(),
                problems: Vec::new(),
            }),
            "notifiers.check" => json(&notifiers::Checked {
                problems: self.problems.clone(),
                title: "web1: disk \u{1b}[2J".into(),
                body: String::new(),
            }),
            "notifiers.notices" => json(&NoticeListing { notices: notices() }),
            "notifiers.test" => json(&Tested { took_ms: 140, refused: Vec::new() }),
            _ => Ok(json!({})),
        }
    }
}

pub(super) fn tell(world: &World, alerts: Vec<Alert>) {
    world.far.push::<Watch>(None, &News { alerts, all: true, ..News::default() });
}

pub(super) async fn at_alerts(setup: Setup) -> (World, Hub) {
    let mut world = World::new(setup).await;
    let hub = Hub::of(&world);
    tell(&world, alerts());
    world.fleet(some_hosts()).await;
    world.press("&").await;
    (world, hub)
}

/// At the list of this number.
pub(super) async fn at_list(setup: Setup, list: &str) -> (World, Hub) {
    let (mut world, hub) = at_alerts(setup).await;
    world.press(list).await;
    world.later(1).await;
    (world, hub)
}

pub(super) fn asked(world: &World, method: &str) -> Vec<Asked> {
    let calls = world.far.take_asked().into_iter();
    calls.filter(|call| call.method == method).collect()
}
