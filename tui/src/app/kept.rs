//! Columns and views that the settings file keeps: given to new panes, recalled by key, changed.

use super::App;
use crate::action::{Action, Remember};
use crate::config::{self, Change, Config};
use crate::keymap;
use crate::overlays::columns::Columns;
use crate::overlays::views;
use crate::panes::{self, Choice, Entry, Pane, Place};
use crate::view::{View, columns_of};
use crossterm::event::KeyEvent;
use std::collections::BTreeMap;

/// What is kept.
#[derive(Clone, Debug, Default)]
pub struct Kept {
    /// For a table the columns that are shown.
    columns: BTreeMap<String, Vec<String>>,
    views: Vec<View>,
    /// How tables were left, where that is not as usual.
    pub(super) seen: BTreeMap<String, View>,
    /// Fewer columns, unless they were chosen.
    pub(super) thin: bool,
}

/// Of a thin line's tables the columns up to this rank are shown.
const THIN_RANK: u8 = 5;

impl From<Config> for Kept {
    fn from(config: Config) -> Self {
        Self { columns: config.columns, views: config.views, ..Self::default() }
    }
}

impl Kept {
    /// The pane of a place, with the columns that were chosen for it.
    pub(super) fn pane(&self, place: Place) -> Box<dyn Pane> {
        let mut pane = self.usual(place);
        if let Some((name, _)) = pane.list()
            && let Some(view) = self.seen.get(name)
        {
            panes::set_view(&mut *pane, view);
        }
        pane
    }

    /// The same, as it is when nobody has changed it since.
    fn usual(&self, place: Place) -> Box<dyn Pane> {
        let mut pane = place.pane();
        let Some(view) = panes::view(&*pane) else { return pane };
        let columns = self.columns.get(&view.table).cloned();
        if let Some(columns) = columns.or_else(|| self.thin_columns(&view.table)) {
            panes::set_view(&mut *pane, &View { columns, ..view });
        }
        pane
    }

    fn thin_columns(&self, table: &str) -> Option<Vec<String>> {
        let columns = columns_of(table).ok().filter(|_| self.thin)?;
        let few = columns.iter().filter(|column| column.rank <= THIN_RANK);
        Some(few.map(|column| column.name().to_owned()).collect())
    }

    /// Remembers how a pane's table looks, when that is not as usual.
    pub(super) fn note(&mut self, place: Place, pane: &dyn Pane) {
        let Some(view) = panes::view(pane) else { return };
        let view = View { filter: String::new(), ..view };
        if panes::view(&*self.usual(place)).as_ref() == Some(&view) {
            self.seen.remove(&view.table);
        } else {
            self.seen.insert(view.table.clone(), view);
        }
    }

    /// The view that a key recalls in this table.
    fn by_key(&self, table: &str, key: &KeyEvent) -> Option<&View> {
        let has = |view: &&View| view.key.as_ref().is_some_and(|text| keymap::is(text, key));
        self.views.iter().filter(|view| view.table == table).find(has)
    }

    fn change(&mut self, what: Remember) {
        match what {
            Remember::Columns(view) => {
                self.columns.remove(&view.table);
                if !view.columns.is_empty() {
                    self.columns.insert(view.table, view.columns);
                }
            }
            Remember::View(view) => {
                match self.views.iter_mut().find(|other| other.is(&view.table, &view.name)) {
                    Some(old) => *old = view,
                    None => self.views.push(view),
                }
            }
            Remember::Forget(view) => self.views.retain(|other| !other.is(&view.table, &view.name)),
        }
    }
}

impl App {
    /// Keeps something, also in the file when there is one.
    pub(super) fn remember(&mut self, what: Remember) {
        if let Remember::View(view) = &what
            && let Err(error) = self.face.keys.taken(view, &self.kept.views)
        {
            return self.say(&error, true);
        }
        let (change, said) = match &what {
            Remember::Columns(view) => {
                (Change::Columns(&view.table, &view.columns), ("note.columns_kept", ""))
            }
            Remember::View(view) => (Change::View(view), ("note.view_kept", view.name.as_str())),
            Remember::Forget(view) => {
                (Change::Forget(view), ("note.view_forgotten", view.name.as_str()))
            }
        };
        let saved = self.options.config.as_ref().map_or(Ok(()), |path| config::save(path, change));
        let said = self.face.texts.fill(said.0, &[said.1]);
        // What cannot be written still holds until the client ends.
        self.kept.change(what);
        match saved {
            Ok(()) => self.say(&said, false),
            Err(error) => self.say(&error, true),
        }
    }

    /// The view that a key recalls here.
    pub(super) fn recalled(&self, key: &KeyEvent) -> Option<Action> {
        let table = self.pane.list()?.0;
        self.kept.by_key(table, key).map(|view| Action::Look(view.clone()))
    }

    pub(super) fn choose_columns(&self) -> Action {
        let Some(view) = panes::view(&*self.pane) else { return Action::None };
        let columns = columns_of(&view.table).unwrap_or_default();
        Action::Open(Box::new(Columns::new(view, columns)))
    }

    pub(super) fn choose_view(&self) -> Action {
        let Some(view) = panes::view(&*self.pane) else { return Action::None };
        Action::Open(Box::new(views::choice(&self.context(), &view, &self.kept.views)))
    }

    /// The views of the table on show, for the palette and help.
    pub(super) fn views(&self) -> Vec<&View> {
        let table = self.pane.list().map(|(name, _)| name);
        self.kept.views.iter().filter(|view| Some(view.table.as_str()) == table).collect()
    }

    pub(super) fn view_entries(&self) -> impl Iterator<Item = Entry> {
        self.views().into_iter().map(|view| Entry {
            kind: "palette.view",
            text: view.name.clone(),
            note: views::summary(view),
            choice: Choice::Look(view.clone()),
        })
    }
}
