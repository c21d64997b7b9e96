//! Texts that were not saved, in private files of this client: they outlive it, its link and the host.

use crate::store::edits::{DRAFTS, Draft, Key};
use cmdr_link::files::{private_dir, read_private, write_private};
use cmdr_link::packed::hash;
use std::path::{Path, PathBuf};

/// The largest file that is read.
const LARGEST: u64 = 32 << 20;

fn place(folder: &Path, key: &Key) -> PathBuf {
    let name = hash(format!("{}{}", key.0, key.1.as_str()).as_bytes());
    folder.join(&name[..32])
}

/// On disk when this returns.
pub(super) fn write(folder: &Path, draft: &Draft) -> std::io::Result<()> {
    private_dir(folder)?;
    let key = (draft.host, draft.path.clone());
    let text = serde_json::to_vec(draft).map_err(std::io::Error::other)?;
    write_private(&place(folder, &key), &text)
}

/// It is of no use any more.
pub(super) fn forget(folder: &Path, key: &Key) {
    // What is not there is forgotten already.
    std::fs::remove_file(place(folder, key)).ok();
}

/// All that there are, newest first.
pub(super) fn all(folder: &Path) -> Vec<Draft> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().map_while(Result::ok);
    let read = entries.filter(|entry| entry.file_name().len() == 32).filter_map(|entry| {
        let bytes = read_private(&entry.path(), LARGEST).ok()?;
        serde_json::from_slice::<Draft>(&bytes).ok()
    });
    let mut drafts: Vec<_> = read.take(DRAFTS).collect();
    drafts.sort_by_key(|draft| std::cmp::Reverse(draft.at_ms));
    drafts
}

#[cfg(test)]
mod tests {
    use super::*;
    use cmdr_protocol::HostId;
    use cmdr_protocol::files::FilePath;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_draft_is_private_and_found_again_until_it_is_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("drafts");
        assert!(all(&folder).is_empty());
        let draft = |path: &str, at_ms| Draft {
            host: HostId([1; 16]),
            host_name: "web1".into(),
            path: FilePath::parse(path).unwrap(),
            base: None,
            text: "t".into(),
            at_ms,
        };
        for one in [draft("/a", 1), draft("/b", 2), draft("/a", 3)] {
            write(&folder, &one).unwrap();
        }
        assert_eq!(all(&folder), [draft("/a", 3), draft("/b", 2)]);
        let key = (HostId([1; 16]), FilePath::parse("/a").unwrap());
        let mode = std::fs::metadata(place(&folder, &key)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        forget(&folder, &key);
        assert_eq!(all(&folder), [draft("/b", 2)]);
    }
}
