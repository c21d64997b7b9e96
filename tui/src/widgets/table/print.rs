//! A table as text.

use super::{Cell, Column, State, WIDEST};
use crate::i18n::Texts;
use crate::printed::Printed;
use ratatui::text::Line;
use std::hash::Hash;

impl<K: Copy + Eq + Hash> State<K> {
    /// All rows as text, in the columns that are chosen, whether there is room for them or not.
    pub(super) fn written<'a>(
        &self,
        columns: &[Column],
        texts: &Texts,
        cell: impl Fn(K, &Column, u16) -> Cell<'a>,
    ) -> Printed {
        let chosen = self.shown(columns);
        let head = chosen.iter().map(|(_, c)| (texts.get(c.title).to_owned(), c.right)).collect();
        let mut printed = Printed { head, rows: Vec::with_capacity(self.order.len()) };
        for id in &self.order {
            printed.rows.push(Vec::with_capacity(chosen.len()));
            let mut rest = false;
            for (_, column) in &chosen {
                let width = if column.grows { WIDEST } else { column.width };
                let line = match cell(*id, column, width) {
                    _ if rest => Line::default(),
                    Cell::Line(line) => line,
                    Cell::Rest(line) => {
                        rest = true;
                        line
                    }
                };
                let text: String = line.spans.iter().map(|span| span.content.as_ref()).collect();
                printed.cell(&text);
            }
        }
        printed
    }
}
