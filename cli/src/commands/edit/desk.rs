//! The private copy of a text on this machine, and the editor that it is opened in.

use crate::App;
use crate::exit::{Exit, Failure};
use cmdr_link::files::{private_dir, write_private};
use cmdr_protocol::files::FilePath;
use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

/// A folder with the copy in it, under the name that the file has, so that editors know what it is. It stays when
/// it is not [`Desk::clear`]ed.
#[derive(Debug)]
pub(super) struct Desk {
    dir: PathBuf,
    file: PathBuf,
}

fn wrong(doing: &str, path: &Path, error: &io::Error) -> Failure {
    let what = cmdr_link::files::reason(error);
    Failure::failed(format!("{doing} {}: {what}", path.display()))
}

impl Desk {
    pub(super) fn new(app: &App, host: &str, path: &FilePath) -> Result<Self, Failure> {
        let mut random = [0; 6];
        getrandom::fill(&mut random).map_err(|e| Failure::new(Exit::Fault, e.to_string()))?;
        let host: String =
            host.chars().filter(|c| c.is_alphanumeric() || matches!(c, '-' | '.' | '_')).collect();
        let name = format!("{host}-{}", data_encoding::HEXLOWER.encode(&random));
        let dir = app.home.join("edits").join(name);
        private_dir(&dir).map_err(|e| wrong("making", &dir, &e))?;
        let name = path.bytes().rsplit(|b| *b == b'/').next().unwrap_or_default().to_vec();
        let file = dir.join(OsString::from_vec(name));
        Ok(Self { dir, file })
    }

    /// Where the text is.
    pub(super) fn path(&self) -> &Path {
        &self.file
    }

    pub(super) fn write(&self, text: &str) -> Result<(), Failure> {
        write_private(&self.file, text.as_bytes()).map_err(|e| wrong("writing", &self.file, &e))
    }

    pub(super) fn read(&self) -> Result<String, Failure> {
        super::given(&self.file.clone().into())
    }

    /// Lets the operator edit it.
    pub(super) async fn edit(&self) -> Result<(), Failure> {
        let words = editor(|name| std::env::var(name).ok());
        let (program, arguments) = words.split_first().ok_or_else(no_editor)?;
        let mut command = tokio::process::Command::new(program);
        command.args(arguments).arg(&self.file).stdin(Stdio::inherit());
        let status = command.status().await.map_err(|e| {
            let what = cmdr_link::files::reason(&e);
            Failure::failed(format!("starting the editor '{program}': {what}"))
                .hint("EDITOR or VISUAL names the one to use")
        })?;
        if status.success() {
            return Ok(());
        }
        Err(Failure::failed(format!(
            "the editor '{program}' ended with {status}; nothing was saved"
        )))
    }

    /// The text is where it belongs.
    pub(super) fn clear(self) {
        // What stays behind is private and in nobody's way.
        std::fs::remove_dir_all(&self.dir).ok();
    }
}

fn no_editor() -> Failure {
    Failure::usage("no editor is named").hint("set EDITOR, or give the text with --from")
}

/// The editor with its arguments: those are words, and no shell comes near them.
fn editor(variable: impl Fn(&str) -> Option<String>) -> Vec<String> {
    let named = ["VISUAL", "EDITOR"].into_iter().filter_map(variable);
    let mut named =
        named.map(|text| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
    named.find(|words| !words.is_empty()).unwrap_or_else(|| vec!["vi".to_owned()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_editor_is_the_one_that_is_named_with_its_arguments() {
        let of = |visual: &str, other: &str| {
            editor(|name| Some(if name == "VISUAL" { visual } else { other }.to_owned()))
        };
        assert_eq!(of("code -w", "nano"), ["code", "-w"]);
        assert_eq!(of(" ", "nano"), ["nano"]);
        assert_eq!(editor(|_| None), ["vi"]);
    }
}
