//! Runbooks: the language they are written in, those that the hub keeps, and the way of a host through one.
//!
//! `language.rs` reads a text, with `problem.rs` for what is wrong with it; `plan.rs` takes it apart with all that
//! it includes; `walk.rs` says what a host does next. `shipped.rs` has those that come with the hub, and the
//! [`Library`] those that were saved; `signed.rs` says whether somebody stands for a text.

mod facts;
mod growth;
mod language;
mod params;
mod plan;
mod problem;
mod raw;
mod shell;
mod shipped;
pub(crate) mod signed;
mod signers;
mod template;
mod text;
mod walk;

pub(crate) use language::PLAYBOOK;
pub use language::{Act, Book, Playbook, Step, read, read_config};
pub use params::{Limits, Param, SECRETS};
pub use plan::{Find, Plan, values};
pub(crate) use signers::KEEPER as SIGNERS;
pub use walk::{Done, Next, OUTPUT, Outcome, Progress, Secrets, Task, Walk};

use crate::records::{ShelfRecord, prefix};
use crate::shelf::{Item, Shelf, Sort, shortened};
use crate::store::{Store, StoreError};
use cmdr_protocol::CallError;
use cmdr_protocol::runbooks::{
    Checked, Param as Told, Problem, Runbook, Save, Saved, Shown, Signature, Version, check_name,
};
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

/// Where saved ones stand.
pub(crate) const SORT: Sort = Sort {
    prefix: prefix::RUNBOOK,
    texts: prefix::RUNBOOK_TEXT,
    signatures: Some(prefix::RUNBOOK_SIGNATURE),
    sealed: None,
    what: "runbook",
    verb: "runbook",
};

/// All runbooks.
#[derive(Debug)]
pub struct Library {
    shelf: Shelf,
    /// By name and version.
    signatures: RwLock<BTreeMap<(String, u64), Held>>,
}

/// A signature, and the hash of the text that stood beside it when that was looked at last.
#[derive(Clone, Debug)]
struct Held {
    signature: Signature,
    text: String,
}

