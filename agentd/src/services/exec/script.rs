//! Scripts as private files, and the interpreters their first lines name.

use crate::users::User;
use cmdr_link::files;
use cmdr_protocol::exec::Script;
use cmdr_protocol::{CallError, ErrorKind};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// The folder that scripts of the agent's own user are written to.
#[derive(Debug)]
pub struct Scripts {
    dir: PathBuf,
}

/// A script in its file; both file and folder are removed when this is dropped.
#[derive(Debug)]
pub(super) struct Written {
    folder: PathBuf,
    file: PathBuf,
}

impl Scripts {
    /// Scripts go beneath `dir`.
    pub fn new(dir: PathBuf) -> Self {
        Self { dir }
    }

    /// Removes what an agent that was killed has left. Only while nothing runs.
    pub fn clear(&self) {
        match std::fs::remove_dir_all(&self.dir) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                tracing::warn!("removing old scripts in {}: {e}", self.dir.display());
            }
            _ => {}
        }
    }

    /// Writes a script where nobody but its runner can read or change it. One for another user
    /// cannot lie in the agent's folder, which they may not enter.
    pub(super) fn write(
        &self,
        script: &Script,
        owner: Option<&User>,
    ) -> Result<Written, CallError> {
        let fault = |e: std::io::Error| {
            let what = format!("writing the script: {}", files::reason(&e));
            match e.kind() {
                std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
                    CallError::new(ErrorKind::Busy, what)
                }
                _ => CallError::failed(what),
            }
        };
        let number = getrandom::u64()
            .map_err(|e| CallError::failed(format!("the system has no random numbers: {e}")))?;
        let parent = match owner {
            Some(_) => std::env::temp_dir(),
            None => self.dir.clone(),
        };
        if owner.is_none() {
            files::private_dir(&parent).map_err(fault)?;
        }
        let folder = parent.join(format!("cmdr-{number:016x}"));
        let mut make = std::fs::DirBuilder::new();
        std::os::unix::fs::DirBuilderExt::mode(&mut make, 0o700).create(&folder).map_err(fault)?;
        let file = folder.join(file_name(&script.name));
        let written = Written { folder, file };
        let mut open = std::fs::OpenOptions::new();
        let mut out =
            open.write(true).create_new(true).mode(0o700).open(&written.file).map_err(fault)?;
        out.write_all(&script.content).map_err(fault)?;
        if let Some(user) = owner {
            let (uid, gid) = (Some(user.uid), Some(user.gid));
            std::os::unix::fs::fchown(&out, uid, gid).map_err(fault)?;
            std::os::unix::fs::chown(&written.folder, uid, gid).map_err(fault)?;
        }
        Ok(written)
    }
}

impl Written {
    pub(super) fn path(&self) -> &Path {
        &self.file
    }
}

impl Drop for Written {
    fn drop(&mut self) {
        if let Err(e) = std::fs::remove_dir_all(&self.folder) {
            tracing::warn!("removing the script in {}: {e}", self.folder.display());
        }
    }
}

/// A name for the file that an interpreter may print; only harmless characters are kept.
fn file_name(name: &str) -> String {
    let last = name.rsplit('/').next().unwrap_or(name);
    let kept: String = last
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'))
        .take(64)
        .collect();
    let kept = kept.trim_start_matches(['.', '-']);
    if kept.is_empty() { "script".to_owned() } else { kept.to_owned() }
}

/// What the kernel would make of the first line: a program, and one argument for it at most. Done here, because where temporary files lie
/// nothing may be executed on many hosts.
pub(in crate::services) fn interpreter(content: &[u8]) -> Result<(String, Vec<String>), CallError> {
    let Some(line) = content.strip_prefix(b"#!") else {
        return Ok(("/bin/sh".to_owned(), Vec::new()));
    };
    let line = line.split(|b| *b == b'\n').next().unwrap_or_default();
    let line =
        std::str::from_utf8(line).ok().filter(|line| line.len() <= 255 && !line.contains('\0'));
    let line = line
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .ok_or_else(|| CallError::malformed("the script's '#!' line names no interpreter"))?;
    let (program, argument) = line.split_once([' ', '\t']).unwrap_or((line, ""));
    let argument = argument.trim();
    if !program.starts_with('/') {
        return Err(CallError::malformed(
            "the script's '#!' line must name its interpreter by a path that begins with '/'",
        ));
    }
    Ok((
        program.to_owned(),
        (!argument.is_empty()).then(|| argument.to_owned()).into_iter().collect(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_first_line_picks_the_interpreter_with_one_argument() {
        let of = |text: &str| interpreter(text.as_bytes()).ok();
        assert_eq!(of("echo hi"), Some(("/bin/sh".into(), vec![])));
        assert_eq!(
            of("#! /usr/bin/env  python3 -u \nx"),
            Some(("/usr/bin/env".into(), vec!["python3 -u".into()]))
        );
        assert_eq!(of("#!/bin/bash\r\nx"), Some(("/bin/bash".into(), vec![])));
        assert_eq!(of("#!\n"), None);
        assert_eq!(of("#!sh\n"), None);
    }

    #[test]
    fn a_written_script_is_private_and_gone_when_dropped() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let scripts = Scripts::new(dir.path().join("scripts"));
        let script = Script { name: "../../etc/x y.sh".into(), content: b"echo\n".to_vec() };
        let written = scripts.write(&script, None).unwrap();
        let path = written.path().to_owned();
        assert_eq!(path.file_name().unwrap(), "xy.sh");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
        drop(written);
        assert!(!path.exists() && !path.parent().unwrap().exists());
    }

    proptest! {
        #[test]
        fn any_name_becomes_a_plain_file_name(name in ".{0,100}") {
            let name = file_name(&name);
            prop_assert!(!name.is_empty() && !name.contains('/') && !name.starts_with(['.', '-']));
        }

        #[test]
        fn any_script_has_an_interpreter_or_is_refused(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            drop(interpreter(&[b"#!".as_slice(), &bytes].concat()));
        }
    }
}
