//! From what the caller asked to what a holder begins: everything is checked here, before anything begins.

use crate::supervise::{Job, Rights};
use crate::{Agent, program, users};
use cmdr_protocol::sessions::{MAX_NAME, Open, Session, Size};
use cmdr_protocol::{CallError, ErrorKind, Feed as _};
use std::time::Duration;

/// The terminal that programs are told of when the caller names none.
const TERM: &str = "xterm-256color";
/// The longest name of a terminal.
const LONGEST_TERM: usize = 64;

/// What is begun.
pub(super) struct Order {
    pub(super) job: Job,
    pub(super) session: Session,
    pub(super) idle: Duration,
}

/// Checks a request against sense, the host and its owner's policy.
pub(super) fn check(agent: &Agent, open: Open, operator: String) -> Result<Order, CallError> {
    let wrong = |what: &str| Err(CallError::malformed(what.to_owned()));
    let opened = open.resource();
    let Open { argv, user, cwd, env: added, term, size, name, idle_s, .. } = open;
    if argv.first().is_some_and(String::is_empty) {
        return wrong("the command is an empty text");
    }
    check_terminal(size, &name, &term)?;
    program::check_texts(&argv, &added, user.iter().chain(&cwd))?;
    let (user, switch) = program::whom(agent, user.as_deref())?;
    agent.policy().allows_session(&user.name)?;
    let id = new_id()?;
    let mut env = program::environment(&user);
    if term.is_empty() {
        // Whoever names no terminal shows what comes with an emulator that knows all colours.
        env.insert("COLORTERM".to_owned(), "truecolor".to_owned());
    }
    env.insert("TERM".to_owned(), if term.is_empty() { TERM.to_owned() } else { term });
    env.insert("CMDR_SESSION".to_owned(), id.clone());
    env.extend(added);
    let cwd = program::where_to(cwd, &user)?;
    let (named, arg0, args) = if let Some((program, args)) = argv.split_first() {
        (program.clone(), program.clone(), args.to_vec())
    } else {
        // As after a login: a shell whose name begins with a dash reads the user's profile.
        let name = user.shell.rsplit('/').next().unwrap_or_default();
        (user.shell.clone(), format!("-{name}"), Vec::new())
    };
    let program = program::find(&named, &env, &cwd).map_err(|e| e.refuse(&named, ""))?;
    let program = program::judged(agent, program)?;
    let rights = switch.then(|| Rights {
        uid: user.uid,
        gid: user.gid,
        groups: users::groups(&agent.config().etc_root, &user),
    });
    let command = if argv.is_empty() { vec![named] } else { argv };
    let most = agent.policy().sessions.idle;
    let idle = idle_s.map_or(most, |asked| Duration::from_secs(asked.max(1)).min(most));
    let session = Session {
        id,
        name,
        operator,
        user: user.name,
        command,
        size,
        opened,
        ..Session::default()
    };
    let job = Job { program: program.into(), arg0, args, env, cwd: cwd.into(), rights };
    Ok(Order { job, session, idle })
}

/// Checks what every session has.
pub(in crate::services) fn check_terminal(
    size: Size,
    name: &str,
    term: &str,
) -> Result<(), CallError> {
    let wrong = |what: &str| Err(CallError::malformed(what.to_owned()));
    let Size { columns, rows } = size;
    if !(1..=1000).contains(&columns) || !(1..=1000).contains(&rows) {
        return wrong("a terminal has 1 to 1000 columns and 1 to 1000 rows");
    }
    if name.len() > MAX_NAME || name.chars().any(char::is_control) {
        return wrong("a session's name has at most 64 bytes and no control characters");
    }
    if term.len() > LONGEST_TERM || !term.chars().all(|c| c.is_ascii_graphic()) {
        return wrong("the terminal's name (TERM) is no such name");
    }
    Ok(())
}

/// Ten letters and digits, from fifty random bits.
pub(in crate::services) fn new_id() -> Result<String, CallError> {
    let mut bytes = [0; 7];
    getrandom::fill(&mut bytes).map_err(|e| {
        CallError::new(ErrorKind::Failed, format!("the system has no random numbers: {e}"))
    })?;
    let mut id = data_encoding::BASE32_NOPAD.encode(&bytes).to_ascii_lowercase();
    id.truncate(10);
    Ok(id)
}
