//! Files with gateways: what they would change, and changing it.

use crate::App;
use crate::connect::Hub;
use crate::exit::{Exit, Failure};
use cmdr_protocol::display::clean;
use cmdr_protocol::gateways::{Check, List, Save, Show, State};
use cmdr_protocol::runbooks::Problem;
use similar::TextDiff;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::Instant;

/// A host starts its gateway's program within so long, or is away.
const SETTLES: Duration = Duration::from_secs(20);
const ASK: Duration = Duration::from_millis(150);

/// A gateway of a file, as the hub has judged it.
struct Wanted {
    name: String,
    text: String,
    host: String,
    /// Why its host was not asked.
    unasked: String,
    /// What is kept of it now, with its version.
    kept: Option<(String, u64)>,
}

/// The documents of a text with the line that each begins in.
fn documents(text: &str) -> Vec<(u32, String)> {
    let mut all = vec![(1, String::new())];
    for (at, line) in (1u32..).zip(text.lines()) {
        if line.trim_end() == "---" {
            all.push((at + 1, String::new()));
        } else if let Some((_, document)) = all.last_mut() {
            document.push_str(line);
            document.push('\n');
        }
    }
    let says = |text: &str| {
        text.lines().any(|line| !line.trim().is_empty() && !line.trim_start().starts_with('#'))
    };
    all.retain(|(_, text)| says(text));
    all
}

/// All gateways of files; nothing is kept when something is wrong with one of them.
async fn read(hub: &Hub, files: &[PathBuf]) -> Result<Vec<Wanted>, Failure> {
    let mut wanted: Vec<Wanted> = Vec::new();
    let mut wrong = Vec::new();
    for file in files {
        let text = super::super::runbook::read(file)?;
        for (begins, text) in documents(&text) {
            let checked = hub.ask(&Check { text: text.clone() }).await?;
            if !checked.problems.is_empty() {
                wrong.push(told(file, begins, checked.problems));
                continue;
            }
            if wanted.iter().any(|other| other.name == checked.name) {
                wrong.push(format!("{}: {} stands there twice", file.display(), checked.name));
                continue;
            }
            wanted.push(Wanted {
                name: checked.name,
                text,
                host: checked.host,
                unasked: checked.unasked,
                kept: None,
            });
        }
    }
    if !wrong.is_empty() {
        return Err(Failure::usage(wrong.join("\n")));
    }
    if wanted.is_empty() {
        return Err(Failure::usage("there is no gateway in what was given".to_owned()));
    }
    let rows = hub.ask(&List {}).await?.gateways;
    for one in &mut wanted {
        if rows.iter().any(|row| row.name == one.name) {
            let shown = hub.ask(&Show { name: one.name.clone(), version: None }).await?;
            one.kept = Some((shown.text, shown.gateway.version));
        }
    }
    Ok(wanted)
}

/// Problems of a document, by their places in the whole file.
fn told(file: &Path, begins: u32, mut problems: Vec<Problem>) -> String {
    for problem in &mut problems {
        if problem.line > 0 {
            problem.line += begins - 1;
        }
    }
    super::super::runbook::told(file, &problems)
}

/// What would change, as a difference of texts; false when nothing does.
fn difference(app: &App, one: &Wanted) -> Result<bool, Failure> {
    let Wanted { name, text, host, kept, .. } = one;
    match kept {
        None => app.out.data(&format!("+ {name}: new, on {}\n", clean(host)))?,
        Some((before, _)) if before == text => {
            app.out.data(&format!("= {name}: as it is\n"))?;
            return Ok(false);
        }
        Some((before, version)) => {
            app.out.data(&format!("~ {name}: version {version} changes\n"))?;
            let diff = TextDiff::from_lines(before, text);
            let shown = diff.unified_diff().context_radius(1).to_string();
            let lines = shown.lines().map(|line| format!("    {}\n", clean(line)));
            app.out.data(&lines.collect::<String>())?;
        }
    }
    if !one.unasked.is_empty() {
        app.out.warn(&format!("{name}: its host was not asked: {}", clean(&one.unasked)));
    }
    Ok(true)
}

pub(super) async fn plan(app: &App, files: &[PathBuf]) -> Result<Exit, Failure> {
    let hub = Hub::connect(app).await?;
    let mut changes = 0;
    for one in read(&hub, files).await? {
        changes += usize::from(difference(app, &one)?);
    }
    app.out.note(&format!("{changes} to change; cmdr gateway apply does it"));
    Ok(Exit::Ok)
}

pub(super) async fn apply(app: &App, files: &[PathBuf], note: &str) -> Result<Exit, Failure> {
    let hub = Hub::connect(app).await?;
    let wanted = read(&hub, files).await?;
    let mut names = Vec::new();
    for one in wanted {
        let Wanted { name, text, kept, .. } = one;
        let was = kept.map_or(0, |(_, version)| version);
        let save = Save { name: name.clone(), text, note: note.to_owned(), was: Some(was) };
        let saved = hub.ask(&save).await?;
        if saved.unchanged {
            app.out.note(&format!("{name} is version {} already", saved.version));
        } else {
            app.out.note(&format!("{name} is saved as version {}", saved.version));
        }
        names.push(name);
    }
    settled(app, &hub, &names).await
}

/// Waits until the hosts of gateways go by what was saved, or say why they do not.
pub(super) async fn settled(app: &App, hub: &Hub, names: &[String]) -> Result<Exit, Failure> {
    let until = Instant::now() + SETTLES;
    loop {
        let rows = hub.ask(&List {}).await?.gateways;
        let own: Vec<_> = rows.into_iter().filter(|row| names.contains(&row.name)).collect();
        let waits = |state: State| state == State::Waits;
        let told = own.iter().any(|row| waits(row.state) && !row.why.contains("away"));
        if told && Instant::now() < until {
            tokio::time::sleep(ASK).await;
            continue;
        }
        let mut exit = Exit::Ok;
        for row in &own {
            let (name, host, why) = (&row.name, clean(&row.host_name), clean(&row.why));
            match row.state {
                State::Running => app.out.note(&format!("{name} runs on {host}")),
                State::Off => app.out.note(&format!("{name} is off")),
                State::Waits => {
                    app.out.warn(&format!("{name} waits for {host}: {why}"));
                    exit = if exit == Exit::Failed { exit } else { Exit::Unreachable };
                }
                _ => {
                    let goes_on = if row.at_host > 0 {
                        format!("; version {} goes on there", row.at_host)
                    } else {
                        String::new()
                    };
                    app.out.warn(&format!("{name} is refused by {host}: {why}{goes_on}"));
                    exit = Exit::Failed;
                }
            }
        }
        return Ok(exit);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_several_gateways_each_with_its_place() {
        let text = "# ours\n---\nname: a\n---\n# nothing\n---\nname: b\nhost: x\n";
        let all = documents(text);
        assert_eq!(all, [(3, "name: a\n".to_owned()), (7, "name: b\nhost: x\n".to_owned())]);
        let problem = Problem { line: 2, column: 1, what: "no".into() };
        assert!(told(Path::new("f"), 7, vec![problem]).contains("8:1"));
    }
}
