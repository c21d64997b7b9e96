//! Config groups: files that some hosts shall have. A group is read as a runbook that pushes its files
//! ([`crate::runbooks::read_config`]) and is pushed as one; what a host has is compared by clients.

use crate::records::{ShelfRecord, prefix};
use crate::runbooks::{Library, Plan, Walk, listed, read_config, values};
use crate::shelf::{Item, Shelf, Sort};
use crate::store::{Store, StoreError};
use cmdr_link::codec;
use cmdr_protocol::CallError;
use cmdr_protocol::configs::{Checked, Config, HostFiles, Save, Shown};
use cmdr_protocol::hosts::Host;
use cmdr_protocol::runbooks::{Problem, Saved, Version, check_name};
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How many work out at once what hosts shall have.
const WORKERS: usize = 2;
/// Where they stand.
const SORT: Sort = Sort {
    prefix: prefix::CONFIG,
    texts: prefix::CONFIG_TEXT,
    signatures: None,
    sealed: None,
    what: "config group",
    verb: "config",
};

/// All config groups.
#[derive(Debug)]
pub struct Configs {
    shelf: Shelf,
    /// The hosts that the newest text of each is for, with the hash of that: texts are not read again for each list.
    hosts: RwLock<BTreeMap<String, (String, String)>>,
    /// Held by who works out what hosts shall have.
    working: Arc<Semaphore>,
}

fn plan_of(library: &Library, text: &str) -> Result<Plan, Vec<Problem>> {
    library.with(read_config(text)?)
}

/// How many of its steps are files.
fn files(plan: &Plan) -> u32 {
    plan.book().steps.iter().filter(|step| step.name.starts_with("file_")).count() as u32
}

impl Configs {
    /// Reads what is kept.
    pub fn load(store: Store) -> Result<Self, StoreError> {
        let shelf = Shelf::load(store, SORT)?;
        Ok(Self { shelf, hosts: RwLock::default(), working: Arc::new(Semaphore::new(WORKERS)) })
    }

    /// The hosts that the newest version of a group is for.
    fn hosts_of(&self, name: &str, newest: &Version) -> String {
        {
            let known = self.hosts.read().unwrap_or_else(PoisonError::into_inner);
            if let Some((_, hosts)) = known.get(name).filter(|(of, _)| *of == newest.hash) {
                return hosts.clone();
            }
        }
        let text = self.shelf.text(name, Some(newest.version)).map(|(_, text)| text);
        let hosts = text.ok().and_then(|text| read_config(&text).ok()?.hosts).unwrap_or_default();
        let mut known = self.hosts.write().unwrap_or_else(PoisonError::into_inner);
        known.insert(name.to_owned(), (newest.hash.clone(), hosts.clone()));
        hosts
    }

    /// Waits until it may be worked out what hosts shall have: that takes its time, on a thread that may.
    pub async fn turn(&self) -> Option<OwnedSemaphorePermit> {
        self.working.clone().acquire_owned().await.ok()
    }

    fn row(&self, record: &ShelfRecord) -> Config {
        let newest = record.versions.last().cloned().unwrap_or_default();
        Config {
            name: record.name.clone(),
            description: record.description.clone(),
            version: newest.version,
            files: record.parts,
            hosts: self.hosts_of(&record.name, &newest),
            saved_ms: newest.saved_ms,
            saved_by: newest.saved_by,
        }
    }

    /// All of them, by name.
    pub fn all(&self) -> Vec<Config> {
        let records: Vec<_> = self.shelf.held().values().cloned().collect();
        records.iter().map(|record| self.row(record)).collect()
    }

    /// A group as what is gone through to push it.
    pub fn plan(
        &self,
        library: &Library,
        name: &str,
        version: Option<u64>,
    ) -> Result<(Plan, Version), CallError> {
        let (about, text) = self.shelf.text(name, version)?;
        let plan = plan_of(library, &text).map_err(|problems| {
            let listed = listed(&problems);
            CallError::failed(format!("the config group '{name}' cannot be pushed:\n{listed}"))
        })?;
        Ok((plan, about))
    }

    /// The text of a version.
    pub fn text(&self, name: &str, version: Option<u64>) -> Result<(Version, String), CallError> {
        self.shelf.text(name, version)
    }

