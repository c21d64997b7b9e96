//! How a screen is divided: a tree of splits with numbered parts as leaves. Knows nothing of what is
//! shown in them.

use ratatui::layout::{Position, Rect};

/// Parts of one screen at most.
pub(crate) const MOST: usize = 4;
/// The smallest part that is drawn.
pub(crate) const LEAST: (u16, u16) = (30, 7);
/// Of a thousand: how far a border can be moved to an edge.
const EDGE: u16 = 100;

/// Where something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Left,
    Right,
    Above,
    Below,
}

impl Side {
    const fn is_across(self) -> bool {
        matches!(self, Self::Left | Self::Right)
    }
}

/// A part, or two with a border between them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Tree {
    Part(u32),
    Split {
        /// Side by side; else one above the other.
        across: bool,
        /// Of a thousand, for the first.
        share: u16,
        both: Box<(Tree, Tree)>,
    },
}

impl Tree {
    /// The parts, from the left and from above.
    pub(crate) fn parts(&self) -> Vec<u32> {
        match self {
            Self::Part(id) => vec![*id],
            Self::Split { both, .. } => [both.0.parts(), both.1.parts()].concat(),
        }
    }

    /// Divides a part in two; the new one comes right of it or below. False when it is not there.
    pub(crate) fn split(&mut self, id: u32, across: bool, new: u32) -> bool {
        match self {
            Self::Part(own) if *own == id => {
                let both = Box::new((Self::Part(id), Self::Part(new)));
                *self = Self::Split { across, share: 500, both };
                true
            }
            Self::Part(_) => false,
            Self::Split { both, .. } => {
                both.0.split(id, across, new) || both.1.split(id, across, new)
            }
        }
    }

    /// Takes a part out; says which one has its room then. The last one stays.
    pub(crate) fn close(&mut self, id: u32) -> Option<u32> {
        let Self::Split { both, .. } = self else { return None };
        let is = |tree: &Self| *tree == Self::Part(id);
        let stays = match (is(&both.0), is(&both.1)) {
            (true, _) => &mut both.1,
            (_, true) => &mut both.0,
            _ => return both.0.close(id).or_else(|| both.1.close(id)),
        };
        *self = std::mem::replace(stays, Self::Part(id));
        self.parts().first().copied()
    }

    /// Where each part is drawn, and the borders between those side by side.
    pub(crate) fn lay(&self, area: Rect) -> (Vec<(u32, Rect)>, Vec<Rect>) {
        let (mut parts, mut borders) = (Vec::new(), Vec::new());
        self.place(area, &mut parts, &mut borders);
        (parts, borders)
    }

    /// Where the two of a split are drawn, and the border: a column of its own, or the first line of the
    /// second.
    fn areas(&self, area: Rect) -> Option<(Rect, Rect, Rect)> {
        let Self::Split { across, share, .. } = self else { return None };
        if *across {
            let room = area.width.saturating_sub(1);
            let width = part_of(room, *share);
            let border = Rect { x: area.x + width, width: area.width.min(1), ..area };
            let rest = Rect { x: border.right(), width: room - width, ..area };
            return Some((Rect { width, ..area }, border, rest));
        }
        let height = part_of(area.height, *share);
        let rest = Rect { y: area.y + height, height: area.height - height, ..area };
        Some((Rect { height, ..area }, Rect { height: rest.height.min(1), ..rest }, rest))
    }

    fn place(&self, area: Rect, parts: &mut Vec<(u32, Rect)>, borders: &mut Vec<Rect>) {
        match (self, self.areas(area)) {
            (Self::Split { across, both, .. }, Some((first, border, second))) => {
                both.0.place(first, parts, borders);
                if *across {
                    borders.push(border);
                }
                both.1.place(second, parts, borders);
            }
            (Self::Part(id), _) => parts.push((*id, area)),
            (Self::Split { .. }, None) => {}
        }
    }

    /// Whether all parts are large enough to be drawn in this area.
    pub(crate) fn fits(&self, area: Rect) -> bool {
        self.lay(area).0.iter().all(|(_, r)| r.width >= LEAST.0 && r.height >= LEAST.1)
    }

