//! What the hub and the hosts answer to the panes of config groups, in these tests.

use crate::support::{NOW_MS, Setup, World, id, some_hosts};
use cmdr_protocol::configs::{Checked, Config, Expected, FileWanted, HostFiles, Listing, Shown};
use cmdr_protocol::files::{Chunk, Entry, FileKind};
use cmdr_protocol::hosts::HostState;
use cmdr_protocol::runbooks::{Problem, Saved, Version, VersionListing};
use cmdr_protocol::runs::{self, Guarded, Planned, PlannedHost, Started};
use cmdr_protocol::{CallError, ErrorKind, HostId, RunId};
use cmdr_tui::link::fake::Asked;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex, MutexGuard};

pub(super) const TEXT: &str = "name: shop-web\ndescription: What the shop's web servers have\n\
    hosts: role=web\nfiles:\n- to: /etc/shop.conf\n  mode: '0644'\n  content: |\n    port {{port}}\n";

pub(super) fn config(name: &str, version: u64, description: &str) -> Config {
    Config {
        name: name.into(),
        description: description.into(),
        version,
        files: 3,
        hosts: "role=web,app=shop".into(),
        saved_ms: NOW_MS - version * 7_200_000,
        saved_by: "ann@desk".into(),
    }
}

fn file(path: &str, content: &str) -> FileWanted {
    FileWanted {
        path: path.into(),
        mode: Some(0o644),
        content: Some(content.into()),
        ..FileWanted::default()
    }
}

/// Three files for each of the hosts that the group is for.
fn files_of(n: u16, name: &str) -> HostFiles {
    let mut files = vec![
        file("/etc/shop.conf", &format!("name {name}\nport 80\n")),
        file("/etc/motd", "hello\n"),
        FileWanted { content: None, secret: true, ..file("/etc/shop.key", "") },
    ];
    if n == 4 {
        let problem = "undefined value: label.zone";
        files.push(FileWanted { problem: problem.into(), ..file("/etc/zone\u{1b}[2J.conf", "") });
    }
    HostFiles { host: Some(id(n)), name: name.into(), files }
}

/// What the hub and hosts answer, which tests can change.
pub(super) struct Stage {
    pub(super) list: Result<Vec<Config>, CallError>,
    pub(super) text: String,
    pub(super) version: u64,
    pub(super) problems: Vec<Problem>,
    pub(super) confirm: bool,
    /// Hosts beyond those that the group usually has.
    pub(super) more: u16,
    /// What web1 has as its shop.conf.
    pub(super) there: String,
    /// Hosts that are gone.
    pub(super) gone: Vec<HostId>,
}

#[derive(Clone)]
pub(super) struct Hub(Arc<Mutex<Stage>>);

impl Hub {
    pub(super) fn of(world: &World) -> Self {
        let stage = Stage {
            list: Ok(vec![
                config("shop-web", 3, "What the shop's web servers have"),
                config("motd", 1, "问候 \u{1b}]0;owned\u{7}"),
                config("ntp", 12, "Time"),
            ]),
            text: TEXT.to_owned(),
            version: 3,
            problems: Vec::new(),
            confirm: false,
            more: 0,
            there: "name web1\nport 8080\nextra\n".to_owned(),
            gone: Vec::new(),
        };
        let hub = Self(Arc::new(Mutex::new(stage)));
        let answers = hub.clone();
        world.far.answer(move |asked| answers.now().answer(asked));
        let reads = hub.clone();
        world.far.answer_feeds(move |asked| {
            (asked.method == "files.read").then(|| {
                let data = reads.now().content(asked).into_bytes();
                vec![json!(Chunk { data, ..Chunk::default() })]
            })
        });
        hub
    }

    pub(super) fn now(&self) -> MutexGuard<'_, Stage> {
        self.0.lock().expect("the stage")
    }
}

fn json(value: &impl serde::Serialize) -> Result<Value, CallError> {
    serde_json::to_value(value).map_err(|e| CallError::failed(e.to_string()))
}

impl Stage {
    /// What a host has at a path.
    fn content(&self, asked: &Asked) -> String {
        let path = asked.body["path"].as_str().unwrap_or_default();
        match (asked.to, path) {
            (Some(host), "/etc/shop.conf") if host == id(1) => self.there.clone(),
            (Some(host), "/etc/shop.conf") if host == id(2) => "name web2\nport 80\n".into(),
            (Some(_), "/etc/shop.conf") => "name web3\u{1b}[2J\nport 80\n".into(),
            (Some(_), _) => "hello\n".into(),
            (None, _) => String::new(),
        }
    }

