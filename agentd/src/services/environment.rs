//! Variables of everybody who logs in: lines of a file, changed as edits of it. The environment of processes is not
//! shown to anybody.

pub(super) mod line;
mod look;

pub(crate) use look::is_secret;

use super::edits::{self, Expected, Order};
use super::files::whole::Whole;
use crate::Agent;
use cmdr_link::packed::hash;
use cmdr_link::service::{Asked, Service};
use cmdr_protocol::edits::{Came, Saving};
use cmdr_protocol::environment::{List, Set, Unset, Values, Variable};
use cmdr_protocol::files::FilePath;
use cmdr_protocol::system::Found;
use cmdr_protocol::{CallError, ErrorKind};
use std::os::unix::ffi::OsStrExt as _;
use std::sync::Arc;

pub(super) fn register(service: Service<Agent>) -> Service<Agent> {
    service.on(list).on(values).on(set).on(unset)
}

/// The file on this host.
fn path(agent: &Agent) -> Result<FilePath, CallError> {
    let path = agent.config().etc_root.join("environment");
    FilePath::from_bytes(path.as_os_str().as_bytes()).map_err(|e| CallError::failed(e.to_string()))
}

async fn look(agent: &Agent, mask: bool) -> Result<Found<Variable>, CallError> {
    edits::work(agent, move |agent, _| {
        let path = path(agent)?;
        let present = Whole::to_read(agent, &path)?.read()?;
        Ok(look::all(agent.config(), present.as_ref().map(|present| &*present.text), mask))
    })
    .await
}

async fn list(agent: Arc<Agent>, _: Asked, _: List) -> Result<Found<Variable>, CallError> {
    look(&agent, true).await
}

async fn values(agent: Arc<Agent>, _: Asked, _: Values) -> Result<Found<Variable>, CallError> {
    look(&agent, false).await
}

fn check_name(name: &str) -> Result<(), CallError> {
    if line::is_name(name) {
        return Ok(());
    }
    let name = cmdr_protocol::display::clean_to_width(name, 60);
    Err(CallError::malformed(format!(
        "'{name}' is no name of a variable: letters, digits and '_', no digit in front"
    )))
}

/// What a change of the lines is about, beside the lines.
struct Change {
    by: String,
    note: String,
    confirm_s: Option<u32>,
    force: bool,
}

async fn change(
    agent: &Agent,
    change: Change,
    lines: impl FnOnce(&str) -> Result<String, CallError> + Send + 'static,
) -> Result<Saving, CallError> {
    edits::work(agent, move |agent, ledger| {
        let path = path(agent)?;
        let present = Whole::to_write(agent, &path)?.read()?;
        let old = present.as_ref().map(|present| present.text.clone()).unwrap_or_default();
        let new = lines(&String::from_utf8_lossy(&old))?;
        let Change { by, note, confirm_s, force } = change;
        let order = Order {
            path,
            text: new.into_bytes(),
            expect: Expected::Only(present.map(|present| hash(&present.text))),
            mode: None,
            owned: None,
            confirm_s,
            note,
            by,
            came: Came::Saved,
            is_checked: true,
            force,
        };
        ledger.save(agent, &order)
    })
    .await
}

fn noted(note: String, what: String) -> Result<String, CallError> {
    edits::note(if note.is_empty() { what } else { note })
}

async fn set(agent: Arc<Agent>, asked: Asked, set: Set) -> Result<Saving, CallError> {
    check_name(&set.name)?;
    let note = noted(set.note, format!("set {}", set.name))?;
    let by = edits::caller(&asked);
    let about = Change { by, note, confirm_s: set.confirm_s, force: set.force };
    change(&agent, about, move |text| {
        line::set(text, &set.name, &set.value).ok_or_else(|| {
            CallError::malformed(
                "a value is one line, without zero bytes, and not in both kinds of quotes",
            )
        })
    })
    .await
}

async fn unset(agent: Arc<Agent>, asked: Asked, unset: Unset) -> Result<Saving, CallError> {
    check_name(&unset.name)?;
    let note = noted(unset.note, format!("unset {}", unset.name))?;
    let by = edits::caller(&asked);
    let about = Change { by, note, confirm_s: unset.confirm_s, force: unset.force };
    change(&agent, about, move |text| {
        line::unset(text, &unset.name).ok_or_else(|| {
            CallError::new(ErrorKind::NotFound, format!("there is no variable {}", unset.name))
        })
    })
    .await
}

/// Reads any bytes as such a file.
pub(super) fn untrusted(data: &[u8]) {
    look::parse(data, "fuzz", false, &mut Found::default());
}
