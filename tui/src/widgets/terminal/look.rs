//! Looking around in what a screen holds: moving as in vi, searching, selecting by keys and by the mouse,
//! the links that are seen.

use super::Screen;
use alacritty_terminal::grid::Dimensions as _;
use alacritty_terminal::index::{Boundary, Column, Direction, Line, Point, Side};
use alacritty_terminal::selection::{Selection, SelectionType};
use alacritty_terminal::term::TermMode;
use alacritty_terminal::term::search::{Match, RegexIter, RegexSearch};
pub use alacritty_terminal::vi_mode::ViMotion as Jump;
use ratatui::layout::Rect;

/// The longest text that is sought for, in bytes.
const LONGEST: usize = 1024;
/// Matches that are marked at once.
const SHOWN: usize = 500;
/// Links that are listed.
const LINKS: usize = 200;

/// How cells are selected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// From here to there.
    Simple,
    /// Words.
    Words,
    /// Whole lines.
    Lines,
    /// A block.
    Block,
}

impl Kind {
    const fn of(self) -> SelectionType {
        match self {
            Self::Simple => SelectionType::Simple,
            Self::Words => SelectionType::Semantic,
            Self::Lines => SelectionType::Lines,
            Self::Block => SelectionType::Block,
        }
    }
}

/// A cell of the screen, or of what is above it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place(Point);

/// A link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Where it leads, as the program said it: not harmless.
    pub address: String,
    /// What stands there.
    pub text: String,
}

/// What is sought for.
pub struct Find {
    text: String,
    regex: RegexSearch,
}

impl Find {
    /// Reads a regular expression; small letters find large ones too. `None` when it is none.
    pub fn new(text: &str) -> Option<Self> {
        let fits = !text.is_empty() && text.len() <= LONGEST;
        let regex = fits.then(|| RegexSearch::new(text).ok()).flatten()?;
        Some(Self { text: text.to_owned(), regex })
    }

    /// As typed.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The next match from where one stands in a screen.
    pub fn next(&mut self, screen: &Screen, forward: bool) -> Option<Place> {
        let term = &screen.term;
        let at = term.vi_mode_cursor.point;
        let (direction, from) = if forward {
            (Direction::Right, at.add(term, Boundary::None, 1))
        } else {
            (Direction::Left, at.sub(term, Boundary::None, 1))
        };
        let found = term.search_next(&mut self.regex, from, direction, Side::Left, None)?;
        Some(Place(*found.start()))
    }

    /// The matches that are seen in a screen.
    pub fn seen(&mut self, screen: &Screen) -> Vec<Match> {
        let term = &screen.term;
        let top = Line(-(screen.back() as i32));
        let bottom = top + term.screen_lines() - 1;
        // Lines that are broken belong together: what begins above is found too.
        let start = term.line_search_left(Point::new(top, Column(0)));
        let start = start.max(Point::new(top - 100usize.min(screen.history()), Column(0)));
        let end = Point::new(bottom, term.last_column());
        let start = Point::new(start.line.max(term.topmost_line()), start.column);
        RegexIter::new(start, end, Direction::Right, term, &mut self.regex)
            .skip_while(|found| found.end().line < top)
            .take_while(|found| found.start().line <= bottom)
            .take(SHOWN)
            .collect()
    }
}

/// Reads a text; none when the emulator falls over what a host has put there. Nothing is changed by that.
fn caught(read: impl FnOnce() -> String) -> Option<String> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(read)).ok()
}

impl Screen {
    /// Whether one looks around in it by keys.
    pub fn is_looked_at(&self) -> bool {
        self.term.mode().contains(TermMode::VI)
    }

    /// Begins or ends looking around.
    pub fn look(&mut self, on: bool) {
        if on != self.is_looked_at() {
            self.term.toggle_vi_mode();
        }
        if !on {
            self.to_bottom();
        }
        self.told.take();
    }

    /// Moves the cursor one looks around with.
    pub fn jump(&mut self, jump: Jump) {
        self.term.vi_motion(jump);
        self.told.take();
    }

    /// Moves it by so many lines: up with a negative number.
    pub fn jump_lines(&mut self, lines: i32) {
        let to = self.term.vi_mode_cursor.scroll(&self.term, -lines).point;
        self.go(Place(to));
    }

    /// Moves it to the oldest or the newest line.
    pub fn jump_end(&mut self, newest: bool) {
        let line = if newest { self.term.bottommost_line() } else { self.term.topmost_line() };
        self.go(Place(Point::new(line, Column(0))));
    }