    /// One with its text.
    pub fn show(
        &self,
        library: &Library,
        name: &str,
        version: Option<u64>,
    ) -> Result<Shown, CallError> {
        let (about, text) = self.shelf.text(name, version)?;
        let record = self.shelf.get(name).ok_or_else(|| self.shelf.missing(name))?;
        let problems = plan_of(library, &text).err().unwrap_or_default();
        let book = read_config(&text).ok();
        let config = Config {
            version: about.version,
            saved_ms: about.saved_ms,
            saved_by: about.saved_by,
            hosts: book.and_then(|book| book.hosts).unwrap_or_default(),
            ..self.row(&record)
        };
        Ok(Shown { config, note: about.note, text, problems })
    }

    /// Whether a text is a group.
    pub fn check(library: &Library, text: &str) -> Checked {
        match plan_of(library, text) {
            Ok(plan) => Checked {
                problems: Vec::new(),
                name: plan.book().name.clone(),
                files: files(&plan),
            },
            Err(problems) => Checked { problems, ..Checked::default() },
        }
    }

    /// The versions of one, newest first.
    pub fn versions(&self, name: &str) -> Result<Vec<Version>, CallError> {
        let record = self.shelf.get(name).ok_or_else(|| self.shelf.missing(name))?;
        Ok(record.versions.into_iter().rev().collect())
    }

    /// Keeps a text as the newest version.
    pub async fn save(&self, library: &Library, save: &Save, by: &str) -> Result<Saved, CallError> {
        let Save { name, text, note, was } = save;
        check_name(name).map_err(CallError::malformed)?;
        let plan = plan_of(library, text).map_err(|p| CallError::malformed(listed(&p)))?;
        let book = plan.book();
        if book.name != *name {
            return Err(CallError::malformed(format!(
                "the text says 'name: {}', and it was to be saved as '{name}'",
                book.name
            )));
        }
        let (description, parts) = (book.description.as_str(), files(&plan));
        let item =
            Item { name, text, note, description, parts, was: *was, sealed: None, anew: false };
        self.shelf.save(&item, by).await
    }

    /// Removes one with all its versions.
    pub async fn delete(&self, name: &str) -> Result<(), CallError> {
        if !self.shelf.delete(name).await? {
            return Err(self.shelf.missing(name));
        }
        self.hosts.write().unwrap_or_else(PoisonError::into_inner).remove(name);
        Ok(())
    }
}

/// Bytes of what one host shall have, in an answer.
const MOST: usize = 512 * 1024;

/// What a host shall have by a group, as far as an answer holds it.
pub fn expected(plan: &Plan, host: &Host) -> HostFiles {
    let mut files = worked_out(plan, host);
    let mut size = 0;
    for file in &mut files.files {
        let bytes = codec::size(file);
        if size + bytes <= MOST {
            size += bytes;
            continue;
        }
        if file.content.take().is_some() {
            file.problem = format!(
                "this host's files of the group are more than {} KiB together, and this one is beyond that: it is not told; divide the group into smaller ones",
                MOST / 1024
            );
        }
        size += codec::size(file);
    }
    files
}

fn worked_out(plan: &Plan, host: &Host) -> HostFiles {
    let mut files = HostFiles { host: host.id, name: host.name.clone(), ..HostFiles::default() };
    files.files = match values(plan.book(), &BTreeMap::new()) {
        Ok(values) => {
            let secrets = |_: &str| Err("secrets are not told".to_owned());
            Walk { plan, values: &values, host, secrets: &secrets }.files()
        }
        Err(problem) => vec![cmdr_protocol::configs::FileWanted { problem, ..Default::default() }],
    };
    files
}

#[cfg(test)]
mod tests {
    use super::*;
    use cmdr_protocol::ErrorKind;

    const WEB: &str = "name: web\ndescription: the web servers\nhosts: role=web\nparams:\n- name: key\n  type: secret\n  default: runbook.key\n\
        files:\n- to: /etc/web.conf\n  mode: '0644'\n  content: |\n    name {{host.name}}\n    env {{label.env}}\n- to: /etc/web.key\n  mode: '0600'\n  content: '{{key}}'\n\
        then:\n- name: reload\n  command: [systemctl, reload, web]\n";