/// Several problems in one message.
pub(crate) fn listed(problems: &[Problem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

impl Library {
    /// Reads what is kept.
    pub fn load(store: Store) -> Result<Self, StoreError> {
        let shelf = Shelf::load(store, SORT)?;
        let mut signatures = BTreeMap::new();
        for (name, version, signature) in shelf.signatures()? {
            // The text itself is looked at, not what is written down about it.
            let text = shelf.text(&name, Some(version)).map(|(_, text)| text);
            let text = text.map(|text| blake3::hash(text.as_bytes()).to_hex().to_string());
            let held = Held { signature, text: text.unwrap_or_default() };
            signatures.insert((name, version), held);
        }
        Ok(Self { shelf, signatures: RwLock::new(signatures) })
    }

    fn signature(&self, name: &str, version: u64) -> Option<Held> {
        let signatures = self.signatures.read().unwrap_or_else(PoisonError::into_inner);
        signatures.get(&(name.to_owned(), version)).cloned()
    }

    fn signatures(&self) -> Vec<(String, Held)> {
        let signatures = self.signatures.read().unwrap_or_else(PoisonError::into_inner);
        signatures.iter().map(|((name, _), held)| (name.clone(), held.clone())).collect()
    }

    async fn keep_signature(
        &self,
        name: &str,
        signature: Signature,
        text: String,
    ) -> Result<(), CallError> {
        self.shelf.sign(name, &signature).await?;
        let key = (name.to_owned(), signature.version);
        let mut signatures = self.signatures.write().unwrap_or_else(PoisonError::into_inner);
        signatures.insert(key, Held { signature, text });
        Ok(())
    }

    /// Lets go of signatures under what is not there any more.
    fn forget_signatures(&self, name: &str) {
        let record = self.shelf.get(name).unwrap_or_default();
        let there = |version| record.versions.iter().any(|about| about.version == version);
        let mut signatures = self.signatures.write().unwrap_or_else(PoisonError::into_inner);
        signatures.retain(|(whose, version), _| whose != name || there(*version));
    }

    /// The signatures under the texts that a run begins with, `root` in the version of `about`. What is included is
    /// taken in its newest version, so only that one's counts.
    pub fn signatures_of(
        &self,
        texts: &BTreeMap<String, String>,
        root: &str,
        about: &Version,
    ) -> BTreeMap<String, Signature> {
        let newest = |name: &str| {
            self.shelf.held().get(name)?.versions.last().map(|version| version.version)
        };
        let of = |name: &String| {
            let version = if name == root { about.version } else { newest(name)? };
            Some((name.clone(), self.signature(name, version)?.signature))
        };
        texts.keys().filter_map(of).collect()
    }

    /// All of them, by name.
    pub fn all(&self) -> Vec<Runbook> {
        let mut all: BTreeMap<_, _> =
            shipped::all().map(|(book, _)| (book.name.clone(), shipped_row(book))).collect();
        all.extend(self.shelf.held().values().map(|record| (record.name.clone(), row(record))));
        all.into_values().collect()
    }

    /// The text of a version: the newest when none is named, 0 for that which comes with the hub.
    pub fn text(&self, name: &str, version: Option<u64>) -> Result<(Version, String), CallError> {
        let saved = self.shelf.get(name).is_some();
        match (version, shipped::find(name)) {
            (None, Some((_, text))) if !saved => Ok((Version::default(), (*text).to_owned())),
            (Some(0), Some((_, text))) => Ok((Version::default(), (*text).to_owned())),
            _ => self.shelf.text(name, version),
        }
    }

    /// A runbook that can be run, with all that it includes.
    pub fn plan(&self, name: &str, version: Option<u64>) -> Result<(Plan, Version), CallError> {
        let (about, text) = self.text(name, version)?;
        let plan = self.plan_of(&text).map_err(|problems| {
            CallError::failed(format!("the runbook '{name}' cannot be run:\n{}", listed(&problems)))
        })?;
        Ok((plan, about))
    }

    fn plan_of(&self, text: &str) -> Result<Plan, Vec<Problem>> {
        self.with(read(text)?)
    }

    /// A plan of a runbook at hand, with what it includes from here.
    pub(crate) fn with(&self, book: Book) -> Result<Plan, Vec<Problem>> {
        Plan::make(Arc::new(book), &|other| self.find(other))
    }

    fn find(&self, name: &str) -> Option<Arc<Book>> {
        let (_, text) = self.text(name, None).ok()?;
        read(&text).ok().map(Arc::new)
    }

    /// Whether a text is a runbook, and what is in it.
    pub fn check(&self, text: &str) -> Checked {
        let book = match read(text) {
            Ok(book) => Arc::new(book),
            Err(problems) => return Checked { problems, ..Checked::default() },
        };
        let (name, params) = (book.name.clone(), told(&book));
        match Plan::make(book, &|other| self.find(other)) {
            Ok(plan) => Checked { problems: Vec::new(), name, params, steps: plan.told() },
            Err(problems) => Checked { problems, name, ..Checked::default() },
        }
    }

    /// One with its text.
    pub fn show(&self, name: &str, version: Option<u64>) -> Result<Shown, CallError> {
        let (about, text) = self.text(name, version)?;
        let checked = self.check(&text);
        let mut runbook = match (about.version, shipped::find(name), self.shelf.get(name)) {
            (0, Some((book, _)), _) => shipped_row(book),
            (_, _, Some(record)) => row(&record),
            _ => return Err(self.shelf.missing(name)),
        };
        (runbook.version, runbook.saved_ms) = (about.version, about.saved_ms);
        runbook.saved_by.clone_from(&about.saved_by);
        runbook.steps = checked.steps.len() as u32;
        let signature = self.signature(name, about.version).map(|held| held.signature);
        Ok(Shown {
            runbook,
            signature,
            note: about.note,
            text,
            params: checked.params,
            steps: checked.steps,
            problems: checked.problems,
        })
    }

    /// The versions of one, newest first.
    pub fn versions(&self, name: &str) -> Result<Vec<Version>, CallError> {
        let mut versions = self.shelf.get(name).map(|record| record.versions).unwrap_or_default();
        versions.reverse();
        if let Some((_, text)) = shipped::find(name) {
            let hash = blake3::hash(text.as_bytes()).to_hex().to_string();
            let (size, note) = (text.len() as u64, "comes with the hub".to_owned());
            versions.push(Version { size, hash, note, ..Version::default() });
        }
        if versions.is_empty() { Err(self.shelf.missing(name)) } else { Ok(versions) }
    }

    /// Keeps a text as the newest version.
    pub async fn save(&self, save: &Save, by: &str) -> Result<Saved, CallError> {
        let Save { name, text, note, was } = save;
        check_name(name).map_err(CallError::malformed)?;
        let plan = self.plan_of(text).map_err(|p| CallError::malformed(listed(&p)))?;
        let book = plan.book();
        if book.name != *name {
            return Err(CallError::malformed(format!(
                "the text says 'name: {}', and it was to be saved as '{name}'",
                book.name
            )));
        }
        let (description, parts) = (book.description.as_str(), plan.len() as u32);
        let item =
            Item { name, text, note, description, parts, was: *was, sealed: None, anew: false };
        let saved = self.shelf.save(&item, by).await?;
        self.forget_signatures(name);
        Ok(saved)
    }

    /// Removes one with all its versions.
    pub async fn delete(&self, name: &str) -> Result<(), CallError> {
        if self.shelf.delete(name).await? {
            self.forget_signatures(name);
            return Ok(());
        }
        Err(match shipped::find(name) {
            Some(_) => CallError::malformed(format!(
                "'{name}' comes with the hub and stays; one that is saved under this name stands in its place"
            )),
            None => self.shelf.missing(name),
        })
    }
}

fn row(record: &ShelfRecord) -> Runbook {
    let newest = record.versions.last().cloned().unwrap_or_default();
    Runbook {
        name: record.name.clone(),
        description: record.description.clone(),
        version: newest.version,
        shipped: shipped::find(&record.name).is_some(),
        steps: record.parts,
        saved_ms: newest.saved_ms,
        saved_by: newest.saved_by,
        signed: None,
    }
}

fn shipped_row(book: &Book) -> Runbook {
    Runbook {
        name: book.name.clone(),
        description: shortened(&book.description),
        shipped: true,
        steps: book.steps.len() as u32,
        ..Runbook::default()
    }
}

/// Parameters, for people.
fn told(book: &Book) -> Vec<Told> {
    let told = |param: &Param| Told {
        name: param.name.clone(),
        description: param.description.clone(),
        kind: param.limits.kind(),
        limits: param.limits.told(),
        default: param.default.as_ref().map(params::written),
        of: match &param.limits {
            Limits::Choice(of) | Limits::List { of, .. } => of.clone(),
            _ => Vec::new(),
        },
    };
    book.params.iter().map(told).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use cmdr_protocol::ErrorKind;

    fn library() -> (tempfile::TempDir, Library) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        (dir, Library::load(store).unwrap())
    }

    fn save(name: &str, line: &str) -> Save {
        let text =
            format!("name: {name}\ndescription: says {line}\nsteps:\n- name: a\n  line: {line}\n");
        Save { name: name.into(), text, ..Save::default() }
    }

    #[tokio::test]
    async fn each_text_is_a_version_of_its_own_and_is_there_after_a_start() {
        let dir = tempfile::tempdir().unwrap();
        {
            let library = Library::load(Store::open(dir.path()).unwrap()).unwrap();
            assert_eq!(library.save(&save("x", "one"), "ann").await.unwrap().version, 1);
            assert_eq!(library.save(&save("x", "two"), "bob").await.unwrap().version, 2);
            let again = library.save(&save("x", "two"), "bob").await.unwrap();
            assert!(again.version == 2 && again.unchanged);
        }
        // The first one's writer lets go of the folder when it is done.
        let store = loop {
            match Store::open(dir.path()) {
                Ok(store) => break store,
                Err(_) => tokio::time::sleep(std::time::Duration::from_millis(10)).await,
            }
        };
        let library = Library::load(store).unwrap();
        let shown = library.show("x", None).unwrap();
        assert_eq!((shown.runbook.version, shown.runbook.saved_by.as_str()), (2, "bob"));
        assert!(library.show("x", Some(1)).unwrap().text.contains("says one"));
        assert!(library.show("x", Some(3)).unwrap_err().message.contains("no version 3"));
        let versions = library.versions("x").unwrap();
        assert_eq!(versions.iter().map(|v| v.version).collect::<Vec<_>>(), [2, 1]);
        library.delete("x").await.unwrap();
        assert_eq!(library.show("x", None).unwrap_err().kind, ErrorKind::NotFound);
    }

    #[tokio::test]
    async fn a_text_that_makes_no_sense_or_is_older_than_what_is_there_is_refused() {
        let (_dir, library) = library();
        let wrong =
            Save { text: "name: x\nstepz: []\n".into(), name: "x".into(), ..Save::default() };
        let error = library.save(&wrong, "ann").await.unwrap_err();
        assert!(
            error.message.starts_with("2:1: unknown key 'stepz'; did you mean 'steps'?"),
            "{error}"
        );
        let other = Save { name: "y".into(), ..save("x", "one") };
        assert!(library.save(&other, "ann").await.unwrap_err().message.contains("'name: x'"));
        library.save(&save("x", "one"), "ann").await.unwrap();
        let late = Save { was: Some(0), ..save("x", "two") };
        assert_eq!(library.save(&late, "bob").await.unwrap_err().kind, ErrorKind::Conflict);
    }

    #[tokio::test]
    async fn one_that_comes_with_the_hub_gives_way_to_one_of_its_name_and_comes_back() {
        let (_dir, library) = library();
        let shipped = library.show("nginx", None).unwrap();
        assert!(
            shipped.runbook.shipped && shipped.runbook.version == 0 && shipped.problems.is_empty()
        );
        library.save(&save("nginx", "mine"), "ann").await.unwrap();
        assert!(library.show("nginx", None).unwrap().text.contains("says mine"));
        assert_eq!(library.show("nginx", Some(0)).unwrap().text, shipped.text);
        library.delete("nginx").await.unwrap();
        assert_eq!(library.show("nginx", None).unwrap().text, shipped.text);
        assert!(library.delete("nginx").await.unwrap_err().message.contains("comes with the hub"));
    }
}
