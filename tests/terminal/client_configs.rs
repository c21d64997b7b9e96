//! Config groups in the full-screen client, on a real terminal: what two real agents lack is seen, pushed, seen to
//! be equal, changed behind the hub's back and read as a difference; an older version is saved again.

use crate::client_runs::Story;
use harness::process::{run, until};
use std::fs;

#[test]
fn files_that_hosts_lack_are_pushed_and_what_somebody_changed_is_read_as_a_difference() {
    let story = Story::begin();
    let folder = story.hub.dir.path().join("files");
    fs::create_dir(&folder).unwrap();
    let folder_shown = folder.display();
    let group = |port: u16| {
        format!(
            "name: shop\ndescription: what the shop has\nhosts: web*\nfiles:\n- to: {folder_shown}/{{{{host.name}}}}.conf\n  mode: '0640'\n  content: |\n    name {{{{host.name}}}}\n    port {port}\n"
        )
    };
    let text = story.hub.dir.path().join("shop.yaml");
    for port in [80, 8080] {
        fs::write(&text, group(port)).unwrap();
        let mut save = story.cmdr(&["config", "save"]);
        let saved = run(save.arg(&text));
        assert!(saved.status.success(), "{saved:?}");
    }
    let terminal = story.client((120, 40));
    terminal.until(&["web1", "web2", "2 online"]);
    terminal.keys(&["U"]);
    terminal.until(&["shop", "web*", "what the shop has"]);
    terminal.keys(&["Enter"]);
    terminal.until(&["2 hosts", "missing 2", "web1.conf", "web2.conf"]);
    terminal.keys(&["p"]);
    terminal.until(&["What goes where", "● web1", "● web2"]);
    terminal.keys(&["s"]);
    terminal.until(&["on 2 hosts", "y goes on"]);
    terminal.keys(&["y"]);
    terminal.until(&["done", "ok 2"]);
    let there = fs::read_to_string(folder.join("web1.conf")).unwrap();
    assert_eq!(there, "name web1\nport 8080\n");
    terminal.keys(&["Escape"]);
    terminal.until(&["what the shop has", "missing 2"]);
    terminal.keys(&["R"]);
    terminal.until(&["equal 2"]);
    // What it holds now could clear the screen.
    fs::write(folder.join("web2.conf"), "name web2\nport 22\n\x1b[2Jbad\n").unwrap();
    terminal.keys(&["R"]);
    terminal.until(&["equal 1", "differs 1"]);
    terminal.keys(&["Tab"]);
    terminal.until(&["HOST", "content"]);
    terminal.keys(&["g", "Enter"]);
    let screen = terminal.until(&["-port 22", "+port 8080"]);
    assert!(screen.contains("␛[2Jbad"), "{screen}");
    terminal.keys(&["Escape"]);
    until("the difference is gone", || !terminal.screen().contains("-port 22"));
    terminal.keys(&["u"]);
    terminal.until(&["Versions of shop"]);
    terminal.keys(&["j", "Enter"]);
    terminal.until(&["-    port 8080", "+    port 80", "save it again"]);
    terminal.keys(&["r"]);
    terminal.until(&["Save version 1 of shop again"]);
    terminal.keys(&["y"]);
    terminal.until(&["shop is saved as version 3"]);
    let shown = run(&mut story.cmdr(&["config", "show", "shop"]));
    assert!(String::from_utf8_lossy(&shown.stdout).contains("port 80\n"));
    terminal.keys(&["C-c"]);
    terminal.ended();
}
