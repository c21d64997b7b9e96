//! A program that says how it is, in the manner of Nagios: 0 is well, 1 a warning, 2 critical, 3 not known.

use crate::look::{Ended, Fault, Look, shown};
use cmdr_protocol::probes::{Script, Verdict};

pub(crate) async fn ask(look: &mut Look<'_>, script: &Script) -> Ended {
    let program = shown(script.command.first().map_or("", String::as_str));
    look.doing(program.clone());
    let means = look.means;
    let ran = means.run(script, look.left()).await.map_err(Fault::Unsaid)?;
    look.seen.status = ran.code;
    let text = String::from_utf8_lossy(&ran.output);
    // What stands behind a bar is for programs that draw.
    let first = text.lines().next().unwrap_or_default();
    let said = shown(first.split('|').next().unwrap_or_default().trim());
    let said = if said.is_empty() { format!("{program} said nothing") } else { said };
    if ran.timed_out {
        return Err(Fault::Down(format!("{program} did not end in its time; it said: {said}")));
    }
    match ran.code {
        Some(0) => Ok((Verdict::Up, said)),
        Some(1) => Ok((Verdict::Warning, said)),
        Some(2) => Err(Fault::Down(said)),
        Some(3) => Err(Fault::Unsaid(said)),
        Some(code) => Err(Fault::Unsaid(format!(
            "{program} ended with {code}, which says nothing: 0 is up, 1 a warning, 2 down, 3 not known; it said: {said}"
        ))),
        None => Err(Fault::Unsaid(format!("{program} was ended by a signal; it said: {said}"))),
    }
}
