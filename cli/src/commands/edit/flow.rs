//! An edit by a person: editor, difference, save; and what can come between.

use super::ask::{ask, keep};
use super::desk::Desk;
use super::{Found, Place, Saved, open, save, shown, told};
use crate::App;
use crate::connect::{Hub, Target};
use crate::exit::{Exit, Failure};
use cmdr_protocol::edits::{Armed, Confirm, Revert, SaveEnd, Saving};
use cmdr_protocol::files::FilePath;
use cmdr_protocol::{Call, CallError, ErrorKind};
use std::io::IsTerminal as _;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::Instant;

/// The largest texts that are merged.
const MERGED: usize = 1 << 20;
/// Between two tries to reach the hub while the time to confirm runs.
const PAUSE: Duration = Duration::from_millis(500);

/// What is going on.
struct Edit<'a> {
    app: &'a App,
    hub: Hub,
    target: &'a Target,
    found: Found,
    mode: Option<u32>,
    how: Saved,
    desk: Desk,
}

/// What to do after a try.
enum Next {
    Done(Exit),
    /// Open the editor once more.
    Again,
    /// Try to save once more.
    Save,
}

pub(super) async fn run(
    app: &App,
    hub: Hub,
    target: &Target,
    path: &FilePath,
    mode: Option<u32>,
    how: &Saved,
) -> Result<Exit, Failure> {
    if !std::io::stdin().is_terminal() || !app.out.tty_err {
        return Err(Failure::usage("there is no terminal to edit on")
            .hint("give the new text with --from FILE, or --from - for standard input"));
    }
    // What is typed for an editor must not end this program, which has the text.
    let _interrupt = signal(SignalKind::interrupt())?;
    let found = open(&hub, target, path).await?;
    if let Some(armed) = &found.opened.armed {
        let what = format!("an edit of it by {} waits to be confirmed", armed.by);
        return Err(Failure::failed(what).hint(format!(
            "cmdr edits confirm {0}, or cmdr edits revert {0}",
            found.place.shown()
        )));
    }
    let desk = Desk::new(app, &target.name, &found.place.path)?;
    desk.write(&found.text)?;
    let kept = desk.path().to_owned();
    let mut edit = Edit { app, hub, target, found, mode, how: how.clone(), desk };
    match edit.until_saved().await {
        Ok((exit, is_in_place)) => {
            if is_in_place {
                edit.desk.clear();
            }
            Ok(exit)
        }
        Err(failure) => {
            let text = edit.desk.read().unwrap_or_default();
            if text == edit.found.text {
                edit.desk.clear();
                return Err(failure);
            }
            let again = format!(
                "your text is kept in {0}; to save it: cmdr edit {1} --from {0}",
                kept.display(),
                edit.found.place.shown()
            );
            Err(failure.hint(again))
        }
    }
}

