//! A file that was sent before is put in its place; then something may be run.

use super::doing::{Doing, Done, Fault};
use super::program;
use crate::services::files::put::{self, Placed, Wanted};
use cmdr_protocol::CallError;
use cmdr_protocol::files::FilePath;
use cmdr_protocol::orders::is_blob;
use cmdr_protocol::runs::{Order, Push};

/// Whether it makes sense, before anything of it is kept.
pub(super) fn check(push: &Push) -> Result<(), CallError> {
    if !is_blob(&push.file) {
        return Err(CallError::malformed(
            "the file is not named by the 64 hexadecimal digits of its BLAKE3",
        ));
    }
    place(push)?;
    match push.mode {
        Some(mode) if mode > 0o7777 => {
            Err(CallError::malformed("the permissions are more than 7777"))
        }
        _ => Ok(()),
    }
}

/// Where the file is to be.
pub(crate) fn place(push: &Push) -> Result<FilePath, CallError> {
    let path = FilePath::parse(&push.path).map_err(|e| CallError::malformed(e.to_string()))?;
    if path.is_root() {
        return Err(CallError::malformed("'/' is a folder: name the file that it shall be"));
    }
    Ok(path)
}

pub(super) async fn push(doing: &mut Doing, order: &Order, push: &Push) -> Result<Done, Fault> {
    let path = place(push).map_err(Fault::Before)?;
    let agent = doing.agent.clone();
    let (hash, owner) = (push.file.clone(), push.owner.clone());
    let wanted = Wanted { path: path.clone(), hash, mode: push.mode, owner };
    doing.begin();
    let placing = tokio::task::spawn_blocking(move || put::put(&agent, &wanted));
    // A file is put in place as a whole: once this has begun nothing stops it.
    let placed = placing
        .await
        .unwrap_or_else(|e| Err(CallError::failed(format!("a fault of the agent: {e}"))))
        .map_err(Fault::Before)?;
    let Placed { already, lost } = placed;
    doing.changed |= !already;
    let mut message =
        if already { format!("{path} was so already") } else { format!("{path} is in its place") };
    if !lost.is_empty() {
        message = format!("{message}; it could not keep {}", lost.join(", "));
    }
    let Some(then) = push.then.clone() else {
        doing.say(&format!("{message}\n"));
        return Ok(Done { already, message, exit: None });
    };
    doing.changed = true;
    let exit = doing.run(program(order, then), &[]).await?;
    Ok(Done { exit: Some(exit), already: false, message })
}
