//! The flight recorder (`cmdr-recorder`) of this host: begun by `run`, asked over the link, and where `metrics` has the
//! figures of programs and containers from.
//!
//! Names of containers come from the Docker engine where there is one, which is asked when one is new and not before.

use crate::Agent;
use crate::users::Names;
use bollard::query_parameters::ListContainersOptions;
use cmdr_link::clock;
use cmdr_link::service::{Asked, Service};
use cmdr_protocol::CallError;
use cmdr_protocol::metrics::Usage;
use cmdr_protocol::recorder::{At, Group, Kind, List, Listing, Moment, Range, Step, Steps, Top};
use cmdr_recorder::{self as recorder, Recorder, Ring, Roots, Settings, Titles};
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Containers that came are asked about so often.
const NAMED: Duration = Duration::from_secs(10);
/// Those that the engine did not know are asked about again, and names that may have changed are read anew, so often.
const RENAMED: u32 = 60;
/// More names are not kept.
const NAMES: usize = 2000;
/// So much of a container's id tells it from others.
const SHORT: usize = 12;

pub(super) fn register(service: Service<Agent>) -> Service<Agent> {
    service.on(list).on(at).on(range)
}

/// The recorder of an agent, when it was begun.
#[derive(Debug, Default)]
pub struct Recording {
    now: Mutex<Now>,
    titles: Titles,
}

#[derive(Debug, Default)]
enum Now {
    /// It was not begun, or has ended.
    #[default]
    Idle,
    /// The owner wants none.
    Off,
    Failed(String),
    Running(Arc<Recorder>),
}

/// Figures of programs and containers, as they go out.
pub(super) struct Told {
    pub(super) number: u64,
    pub(super) groups: Vec<Usage>,
    pub(super) containers: Vec<Usage>,
}

impl Recording {
    fn lock(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn titles(&self) -> MutexGuard<'_, HashMap<String, String>> {
        self.titles.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn running(&self) -> Result<Arc<Recorder>, CallError> {
        match &*self.lock() {
            Now::Running(recorder) => Ok(recorder.clone()),
            Now::Failed(why) => Err(CallError::failed(format!("nothing is recorded: {why}"))),
            Now::Off => Err(CallError::not_found(
                "nothing is recorded on this host: its policy says so ([recorder] on = false)",
            )),
            Now::Idle => Err(CallError::not_found("nothing is recorded on this host")),
        }
    }

    /// The newest figures of programs and containers and their number, when it is not the one that is known.
    pub(super) fn newest(&self, known: u64) -> Option<Told> {
        let Now::Running(recorder) = &*self.lock() else { return None };
        let (number, figures) = recorder.figures();
        if number == known {
            return None;
        }
        let usage = |name: String, cpu: u32, memory: u64| Usage { name, cpu, memory };
        let groups = figures.groups.iter().map(|(n, cpu, memory)| usage(n.clone(), *cpu, *memory));
        let titles = self.titles();
        let containers = figures.containers.iter().map(|(id, cpu, memory)| {
            usage(titles.get(id).cloned().unwrap_or_else(|| short(id)), *cpu, *memory)
        });
        Some(Told { number, groups: groups.collect(), containers: containers.collect() })
    }

    /// Ends it, with all it has on disk.
    pub(crate) fn end(&self) {
        let ended = std::mem::take(&mut *self.lock());
        drop(ended);
    }
}

fn short(id: &str) -> String {
    id.get(..SHORT).unwrap_or(id).to_owned()
}

/// Begins to record, unless the owner wants it otherwise.
pub fn begin(agent: &Agent) {
    let config = agent.config();
    let policy = config.policy.recorder;
    let recording = agent.recording();
    if !policy.on {
        *recording.lock() = Now::Off;
        return;
    }
    let settings = Settings {
        dir: config.state_dir.join("recorder"),
        roots: Roots { proc: config.proc_root.clone(), sys: config.sys_root.clone() },
        interval: policy.interval,
        keep: policy.keep,
        commands: policy.commands,
        titles: recording.titles.clone(),
    };
    *recording.lock() = match Recorder::start(settings, clock::now_ms) {
        Ok(recorder) => Now::Running(Arc::new(recorder)),
        Err(e) => {
            tracing::error!("the flight recorder does not run: {e}");
            Now::Failed(e.to_string())
        }
    };
    tokio::spawn(name(agent.clone()));
}

/// Learns the names of containers as they come.
async fn name(agent: Agent) {
    let mut asked = BTreeSet::new();
    for turn in 0u32.. {
        tokio::time::sleep(NAMED).await;
        let Ok(recorder) = agent.recording().running() else { return };
        let (_, figures) = recorder.figures();
        drop(recorder);
        let ids: BTreeSet<String> = figures.containers.iter().map(|(id, ..)| id.clone()).collect();
        if turn % RENAMED == 0 {
            asked.clear();
        }
        if ids.is_subset(&asked) {
            continue;
        }
        asked = ids;
        let Ok(engine) = agent.engine().await else { continue };
        let options = ListContainersOptions { all: true, ..ListContainersOptions::default() };
        let Ok(listed) = engine.list_containers(Some(options)).await else { continue };
        let named = listed.into_iter().take(NAMES).filter_map(|container| {
            let mut names = container.names.unwrap_or_default();
            // Behind other names of it are those by which another container is linked to it.
            names.sort_by_key(|name| name.matches('/').count());
            let name = names.first()?.trim_start_matches('/').to_owned();
            Some((container.id?, name))
        });
        let named: HashMap<String, String> = named.collect();
        *agent.recording().titles() = named;
    }
}

/// Reads the ring where that may take a while.
async fn read<T: Send + 'static>(
    recorder: &Recorder,
    attempted: &'static str,
    look: impl FnOnce(&Ring) -> Result<T, recorder::Error> + Send + 'static,
) -> Result<T, CallError> {
    let ring = recorder.ring().clone();
    let looked = tokio::task::spawn_blocking(move || look(&ring)).await;
    let failed = |why: String| CallError::failed(format!("{attempted}: {why}"));
    looked.map_err(|e| failed(e.to_string()))?.map_err(|e| failed(e.to_string()))
}

