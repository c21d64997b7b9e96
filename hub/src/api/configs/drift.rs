//! What hosts have beside what they shall have: asked file by file, with the rights of who asks. What comes from
//! hosts is bounded: how long each is waited for, and how much of what it says is kept.

use super::difference::difference;
use crate::api::bearer::Program;
use cmdr_link::transfer::{beginning, gathered};
use cmdr_protocol::configs::{self, FileWanted, HostFiles, LARGEST, Stands, is_read};
use cmdr_protocol::display::clean_to_width;
use cmdr_protocol::files::{FilePath, Stat};
use cmdr_protocol::{CallError, ErrorKind, HostId};
use serde::Serialize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};
use utoipa::ToSchema;

/// Hosts that are looked at at once.
const AT_ONCE: usize = 8;
/// Looking at one file, and at all files of a host, may take so long.
const OF_FILE: Duration = Duration::from_secs(30);
const OF_HOST: Duration = Duration::from_mins(1);
/// Bytes of differences in one answer.
const DIFFS: usize = 2 << 20;
/// Columns of what a host says about one file.
const SAID: usize = 300;

/// How a file on a host stands.
#[derive(Serialize, ToSchema)]
struct DriftOfFile {
    path: String,
    /// `equal`, `differs`, `missing`, `hidden` (there is a secret in it) or `unknown`.
    #[schema(value_type = String, example = "differs")]
    state: Stands,
    /// What is otherwise, or why it is not known.
    what: String,
    /// From what is there to what shall be, as a unified difference; empty when it was not asked for.
    diff: String,
}

/// How the files of a host stand.
#[derive(Serialize, ToSchema)]
pub(super) struct DriftOfHost {
    /// The host's id.
    host: String,
    name: String,
    files: Vec<DriftOfFile>,
}

/// Bytes that may still be kept.
struct Budget(AtomicUsize);

impl Budget {
    fn take(&self, bytes: usize) -> bool {
        let less = |left: usize| left.checked_sub(bytes);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok()
    }
}

/// Looks at the files of hosts; they come by name.
pub(super) async fn look_at(
    program: &Program,
    hosts: Vec<HostFiles>,
    diff: bool,
) -> Vec<DriftOfHost> {
    let budget = Arc::new(Budget(AtomicUsize::new(DIFFS)));
    let mut looking = JoinSet::new();
    let mut found: Vec<DriftOfHost> = Vec::new();
    for host in hosts {
        while looking.len() >= AT_ONCE {
            found.extend(looking.join_next().await.and_then(Result::ok));
        }
        let (program, budget) = (program.clone(), budget.clone());
        looking.spawn(async move {
            let compare = |id, file| compare(program.clone(), id, file, diff, budget.clone());
            look(host, compare).await
        });
    }
    while let Some(looked) = looking.join_next().await {
        found.extend(looked.ok());
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found
}

/// Looks at the files of a host, one after the other.
async fn look<F: Future<Output = Result<DriftOfFile, CallError>>>(
    host: HostFiles,
    compare: impl Fn(HostId, FileWanted) -> F,
) -> DriftOfHost {
    let end = Instant::now() + OF_HOST;
    let mut files = Vec::new();
    for file in host.files {
        let path = file.path.clone();
        let unknown = |what: &str| DriftOfFile {
            path,
            state: Stands::Unknown,
            what: clean_to_width(what, SAID),
            diff: String::new(),
        };
        files.push(match host.host {
            _ if !file.problem.is_empty() => unknown(&file.problem),
            None => unknown("the host has no id"),
            Some(_) if Instant::now() >= end => unknown("not looked at: the host is too slow"),
            Some(id) => {
                let until = end.min(Instant::now() + OF_FILE);
                match timeout_at(until, compare(id, file)).await {
                    Ok(Ok(found)) => found,
                    Ok(Err(e)) => unknown(&e.message),
                    Err(_) => unknown("the host did not answer in time"),
                }
            }
        });
    }
    let id = host.host.map(|id| id.to_string()).unwrap_or_default();
    DriftOfHost { host: id, name: host.name, files }
}

async fn compare(
    program: Program,
    host: HostId,
    file: FileWanted,
    diff: bool,
    budget: Arc<Budget>,
) -> Result<DriftOfFile, CallError> {
    let mut found = DriftOfFile {
        path: file.path.clone(),
        state: Stands::Missing,
        what: String::new(),
        diff: String::new(),
    };
    let path = FilePath::parse(&file.path).map_err(|e| CallError::malformed(e.to_string()))?;
    let there = match program.ask_at(host, &Stat { path: path.clone() }).await {
        Ok(there) => there,
        Err(e) if e.kind == ErrorKind::NotFound => return Ok(found),
        Err(e) => return Err(e),
    };
    let read =
        if is_read(&file, &there, diff) { Some(fetch(&program, host, path).await?) } else { None };
    let drift = configs::drift(&file, &there, read.as_deref());
    (found.state, found.what) = (drift.state, clean_to_width(&drift.what.join(", "), SAID));
    if let (true, Some(there), Some(shall)) = (diff, read, file.content)
        && there != shall
    {
        let comparing = tokio::task::spawn_blocking(move || difference(&there, &shall));
        let said = comparing.await;
        let said = said.map_err(|e| CallError::failed(format!("a fault of the hub: {e}")))?;
        found.diff = if budget.take(said.len()) {
            said
        } else {
            "there are too many differences for one answer; ask for fewer hosts".to_owned()
        };
    }
    Ok(found)
}

async fn fetch(program: &Program, host: HostId, path: FilePath) -> Result<Vec<u8>, CallError> {
    gathered(program.feed_at(host, &beginning(path, LARGEST)).await?, LARGEST).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::pending;

    fn wanted(count: usize) -> HostFiles {
        let file = |n| FileWanted { path: format!("/etc/{n}"), ..FileWanted::default() };
        let files = (0..count).map(file).collect();
        HostFiles { host: Some(HostId([1; 16])), name: "web1".into(), files }
    }

    #[tokio::test(start_paused = true)]
    async fn a_host_that_never_answers_is_waited_for_a_minute_and_no_longer() {
        let began = Instant::now();
        let looked = look(wanted(100), |_, _| pending()).await;
        assert_eq!(began.elapsed().as_secs(), OF_HOST.as_secs());
        assert_eq!(looked.files.len(), 100);
        assert!(looked.files.iter().all(|file| file.state == Stands::Unknown));
        assert!(looked.files[0].what.contains("did not answer"));
        assert!(looked.files[99].what.contains("too slow"));
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_host_says_is_cut_and_one_file_that_hangs_does_not_hide_the_others() {
        let looked = look(wanted(3), |_, file: FileWanted| async move {
            match file.path.as_str() {
                "/etc/0" => pending().await,
                "/etc/1" => Err(CallError::failed("x".repeat(1 << 20))),
                path => Ok(DriftOfFile {
                    path: path.to_owned(),
                    state: Stands::Equal,
                    what: String::new(),
                    diff: String::new(),
                }),
            }
        });
        let files = looked.await.files;
        assert!(files[1].what.len() <= 2 * SAID, "{} bytes are kept", files[1].what.len());
        assert_eq!((files[0].state, files[2].state), (Stands::Unknown, Stands::Equal));
    }

    #[test]
    fn a_budget_is_taken_until_it_is_used_up() {
        let budget = Budget(AtomicUsize::new(10));
        assert!(budget.take(6) && !budget.take(5) && budget.take(4) && !budget.take(1));
    }
}
