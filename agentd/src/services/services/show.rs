//! The text of a unit: its file and what is added to that, as far as everybody on the host may read
//! them. What only root may read can hold secrets, and is named and not shown.

use super::rows::one;
use crate::Config;
use crate::systemd::{Manager, word, words};
use crate::text::lossy;
use cmdr_protocol::CallError;
use cmdr_protocol::services::{File, Shown};
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// Longer files are cut.
const TEXT: usize = 128 * 1024;
/// The most files of one unit.
const FILES: usize = 32;

pub(super) async fn show(
    config: &Config,
    manager: &Manager,
    unit: &str,
) -> Result<Shown, CallError> {
    let (unit, path) = one(config, manager, unit).await?;
    let properties = manager.properties(&path, "Unit").await?;
    let mut paths = vec![word(&properties, "FragmentPath"), word(&properties, "SourcePath")];
    paths.extend(words(&properties, "DropInPaths"));
    paths.retain(|path| path.starts_with('/'));
    let mut room = TEXT * 4;
    let files = paths.into_iter().take(FILES).map(|path| {
        let file = read(Path::new(&path), room.min(TEXT));
        room = room.saturating_sub(file.text.len());
        File { path, ..file }
    });
    Ok(Shown { unit, files: files.collect() })
}

fn read(path: &Path, room: usize) -> File {
    let noted = |note: &str| File { note: note.to_owned(), ..File::default() };
    let Ok(file) = std::fs::File::open(path) else { return noted("it cannot be read") };
    match file.metadata() {
        Ok(meta) if !meta.is_file() => return noted("it is no ordinary file"),
        Ok(meta) if meta.permissions().mode() & 0o004 == 0 => {
            return noted("not everybody on the host may read it, so it is not shown");
        }
        Ok(_) => {}
        Err(_) => return noted("it cannot be read"),
    }
    let mut bytes = Vec::new();
    if file.take(room as u64 + 1).read_to_end(&mut bytes).is_err() {
        return noted("it cannot be read");
    }
    let cut = bytes.len() > room;
    bytes.truncate(room);
    let note = if cut { "it is longer, and was cut" } else { "" };
    File { text: lossy(&bytes), note: note.to_owned(), ..File::default() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::Permissions;

    #[test]
    fn files_that_not_everybody_may_read_are_named_and_not_shown() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.service");
        std::fs::write(&path, "[Service]\nExecStart=/bin/true\n").unwrap();
        let mode = |mode| std::fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        mode(0o644);
        assert!(read(&path, TEXT).text.contains("ExecStart"));
        assert_eq!(
            (read(&path, 5).text.as_str(), read(&path, 5).note.is_empty()),
            ("[Serv", false)
        );
        mode(0o600);
        let file = read(&path, TEXT);
        assert!(file.text.is_empty() && file.note.contains("not shown"), "{file:?}");
        assert!(!read(dir.path(), TEXT).note.is_empty());
        assert!(!read(&dir.path().join("none"), TEXT).note.is_empty());
    }
}
