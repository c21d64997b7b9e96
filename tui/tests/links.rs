//! Links in sessions: listed, copied, opened after a question.

use crate::shell::{in_shell, mouse, setup, wrote};
use crate::support::*;
use crossterm::event::{MouseButton, MouseEventKind};

#[tokio::test]
async fn links_are_listed_to_be_copied() {
    let mut world = in_shell(setup()).await;
    wrote(&mut world, "\u{1b}]8;;https://example.com/a\u{7}here\u{1b}]8;;\u{7}").await;
    world.press("C-\\u").await;
    world.check_shows("https://example.com/a");
    world.press("<enter>").await;
    world.idle().await;
    assert_eq!(world.control.copied, ["https://example.com/a"]);
}

#[tokio::test]
async fn a_link_is_opened_after_a_question_and_only_one_of_the_web() {
    let folder = tempfile::tempdir().expect("folder");
    let (opener, told) = (folder.path().join("open"), folder.path().join("told"));
    let script = format!("#!/bin/sh\necho \"$#\" \"$1\" > {}\n", told.display());
    std::fs::write(&opener, script).expect("write");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&opener, mode).expect("mode");
    let mut world = in_shell(Setup { opener: Some(opener), ..setup() }).await;
    wrote(&mut world, "\u{1b}]8;;https://example.com/a?b=c&d\u{7}here\u{1b}]8;;\u{7} ").await;
    wrote(&mut world, "\u{1b}]8;;file:///etc/passwd\u{7}there\u{1b}]8;;\u{7}").await;
    // A click on it asks; the program wants no mouse.
    let row = world.screen().lines().position(|line| line.contains("here")).expect("a line") as u16;
    let left = MouseButton::Left;
    world.events([mouse(MouseEventKind::Down(left), 2, row)]).await;
    world.events([mouse(MouseEventKind::Up(left), 2, row)]).await;
    world.check_shows("in the browser of this machine?");
    world.check_shows("https://example.com/a?b=c&d");
    world.press("n").await;
    world.check_hides("in the browser of this machine?");
    assert!(!told.exists(), "not without being told");
    world.press("C-\\u").await;
    world.check_shows("Enter opens");
    world.press("<enter>y").await;
    for _ in 0..2000 {
        if std::fs::read_to_string(&told).is_ok_and(|told| told.ends_with('\n')) {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        world.idle().await;
    }
    let told = std::fs::read_to_string(&told).expect("opened");
    assert_eq!(told, "1 https://example.com/a?b=c&d\n");
    // Anything else is only copied.
    world.press("C-\\uj<enter>").await;
    world.idle().await;
    assert_eq!(world.control.copied, ["file:///etc/passwd"]);
}
