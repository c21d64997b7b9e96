//! What came of a change of a file, for people and for scripts.

use super::Place;
use crate::App;
use crate::exit::{Exit, Failure};
use cmdr_protocol::edits::{Problem, SaveEnd, Saving};
use serde::Serialize;

#[derive(Serialize)]
struct Row<'a> {
    host: &'a str,
    path: &'a str,
    outcome: &'a str,
    version: u64,
    hash: &'a str,
    size: u64,
    added: u64,
    removed: u64,
    armed: &'a str,
    confirm_within_s: Option<u64>,
    problems: &'a [Problem],
    lost: &'a [String],
}

/// What is wrong with a line, as it is told.
pub(super) fn problem(problem: &Problem) -> String {
    let kind = if problem.warning { "warning" } else { "error" };
    match problem.line {
        0 => format!("{kind}: {}", problem.what),
        line => format!("line {line}: {kind}: {}", problem.what),
    }
}

/// Why nothing was saved.
pub(super) fn refusal(place: &Place, saving: &Saving) -> Option<Failure> {
    let shown = place.shown();
    match saving.result.how {
        SaveEnd::Saved | SaveEnd::Same => None,
        SaveEnd::Conflict => {
            let now = match saving.result.hash.as_str() {
                "" => "it is not there now".to_owned(),
                hash => format!("its hash is {hash} now"),
            };
            let what = format!("{shown} is not as it was seen; nothing was saved: {now}");
            Some(Failure::failed(what).hint("look at it again, then save with --if-hash"))
        }
        SaveEnd::Invalid => {
            let errors = saving.problems.iter().any(|problem| !problem.warning);
            let what = format!("{shown} was not saved, because of what is said above");
            let hint = if errors { "put the lines right" } else { "--force saves it all the same" };
            Some(Failure::failed(what).hint(hint))
        }
        SaveEnd::Unknown => {
            let what = "the host's agent gives an answer that this program does not know";
            Some(
                Failure::failed(what).hint("is this cmdr older than the agent? see cmdr --version"),
            )
        }
    }
}

/// Tells how it ended, data and words.
pub(in crate::commands) fn saving(
    app: &App,
    place: &Place,
    saving: &Saving,
) -> Result<Exit, Failure> {
    for found in &saving.problems {
        app.out.warn(&problem(found));
    }
    for lost in &saving.lost {
        app.out.warn(&format!("{}: could not be kept: {lost}", place.shown()));
    }
    if let Some(failure) = refusal(place, saving) {
        return Err(failure);
    }
    let result = &saving.result;
    let row = Row {
        host: &place.name,
        path: place.path.as_str(),
        outcome: result.how.as_str(),
        version: result.version,
        hash: &result.hash,
        size: result.size,
        added: result.added,
        removed: result.removed,
        armed: &result.armed,
        confirm_within_s: saving.armed.as_ref().map(|armed| armed.left_ms / 1000),
        problems: &saving.problems,
        lost: &saving.lost,
    };
    let lines = format!("+{} -{}", result.added, result.removed);
    let fields = [
        ("file", place.shown()),
        ("outcome", result.how.to_string()),
        ("version", result.version.to_string()),
        ("lines", lines),
        ("hash", result.hash.clone()),
    ];
    app.out.one(&row, &fields, place.path.as_str())?;
    if let Some(armed) = &saving.armed {
        app.out.note(&format!(
            "it is undone in {} s, unless you confirm it: cmdr edits confirm {}",
            armed.left_ms / 1000,
            place.shown()
        ));
    }
    Ok(Exit::Ok)
}
