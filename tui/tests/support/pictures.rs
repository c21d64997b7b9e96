//! Pictures of the screen: at which sizes and in which languages each is taken, what it is called, and a word in its
//! head about what is to be seen on it. `tests/pictures.rs` checks that none lacks.

use super::{Setup, World};
use cmdr_tui::i18n::Lang;
use std::path::PathBuf;

/// A large screen, the usual one, and the smallest that is served well.
pub(crate) const SIZES: [(u16, u16); 3] = [(160, 45), (80, 24), (60, 18)];
pub(crate) const LANGS: [Lang; 2] = [Lang::En, Lang::Zh];

/// Each size in each language.
pub(crate) fn each() -> impl Iterator<Item = Setup> {
    each_of(Setup::default())
}

/// The same, with all else as it is here.
pub(crate) fn each_of(setup: Setup) -> impl Iterator<Item = Setup> {
    let of = move |lang| SIZES.map(|size| Setup { size, lang, ..setup.clone() });
    LANGS.into_iter().flat_map(of)
}

/// What it is called at this size in this language.
pub(crate) fn name(name: &str, lang: Lang, (width, height): (u16, u16)) -> String {
    let lang = if lang == Lang::Zh { "zh_" } else { "" };
    format!("{lang}{name}@{width}x{height}")
}

/// Where pictures are.
pub(crate) fn folder() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/snapshots"))
}

impl World {
    pub(crate) fn picture(&self, what: &str) -> String {
        let size = self.terminal.backend().buffer().area;
        name(what, self.lang, (size.width, size.height))
    }

    /// The head of a picture says what it shows, and is not compared with the rest.
    pub(crate) fn check_head(&self, module: &str, picture: &str) {
        let file = format!("{}__{picture}.snap", module.replace("::", "__"));
        let text = std::fs::read_to_string(folder().join(&file)).expect("a picture");
        let head = format!("\ndescription: {}\n", self.app.shown().join(" "));
        let renew = "take it anew with INSTA_UPDATE=force";
        assert!(text.contains(&head), "{file} does not say {head:?}: {renew}");
    }
}

/// Takes a picture of a world. A macro, because pictures are found by the module that takes them.
macro_rules! snap {
    ($what:literal, $world:expr) => {{
        let world: &$crate::support::World = &$world;
        let name = world.picture($what);
        let (shown, folder) = (world.app.shown().join(" "), $crate::support::pictures::folder());
        insta::with_settings!({ description => shown, snapshot_path => folder }, {
            insta::assert_snapshot!(name.as_str(), world.screen());
        });
        world.check_head(module_path!(), &name);
    }};
}
