//! Looks: named styles read from the themes in `themes/`, which are compiled in. Colours are brought
//! down to what the terminal can show when the theme is loaded, so drawing never thinks about it.

use ratatui::style::{Color, Modifier, Style};
use serde::Deserialize;
use std::collections::BTreeMap;

/// Every theme, by name.
pub const THEMES: &[(&str, &str)] = &[
    ("dark", include_str!("../../themes/dark.toml")),
    ("light", include_str!("../../themes/light.toml")),
    ("high-contrast", include_str!("../../themes/high-contrast.toml")),
    ("nord", include_str!("../../themes/nord.toml")),
    ("dracula", include_str!("../../themes/dracula.toml")),
    ("catppuccin-mocha", include_str!("../../themes/catppuccin-mocha.toml")),
    ("catppuccin-latte", include_str!("../../themes/catppuccin-latte.toml")),
    ("gruvbox-dark", include_str!("../../themes/gruvbox-dark.toml")),
    ("solarized-light", include_str!("../../themes/solarized-light.toml")),
    ("tokyo-night", include_str!("../../themes/tokyo-night.toml")),
    ("sixteen", include_str!("../../themes/sixteen.toml")),
    ("mono", include_str!("../../themes/mono.toml")),
];

/// In settings: dark or light, as the terminal's own ground is.
pub const AUTO: &str = "auto";

/// The theme for a terminal whose ground has this colour.
pub fn for_ground(colour: [u8; 3]) -> &'static str {
    if luminance(colour) > 0.18 { "light" } else { "dark" }
}

/// How light a colour looks, 0 to 1 (WCAG 2).
fn luminance([r, g, b]: [u8; 3]) -> f64 {
    let linear = |part: u8| {
        let part = f64::from(part) / 255.0;
        if part <= 0.03928 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) }
    };
    0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b)
}

macro_rules! roles {
    ($($variant:ident = $name:literal,)+) => {
        /// What a style is for.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Role { $($variant,)+ }
        impl Role {
            /// Every role with its name in theme files.
            pub const ALL: &'static [(Self, &'static str)] = &[$((Self::$variant, $name),)+];
        }
    };
}

roles! {
    Ground = "ground", Text = "text", Soft = "soft", Faint = "faint", Strong = "strong", Accent = "accent",
    Border = "border", Title = "title", Header = "header", HeaderSorted = "header_sorted",
    Selected = "selected", Marked = "marked", Popup = "popup", PopupBorder = "popup_border",
    Input = "input", Match = "match", Key = "key", Tab = "tab", TabActive = "tab_active",
    Ok = "ok", Info = "info", Warn = "warn", Bad = "bad", Stale = "stale", Danger = "danger",
    Banner = "banner", Label = "label", Empty = "empty", Low = "low", Mid = "mid", High = "high",
    LineA = "line_a", LineB = "line_b", Grid = "grid",
}

/// How many colours the terminal shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// 24 bits.
    True,
    /// The 256-colour palette.
    Indexed,
    /// The sixteen.
    Sixteen,
    /// None: weight only.
    None,
}

impl Depth {
    /// No more than 256: their codes are half as long.
    #[must_use]
    pub fn at_most_256(self) -> Self {
        if self == Self::True { Self::Indexed } else { self }
    }

