//! Who listens on a port, anywhere, is found and signalled: by command and on the screen, with the
//! real programs.

use crate::client_runs::Story;
use crate::local::{Home, text};
use harness::process::{Running, program, run, until};
use harness::tmux::Terminal;
use std::io::{BufRead as _, BufReader};
use std::net::TcpStream;
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::thread;

/// A program that listens on a port of its own; ended when dropped.
struct Listening {
    child: Child,
    /// Kept: to wait for the program closes what it reads, which would end it too.
    _stdin: Option<ChildStdin>,
    port: String,
}

impl Listening {
    fn start() -> Self {
        let code = "import socket,sys;s=socket.socket();s.bind(('127.0.0.1',0));s.listen(9);\
                    print(s.getsockname()[1],flush=True);sys.stdin.read()";
        let mut child = Command::new("python3")
            .args(["-c", code])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let stdin = child.stdin.take();
        Self { child, _stdin: stdin, port: line.trim().to_owned() }
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

#[test]
fn who_listens_anywhere_is_found_and_signalled_by_command() {
    let home = Home::up();
    let mut program = Listening::start();
    let found = home.json(&["ports", "*", "--port", &program.port, "-o", "json"]);
    let [socket] = &found.as_array().unwrap()[..] else { panic!("{found}") };
    assert_eq!(socket["pid"], program.child.id());
    assert_eq!(
        (socket["state"].as_str(), socket["protocol"].as_str()),
        (Some("listen"), Some("tcp"))
    );
    assert!(socket["program"].as_str().unwrap().starts_with("python3"), "{socket}");

    // Without a terminal nobody can be asked.
    let asked = home.cmdr(&["ports", "*", "--port", &program.port, "--signal", "TERM"]);
    assert_eq!(asked.status.code(), Some(2), "{}", text(&asked.stderr));
    assert!(text(&asked.stderr).contains("python3"), "{}", text(&asked.stderr));
    assert!(program.child.try_wait().unwrap().is_none());
    let done = home.cmdr(&["ports", "*", "--port", &program.port, "--signal", "TERM", "--yes"]);
    assert!(done.status.success(), "{}", text(&done.stderr));
    assert_eq!(program.child.wait().unwrap().signal(), Some(15));
    let gone = home.cmdr(&["ports", "*", "--port", &program.port]);
    assert!(gone.status.success() && text(&gone.stderr).contains("no such socket"));
}

#[test]
fn who_listens_anywhere_is_found_and_signalled_on_the_screen() {
    let home = Home::up();
    let mut listening = Listening::start();
    let home_dir = home.dir.path().to_string_lossy().into_owned();
    let client = program("cmdr-tui").to_string_lossy().into_owned();
    let env = [("CMDR_HOME", home_dir.as_str()), ("LANG", "C.UTF-8")];
    let terminal = Terminal::start(home.dir.path(), (120, 40), &env, &[&client, "--lang", "en"]);
    terminal.until(&["online"]);
    terminal.keys(&["W"]);
    terminal.until(&["1 of 1 hosts have answered", "python3"]);
    let filter = format!("/ {} ", listening.port);
    terminal.keys(&["-l", &filter]);
    terminal.keys(&["Enter"]);
    terminal.until(&[&listening.port, "python3", "1 shown"]);
    terminal.keys(&["x"]);
    terminal.until(&["ask it to end"]);
    terminal.keys(&["Enter"]);
    terminal.until(&["Send TERM to python3", "y goes on"]);
    terminal.keys(&["y"]);
    assert_eq!(listening.child.wait().unwrap().signal(), Some(15));
}

/// Runs in a network of its own: carries what comes to the hub's port there to the socket of a file, starts the agent,
/// and a program that listens, whose port and number it writes down.
const APART: &str = r#"
import ctypes, fcntl, os, socket, struct, subprocess, sys, threading
way, told, port, listens, *agent = sys.argv[1:]
up = struct.pack('16sh22x', b'lo', 0x49)
fcntl.ioctl(socket.socket(), 0x8914, up)
def ends_with_us():
    ctypes.CDLL(None).prctl(1, 9)
def carry(a, b):
    try:
        while data := a.recv(65536):
            b.sendall(data)
    except OSError:
        pass
    for end in (a, b):
        try: end.shutdown(socket.SHUT_RDWR)
        except OSError: pass
code = "import socket,sys;s=socket.socket();s.bind(('127.0.0.1',int(sys.argv[1])));s.listen(9);print(1,flush=True);sys.stdin.read()"
child = subprocess.Popen(['python3', '-c', code, listens], stdin=subprocess.PIPE, stdout=subprocess.PIPE, preexec_fn=ends_with_us)
child.stdout.readline()
with open(told + '.new', 'w') as file:
    file.write(str(child.pid))
os.rename(told + '.new', told)
threading.Thread(target=child.wait, daemon=True).start()
hub = socket.create_server(('127.0.0.1', int(port)))
subprocess.Popen(agent, preexec_fn=ends_with_us)
while True:
    near, _ = hub.accept()
    far = socket.socket(socket.AF_UNIX)
    far.connect(way)
    for pair in ((near, far), (far, near)):
        threading.Thread(target=carry, args=pair, daemon=True).start()
"#;

/// Carries what comes to the socket of a file to the hub, while the test lives.
fn carry(way: &Path, hub: &str) {
    let (listener, hub) = (UnixListener::bind(way).unwrap(), hub.to_owned());
    let to_hub = move |near: UnixStream| -> std::io::Result<()> {
        let far = TcpStream::connect(&hub)?;
        let (mut from, mut to) = (near.try_clone()?, far.try_clone()?);
        thread::spawn(move || std::io::copy(&mut from, &mut to));
        let (mut from, mut to) = (far, near);
        thread::spawn(move || {
            std::io::copy(&mut from, &mut to).ok();
            to.shutdown(std::net::Shutdown::Both).ok();
        });
        Ok(())
    };
    thread::spawn(move || listener.incoming().flatten().for_each(|near| drop(to_hub(near))));
}

#[test]
fn who_listens_on_one_of_two_hosts_is_found_there_and_signalled() {
    let mut story = Story::begin();
    // The second host is a network of its own: its ports are nobody else's.
    story.agents.pop().unwrap().kill();
    let dir = story.hub.dir.path().to_owned();
    let (way, told, port) =
        (dir.join("way"), dir.join("told"), cmdr_link::port::choose().to_string());
    carry(&way, &story.hub.address);
    let hub_port = story.hub.address.rsplit_once(':').unwrap().1;
    let mut apart = Command::new("unshare");
    if !rustix::process::geteuid().is_root() {
        apart.arg("--map-root-user");
    }
    apart.args(["--net", "python3", "-c", APART]).arg(&way).arg(&told).args([hub_port, &port]);
    apart.arg(program("cmdr-agentd")).args(["run", "--state"]).arg(dir.join("web2"));
    let apart = Running::start(&mut apart, &dir.join("apart.log"));
    until("the second host listens", || told.exists());
    let pid = std::fs::read_to_string(&told).unwrap();
    let json = |arguments: &[&str]| {
        let output = run(&mut story.cmdr(arguments));
        assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
        serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap()
    };
    until("both hosts are there", || {
        json(&["hosts", "state=online", "-o", "json"]).as_array().unwrap().len() == 2
    });

    let found = json(&["ports", "*", "--port", &port, "-o", "json"]);
    let [socket] = &found.as_array().unwrap()[..] else { panic!("{found}: {}", apart.text()) };
    assert_eq!((&socket["host"], socket["pid"].to_string()), (&"web2".into(), pid.clone()));
    assert!(socket["program"].as_str().unwrap().starts_with("python3"), "{socket}");
    // Asked of the other host alone there is none, and nobody is signalled.
    let signal = ["--port", &port, "--signal", "TERM", "--yes"];
    let none = run(&mut story.cmdr(&[&["ports", "web1"], &signal[..]].concat()));
    assert!(text(&none.stderr).contains("no such socket"), "{}", text(&none.stderr));
    assert!(Path::new("/proc").join(&pid).exists());
    let done = run(&mut story.cmdr(&[&["ports", "*"], &signal[..]].concat()));
    assert!(done.status.success(), "{}", text(&done.stderr));
    until("it has ended", || !Path::new("/proc").join(&pid).exists());
}
