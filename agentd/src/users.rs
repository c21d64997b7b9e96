//! The host's users, out of its passwd file alone: nothing that needs a network is asked.
//!
//! `services/exec` looks up whom to run as, `services/processes` the names of owners.

use crate::text::{number, small};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

/// One user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) name: String,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) home: String,
    pub(crate) shell: String,
}

fn parse(line: &str) -> Option<User> {
    let mut fields = line.split(':');
    let name = fields.next().filter(|name| !name.is_empty())?;
    let id = |text: &str| number(text.as_bytes()).and_then(|n| u32::try_from(n).ok());
    let (uid, gid) = (id(fields.nth(1)?)?, id(fields.next()?)?);
    let home = fields.nth(1).unwrap_or("");
    let shell = fields.next().unwrap_or("");
    Some(User {
        name: name.to_owned(),
        uid,
        gid,
        home: if home.is_empty() { "/" } else { home }.to_owned(),
        shell: if shell.is_empty() { "/bin/sh" } else { shell }.to_owned(),
    })
}

fn passwd(etc: &Path) -> PathBuf {
    etc.join("passwd")
}

/// The user of this name.
pub(crate) fn by_name(etc: &Path, name: &str) -> Option<User> {
    small(&passwd(etc)).lines().filter_map(parse).find(|user| user.name == name)
}

/// The user of this number; a nameless one when the file has none.
pub(crate) fn by_uid(etc: &Path, uid: u32) -> User {
    let found = small(&passwd(etc)).lines().filter_map(parse).find(|user| user.uid == uid);
    found.unwrap_or_else(|| User {
        name: uid.to_string(),
        uid,
        gid: uid,
        home: "/".to_owned(),
        shell: "/bin/sh".to_owned(),
    })
}

/// Names by number, read anew when the file has changed.
#[derive(Debug)]
pub(crate) struct Names {
    path: PathBuf,
    changed: Option<SystemTime>,
    by_uid: HashMap<u32, Arc<str>>,
}

impl Names {
    pub(crate) fn new(etc: &Path) -> Self {
        Self { path: passwd(etc), changed: None, by_uid: HashMap::new() }
    }

    /// Looks whether the file has changed; true when names may differ now.
    pub(crate) fn refresh(&mut self) -> bool {
        let changed = std::fs::metadata(&self.path).and_then(|meta| meta.modified()).ok();
        if changed == self.changed {
            return false;
        }
        self.changed = changed;
        self.by_uid.clear();
        for user in small(&self.path).lines().filter_map(parse) {
            // The first of several names for one number is the one that counts.
            self.by_uid.entry(user.uid).or_insert_with(|| user.name.into());
        }
        true
    }

    /// The name of a number, or the number.
    pub(crate) fn name(&mut self, uid: u32) -> Arc<str> {
        if self.by_uid.len() > 4096 {
            self.by_uid.retain(|_, name| name.parse::<u32>().is_err());
        }
        self.by_uid.entry(uid).or_insert_with(|| uid.to_string().into()).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn users_are_found_by_name_and_number_and_unknown_ones_are_numbers() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(
            passwd(dir.path()),
            "root:x:0:0:root:/root:/bin/bash\nbad line\nww:x:33:33::/var/www:\n",
        )
        .unwrap();
        assert_eq!(by_name(dir.path(), "ww").unwrap().shell, "/bin/sh");
        assert_eq!(by_name(dir.path(), "nobody"), None);
        assert_eq!(by_uid(dir.path(), 0).home, "/root");
        let mut names = Names::new(dir.path());
        assert!(names.refresh() && !names.refresh());
        assert_eq!((&*names.name(33), &*names.name(4711)), ("ww", "4711"));
    }

    proptest! {
        #[test]
        fn any_line_is_read_or_ignored(line in ".{0,80}") {
            let _ = parse(&line);
        }
    }
}
