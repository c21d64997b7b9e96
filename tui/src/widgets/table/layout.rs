//! Which columns of a table are shown, in which order and how wide.

use super::Column;
use cmdr_link::settings::nearest;

/// The widest that a column can be made.
pub const WIDEST: u16 = 200;

/// A column that is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Shown {
    column: usize,
    /// Chosen, instead of the column's own.
    width: Option<u16>,
}

/// A choice of columns; the default is all of them as they are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layout(Vec<Shown>);

impl Layout {
    /// Reads names in order, each with a width where one was chosen: `name`, `cpu:8`.
    pub fn read(words: &[String], columns: &[Column]) -> Result<Self, String> {
        let mut shown: Vec<Shown> = Vec::new();
        for word in words {
            let (name, width) = match word.split_once(':') {
                Some((name, width)) => (name, Some(width)),
                None => (word.as_str(), None),
            };
            let column = columns.iter().position(|c| c.name() == name).ok_or_else(|| {
                let known = nearest(name, columns.iter().map(Column::name));
                format!("there is no column '{name}'{known}")
            })?;
            let width = width.map(|text| match text.parse() {
                Ok(width @ 1..=WIDEST) => Ok(width),
                _ => Err(format!("the width of '{word}' is not a number from 1 to {WIDEST}")),
            });
            if shown.iter().any(|s| s.column == column) {
                return Err(format!("the column '{name}' is named twice"));
            }
            shown.push(Shown { column, width: width.transpose()? });
        }
        Ok(Self(shown))
    }

    /// As [`Layout::read`] reads it.
    pub fn words(&self, columns: &[Column]) -> Vec<String> {
        let word = |shown: &Shown| {
            let name = columns.get(shown.column)?.name();
            Some(shown.width.map_or_else(|| name.to_owned(), |width| format!("{name}:{width}")))
        };
        self.0.iter().filter_map(word).collect()
    }

    /// The columns that are shown, each with its place among all.
    pub fn chosen(&self, columns: &[Column]) -> Vec<(usize, Column)> {
        if self.0.is_empty() {
            return columns.iter().copied().enumerate().collect();
        }
        let chosen = self.0.iter().filter_map(|shown| {
            let column = *columns.get(shown.column)?;
            let column =
                shown.width.map_or(column, |width| Column { width, grows: false, ..column });
            Some((shown.column, column))
        });
        chosen.collect()
    }
}

/// Which of these columns fit, where (from the left edge) and how wide.
pub(super) fn places(columns: &[(usize, Column)], width: u16) -> Vec<(usize, u16, u16)> {
    // Two cells at the left are for the cursor and the mark.
    let room = width.saturating_sub(2);
    let mut by_rank: Vec<usize> = (0..columns.len()).collect();
    by_rank.sort_by_key(|at| columns[*at].1.rank);
    let mut used = 0;
    let mut shown = vec![false; columns.len()];
    for at in by_rank {
        let needs = columns[at].1.width + 1;
        if used + needs <= room + 1 {
            used += needs;
            shown[at] = true;
        } else if columns[at].1.rank > 0 {
            break;
        }
    }
    let mut left = columns.iter().zip(&shown).filter(|((_, c), s)| c.grows && **s).count() as u16;
    let mut spare = (room + 1).saturating_sub(used);
    let mut x = 2;
    let mut out = Vec::new();
    for ((index, column), _) in columns.iter().zip(&shown).filter(|(_, shown)| **shown) {
        let mut w = column.width;
        if column.grows {
            // Whoever is the last to grow takes it all.
            let most = if left > 1 { column.most.saturating_sub(w) } else { spare };
            let part = (spare / left.max(1)).min(most);
            w += part;
            spare -= part;
            left = left.saturating_sub(1);
        }
        let w = w.min(width.saturating_sub(x));
        out.push((*index, x, w));
        x += w + 1;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: &[Column] = &[
        Column {
            title: "t.col.a",
            width: 4,
            grows: true,
            most: 200,
            right: false,
            rank: 0,
            descending: false,
        },
        Column {
            title: "t.col.b",
            width: 4,
            grows: false,
            most: 200,
            right: true,
            rank: 2,
            descending: true,
        },
        Column {
            title: "t.col.c",
            width: 4,
            grows: false,
            most: 200,
            right: true,
            rank: 1,
            descending: true,
        },
    ];

    fn read(words: &[&str]) -> Result<Layout, String> {
        let words: Vec<String> = words.iter().map(|w| (*w).to_owned()).collect();
        Layout::read(&words, COLUMNS)
    }

    #[test]
    fn columns_of_least_importance_go_first() {
        let all = Layout::default().chosen(COLUMNS);
        let shown = |width| places(&all, width).iter().map(|p| p.0).collect::<Vec<_>>();
        assert_eq!(shown(16), [0, 1, 2]);
        assert_eq!(shown(15), [0, 2]);
        assert_eq!(shown(6), [0]);
        assert_eq!(places(&all, 20), [(0, 2, 8), (1, 11, 4), (2, 16, 4)]);
    }

    #[test]
    fn chosen_columns_stand_in_their_order_with_their_width() {
        let layout = read(&["c:6", "a"]).expect("reads");
        assert_eq!(layout.words(COLUMNS), ["c:6", "a"]);
        assert_eq!(places(&layout.chosen(COLUMNS), 20), [(2, 2, 6), (0, 9, 11)]);
        let fixed = read(&["a:5"]).expect("reads");
        assert_eq!(places(&fixed.chosen(COLUMNS), 20), [(0, 2, 5)]);
    }

    #[test]
    fn a_column_grows_as_far_as_it_wants_and_the_last_one_takes_the_rest() {
        let column = |most| Column { most, ..COLUMNS[0] };
        let wide = |columns: &[Column]| {
            let all = Layout::default().chosen(columns);
            places(&all, 30).iter().map(|(_, _, width)| *width).collect::<Vec<_>>()
        };
        assert_eq!(wide(&[column(6), column(6)]), [6, 21]);
        assert_eq!(wide(&[column(6)]), [28]);
        assert_eq!(wide(&[column(200), column(200)]), [13, 14]);
    }

    #[test]
    fn a_wrong_column_is_named() {
        assert_eq!(read(&["d"]), Err("there is no column 'd'".to_owned()));
        assert_eq!(read(&["a", "a:3"]), Err("the column 'a' is named twice".to_owned()));
        assert!(read(&["a:0"]).is_err());
    }
}
