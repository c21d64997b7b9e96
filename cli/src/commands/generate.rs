//! `completions` and `man`: made from the command line's own description, so never out of date.

use crate::App;
use crate::args::Cli;
use crate::exit::{Exit, Failure};
use crate::human;
use clap::{Args, CommandFactory as _};
use clap_complete::Shell;
use cmdr_link::files;
use std::path::{Path, PathBuf};

/// Print completions for a shell.
///
/// For bash: cmdr completions bash > ~/.local/share/bash-completion/completions/cmdr
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// bash, zsh, fish, elvish or powershell.
    #[arg(value_enum, hide_possible_values = true)]
    shell: Shell,
}

/// Print the man page, or write a page for each verb into a folder.
#[derive(Debug, Args)]
pub struct ManArgs {
    /// The folder; made when only its last part is missing.
    dir: Option<PathBuf>,
}

pub(super) fn completions(app: &App, args: &CompletionsArgs) -> Result<Exit, Failure> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "cmdr", &mut text);
    app.out.bytes(&text)?;
    Ok(Exit::Ok)
}

pub(super) fn man(app: &App, args: &ManArgs) -> Result<Exit, Failure> {
    let command = Cli::command();
    if let Some(dir) = &args.dir {
        let pages = write_pages(command, dir)?;
        app.out.note(&format!(
            "wrote {} to {}; read one: man -l {}",
            human::count(pages as u64, "man page"),
            dir.display(),
            dir.join("cmdr.1").display()
        ));
    } else {
        let mut text = Vec::new();
        let wrong = |e| Failure::new(Exit::Fault, format!("making the man page: {e}"));
        clap_mangen::Man::new(command).render(&mut text).map_err(wrong)?;
        app.out.bytes(&text)?;
    }
    Ok(Exit::Ok)
}

/// Writes all pages and counts them. A mistyped path must not grow folders somewhere.
fn write_pages(command: clap::Command, dir: &Path) -> Result<usize, Failure> {
    let shown = dir.display();
    let failed =
        |e: std::io::Error| Failure::failed(format!("writing to {shown}: {}", files::reason(&e)));
    match std::fs::metadata(dir) {
        Ok(meta) if meta.is_dir() => {}
        Ok(_) => return Err(Failure::usage(format!("{shown} is not a folder"))),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            std::fs::create_dir(dir).map_err(|e| match e.kind() {
                std::io::ErrorKind::NotFound => Failure::usage(format!(
                    "the folder that {shown} shall be made in does not exist"
                )),
                _ => failed(e),
            })?;
        }
        Err(e) => return Err(Failure::usage(format!("{shown}: {}", files::reason(&e)))),
    }
    let mut command = command.disable_help_subcommand(true);
    command.build();
    let pages = count(&command);
    clap_mangen::generate_to(command, dir).map_err(failed)?;
    Ok(pages)
}

/// A page for each command that is not hidden.
fn count(command: &clap::Command) -> usize {
    1 + command.get_subcommands().filter(|c| !c.is_hide_set()).map(count).sum::<usize>()
}