    /// The part beside another.
    pub(crate) fn beside(&self, id: u32, side: Side, area: Rect) -> Option<u32> {
        let (parts, _) = self.lay(area);
        let own = parts.iter().find(|(part, _)| *part == id)?.1;
        let overlap = |a: (u16, u16), b: (u16, u16)| {
            let (from, to) = (a.0.max(b.0), a.1.min(b.1));
            to.saturating_sub(from)
        };
        let rated = parts.iter().filter(|(part, _)| *part != id).filter_map(|(part, r)| {
            let (beyond, away) = match side {
                Side::Left => (r.right() <= own.x, own.x.abs_diff(r.right())),
                Side::Right => (r.x >= own.right(), r.x.abs_diff(own.right())),
                Side::Above => (r.bottom() <= own.y, own.y.abs_diff(r.bottom())),
                Side::Below => (r.y >= own.bottom(), r.y.abs_diff(own.bottom())),
            };
            let shared = if side.is_across() {
                overlap((own.y, own.bottom()), (r.y, r.bottom()))
            } else {
                overlap((own.x, own.right()), (r.x, r.right()))
            };
            (beyond && shared > 0).then_some((away, std::cmp::Reverse(shared), *part))
        });
        rated.min().map(|(.., part)| part)
    }

    /// Moves the nearest border of this kind around a part: more room for it, or less.
    pub(crate) fn resize(&mut self, id: u32, across: bool, by: i16) -> bool {
        let Self::Split { across: own, share, both } = self else { return false };
        let first = both.0.parts().contains(&id);
        if !first && !both.1.parts().contains(&id) {
            return false;
        }
        let inner = if first { &mut both.0 } else { &mut both.1 };
        if inner.resize(id, across, by) {
            return true;
        }
        if *own != across {
            return false;
        }
        let by = if first { by } else { -by };
        *share = share.saturating_add_signed(by).clamp(EDGE, 1000 - EDGE);
        true
    }

    /// The split whose border is there, as the way to it: at each split on the way whether one goes to the
    /// second. Of parts one above the other it is the line with the lower one's title.
    pub(crate) fn border_at(&self, area: Rect, at: Position) -> Option<Vec<bool>> {
        let Self::Split { both, .. } = self else { return None };
        let (first, border, second) = self.areas(area)?;
        if border.contains(at) {
            return Some(Vec::new());
        }
        let (second, inner, area) = match (first.contains(at), second.contains(at)) {
            (true, _) => (false, &both.0, first),
            (_, true) => (true, &both.1, second),
            _ => return None,
        };
        let mut way = inner.border_at(area, at)?;
        way.insert(0, second);
        Some(way)
    }

    /// Moves the border of a split to a place, as far as all parts stay large enough to be drawn. False
    /// when it stays where it is.
    pub(crate) fn drag(&mut self, way: &[bool], area: Rect, to: Position) -> bool {
        let Some((Self::Split { across, .. }, own)) = self.split_at(way, area) else {
            return false;
        };
        let across = *across;
        let room = if across { own.width.saturating_sub(1) } else { own.height };
        let (from, to) = if across { (own.x, to.x) } else { (own.y, to.y) };
        let mut wanted = to.saturating_sub(from).min(room);
        let before = self.clone();
        let now = before.first_of(way, area);
        while wanted != now {
            let mut tried = before.clone();
            if let Some((Self::Split { share, .. }, _)) = tried.split_at(way, area) {
                // The smallest share that gives this much.
                *share = (u32::from(wanted) * 1000).div_ceil(u32::from(room.max(1))) as u16;
            }
            if tried.fits(area) {
                *self = tried;
                return true;
            }
            wanted = if wanted > now { wanted - 1 } else { wanted + 1 };
        }
        false
    }

    /// A split and where it is drawn, by the way to it.
    fn split_at(&mut self, way: &[bool], area: Rect) -> Option<(&mut Self, Rect)> {
        let Some((second, rest)) = way.split_first() else { return Some((self, area)) };
        let areas = self.areas(area)?;
        let Self::Split { both, .. } = self else { return None };
        if *second { both.1.split_at(rest, areas.2) } else { both.0.split_at(rest, areas.0) }
    }

    /// How much the first of a split has along it.
    fn first_of(&self, way: &[bool], area: Rect) -> u16 {
        let Some((second, rest)) = way.split_first() else {
            let across = matches!(self, Self::Split { across: true, .. });
            let first = self.areas(area).map_or(area, |areas| areas.0);
            return if across { first.width } else { first.height };
        };
        match (self, self.areas(area)) {
            (Self::Split { both, .. }, Some(areas)) if *second => both.1.first_of(rest, areas.2),
            (Self::Split { both, .. }, Some(areas)) => both.0.first_of(rest, areas.0),
            _ => 0,
        }
    }

