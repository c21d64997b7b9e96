//! What holds for every program that is run for somebody, in `services/exec` and `services/sessions`: as
//! whom, where, with what, and which file it is.

use crate::Agent;
use crate::users::{self, User};
use cmdr_protocol::{CallError, display::clean_to_width};
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// Where programs are looked for when the caller sets no PATH.
pub(crate) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// More variables, or longer ones all together, are refused with words instead of by the kernel.
const VARIABLES: (usize, usize) = (512, 128 * 1024);
/// Arguments in number and in all.
const ARGUMENTS: (usize, usize) = (16 * 1024, 512 * 1024);

/// What a program finds in its environment when its caller adds nothing.
pub(crate) fn environment(user: &User) -> BTreeMap<String, String> {
    BTreeMap::from([
        ("PATH".to_owned(), PATH.to_owned()),
        ("HOME".to_owned(), user.home.clone()),
        ("USER".to_owned(), user.name.clone()),
        ("LOGNAME".to_owned(), user.name.clone()),
        ("SHELL".to_owned(), user.shell.clone()),
        ("LANG".to_owned(), "C.UTF-8".to_owned()),
    ])
}

/// Checks that the kernel will take all texts of an order; `others` are those beside arguments and
/// variables.
pub(crate) fn check_texts<'a>(
    argv: &'a [String],
    env: &'a BTreeMap<String, String>,
    others: impl Iterator<Item = &'a String>,
) -> Result<(), CallError> {
    let wrong = |what: &str| Err(CallError::malformed(what.to_owned()));
    let mut all = argv.iter().chain(others).chain(env.keys()).chain(env.values());
    if all.any(|text| text.contains('\0')) {
        return wrong("a NUL byte cannot be part of an argument, a variable or a path");
    }
    if env.keys().any(|name| name.is_empty() || name.contains('=')) {
        return wrong("a variable's name may be neither empty nor contain '='");
    }
    let bytes: usize = env.iter().map(|(name, value)| name.len() + value.len() + 2).sum();
    if env.len() > VARIABLES.0 || bytes > VARIABLES.1 {
        return wrong("too many variables: at most 512 with 128 KiB together are passed on");
    }
    let bytes: usize = argv.iter().map(|text| text.len() + 1).sum();
    if argv.len() > ARGUMENTS.0 || bytes > ARGUMENTS.1 {
        return wrong("too many arguments: at most 16384 with 512 KiB together are passed on");
    }
    Ok(())
}

/// The user that is asked for, and whether that is somebody else than the agent.
pub(crate) fn whom(agent: &Agent, asked: Option<&str>) -> Result<(User, bool), CallError> {
    let etc = &agent.config().etc_root;
    let own = rustix::process::geteuid();
    let user = match asked {
        None => users::by_uid(etc, own.as_raw()),
        Some(name) => users::by_name(etc, name).ok_or_else(|| {
            CallError::failed(format!("there is no user '{}' here", clean_to_width(name, 64)))
        })?,
    };
    agent.policy().allows_user(&user.name)?;
    let switch = user.uid != own.as_raw();
    if switch && !own.is_root() {
        return Err(CallError::denied(format!(
            "the agent runs as an ordinary user and cannot run programs as '{}'",
            user.name
        )));
    }
    Ok((user, switch))
}

/// The folder to begin in.
pub(crate) fn where_to(asked: Option<String>, user: &User) -> Result<PathBuf, CallError> {
    let Some(asked) = asked else {
        let home = PathBuf::from(&user.home);
        return Ok(if home.is_dir() { home } else { "/".into() });
    };
    let shown = clean_to_width(&asked, 200);
    let path = PathBuf::from(asked);
    if !path.is_absolute() {
        return Err(CallError::malformed(format!("the folder '{shown}' must begin with '/'")));
    }
    match path.metadata() {
        Ok(meta) if meta.is_dir() => Ok(path),
        Ok(_) => Err(CallError::failed(format!("'{shown}' is not a folder"))),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            Err(CallError::failed(format!("there is no folder '{shown}'")))
        }
        Err(e) => Err(CallError::failed(format!("the folder '{shown}': {e}"))),
    }
}

/// Why a name means no file that can be run. Only a missing program is *not found*, which callers
/// show as 127 like shells; everything else that is in the way is 126.
#[derive(Debug)]
pub(crate) enum Unfit {
    Missing,
    Folder,
    Forbidden,
}

impl Unfit {
    pub(crate) fn refuse(&self, name: &str, whose: &str) -> CallError {
        let shown = clean_to_width(name, 200);
        match self {
            Self::Missing if whose.is_empty() => {
                CallError::not_found(format!("{shown}: command not found"))
            }
            Self::Missing => {
                CallError::not_found(format!("{whose}{shown} is missing on this host"))
            }
            Self::Folder => CallError::failed(format!("{whose}{shown}: is a folder")),
            Self::Forbidden => {
                CallError::failed(format!("{whose}{shown}: cannot be executed: permission denied"))
            }
        }
    }
}

/// The file that a name means, as a shell would find it, so that a wrong one gets proper words.
pub(crate) fn find(
    name: &str,
    env: &BTreeMap<String, String>,
    cwd: &Path,
) -> Result<PathBuf, Unfit> {
    let judge = |path: &Path| match path.metadata() {
        Ok(meta) if meta.is_dir() => Err(Unfit::Folder),
        Ok(meta) if meta.is_file() && meta.permissions().mode() & 0o111 != 0 => Ok(()),
        Ok(_) => Err(Unfit::Forbidden),
        Err(e) if e.kind() == std::io::ErrorKind::PermissionDenied => Err(Unfit::Forbidden),
        Err(_) => Err(Unfit::Missing),
    };
    if name.contains('/') {
        let path = cwd.join(name);
        return judge(&path).map(|()| path);
    }
    let folders = env.get("PATH").map_or(PATH, String::as_str);
    let mut worst = Unfit::Missing;
    for path in folders.split(':').map(|folder| cwd.join(folder).join(name)) {
        match judge(&path) {
            Ok(()) => return Ok(path),
            // As in shells: a file that is there but cannot be run is told when nothing better comes.
            Err(Unfit::Forbidden) => worst = Unfit::Forbidden,
            Err(_) => {}
        }
    }
    Err(worst)
}

/// Asks the policy. Where it restricts, the very file that was judged is run, whatever its name
/// leads to a moment later.
pub(crate) fn judged(agent: &Agent, program: PathBuf) -> Result<PathBuf, CallError> {
    let policy = agent.policy();
    if !policy.restricts_programs() {
        return Ok(program);
    }
    let real = program
        .canonicalize()
        .map_err(|e| CallError::failed(format!("{}: {e}", program.display())))?;
    policy.allows_program(&program, &real)?;
    Ok(real)
}
