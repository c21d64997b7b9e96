//! The names in a folder, as the system gives them: a page is sent while the next is looked at.

use super::entry::{Looked, Names};
use super::fault::fault;
use super::walk::Guard;
use crate::Agent;
use crate::policy::Want;
use cmdr_link::service::{Asked, Feeding};
use cmdr_protocol::CallError;
use cmdr_protocol::files::{Entry, List, PAGE, Page};
use rustix::fs::Dir;
use rustix::io::Errno;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::sync::Arc;
use tokio::sync::mpsc;

pub(super) async fn list(
    agent: Arc<Agent>,
    _: Asked,
    list: List,
    feeding: Feeding<List>,
) -> Result<(), CallError> {
    let _turn = agent.files().begin()?;
    let (send, mut pages) = mpsc::channel(2);
    let reading = super::blocking(move || names(&agent, &list, &send));
    // Once nobody takes pages any more, the thread hears of it with its next one.
    let sending = async move {
        while let Some(entries) = pages.recv().await {
            feeding.send(&Page { entries }).await?;
        }
        Ok::<(), CallError>(())
    };
    let (read, sent) = tokio::join!(reading, sending);
    sent.and(read)
}

fn names(agent: &Agent, list: &List, pages: &mpsc::Sender<Vec<Entry>>) -> Result<(), CallError> {
    let wrong = |e: Errno| fault("listing", &list.path, e);
    let folder = Guard::new(agent).folder(Want::Read, &list.path)?;
    let mut names = Names::new(agent);
    let dir = Dir::read_from(&folder).map_err(wrong)?;
    let mut page = Vec::new();
    for found in dir {
        let found = found.map_err(wrong)?;
        let name = found.file_name().to_bytes();
        if matches!(name, b"." | b"..") {
            continue;
        }
        match Looked::at(&folder, OsStr::from_bytes(name)) {
            Ok(looked) => page.push(looked.entry(&mut names)),
            // It went away meanwhile.
            Err(Errno::NOENT) => continue,
            Err(e) => return Err(wrong(e)),
        }
        if page.len() >= PAGE && pages.blocking_send(std::mem::take(&mut page)).is_err() {
            return Ok(());
        }
    }
    // The last page also says that an empty folder is empty.
    drop(pages.blocking_send(page));
    Ok(())
}
