//! What an operator chooses and finds again: columns, views, keys; and the lines that are copied.

use crate::support::{Setup, World, some_hosts};
use cmdr_tui::event::Event;
use std::path::{Path, PathBuf};

fn file(text: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("tui.toml");
    std::fs::write(&path, text).expect("write");
    (folder, path)
}

async fn with(path: &Path) -> World {
    let mut world = World::new(Setup { config: Some(path.to_owned()), ..Setup::default() }).await;
    world.fleet(some_hosts()).await;
    world
}

async fn at_processes(path: &Path) -> World {
    World::at_processes(Setup { config: Some(path.to_owned()), ..Setup::default() }).await
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).expect("read")
}

/// Every Rust file below a folder.
fn sources(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("folder") {
        let path = entry.expect("entry").path();
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            into.push(path);
        }
    }
}

#[test]
fn every_key_of_every_pane_can_be_bound_in_the_settings() {
    let places = cmdr_tui::panes::places();
    let bindings = places.iter().flat_map(|(_, tables)| tables).copied().flatten();
    let known: std::collections::HashSet<&str> = bindings.map(|binding| binding.text).collect();
    let binding =
        regex::Regex::new(r#"\bkey\(\s*&\[[^\]]*\],\s*[\w:()]+,\s*"([\w.]+)""#).expect("regex");
    let mut files = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut files);
    let (mut found, mut missing) = (0, Vec::new());
    for path in files {
        let text = read(&path);
        for text in binding.captures_iter(&text).filter_map(|hit| hit.get(1)) {
            found += 1;
            if !known.contains(text.as_str()) {
                missing.push(format!("{}: {}", path.display(), text.as_str()));
            }
        }
    }
    assert!(found > 200, "the sources are written in another way: {found}");
    assert!(missing.is_empty(), "not in panes::places():\n{}", missing.join("\n"));
}

#[test]
fn keys_of_running_logs_are_bound_as_the_settings_say() {
    let (_folder, path) = file("[keys]\n\"logs.pause\" = [\"<f6>\"]\n");
    let settings = cmdr_tui::config::load(&path).expect("settings");
    assert!(
        settings
            .keys
            .written(&cmdr_tui::i18n::Texts::new(cmdr_tui::i18n::Lang::En))
            .contains("\"logs.pause\" = [\"<f6>\"]")
    );
}

/// The line of the screen that begins with this.
fn line(world: &World, begin: &str) -> String {
    let screen = world.screen();
    let found = screen.lines().find(|l| l.trim_start_matches(['"', ' ']).starts_with(begin));
    found.unwrap_or_else(|| panic!("no line begins with {begin}:\n{screen}")).to_owned()
}

#[tokio::test]
async fn columns_are_chosen_moved_and_widened_before_ones_eyes_and_kept() {
    let (_folder, path) = file("# mine\n");
    let mut world = with(&path).await;
    world.press("C").await;
    world.check_shows("Space shows");
    // Without the state; processor use first and wider.
    world.press("j<space>jKKh+++").await;
    assert!(line(&world, "CPU").contains("NAME"), "{}", world.screen());
    assert_eq!(read(&path), "# mine\n", "nothing is kept before it is taken");
    world.press("<enter>").await;
    world.check_shows("these columns are kept");
    world.check_hides("STATE");
    assert!(
        read(&path).contains("[columns]\nhosts = [\"cpu:7\", \"name\", \"minute\""),
        "{}",
        read(&path)
    );
    let world = with(&path).await;
    world.check_hides("STATE");
    assert!(line(&world, "CPU").contains("NAME"));
}

#[tokio::test]
async fn columns_that_are_not_taken_are_as_before() {
    let (_folder, path) = file("");
    let mut world = at_processes(&path).await;
    // The test's screen tells rows with wide characters by what lies behind those, too.
    let seen = |world: &World| -> Vec<String> {
        let screen = world.screen();
        screen.lines().filter(|line| !line.contains("python3")).map(str::to_owned).collect()
    };
    let before = seen(&world);
    world.press("C<space>jj<space>JJ").await;
    assert_ne!(seen(&world), before);
    world.press("<esc>").await;
    assert_eq!(seen(&world), before);
    assert_eq!(read(&path), "");
}

