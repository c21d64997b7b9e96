//! The output of one host as a file on this machine: the bytes as its program wrote them, both outputs in their order.

use crate::action::{Action, Make};
use crate::app::expand;
use crate::event::Event;
use crate::link::Link;
use crate::overlays::confirm::Confirm;
use crate::overlays::prompt::Prompt;
use crate::panes::Context;
use crate::widgets::format;
use cmdr_link::files::Partial;
use cmdr_protocol::display::{clean, clean_to_width};
use cmdr_protocol::runs::{Output, Target};
use cmdr_protocol::{CallError, RunId};
use std::path::Path;

/// What is to be written, and where to.
struct Save {
    run: RunId,
    target: u32,
    path: String,
}

/// Asks where the output of a target goes.
pub(super) fn save(context: &Context<'_>, run: RunId, target: &Target) -> Action {
    let (texts, index) = (context.texts, target.index);
    let plain = |c: char| if c.is_alphanumeric() || "-_".contains(c) { c } else { '_' };
    let name: String = clean(&target.name).chars().map(plain).take(64).collect();
    let usual = format!("~/{name}.{run}.out");
    let title = texts.fill("run.save.title", &[&clean_to_width(&target.name, 40)]);
    Action::Open(Box::new(Prompt::new(title, usual, "print.hint", move |path| {
        let path = path.trim().to_owned();
        Ok(Action::Make(Box::new(Save { run, target: index, path })))
    })))
}

impl Make for Save {
    fn make(self: Box<Self>, context: &Context<'_>) -> Action {
        if expand(&self.path).symlink_metadata().is_err() {
            return self.write(context);
        }
        let title = context.texts.fill("print.there", &[&clean_to_width(&self.path, 50)]);
        Action::Open(Box::new(Confirm::one(title, Action::Make(Box::new(Over(*self))))))
    }
}

/// The same over a file that is there.
struct Over(Save);

impl Make for Over {
    fn make(self: Box<Self>, context: &Context<'_>) -> Action {
        self.0.write(context)
    }
}

impl Save {
    fn write(self, context: &Context<'_>) -> Action {
        let file = expand(&self.path);
        let shown = clean(&file.display().to_string()).into_owned();
        // What is known only later is put in then.
        let saved = context.texts.fill("run.save.saved", &["\0", &shown]);
        let lost = context.texts.fill("run.save.lost", &["\0"]);
        let failed = context.texts.fill("print.failed", &[&shown, "\0"]);
        Action::Errand(Box::new(move |link| {
            Box::pin(async move {
                let action = match fetch(&link, self.run, self.target, &file).await {
                    Ok((bytes, 0)) => Action::Say(saved.replace('\0', &format::bytes(bytes))),
                    Ok((bytes, gap)) => {
                        let (bytes, gap) = (format::bytes(bytes), format::bytes(gap));
                        let said = saved.replace('\0', &bytes) + &lost.replace('\0', &gap);
                        Action::Complain(said)
                    }
                    Err(why) => Action::Complain(failed.replace('\0', &clean_to_width(&why, 200))),
                };
                Event::Done(None, action)
            })
        }))
    }
}

/// Bytes that were written, and those that the hub has not kept.
async fn fetch(link: &Link, run: RunId, target: u32, path: &Path) -> Result<(u64, u64), String> {
    let said = |e: CallError| crate::action::reason(&e);
    let wrong = |e: std::io::Error| cmdr_link::files::reason(&e);
    let mut file = Partial::create(path).map_err(wrong)?;
    let output = Output { run, targets: vec![target], since: String::new(), follow: false };
    let mut items = link.feed(None, output).await.map_err(said)?;
    let mut lost = 0;
    while let Some(item) = items.next().await {
        let pieces = item.map_err(said)?.output;
        lost += pieces.iter().map(|piece| piece.lost).sum::<u64>();
        let writing = tokio::task::spawn_blocking(move || {
            for piece in pieces {
                file.write(&piece.stdout)?;
                file.write(&piece.stderr)?;
            }
            Ok(file)
        });
        file = writing.await.unwrap_or_else(|e| Err(std::io::Error::other(e))).map_err(wrong)?;
    }
    let finishing = tokio::task::spawn_blocking(move || file.finish());
    let bytes = finishing.await.unwrap_or_else(|e| Err(std::io::Error::other(e)));
    Ok((bytes.map_err(wrong)?, lost))
}