    /// As much room for each part as for every other along each split.
    pub(crate) fn level(&mut self) {
        if let Self::Split { across, share, both } = self {
            both.0.level();
            both.1.level();
            let along = *across;
            let (a, b) = (both.0.along(along), both.1.along(along));
            *share = (1000 * a / (a + b).max(1)) as u16;
        }
    }

    fn along(&self, across: bool) -> usize {
        match self {
            Self::Split { across: own, both, .. } if *own == across => {
                both.0.along(across) + both.1.along(across)
            }
            _ => 1,
        }
    }
}

fn part_of(room: u16, share: u16) -> u16 {
    (u32::from(room) * u32::from(share.min(1000)) / 1000) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCREEN: Rect = Rect { x: 0, y: 1, width: 161, height: 40 };

    /// `1 | (2 / 3)`
    fn three() -> Tree {
        let mut tree = Tree::Part(1);
        assert!(tree.split(1, true, 2));
        assert!(tree.split(2, false, 3));
        tree
    }

    #[test]
    fn parts_fill_the_screen_with_borders_only_between_those_side_by_side() {
        let (parts, borders) = three().lay(SCREEN);
        let cells = |r: &Rect| u32::from(r.width) * u32::from(r.height);
        let all: u32 = parts.iter().map(|(_, r)| cells(r)).chain(borders.iter().map(cells)).sum();
        assert_eq!(all, cells(&SCREEN));
        assert_eq!(parts[0], (1, Rect { x: 0, y: 1, width: 80, height: 40 }));
        assert_eq!(parts[2], (3, Rect { x: 81, y: 21, width: 80, height: 20 }));
        assert_eq!(borders, [Rect { x: 80, y: 1, width: 1, height: 40 }]);
    }

    #[test]
    fn the_part_beside_is_the_near_one_that_shares_most_of_the_border() {
        let tree = three();
        assert_eq!(tree.beside(1, Side::Right, SCREEN), Some(2));
        assert_eq!(tree.beside(3, Side::Left, SCREEN), Some(1));
        assert_eq!(tree.beside(3, Side::Above, SCREEN), Some(2));
        assert_eq!(tree.beside(1, Side::Above, SCREEN), None);
    }

    #[test]
    fn a_closed_part_leaves_its_room_to_the_one_beside_it() {
        let mut tree = three();
        assert_eq!(tree.close(2), Some(3));
        assert_eq!(tree.parts(), [1, 3]);
        assert_eq!(tree.close(1), Some(3));
        assert_eq!(tree, Tree::Part(3));
        assert_eq!(tree.close(3), None, "the last one stays");
    }

    #[test]
    fn a_border_is_found_under_the_mouse_and_goes_where_it_goes_as_far_as_all_parts_have_room() {
        let mut tree = three();
        let at = Position::new;
        assert_eq!(tree.border_at(SCREEN, at(10, 10)), None);
        assert_eq!(tree.border_at(SCREEN, at(80, 10)), Some(vec![]));
        assert_eq!(tree.border_at(SCREEN, at(100, 21)), Some(vec![true]), "a title is a border");
        for x in [100, 41, 80] {
            assert!(tree.drag(&[], SCREEN, at(x, 3)));
            assert_eq!(tree.lay(SCREEN).1[0].x, x);
        }
        assert!(tree.drag(&[], SCREEN, at(160, 3)), "as far as there is room");
        assert_eq!(tree.lay(SCREEN).0[1].1.width, LEAST.0);
        assert!(tree.drag(&[true], SCREEN, at(150, 1)));
        assert_eq!(tree.lay(SCREEN).0[1].1.height, LEAST.1);
        assert!(!tree.drag(&[true], SCREEN, at(150, 0)), "no further");
        assert!(!tree.drag(&[false, true], SCREEN, at(3, 3)), "there is no such split");
        assert!(!Tree::Part(1).drag(&[], SCREEN, at(3, 3)));
    }

    #[test]
    fn a_border_moves_for_the_part_that_wants_more_room_and_never_to_the_edge() {
        let mut tree = three();
        assert!(tree.resize(3, true, 100));
        assert_eq!(tree.lay(SCREEN).0[0].1.width, 64);
        assert!(tree.resize(3, false, -2000));
        assert_eq!(tree.lay(SCREEN).0[2].1.height, 4);
        assert!(!tree.fits(SCREEN));
        tree.level();
        assert!(tree.fits(SCREEN));
        assert_eq!(tree.lay(SCREEN).0[0].1.width, 80);
    }
}
