//! The flight recorder of a real agent and the status board of a real probe in the full-screen client, on a real
//! terminal: what runs is seen and gone back to, an outage of a far end is seen, and a probe is made by the form.

use crate::client_runs::Story;
use harness::process::run;
use std::fs;
use std::net::TcpListener;

#[test]
fn what_ran_is_looked_at_and_a_probe_is_seen_to_go_down_and_made_by_a_form() {
    let story = Story::begin();
    let far_end = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = far_end.local_addr().unwrap();
    let text = story.hub.dir.path().join("db.yaml");
    let port = at.port();
    fs::write(&text, format!("name: db\ndescription: the far end\ntcp: {{ host: 127.0.0.1, port: {port} }}\nevery: 5s\nretries: 0\n"))
        .unwrap();
    let mut save = story.cmdr(&["probes", "save"]);
    let saved = run(save.arg(&text));
    assert!(saved.status.success(), "{saved:?}");
    let terminal = story.client((140, 44));
    terminal.until(&["web1", "web2", "2 online"]);
    terminal.keys(&["Enter"]);
    terminal.until(&["overview", "web1"]);
    terminal.keys(&[","]);
    terminal.until(&["flight recorder", "live", "NAME OR COMMAND", "cmdr-agentd"]);
    terminal.keys(&["Left"]);
    terminal.until(&["ago ", "cmdr-agentd"]);
    terminal.keys(&["End"]);
    terminal.until(&["live"]);
    // To tmux a bare one ends a command.
    terminal.keys(&["\\;"]);
    terminal.until(&["1 probe", "● up", "db", "2/2", "100.0%"]);
    drop(far_end);
    terminal.until(&["✗ 1 down", "✗ down", "0/2", "2 of 2 agents say it is down"]);
    terminal.keys(&["Enter"]);
    terminal.until(&["AS EACH HOST SEES IT", "web1", "web2", "WHAT HAPPENED"]);
    terminal.keys(&["Escape"]);
    terminal.keys(&["a"]);
    terminal.until(&["A new probe", "small letters"]);
    terminal.keys(&["h", "u", "b", "Tab"]);
    terminal.until(&["ping HOST"]);
    terminal.keys(&["t", "c", "p", "Space"]);
    let hub = story.hub.address.clone();
    for key in hub.chars() {
        terminal.keys(&[key.to_string().as_str()]);
    }
    terminal.keys(&["Enter"]);
    terminal.until(&["hub is saved", "2 probes"]);
    let shown = run(&mut story.cmdr(&["probes", "show", "hub"]));
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.contains("tcp:") && shown.contains("every: 60s"), "{shown}");
    terminal.keys(&["C-c"]);
    terminal.ended();
}