    fn made() -> (tempfile::TempDir, Configs, Library) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        (dir, Configs::load(store.clone()).unwrap(), Library::load(store).unwrap())
    }

    #[tokio::test]
    async fn a_group_is_saved_in_versions_and_read_back() {
        let (_dir, configs, library) = made();
        let save = Save { name: "web".into(), text: WEB.into(), ..Save::default() };
        assert_eq!(configs.save(&library, &save, "ann").await.unwrap().version, 1);
        let save = Save { text: WEB.replace("0644", "0640"), ..save };
        assert_eq!(configs.save(&library, &save, "bob").await.unwrap().version, 2);
        let row = &configs.all()[0];
        assert_eq!((row.version, row.files, row.hosts.as_str()), (2, 2, "role=web"));
        assert!(configs.show(&library, "web", Some(1)).unwrap().text.contains("0644"));
        configs.delete("web").await.unwrap();
        assert_eq!(configs.delete("web").await.unwrap_err().kind, ErrorKind::NotFound);
    }

    #[test]
    fn what_a_host_shall_have_is_its_own_and_no_secret_is_told() {
        let (_dir, _, library) = made();
        let plan = plan_of(&library, WEB).unwrap();
        let labels = [("env".to_owned(), "prod".to_owned())].into();
        let host = Host { name: "web1".into(), labels, ..Host::default() };
        let files = expected(&plan, &host).files;
        assert_eq!(files[0].content.as_deref(), Some(&b"name web1\nenv prod\n"[..]));
        assert!(files[1].secret && files[1].content.is_none() && files[1].problem.is_empty());
        let bare = Host { name: "web2".into(), ..Host::default() };
        assert!(expected(&plan, &bare).files[0].problem.contains("undefined"));
    }

    #[tokio::test]
    async fn a_text_is_read_once_a_version_for_all_lists() {
        let (_dir, configs, library) = made();
        let save = Save { name: "web".into(), text: WEB.into(), ..Save::default() };
        configs.save(&library, &save, "ann").await.unwrap();
        let hosts = || configs.all()[0].hosts.clone();
        assert_eq!(hosts(), "role=web");
        // What is there is not looked at again.
        configs.hosts.write().unwrap().get_mut("web").unwrap().1 = "kept".into();
        assert_eq!(hosts(), "kept");
        let save = Save { text: WEB.replace("role=web", "role=db"), ..save };
        configs.save(&library, &save, "ann").await.unwrap();
        assert_eq!(hosts(), "role=db");
        // One that is deleted and made anew has version 1 again.
        configs.delete("web").await.unwrap();
        let save = Save { text: WEB.replace("role=web", "role=new"), ..save };
        configs.save(&library, &save, "ann").await.unwrap();
        assert_eq!(hosts(), "role=new");
    }

    #[test]
    fn what_is_too_much_for_an_answer_is_said_file_by_file() {
        let (_dir, _, library) = made();
        let names: Vec<_> = (0..200).map(|n| format!("n{n:03}")).collect();
        let list = format!("[{}]", names.join(", "));
        let file = |n: u32| {
            format!(
                "- to: /etc/{n}\n  content: '{{% for a in names %}}{{% for b in names %}}12345678{{% endfor %}}{{% endfor %}}'\n"
            )
        };
        let files: String = (0..4).map(file).collect();
        let text = format!(
            "name: big\nhosts: '*'\nparams:\n- name: names\n  type: list\n  default: {list}\nfiles:\n{files}- to: /etc/small\n  content: small\n"
        );
        let plan = plan_of(&library, &text).unwrap_or_else(|wrong| panic!("{}", listed(&wrong)));
        let host = Host { name: "web1".into(), ..Host::default() };
        let files = expected(&plan, &host);
        assert!(codec::size(&files) < MOST + 8 * 1024, "{}", codec::size(&files));
        let told: Vec<_> = files.files.iter().map(|file| file.content.is_some()).collect();
        assert_eq!(told, [true, false, false, false, true], "{:?}", files.files[0].problem);
        assert!(files.files[1].problem.contains("divide the group"), "{}", files.files[1].problem);
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        let (_dir, _, library) = made();
        let wrong = |text: &str| {
            let problems = Configs::check(&library, text).problems;
            problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
        };
        assert!(wrong("name: x\nfiles: []\n").contains("the key 'hosts' is missing"));
        let said = wrong("name: x\nhosts: 'a,,b'\nfiles:\n- to: /a\n  contents: b\n");
        assert!(said.contains("did you mean 'content'"), "{said}");
        let said = wrong(
            "name: x\nhosts: 'a,,b'\nfiles:\n- {to: /a, content: b}\n- {to: /a, content: c}\n",
        );
        assert!(
            said.contains("2:8: selector:") && said.contains("5:8: this file stands here twice"),
            "{said}"
        );
    }
}