    /// Moves it to a place.
    pub fn go(&mut self, place: Place) {
        // Lines may have gone since.
        let point = place.0.grid_clamp(&self.term, Boundary::Grid);
        self.term.vi_goto_point(point);
        self.told.take();
    }

    /// Begins to select where one stands, in another way, or stops.
    pub fn select(&mut self, kind: Kind) {
        let point = self.term.vi_mode_cursor.point;
        match &mut self.term.selection {
            Some(selection) if selection.ty == kind.of() => self.term.selection = None,
            Some(selection) if !selection.is_empty() => selection.ty = kind.of(),
            _ => {
                let mut selection = Selection::new(kind.of(), point, Side::Left);
                selection.include_all();
                self.term.selection = Some(selection);
            }
        }
    }

    /// The cell that is drawn at a place of an area.
    pub fn place(&self, area: Rect, column: u16, row: u16) -> Place {
        let (top, left) = self.corner(area);
        let (x, y) = (column.saturating_sub(area.x), row.saturating_sub(area.y));
        let line = (usize::from(y) + top).min(self.size.rows - 1);
        let column = (usize::from(x) + left).min(self.size.columns - 1);
        Place(Point::new(Line(line as i32 - self.back() as i32), Column(column)))
    }

    /// The column and the row of the screen that are drawn at a place of an area, counted from 0.
    pub fn cell(&self, area: Rect, column: u16, row: u16) -> (u16, u16) {
        let (top, left) = self.corner(area);
        let (x, y) = (column.saturating_sub(area.x), row.saturating_sub(area.y));
        let column = (usize::from(x) + left).min(self.size.columns - 1);
        let row = (usize::from(y) + top).min(self.size.rows - 1);
        (column as u16, row as u16)
    }

    /// Begins to select at a place.
    pub fn select_at(&mut self, kind: Kind, place: Place) {
        let point = place.0.grid_clamp(&self.term, Boundary::Grid);
        let mut selection = Selection::new(kind.of(), point, Side::Left);
        if kind != Kind::Simple {
            selection.include_all();
        }
        self.term.selection = Some(selection);
    }

    /// Goes on selecting to a place.
    pub fn select_to(&mut self, place: Place) {
        let point = place.0.grid_clamp(&self.term, Boundary::Grid);
        if let Some(selection) = &mut self.term.selection {
            selection.update(point, Side::Left);
            selection.include_all();
        }
    }

    /// Takes the selection away.
    pub fn unselect(&mut self) {
        self.term.selection = None;
    }

    /// What is selected.
    pub fn selected(&self) -> Option<String> {
        let range = self.term.selection.as_ref()?.to_range(&self.term)?;
        let (top, bottom) = (self.term.topmost_line(), self.term.bottommost_line());
        // A wide character that found no room at the end of the last line is looked for below it, where
        // nothing is; the emulator falls over that.
        let text = if range.start.line < top || range.end.line > bottom {
            let [start, end] =
                [range.start, range.end].map(|at| at.grid_clamp(&self.term, Boundary::Grid));
            caught(|| self.term.bounds_to_string(start, end))?
        } else {
            caught(|| self.term.selection_to_string().unwrap_or_default())?
        };
        (!text.is_empty()).then_some(text)
    }

    /// The text of a whole line of the screen, counted from its top.
    pub fn line(&self, row: usize) -> String {
        let line = Line(row.min(self.size.rows - 1) as i32);
        let (start, end) = (Point::new(line, Column(0)), Point::new(line, self.term.last_column()));
        self.term.bounds_to_string(start, end)
    }

    /// The link at a place.
    pub fn link(&self, place: Place) -> Option<Link> {
        let point = place.0.grid_clamp(&self.term, Boundary::Grid);
        let link = self.term.grid()[point].hyperlink()?;
        Some(Link { address: link.uri().to_owned(), text: String::new() })
    }

    /// The links that are seen, each once.
    pub fn links(&self) -> Vec<Link> {
        let mut links: Vec<(String, Link)> = Vec::new();
        for cell in self.term.grid().display_iter() {
            let Some(link) = cell.hyperlink() else { continue };
            let is = |(id, one): &(String, Link)| id == link.id() && one.address == link.uri();
            match links.iter().position(is) {
                Some(at) if links[at].1.text.len() < LONGEST => links[at].1.text.push(cell.c),
                Some(_) => {}
                None if links.len() < LINKS => {
                    let new = Link { address: link.uri().to_owned(), text: cell.c.to_string() };
                    links.push((link.id().to_owned(), new));
                }
                None => break,
            }
        }
        links.into_iter().map(|(_, link)| link).collect()
    }
}
