//! A program that writes at full speed into a session of the client: the client's memory stays bounded, and its
//! keys are answered.

use crate::client_sessions::open;
use crate::local::Home;
use harness::process::until_within;
use std::time::{Duration, Instant};

/// What the client may take beyond what it had before, in bytes. What it keeps of a session is so many lines; all
/// that it read would be many times as much.
const MORE: u64 = 96 << 20;
/// A key is answered within this time, however busy the machine.
const ANSWERED: Duration = Duration::from_secs(15);

struct Client {
    pid: String,
}

impl Client {
    fn field(&self, file: &str, name: &str) -> u64 {
        let text = std::fs::read_to_string(format!("/proc/{}/{file}", self.pid)).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim_start_matches(':').trim().trim_end_matches(" kB").parse().unwrap()
    }

    fn memory(&self) -> u64 {
        self.field("status", "VmRSS") * 1024
    }
}

#[test]
fn a_program_at_full_speed_takes_no_memory_of_the_client_and_no_key_from_it() {
    let home = Home::up();
    let terminal = open(&home, "flooded", (100, 30));
    terminal.until(&["1 online"]);
    terminal.keys(&["s"]);
    terminal.until(&["you drive"]);
    terminal.line("PS1='ready> '; echo begun $((40+2))");
    terminal.until(&["begun 42", "ready> "]);
    let pid = std::fs::read_to_string(home.dir.path().join("flooded/pid")).unwrap();
    let client = Client { pid: pid.trim().to_owned() };
    let memory = client.memory();
    let flood = "yes 'a line of a program that writes as fast as it can and never stops of itself'";
    terminal.line(&format!("{flood} | head -c 12000000; echo over $((30+3))"));
    let mut most = 0;
    // How long that takes is nothing that is asked here.
    let all_has_come = until_within(Duration::from_mins(3), || {
        most = most.max(client.memory());
        terminal.screen().contains("over 33")
    });
    assert!(all_has_come, "{}", terminal.screen());
    let grown = most.saturating_sub(memory);
    assert!(grown < MORE, "it has grown by {} MiB", grown >> 20);
    terminal.line(flood);
    terminal.until(&["never stops of itself"]);
    // While it goes on, the session is left and found again.
    let begin = Instant::now();
    terminal.keys(&["C-\\", "d"]);
    terminal.until(&["WHAT", "yours"]);
    assert!(begin.elapsed() < ANSWERED, "the keys took {:?}", begin.elapsed());
    terminal.keys(&["Enter"]);
    terminal.until(&["you drive", "never stops of itself"]);
    let begin = Instant::now();
    terminal.keys(&["C-c"]);
    terminal.until(&["ready>"]);
    assert!(begin.elapsed() < ANSWERED, "the end took {:?}", begin.elapsed());
    terminal.line("echo still here $((50+5))");
    terminal.until(&["still here 55"]);
    let grown = client.memory().saturating_sub(memory);
    assert!(grown < MORE, "it has grown by {} MiB", grown >> 20);
}
