//! A view of a table: what it is filtered for, how it is sorted and which columns it shows. Kept by
//! name in the settings file, recalled by key or from the palette.

use crate::keymap;
use crate::panes;
use crate::widgets::table::{Column, Layout};
use cmdr_link::settings::nearest;
use serde::{Deserialize, Serialize};

/// A view.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct View {
    /// Empty for one that is not kept.
    pub name: String,
    /// Which table it is of: `hosts` or `processes`.
    pub table: String,
    /// The key that recalls it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// As typed; empty for none.
    pub filter: String,
    /// The name of the column; empty for the table's usual one.
    pub sort: String,
    /// Against the column's natural order.
    pub reverse: bool,
    /// Names in order, `cpu` or with a width `cpu:8`; none for all of them.
    pub columns: Vec<String>,
}

impl View {
    /// What is wrong with it, if anything is.
    pub fn check(&self) -> Result<(), String> {
        if self.name.trim().is_empty() {
            return Err("a view needs a name".to_owned());
        }
        let columns = columns_of(&self.table)?;
        if !self.sort.is_empty() && !columns.iter().any(|c| c.name() == self.sort) {
            let known = nearest(&self.sort, columns.iter().map(Column::name));
            return Err(format!("there is no column '{}' to sort by{known}", self.sort));
        }
        match &self.key {
            Some(key) if keymap::parse(key).is_none() => return Err(keymap::no_key(key)),
            _ => {}
        }
        Layout::read(&self.columns, &columns).map(drop)
    }

    /// Whether it is this one.
    pub fn is(&self, table: &str, name: &str) -> bool {
        self.table == table && self.name == name
    }
}

/// The columns of the table of this name.
pub fn columns_of(table: &str) -> Result<Vec<Column>, String> {
    let known = panes::TABLES.iter().find(|(name, _)| *name == table);
    known.map(|(_, columns)| columns()).ok_or_else(|| {
        let near = nearest(table, panes::TABLES.iter().map(|(name, _)| *name));
        format!("there is no table '{table}'{near}")
    })
}
