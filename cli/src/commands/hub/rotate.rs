//! `hub rotate-key`: the steps by which the hub gets another key.

use crate::App;
use crate::args::Yes;
use crate::connect::Hub;
use crate::exit::{Exit, Failure};
use crate::output::{Cell, Column, Paint};
use clap::{Args, Subcommand};
use cmdr_protocol::display::clean;
use cmdr_protocol::hubkey::{Abort, Begin, Finish, Phase, Rotation, Status, Switch, Without};
use cmdr_protocol::human::count;

/// Replace the hub's own key.
///
/// First begin: the hub makes its next key and tells it to every host and device, which keep it beside
/// the present one; programs with keys of their own do when they run. When status lists nobody who matters: switch. From then on the hub has the
/// new key and still answers for the old one. Last finish: the old key is worth nothing any more. No link is cut,
/// and nobody has to join again. Afterwards copy hub.key to where you keep it.
#[derive(Debug, Args)]
pub(super) struct RotateArgs {
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Say how far it is, and list who does not know the new key yet.
    Status,
    /// Make the next key and tell it to everybody.
    Begin,
    /// Make the next key the hub's key; the old one still answers.
    Switch {
        /// Although there are hosts that do not know it yet.
        #[arg(long)]
        force: bool,
        #[command(flatten)]
        yes: Yes,
    },
    /// Retire the old key. Tokens and cards made before the switch end with it; keys for programs go on
    /// where the program has come with the new key, or has its text anew (cmdr keys renew).
    Finish {
        /// Although there are hosts or programs that do not know the new key: hosts have to join again, programs
        /// need another key.
        #[arg(long)]
        force: bool,
        #[command(flatten)]
        yes: Yes,
    },
    /// Forget the next key, before the switch.
    Abort,
}

pub(super) async fn run(app: &App, hub: &Hub, args: &RotateArgs) -> Result<Exit, Failure> {
    match args.verb.as_ref().unwrap_or(&Verb::Status) {
        Verb::Status => return status(app, &hub.ask(&Status {}).await?),
        Verb::Begin => {
            let rotation = hub.ask(&Begin {}).await?;
            if let Some(next) = rotation.next {
                app.out.note(&format!("the hub's next key is {next}; everybody is told"));
            }
            app.out
                .note("who knows it: cmdr hub rotate-key status; then: cmdr hub rotate-key switch");
        }
        Verb::Switch { force, yes } => {
            let rotation = hub.ask(&Status {}).await?;
            let question = format!("{}Give the hub its new key?", warning(&rotation));
            let switch = Switch { force: *force };
            hub.confirm(app, *yes, (&switch, None), (&question, "switch")).await?;
            let rotation = hub.ask(&switch).await?;
            app.out.note(&format!(
                "the hub's key is {}; the old one still answers until: cmdr hub rotate-key finish",
                rotation.key
            ));
            tell_left_out(app, &rotation);
        }
        Verb::Finish { force, yes } => {
            let rotation = hub.ask(&Status {}).await?;
            let question = format!("{}Retire the hub's old key for good?", warning(&rotation));
            let finish = Finish { force: *force };
            hub.confirm(app, *yes, (&finish, None), (&question, "finish")).await?;
            let done = hub.ask(&finish).await?;
            tell_left_out(app, &rotation);
            app.out.note(&format!(
                "the hub's only key is {}; keep a new copy of its hub.key with the backups",
                done.key
            ));
        }
        Verb::Abort => {
            let rotation = hub.ask(&Abort {}).await?;
            app.out.note(&format!("the hub keeps its key {}", rotation.key));
        }
    }
    Ok(Exit::Ok)
}

/// What has to be known before a yes.
fn warning(rotation: &Rotation) -> String {
    let all = [
        (rotation.hosts_without, rotation.hosts, "host"),
        (rotation.devices_without, rotation.devices, "device"),
        // Before the switch none can have come with it.
        (
            if rotation.phase == Phase::Switched { rotation.programs_without } else { 0 },
            rotation.programs,
            "program",
        ),
    ];
    if all.iter().all(|(without, ..)| *without == 0) {
        return String::new();
    }
    let words = all.map(|(without, all, what)| format!("{without} of {}", count(all.into(), what)));
    format!("{} do not know the new key. ", words.join(", "))
}

fn tell_left_out(app: &App, rotation: &Rotation) {
    for without in rotation.without.iter().filter(|without| without.host.is_some()) {
        app.out.warn(&format!(
            "{} does not know the new key; unless it comes before the old one is retired, it has to join again with a new token",
            without.name
        ));
    }
    if rotation.devices_without > 0 {
        app.out.warn(&format!(
            "{} of {} do not know the new key; those that do not come before the old one is retired have to log in again with a new token or card",
            rotation.devices_without,
            count(rotation.devices.into(), "device")
        ));
    }
    for program in rotation.without.iter().filter(|without| without.program) {
        app.out.warn(&format!(
            "the program's key {} of {} was not used with the new key yet; unless it is, or its text is made anew with cmdr keys renew, it ends with the old one",
            clean(&program.name),
            clean(&program.operator)
        ));
    }
}

fn status(app: &App, rotation: &Rotation) -> Result<Exit, Failure> {
    if !app.out.format.is_table() {
        app.out.one(rotation, &[], &rotation.key.to_string())?;
        return Ok(Exit::Ok);
    }
    let mut fields = vec![
        (
            "PHASE",
            match rotation.phase {
                Phase::None => "nothing is being replaced".to_owned(),
                Phase::Announced => "the next key is told to everybody".to_owned(),
                Phase::Switched => "the hub has its new key, the old one still answers".to_owned(),
                Phase::Unknown => "unknown to this program; upgrade it".to_owned(),
            },
        ),
        ("KEY", rotation.key.to_string()),
    ];
    fields.extend(rotation.next.map(|key| ("NEXT", key.to_string())));
    fields.extend(rotation.previous.map(|key| ("OLD", key.to_string())));
    if matches!(rotation.phase, Phase::Announced | Phase::Switched) {
        let of = |without: u32, all: u32| format!("{} of {all}", all.saturating_sub(without));
        fields.push(("HOSTS THAT KNOW IT", of(rotation.hosts_without, rotation.hosts)));
        fields.push(("DEVICES THAT KNOW IT", of(rotation.devices_without, rotation.devices)));
        let programs = of(rotation.programs_without, rotation.programs);
        fields.push(("PROGRAMS THAT CAME WITH IT", programs));
    }
    app.out.one(rotation, &fields, &rotation.key.to_string())?;
    if rotation.without.is_empty() {
        return Ok(Exit::Ok);
    }
    app.out.data("\n")?;
    let columns = [
        Column::text("KNOWS NOT YET", |w: &Without| clean(&w.name).into_owned().into()),
        Column::text("WHAT", |w| match (w.host, w.program) {
            (Some(_), _) => "host".into(),
            (None, true) => "program".into(),
            (None, false) => "device".into(),
        }),
        Column::text("OPERATOR", |w| clean(&w.operator).into_owned().into()),
        Column::text("LINK", |w| {
            if w.online { Cell::painted("up", Paint::Good) } else { "away".into() }
        }),
    ];
    app.out.list(&rotation.without, &columns, |w| w.name.clone())?;
    let more = rotation.hosts_without + rotation.devices_without + rotation.programs_without;
    let more = more as usize;
    if more > rotation.without.len() {
        app.out.note(&format!("and {} more", more - rotation.without.len()));
    }
    Ok(Exit::Ok)
}