#[tokio::test]
async fn one_column_always_stays() {
    let (_folder, path) = file("[columns]\nhosts = [\"name\"]\n");
    let mut world = with(&path).await;
    world.press("C<space><esc>").await;
    world.check_shows("NAME");
}

#[tokio::test]
async fn a_view_is_kept_by_name_and_recalled_by_key_palette_and_list() {
    let (_folder, path) = file("");
    let mut world = with(&path).await;
    world.press("/^web<enter>>>r").await;
    world.press("V<enter>").await;
    world.check_shows("Keep this view");
    world.events([Event::Paste("busy webs key <f5>".into())]).await;
    world.press("<enter>").await;
    world.check_shows("view busy webs is kept");
    let recalls = ["<f5>", ":busywebs<enter>", "V<enter>"];
    for keys in recalls {
        let mut world = with(&path).await;
        world.check_shows("db1");
        world.press(keys).await;
        world.check_hides("db1");
        world.check_shows("CPU▲");
        world.press("?/busy<enter>").await;
        world.check_shows("F5");
        world.check_shows("busy webs");
    }
    let mut world = with(&path).await;
    world.press("VG<enter>").await;
    world.check_shows("view busy webs is forgotten");
    assert!(!read(&path).contains("views"));
}

#[tokio::test]
async fn a_view_with_a_key_that_is_taken_is_refused() {
    let (_folder, path) = file("");
    let mut world = with(&path).await;
    world.press("V<enter>all key q<enter>").await;
    world.check_shows("q would mean both quit and the view 'all' in hosts");
    assert_eq!(read(&path), "");
}

#[tokio::test]
async fn a_settings_file_that_was_broken_meanwhile_is_not_written_over() {
    let (_folder, path) = file("");
    let mut world = with(&path).await;
    std::fs::write(&path, "them = 1").expect("write");
    world.press("C<space><enter>").await;
    world.check_shows("did you mean 'theme'?; mend the file first");
    assert_eq!(read(&path), "them = 1");
}

#[tokio::test]
async fn own_keys_work_and_are_shown_where_keys_are_told() {
    let (_folder, path) = file("[keys]\nhelp = \"h\"\nfilter = [\"C-g\", \"<f11>\"]\n");
    let mut world = with(&path).await;
    world.check_shows("Ctrl-G filter");
    world.check_shows("h help");
    world.press("?").await;
    world.check_hides("In lists");
    world.press("h").await;
    world.check_shows("In lists");
    world.check_shows("Ctrl-G F11");
    world.press("<esc><f11>web3<enter>").await;
    world.check_hides("web1");
}

#[tokio::test]
async fn the_next_match_is_found_with_the_filter_on_and_after_it() {
    let (_folder, path) = file("");
    let mut world = with(&path).await;
    world.press("n").await;
    world.check_shows("nothing to look for yet");
    world.press("/web<enter><esc>gn").await;
    assert!(line(&world, "▌").contains("web1"), "{}", world.screen());
    world.press("nn").await;
    assert!(line(&world, "▌").contains("web3"));
    world.press("N").await;
    assert!(line(&world, "▌").contains("web2"));
    world.check_shows("db1");
}

#[tokio::test]
async fn help_is_searched() {
    let (_folder, path) = file("");
    let mut world =
        World::new(Setup { size: (60, 18), config: Some(path), ..Setup::default() }).await;
    world.fleet(some_hosts()).await;
    world.press("?").await;
    world.check_hides("suspend");
    world.press("/suspend<enter>").await;
    world.check_shows("suspend");
    world.check_shows("1 found");
    world.press("/C-uorder<enter>").await;
    world.check_shows("turn the order round");
}

#[tokio::test]
async fn the_cmdr_line_of_what_is_on_show_is_copied() {
    let (_folder, path) = file("");
    let mut world = at_processes(&path).await;
    world.press("/worker<enter>").await;
    world.press("Y").await;
    world.press("*Y").await;
    world.press("xjY<enter>Y").await;
    world.press("<esc>C-y<enter>Y").await;
    let expected = [
        "cmdr kill web1 102",
        "cmdr kill web1 102 101",
        "cmdr kill web1 102 101 --signal KILL",
        "cmdr kill web1 102 101 --signal KILL",
        "cmdr ps web1 --sort cpu --filter worker",
        "cmdr kill web1 102",
    ];
    assert_eq!(world.control.copied, expected);
    assert_eq!(world.calls(), [], "copying sends nothing");
}