impl Edit<'_> {
    fn place(&self) -> &Place {
        &self.found.place
    }

    fn show(&self, names: [&str; 2], old: &str, new: &str) -> Result<(), Failure> {
        self.app.out.data(&shown::unified(&self.app.out, names, old, new))
    }

    async fn until_saved(&mut self) -> Result<(Exit, bool), Failure> {
        let shown = self.place().shown();
        loop {
            self.desk.edit().await?;
            let text = self.desk.read()?;
            if text == self.found.text {
                self.app.out.note(&format!("{shown} stays as it is"));
                return Ok((Exit::Ok, true));
            }
            self.show([&shown, "yours"], &self.found.text, &text)?;
            if has_marks(&text) {
                self.app.out.warn("there are marks of a merge in it (<<<<<<<)");
            }
            match ask(&format!("Save it to {shown}? [y]es, [e]dit again, [n]o:"), "yen").await? {
                'e' => continue,
                'n' => return Err(Failure::new(Exit::Cancelled, "nothing was saved")),
                _ => {}
            }
            loop {
                match self.try_to_save(&text).await? {
                    Next::Done(exit) => return Ok((exit, true)),
                    Next::Again => break,
                    Next::Save => {}
                }
            }
        }
    }

    async fn try_to_save(&mut self, text: &str) -> Result<Next, Failure> {
        let expect = self.found.expect();
        let tried = save(&self.hub, self.place(), text, expect, self.mode, &self.how).await;
        let saving = match tried {
            Ok(saving) => saving,
            Err(e) => return self.not_reached(text, e).await,
        };
        for problem in &saving.problems {
            self.app.out.warn(&told::problem(problem));
        }
        match saving.result.how {
            SaveEnd::Conflict => self.conflict(text).await,
            SaveEnd::Invalid => self.invalid(&saving).await,
            _ => {
                if let Some(failure) = told::refusal(self.place(), &saving) {
                    return Err(failure);
                }
                self.saved(&saving).await.map(Next::Done)
            }
        }
    }

    async fn invalid(&mut self, saving: &Saving) -> Result<Next, Failure> {
        let only_warnings = saving.problems.iter().all(|problem| problem.warning);
        let (question, letters) = if only_warnings {
            ("Save it all the same? [e]dit again, [s]ave, [n]o:", "esn")
        } else {
            ("It is not saved so. [e]dit again, [n]o:", "en")
        };
        match ask(question, letters).await? {
            'e' => Ok(Next::Again),
            's' => {
                self.how.force = true;
                Ok(Next::Save)
            }
            _ => Err(Failure::new(Exit::Cancelled, "nothing was saved")),
        }
    }

    /// The host or the hub is gone, or says no.
    async fn not_reached(&mut self, text: &str, error: CallError) -> Result<Next, Failure> {
        let failure = Failure::from(error);
        self.app.out.failure(&failure);
        self.app.out.note(&format!("your text is kept in {}", self.desk.path().display()));
        match ask("[r]etry, [e]dit again, [q]uit:", "req").await? {
            'q' => Err(Failure { message: "nothing was saved".to_owned(), ..failure }),
            'e' => Ok(Next::Again),
            _ => {
                if self.hub.client.link().ended().is_some() {
                    match Hub::connect(self.app).await {
                        Ok(hub) => self.hub = hub,
                        Err(e) => self.app.out.failure(&e),
                    }
                }
                // It may have been saved when the answer was lost.
                if let Ok(now) = open(&self.hub, self.target, &self.place().path.clone()).await
                    && now.text == text
                {
                    self.app.out.note("it had been saved already");
                    let armed = now.opened.armed.clone();
                    let exit = self.armed(armed).await?;
                    return Ok(Next::Done(exit));
                }
                Ok(Next::Save)
            }
        }
    }

    /// Somebody else has changed it: a choice of three.
    async fn conflict(&mut self, text: &str) -> Result<Next, Failure> {
        let path = self.place().path.clone();
        let theirs = open(&self.hub, self.target, &path).await?;
        let shown = self.place().shown();
        self.app.out.warn(&format!("{shown} was changed meanwhile; this is what others did:"));
        self.show(["as you saw it", "theirs"], &self.found.text, &theirs.text)?;
        let question = "[m]erge and edit again, keep [y]ours here as a .mine file and leave theirs, [t]ake theirs:";
        match ask(question, "myt").await? {
            't' => {
                self.app.out.note(&format!("{shown} stays as it is"));
                Ok(Next::Done(Exit::Ok))
            }
            'y' => {
                let name = format!("{}.mine", path.name());
                let mine = std::env::current_dir()?.join(&name);
                cmdr_link::files::write_private(&mine, text.as_bytes())
                    .map_err(|e| Failure::failed(format!("writing {}: {e}", mine.display())))?;
                self.app.out.note(&format!("your text is in {}", mine.display()));
                Ok(Next::Done(Exit::Failed))
            }
            _ => {
                let merged = merge(&self.found.text, text, &theirs.text)?;
                self.desk.write(&merged)?;
                self.found = theirs;
                Ok(Next::Again)
            }
        }
    }

    async fn saved(&mut self, saving: &Saving) -> Result<Exit, Failure> {
        let (shown, result) = (self.place().shown(), &saving.result);
        for lost in &saving.lost {
            self.app.out.warn(&format!("{shown}: could not be kept: {lost}"));
        }
        self.app.out.note(&format!(
            "{shown} is saved: version {}, +{} -{}",
            result.version, result.added, result.removed
        ));
        self.armed(saving.armed.clone()).await
    }

    async fn armed(&mut self, armed: Option<Armed>) -> Result<Exit, Failure> {
        let Some(armed) = armed else { return Ok(Exit::Ok) };
        let until = Instant::now() + Duration::from_millis(armed.left_ms);
        let shown = self.place().shown();
        let (path, id) = (self.place().path.clone(), armed.id);
        let undone = |why: &str| {
            Failure::new(Exit::Cancelled, format!("{shown} is as it was before: {why}"))
        };
        match keep(until).await? {
            None => Err(undone("nobody confirmed it")),
            Some(true) => {
                let confirm = Confirm { path, id };
                self.insist(until, &confirm).await?;
                self.app.out.note(&format!("{shown} stays as you saved it"));
                Ok(Exit::Ok)
            }
            Some(false) => {
                let revert = Revert { path, id };
                let ended = self.insist(until, &revert).await?;
                if ended.how == cmdr_protocol::edits::ArmedEnd::Reverted {
                    return Err(undone("you did not keep it"));
                }
                Err(Failure::failed(format!("{shown}: {}: {}", ended.how, ended.words)))
            }
        }
    }

    /// Asks over a new link, until the time is over: the edit itself may be why the old one does not work.
    async fn insist<C: Call>(&mut self, until: Instant, call: &C) -> Result<C::Reply, Failure> {
        loop {
            let asked = self.hub.client.call(Some(self.target.id), call, self.hub.patience()).await;
            let error = match asked {
                Ok(reply) => return Ok(reply),
                Err(e) => e,
            };
            let passing = matches!(
                error.kind,
                ErrorKind::Lost | ErrorKind::Unreachable | ErrorKind::TimedOut | ErrorKind::Busy
            );
            if !passing || Instant::now() >= until {
                return Err(error.into());
            }
            tokio::time::sleep(PAUSE).await;
            if self.hub.client.link().ended().is_some()
                && let Ok(hub) = Hub::connect(self.app).await
            {
                self.hub = hub;
            }
        }
    }
}

fn has_marks(text: &str) -> bool {
    text.lines().any(|line| line.starts_with("<<<<<<< ")) && text.contains("\n>>>>>>> ")
}

/// Both changes in one text, with marks where they touch the same lines.
fn merge(base: &str, mine: &str, theirs: &str) -> Result<String, Failure> {
    if [base, mine, theirs].iter().any(|text| text.len() > MERGED) {
        let what = format!("texts of more than {} KiB are not merged", MERGED >> 10);
        return Err(Failure::failed(what));
    }
    match diffy::merge(base, mine, theirs) {
        Ok(merged) | Err(merged) => Ok(merged),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_changes_are_in_a_merge_and_marks_stand_where_they_meet() {
        let merged = merge("a\nb\nc\nd\ne\n", "A\nb\nc\nd\ne\n", "a\nb\nc\nd\nE\n").unwrap();
        assert_eq!(merged, "A\nb\nc\nd\nE\n");
        assert!(!has_marks(&merged));
        let merged = merge("a\n", "mine\n", "theirs\n").unwrap();
        assert!(has_marks(&merged), "{merged}");
        for line in ["mine", "theirs", "|||||||", "a"] {
            assert!(merged.lines().any(|l| l.starts_with(line)), "{merged}");
        }
    }
}