    fn stat(&self, asked: &Asked) -> Result<Value, CallError> {
        let path = asked.body["path"].as_str().unwrap_or_default();
        let host = asked.to.unwrap_or(HostId([0; 16]));
        if self.gone.contains(&host) {
            let why = "web2 is away: last seen 12 s ago, link reset";
            return Err(CallError::new(ErrorKind::Unreachable, why));
        }
        if host == id(3) && path.starts_with("/etc/motd") {
            return Err(CallError::new(ErrorKind::NotFound, "no such file or folder"));
        }
        if host == id(4) && path == "/etc/shop.conf" {
            return Err(CallError::denied("files.stat is not allowed for li@laptop: not here"));
        }
        let size = self.content(asked).len() as u64;
        let mode = if host == id(2) && path.starts_with("/etc/motd") { 0o600 } else { 0o644 };
        json(&Entry { kind: FileKind::File, size, mode, ..Entry::default() })
    }

    fn shown(&self, version: u64) -> Shown {
        let text = match version {
            v if v == self.version => self.text.clone(),
            v => self.text.replace("0644", &format!("06{v}0")),
        };
        let note = if version == 2 { "tighter \u{1b}[2J" } else { "" };
        Shown {
            config: config("shop-web", version, "What the shop's web servers have"),
            note: note.into(),
            text,
            problems: Vec::new(),
        }
    }

    fn expected(&self, asked: &Asked) -> Expected {
        let names = ["web1", "web2", "web3\u{1b}[2J", "边缘-北京1"];
        let mut hosts: Vec<HostFiles> =
            (1..).zip(names).map(|(n, name)| files_of(n, name)).collect();
        hosts.extend((0..self.more).map(|n| files_of(100 + n, &format!("node{n:03}"))));
        let wanted = asked.body["hosts"].as_array().cloned().unwrap_or_default();
        hosts.retain(|host| wanted.is_empty() || wanted.contains(&json!(host.host)));
        let more = hosts.split_off(hosts.len().min(50));
        let more = more.into_iter().filter_map(|host| host.host).collect();
        Expected { version: self.version, hosts, more }
    }

    fn planned(&self) -> Planned {
        let host = |n: u16, name: &str, state| PlannedHost {
            host: Some(id(n)),
            name: name.into(),
            state,
            ..PlannedHost::default()
        };
        Planned {
            count: 3,
            online: 2,
            guard: Guarded {
                confirm: self.confirm,
                why: if self.confirm { "3 hosts are more than 2".into() } else { String::new() },
                ..Guarded::default()
            },
            waves: vec![3],
            hosts: vec![
                host(1, "web1", HostState::Online),
                host(2, "web2", HostState::Away),
                host(3, "web3", HostState::Online),
            ],
            ..Planned::default()
        }
    }

    fn answer(&mut self, asked: &Asked) -> Result<Value, CallError> {
        match asked.method {
            "configs.list" => json(&Listing { configs: self.list.clone()? }),
            "configs.show" => {
                json(&self.shown(asked.body["version"].as_u64().unwrap_or(self.version)))
            }
            "configs.check" => json(&Checked {
                problems: self.problems.clone(),
                name: asked.body["text"]
                    .as_str()
                    .and_then(|text| text.lines().next()?.strip_prefix("name: "))
                    .unwrap_or_default()
                    .to_owned(),
                files: 1,
            }),
            "configs.save" => {
                if asked.body["was"].as_u64().is_some_and(|was| was != 0 && was != self.version) {
                    let why =
                        "somebody has saved version 4 of 'shop-web' meanwhile; look at it first";
                    return Err(CallError::new(ErrorKind::Conflict, why));
                }
                self.version += 1;
                asked.body["text"].as_str().unwrap_or_default().clone_into(&mut self.text);
                json(&Saved { version: self.version, unchanged: false })
            }
            "configs.versions" => {
                let version = |n: u64| Version {
                    version: n,
                    saved_ms: NOW_MS - (self.version - n) * 86_400_000,
                    saved_by: "ann@desk".into(),
                    note: if n == 2 { "tighter \u{1b}[2J".into() } else { String::new() },
                    ..Version::default()
                };
                json(&VersionListing { versions: (1..=self.version).rev().map(version).collect() })
            }
            "configs.expect" => json(&self.expected(asked)),
            "files.stat" => self.stat(asked),
            "runs.plan" => json(&self.planned()),
            "runs.start" => json(&Started { run: Some(RunId([1; 8])), targets: 3, already: false }),
            "runs.list" => json(&runs::Listing::default()),
            _ => Ok(json!({})),
        }
    }
}

pub(super) async fn at_groups(setup: Setup) -> (World, Hub) {
    let mut world = World::new(setup).await;
    let hub = Hub::of(&world);
    world.fleet(some_hosts()).await;
    world.press("U").await;
    (world, hub)
}

pub(super) async fn at_group(setup: Setup) -> (World, Hub) {
    let (mut world, hub) = at_groups(setup).await;
    world.press("/shop-web<enter><enter>").await;
    (world, hub)
}

pub(super) fn asked(world: &World, method: &str) -> Vec<Asked> {
    let calls = world.far.take_asked().into_iter();
    calls.filter(|call| call.method == method).collect()
}