async fn list(agent: Arc<Agent>, _: Asked, _: List) -> Result<Listing, CallError> {
    let recorder = agent.recording().running()?;
    let (span, health, state) =
        (recorder.ring().span(), recorder.ring().health(), recorder.state());
    Ok(Listing {
        from_ms: span.from_ms,
        to_ms: span.to_ms,
        samples: span.samples,
        bytes: span.bytes,
        keep_bytes: span.keep,
        interval_ms: agent.policy().recorder.interval.as_millis() as u64,
        skipped: state.skipped,
        cost_ppm: state.cost_ppm,
        processes: state.processes,
        looked: state.looked,
        damaged: health.damaged,
        lost: health.lost,
        squeezed: health.squeezed,
        full: health.full,
    })
}

async fn at(agent: Arc<Agent>, _: Asked, at: At) -> Result<Moment, CallError> {
    let recorder = agent.recording().running()?;
    let at_ms = if at.at_ms == 0 { u64::MAX } else { at.at_ms };
    let sample = read(&recorder, "look at what was recorded", move |ring| ring.at(at_ms)).await?;
    let sample = sample.ok_or_else(|| {
        CallError::not_found(
            "nothing was recorded then, nor before; recorder.list tells how far it reaches back",
        )
    })?;
    Ok(moment(&agent, &sample))
}

fn moment(agent: &Agent, sample: &recorder::Sample) -> Moment {
    let mut names = Names::new(&agent.config().etc_root);
    names.refresh();
    let titles = agent.recording().titles();
    let title = |id: &str| titles.get(id).cloned();
    let known: HashMap<&str, &str> = sample
        .groups
        .iter()
        .filter(|g| !g.title.is_empty())
        .map(|g| (g.name.as_str(), g.title.as_str()))
        .collect();
    let place = |place: &str| match known.get(place) {
        Some(title) => (*title).to_owned(),
        None if place.len() == 64 => title(place).unwrap_or_else(|| short(place)),
        None => place.to_owned(),
    };
    let mut tops: Vec<Top> = sample
        .processes
        .iter()
        .map(|process| Top {
            pid: process.pid,
            start: process.start,
            user: names.name(process.uid).to_string(),
            name: process.name.clone(),
            command: process.command.clone(),
            state: char::from(process.state).to_string(),
            place: place(&process.place),
            cpu: process.cpu,
            memory: process.memory,
            read: process.io.map(|io| io[0]),
            written: process.io.map(|io| io[1]),
        })
        .collect();
    tops.sort_by_key(|top| std::cmp::Reverse((top.cpu, top.memory)));
    let mut groups: Vec<Group> = sample
        .groups
        .iter()
        .map(|group| {
            let container = group.kind == recorder::Kind::Container;
            Group {
                kind: match group.kind {
                    recorder::Kind::Program => Kind::Program,
                    recorder::Kind::Unit => Kind::Unit,
                    recorder::Kind::Container => Kind::Container,
                },
                name: if container { place(&group.name) } else { group.name.clone() },
                id: if container { group.name.clone() } else { String::new() },
                count: group.count,
                cpu: group.cpu,
                memory: group.memory,
                read: group.io.map(|io| io[0]),
                written: group.io.map(|io| io[1]),
                received: group.network.map(|network| network[0]),
                sent: group.network.map(|network| network[1]),
            }
        })
        .collect();
    groups.sort_by_key(|group| std::cmp::Reverse((group.cpu, group.memory)));
    Moment {
        at_ms: sample.at_ms,
        every_ms: sample.every_ms,
        cpu: sample.host.cpu,
        cores: sample.host.cores,
        memory_total: sample.host.memory_total,
        memory_used: sample.host.memory_used,
        processes: sample.host.processes,
        looked: sample.host.looked,
        unseen: sample.host.unseen,
        tops,
        groups,
    }
}

