//! The host's users, out of its passwd file alone: nothing that needs a network is asked.
//!
//! `services/exec` looks up whom to run as, `services/processes` the names of owners.

use crate::text::{number, small};
use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

/// The most of the group file that is read: directories of large sites are written into it.
const GROUP_FILE: u64 = 16 << 20;

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

/// The groups of a user, the first one first, out of the host's group file alone.
pub(crate) fn groups(etc: &Path, user: &User) -> Vec<u32> {
    let mut found = vec![user.gid];
    let file = File::open(etc.join("group")).ok();
    let lines = file.into_iter().flat_map(|f| BufReader::new(f.take(GROUP_FILE)).lines());
    for line in lines.map_while(Result::ok) {
        let mut fields = line.split(':').skip(2);
        let (id, members) = (fields.next(), fields.next().unwrap_or(""));
        let id = id.and_then(|id| number(id.as_bytes())).and_then(|n| u32::try_from(n).ok());
        if let Some(id) = id.filter(|_| members.split(',').any(|name| name == user.name))
            && !found.contains(&id)
        {
            found.push(id);
        }
    }
    found
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

    #[test]
    fn a_user_has_the_groups_whose_lines_name_it() {
        let dir = tempfile::tempdir().unwrap();
        let lines = "root:x:0:\nadm:x:4:ann,bob\nww:x:33:\nbad\nx:x:y:ann\ndocker:x:999:bob,ann\n\
                     dup:x:4:ann\nannex:x:7:annette\n";
        std::fs::write(dir.path().join("group"), lines).unwrap();
        let user = |name: &str| User {
            name: name.into(),
            uid: 1000,
            gid: 1000,
            home: "/".into(),
            shell: "/bin/sh".into(),
        };
        assert_eq!(groups(dir.path(), &user("ann")), [1000, 4, 999]);
        assert_eq!(groups(dir.path(), &user("ww")), [1000]);
        assert_eq!(groups(&dir.path().join("none"), &user("ann")), [1000]);
    }

    proptest! {
        #[test]
        fn any_line_is_read_or_ignored(line in ".{0,80}") {
            let _ = parse(&line);
        }
    }
}