    /// What the environment says of the terminal.
    pub fn detect(var: impl Fn(&str) -> Option<String>) -> Self {
        let term = var("TERM").unwrap_or_default();
        let colorterm = var("COLORTERM").unwrap_or_default();
        if var("NO_COLOR").is_some_and(|v| !v.is_empty()) || term == "dumb" || term == "vt100" {
            Self::None
        } else if colorterm.contains("truecolor")
            || colorterm.contains("24bit")
            || ["direct", "kitty", "alacritty", "ghostty", "foot", "wezterm"]
                .iter()
                .any(|name| term.contains(name))
        {
            Self::True
        } else if term.contains("256") {
            Self::Indexed
        } else {
            Self::Sixteen
        }
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    name: String,
    inherits: Option<String>,
    #[serde(default)]
    palette: BTreeMap<String, String>,
    #[serde(default)]
    styles: BTreeMap<String, Entry>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum Entry {
    Colour(String),
    Full(Full),
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Full {
    fg: Option<String>,
    bg: Option<String>,
    #[serde(default)]
    bold: bool,
    #[serde(default)]
    dim: bool,
    #[serde(default)]
    italic: bool,
    #[serde(default)]
    underline: bool,
    #[serde(default)]
    reverse: bool,
}

/// A theme ready for drawing.
#[derive(Clone, Debug)]
pub struct Theme {
    /// Its name.
    pub name: String,
    depth: Depth,
    styles: Vec<Style>,
    /// Colours from low to high for charts, finely graded where the terminal can.
    grades: Vec<Color>,
}

impl Theme {
    /// The theme of this name, for a terminal of this depth. The error names what is wrong.
    pub fn load(name: &str, depth: Depth) -> Result<Self, String> {
        // A terminal without colours gets none, whatever theme is asked for.
        let source = if depth == Depth::None { "mono" } else { name };
        if !THEMES.iter().any(|(known, _)| *known == name) {
            return Err(format!(
                "there is no theme '{name}'{}",
                cmdr_link::settings::nearest(name, THEMES.iter().map(|(known, _)| *known))
            ));
        }
        let file = resolve(source, 0)?;
        let mut styles = Vec::with_capacity(Role::ALL.len());
        let mut raw = Vec::with_capacity(Role::ALL.len());
        for (_, role) in Role::ALL {
            let entry = file
                .styles
                .get(*role)
                .ok_or_else(|| format!("theme '{source}' has no style '{role}'"))?;
            let style = style(entry, &file.palette, source)?;
            raw.push(style);
            styles.push(Style {
                fg: style.fg.map(|c| reduce(c, depth)),
                bg: style.bg.map(|c| reduce(c, depth)),
                ..style
            });
        }
        for role in file.styles.keys() {
            if !Role::ALL.iter().any(|(_, known)| known == role) {
                return Err(format!("theme '{source}' has an unknown style '{role}'"));
            }
        }
        let colour = |role: Role| raw[role as usize].fg.unwrap_or(Color::Reset);
        let grades = grades([colour(Role::Low), colour(Role::Mid), colour(Role::High)], depth);
        Ok(Self { name: name.to_owned(), depth, styles, grades })
    }

    /// How many colours the terminal shows.
    pub const fn depth(&self) -> Depth {
        self.depth
    }

    /// Letters and ground as the theme has them, when both are colours of its own.
    pub fn ground(&self) -> Option<[(u8, u8, u8); 2]> {
        let ground = self.style(Role::Ground);
        let letters = ground.fg.or(self.style(Role::Text).fg);
        let parts = |colour| match colour {
            Some(Color::Rgb(r, g, b)) => Some((r, g, b)),
            _ => None,
        };
        Some([parts(letters)?, parts(ground.bg)?])
    }

    /// A role's style.
    pub fn style(&self, role: Role) -> Style {
        self.styles[role as usize]
    }

    /// Whether a row under the cursor loses its colours, or there are none: then shape has to tell what
    /// colour tells elsewhere.
    pub fn flattens(&self) -> bool {
        let selected = self.style(Role::Selected);
        selected.fg.is_some() || selected.add_modifier.contains(Modifier::REVERSED)
    }

    /// Whether well and badly look alike but for their weight.
    pub fn is_plain(&self) -> bool {
        self.style(Role::Ok).fg == self.style(Role::Bad).fg
    }

    /// The colour for a share of 0 to 1, fine enough for a chart.
    pub fn grade(&self, share: f32) -> Color {
        let last = self.grades.len().saturating_sub(1);
        let at = (share.clamp(0.0, 1.0) * last as f32).round() as usize;
        self.grades.get(at).copied().unwrap_or(Color::Reset)
    }

    /// The style for a permille that is bad when high: one of three, so that small changes do not
    /// recolour anything.
    pub fn level(&self, permille: u32) -> Style {
        self.style(match permille {
            0..700 => Role::Low,
            700..900 => Role::Mid,
            _ => Role::High,
        })
    }
}

fn resolve(name: &str, depth: usize) -> Result<File, String> {
    let (_, text) = THEMES
        .iter()
        .find(|(known, _)| *known == name)
        .ok_or_else(|| format!("there is no theme '{name}'"))?;
    let file: File = toml::from_str(text).map_err(|e| format!("theme '{name}': {e}"))?;
    if file.name != name {
        return Err(format!("theme '{name}' calls itself '{}'", file.name));
    }
    let Some(parent) = &file.inherits else { return Ok(file) };
    if depth > 8 {
        return Err(format!("theme '{name}' inherits in a circle"));
    }
    let mut whole = resolve(parent, depth + 1)?;
    whole.palette.extend(file.palette);
    whole.styles.extend(file.styles);
    Ok(whole)
}

fn style(entry: &Entry, palette: &BTreeMap<String, String>, theme: &str) -> Result<Style, String> {
    let full = match entry {
        Entry::Colour(fg) => Full { fg: Some(fg.clone()), ..Full::default() },
        Entry::Full(full) => full.clone(),
    };
    let colour = |text: &Option<String>| -> Result<Option<Color>, String> {
        let Some(text) = text else { return Ok(None) };
        let value = palette.get(text).unwrap_or(text);
        colour(value).map(Some).ok_or_else(|| format!("theme '{theme}': no colour '{value}'"))
    };
    let mut style = Style { fg: colour(&full.fg)?, bg: colour(&full.bg)?, ..Style::default() };
    for (on, modifier) in [
        (full.bold, Modifier::BOLD),
        (full.dim, Modifier::DIM),
        (full.italic, Modifier::ITALIC),
        (full.underline, Modifier::UNDERLINED),
        (full.reverse, Modifier::REVERSED),
    ] {
        if on {
            style = style.add_modifier(modifier);
        }
    }
    Ok(style)
}

const NAMES: [&str; 16] = [
    "black",
    "red",
    "green",
    "yellow",
    "blue",
    "magenta",
    "cyan",
    "white",
    "bright-black",
    "bright-red",
    "bright-green",
    "bright-yellow",
    "bright-blue",
    "bright-magenta",
    "bright-cyan",
    "bright-white",
];

fn colour(text: &str) -> Option<Color> {
    if text == "default" {
        return Some(Color::Reset);
    }
    if let Some(hex) = text.strip_prefix('#') {
        let value = u32::from_str_radix(hex, 16).ok().filter(|_| hex.len() == 6)?;
        return Some(Color::Rgb((value >> 16) as u8, (value >> 8) as u8, value as u8));
    }
    NAMES.iter().position(|name| *name == text).map(|at| Color::Indexed(at as u8))
}

/// The nearest colour the terminal has.
pub fn reduce(colour: Color, depth: Depth) -> Color {
    let Color::Rgb(r, g, b) = colour else {
        return if depth == Depth::None { Color::Reset } else { colour };
    };
    match depth {
        Depth::True => colour,
        Depth::None => Color::Reset,
        Depth::Indexed => {
            let candidates = (16..=255u8).map(|n| (n, indexed(n)));
            Color::Indexed(nearest((r, g, b), candidates))
        }
        Depth::Sixteen => {
            Color::Indexed(nearest((r, g, b), (0..16u8).map(|n| (n, SIXTEEN[usize::from(n)]))))
        }
    }
}

/// What the sixteen usually look like.
const SIXTEEN: [(u8, u8, u8); 16] = [
    (0, 0, 0),
    (205, 49, 49),
    (13, 188, 121),
    (229, 229, 16),
    (36, 114, 200),
    (188, 63, 188),
    (17, 168, 205),
    (200, 200, 200),
    (102, 102, 102),
    (241, 76, 76),
    (35, 209, 139),
    (245, 245, 67),
    (59, 142, 234),
    (214, 112, 214),
    (41, 184, 219),
    (255, 255, 255),
];

/// What a colour of the palette usually looks like.
pub fn palette(n: u8) -> (u8, u8, u8) {
    SIXTEEN.get(usize::from(n)).copied().unwrap_or_else(|| indexed(n))
}

const fn indexed(n: u8) -> (u8, u8, u8) {
    const STEPS: [u8; 6] = [0, 95, 135, 175, 215, 255];
    if n >= 232 {
        let grey = 8 + (n - 232) * 10;
        return (grey, grey, grey);
    }
    let n = n - 16;
    (STEPS[(n / 36) as usize], STEPS[(n / 6 % 6) as usize], STEPS[(n % 6) as usize])
}

fn nearest((r, g, b): (u8, u8, u8), candidates: impl Iterator<Item = (u8, (u8, u8, u8))>) -> u8 {
    let distance = |(x, y, z): (u8, u8, u8)| {
        let square = |p: u8, q: u8, weight: u32| {
            let d = u32::from(p.abs_diff(q));
            d * d * weight
        };
        square(r, x, 3) + square(g, y, 5) + square(b, z, 2)
    };
    candidates.min_by_key(|(_, colour)| distance(*colour)).map_or(7, |(n, _)| n)
}

fn grades(stops: [Color; 3], depth: Depth) -> Vec<Color> {
    let [Color::Rgb(..), Color::Rgb(..), Color::Rgb(..)] = stops else {
        return stops.iter().map(|c| reduce(*c, depth)).collect();
    };
    let mix = |from: Color, to: Color, part: u32| match (from, to) {
        (Color::Rgb(red, green, blue), Color::Rgb(to_red, to_green, to_blue)) => {
            let mix = |p: u8, q: u8| ((u32::from(p) * (8 - part) + u32::from(q) * part) / 8) as u8;
            Color::Rgb(mix(red, to_red), mix(green, to_green), mix(blue, to_blue))
        }
        _ => from,
    };
    (0..=16u32)
        .map(|n| if n < 8 { mix(stops[0], stops[1], n) } else { mix(stops[1], stops[2], n - 8) })
        .map(|c| reduce(c, depth))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_theme_resolves_at_every_depth() {
        for (name, _) in THEMES {
            for depth in [Depth::True, Depth::Indexed, Depth::Sixteen, Depth::None] {
                Theme::load(name, depth).unwrap_or_else(|e| panic!("{e}"));
            }
        }
    }

    /// How well one colour stands out on another, 1 to 21 (WCAG 2).
    fn contrast(one: Color, other: Color) -> f64 {
        let of = |colour| match colour {
            Color::Rgb(r, g, b) => luminance([r, g, b]) + 0.05,
            other => panic!("{other:?} has no brightness that is known"),
        };
        let (a, b) = (of(one), of(other));
        a.max(b) / a.min(b)
    }

    #[test]
    fn every_theme_can_be_read() {
        use Role::{
            Accent, Bad, Banner, Danger, Faint, Grid, Ground, Header, HeaderSorted, High, Info,
            Input, Key, Label, LineA, LineB, Low, Marked, Match, Mid, Ok, Popup, Selected, Soft,
            Stale, Strong, Tab, TabActive, Text, Title, Warn,
        };
        let letters = [
            Text,
            Soft,
            Strong,
            Accent,
            Title,
            Header,
            HeaderSorted,
            Marked,
            Input,
            Match,
            Key,
            Tab,
            Ok,
            Info,
            Warn,
            Bad,
            Danger,
            Label,
            Low,
            Mid,
            High,
            LineA,
            LineB,
        ];
        let mut seen = 0;
        for (name, _) in THEMES {
            let theme = Theme::load(name, Depth::True).expect("theme");
            let ground = |role| theme.style(role).bg.filter(|bg| *bg != Color::Reset);
            let Some(ground_bg) = ground(Ground) else { continue };
            seen += 1;
            let (text, dim) = if *name == "high-contrast" { (7.0, 4.5) } else { (4.5, 3.0) };
            let check = |role: Role, bg: Color, least: f64| {
                let fg = theme.style(role).fg.expect("a colour");
                let is = contrast(fg, bg);
                assert!(is >= least, "{name}: {role:?} on {bg:?} has {is:.2}, not {least}");
            };
            for bg in [ground_bg, ground(Popup).expect("popup")] {
                for role in letters {
                    check(role, bg, text);
                }
                for role in [Faint, Stale, Grid] {
                    check(role, bg, dim);
                }
            }
            // Where the cursor stands colours may be a little closer.
            let bar = ground(Selected).expect("bar");
            for role in letters {
                check(role, bar, text / 1.6);
            }
            for role in [TabActive, Banner] {
                check(role, ground(role).expect("own ground"), text.min(4.5));
            }
        }
        assert!(seen >= 8, "{seen}");
    }

    #[test]
    fn a_terminal_is_light_or_dark_by_its_ground() {
        for (colour, theme) in
            [([253, 246, 227], "light"), ([40, 42, 54], "dark"), ([0; 3], "dark")]
        {
            assert_eq!(for_ground(colour), theme);
        }
    }

    #[test]
    fn no_theme_file_is_forgotten() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../themes");
        for entry in std::fs::read_dir(folder).expect("themes/") {
            let name = entry.expect("entry").file_name().into_string().expect("a plain name");
            let name = name.strip_suffix(".toml").expect("only themes").to_owned();
            assert!(THEMES.iter().any(|(known, _)| *known == name), "{name} is not compiled in");
        }
    }

    #[test]
    fn an_unknown_theme_names_the_nearest() {
        let error = Theme::load("drak", Depth::True).expect_err("unknown");
        assert!(error.contains("'dark'"), "{error}");
    }

    #[test]
    fn colours_come_down_to_what_the_terminal_has() {
        let red = Color::Rgb(255, 0, 0);
        assert_eq!(reduce(red, Depth::True), red);
        assert_eq!(reduce(red, Depth::Indexed), Color::Indexed(196));
        assert_eq!(reduce(Color::Rgb(250, 80, 80), Depth::Sixteen), Color::Indexed(9));
        assert_eq!(reduce(red, Depth::None), Color::Reset);
    }

    #[test]
    fn the_environment_tells_how_many_colours_there_are() {
        let detect = |vars: &[(&str, &str)]| {
            Depth::detect(|name| {
                vars.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned())
            })
        };
        assert_eq!(detect(&[("TERM", "xterm-256color")]), Depth::Indexed);
        assert_eq!(detect(&[("TERM", "xterm"), ("COLORTERM", "truecolor")]), Depth::True);
        assert_eq!(detect(&[("TERM", "linux")]), Depth::Sixteen);
        assert_eq!(detect(&[("TERM", "xterm-256color"), ("NO_COLOR", "1")]), Depth::None);
        assert_eq!(detect(&[("TERM", "xterm-256color"), ("NO_COLOR", "")]), Depth::Indexed);
    }
}