async fn range(agent: Arc<Agent>, _: Asked, range: Range) -> Result<Steps, CallError> {
    let recorder = agent.recording().running()?;
    let span = recorder.ring().span();
    let from_ms = if range.from_ms == 0 { span.from_ms } else { range.from_ms };
    let to_ms = if range.to_ms == 0 { span.to_ms.saturating_add(1) } else { range.to_ms };
    let look = move |ring: &Ring| ring.range(from_ms, to_ms, range.steps);
    let found = read(&recorder, "read what was recorded", look).await?;
    let step_ms = match found.as_slice() {
        [first, second, ..] => second.at_ms - first.at_ms,
        _ => to_ms.saturating_sub(from_ms),
    };
    let steps = found.into_iter().map(|step| Step {
        samples: step.samples,
        cpu: step.cpu,
        memory: step.memory,
        peak_ms: step.peak.at_ms,
        peak_cpu: step.peak.cpu,
        busiest: step.peak.busiest,
    });
    Ok(Steps { from_ms, step_ms, steps: steps.collect() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Config, policy::Policy};
    use cmdr_protocol::ErrorKind;
    use std::path::Path;

    fn asked() -> Asked {
        Asked { caller: None, trace: 1 }
    }

    fn agent(policy: &str) -> (tempfile::TempDir, Arc<Agent>) {
        let dir = tempfile::tempdir().unwrap();
        let mut config = Config::new(dir.path().to_owned());
        config.docker_socket = dir.path().join("none");
        config.policy = Policy::parse(Path::new("/etc/cmdr/agent.toml"), policy).unwrap();
        (dir, Arc::new(Agent::new(config)))
    }

    #[tokio::test]
    async fn what_runs_is_recorded_and_found_again() {
        let (_dir, agent) = agent("");
        begin(&agent);
        let recorder = agent.recording().running().unwrap();
        let until = std::time::Instant::now() + Duration::from_secs(20);
        while recorder.state().taken < 2 {
            assert!(std::time::Instant::now() < until, "nothing is recorded");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let asked = asked();
        let moment = at(agent.clone(), asked.clone(), At::default()).await.unwrap();
        let own = std::process::id();
        assert!(moment.processes > 0 && moment.cores > 0 && moment.memory_total > 0);
        assert!(moment.tops.iter().any(|top| top.pid == own || top.memory > 0), "{moment:?}");
        let listing = list(agent.clone(), asked.clone(), List {}).await.unwrap();
        assert!(listing.samples >= 2 && listing.from_ms > 0 && listing.interval_ms == 1000);
        let steps = range(agent.clone(), asked.clone(), Range::default()).await.unwrap();
        assert_eq!(steps.steps.len(), 1);
        assert!(steps.steps[0].samples >= 2);
        let before = At { at_ms: 1 };
        let none = at(agent.clone(), asked.clone(), before).await.unwrap_err();
        assert_eq!(none.kind, ErrorKind::NotFound);
        agent.recording().end();
        assert!(list(agent, asked, List {}).await.is_err());
    }

    #[tokio::test]
    async fn an_owner_who_wants_no_recorder_is_named_as_the_reason() {
        let (dir, agent) = agent("[recorder]\non = false\n");
        begin(&agent);
        let refused = list(agent, asked(), List {}).await.unwrap_err();
        assert!(refused.message.contains("[recorder] on = false"), "{refused}");
        assert!(!dir.path().join("recorder").exists());
    }

    #[test]
    fn the_policy_sets_what_is_kept_and_a_wrong_key_is_named() {
        let parse = |text: &str| Policy::parse(Path::new("/etc/cmdr/agent.toml"), text);
        let text = "[recorder]\ninterval_s = 5\nkeep_mb = 20\ncommands = false\n";
        let kept = parse(text).unwrap().recorder;
        assert_eq!((kept.on, kept.interval, kept.keep), (true, Duration::from_secs(5), 20_000_000));
        assert!(!kept.commands);
        assert_eq!(Policy::default().recorder.keep, 100_000_000);
        let wrong = parse("[recorder]\nkeep = 1\n").unwrap_err().to_string();
        assert!(wrong.contains("keep_mb"), "{wrong}");
    }
}
