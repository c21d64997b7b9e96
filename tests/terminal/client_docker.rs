//! The Docker page of the full-screen client, on a real terminal and a real engine: a container is run from words of
//! `docker run`, gets files, is changed, looked into and made an image of; networks and volumes; a compose project from
//! its file to its end.

use crate::client_runs::Story;
use harness::engine::{Engine, IMAGE, Name};
use harness::process::{Running, program, until};
use harness::tmux::Terminal;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

/// A hub whose host web1 has the engine; web2 has none.
struct Docker {
    story: Story,
    engine: Engine,
}

impl Docker {
    fn begin() -> Self {
        let engine = Engine::up();
        let mut story = Story::begin();
        story.agents.clear();
        let sockets = [("web1", engine.socket()), ("web2", "/nonexistent.sock".into())];
        for (name, socket) in sockets {
            let dir = story.hub.dir.path();
            let policy = dir.join(format!("{name}.toml"));
            fs::write(&policy, format!("[containers]\nsocket = \"{}\"\n", socket.display()))
                .unwrap();
            // The agent refuses one that others may write.
            fs::set_permissions(&policy, fs::Permissions::from_mode(0o600)).unwrap();
            let mut serve = Command::new(program("cmdr-agentd"));
            serve.args(["run", "--state"]).arg(dir.join(name)).arg("--policy").arg(&policy);
            let log = dir.join(format!("{name}.log"));
            let running = Running::start(&mut serve, &log);
            story.agents.push(running);
        }
        Self { story, engine }
    }

    /// The list of containers of all hosts.
    fn page(&self) -> Terminal {
        let terminal = self.story.client((160, 45));
        terminal.until(&["web1", "web2", "2 online"]);
        terminal.keys(&["#"]);
        terminal.until(&["containers", "1 of 2 hosts have answered", "1 without Docker"]);
        terminal
    }

    fn inspect(&self, name: &Name, what: &str) -> String {
        let output = self.engine.try_docker(&["inspect", "--format", what, name.as_str()]);
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }
}

/// Shows those rows alone that have this in them.
fn only(terminal: &Terminal, text: &str) {
    terminal.keys(&["/", "C-u", text, "Enter"]);
    terminal.until(&[&format!("/{text}")]);
}

/// Chooses that of a menu which has this in it.
fn choose(terminal: &Terminal, text: &str) {
    terminal.until(&["│▌", text]);
    // One step at a time: what is chosen is looked at before the next.
    let chosen = |screen: &str| {
        let line = screen.lines().find(|line| line.contains("│▌")).unwrap_or_default();
        line.to_owned()
    };
    loop {
        let before = chosen(&terminal.screen());
        if before.contains(text) {
            break;
        }
        terminal.keys(&["j"]);
        until("the next is chosen", || chosen(&terminal.screen()) != before);
    }
    terminal.keys(&["Enter"]);
}

/// Agrees to what is asked.
fn agree(terminal: &Terminal) {
    terminal.until(&["y goes on"]);
    terminal.keys(&["y"]);
}

#[test]
fn a_container_is_run_filled_changed_looked_into_and_made_an_image_of() {
    let docker = Docker::begin();
    let name = docker.engine.name("page");
    let terminal = docker.page();
    // From the words of docker run, looked at as a form.
    terminal.keys(&["+"]);
    terminal.until(&["Run a container"]);
    terminal.keys(&["F3"]);
    terminal.until(&["The same as YAML"]);
    terminal.keys(&["F3"]);
    terminal.until(&["Paste or type docker run"]);
    let words = format!("docker run -d --init --network none --name {name} {IMAGE} sleep 86400");
    terminal.keys(&["-l", &words]);
    terminal.keys(&["F3"]);
    terminal.until(&[name.as_str(), IMAGE, "sleep 86400"]);
    terminal.keys(&["C-s"]);
    let asked = terminal.until(&["web1"]);
    assert!(asked.contains(name.as_str()), "{asked}");
    until("it is asked or done", || {
        if terminal.screen().contains("y goes on") {
            terminal.keys(&["y"]);
        }
        docker.inspect(&name, "{{.State.Status}}") == "running"
    });
    only(&terminal, name.as_str());
    terminal.until(&["1 shown", "running"]);
    // A folder into it, and out of it again.
    let folder = docker.story.hub.dir.path().join("site");
    fs::create_dir_all(folder.join("css")).unwrap();
    fs::write(folder.join("css/a"), "one\n").unwrap();
    terminal.keys(&["i"]);
    terminal.until(&["Copy into"]);
    terminal.keys(&["C-u", &folder.display().to_string(), "Tab", "C-u", "/srv", "Enter"]);
    terminal.until(&["done:", "/srv"]);
    let text = docker.engine.docker(&["exec", name.as_str(), "cat", "/srv/css/a"]);
    assert_eq!(text, "one");
    let back = docker.story.hub.dir.path().join("back");
    terminal.keys(&["c"]);
    terminal.until(&["Copy out of"]);
    terminal.keys(&["C-u", "/srv", "Tab", "C-u", &back.display().to_string(), "Enter"]);
    until("it came out", || fs::read_to_string(back.join("css/a")).is_ok_and(|t| t == "one\n"));
    // Its processes, and what it changed.
    terminal.keys(&["t"]);
    terminal.until(&["docker-init -- sleep 86400"]);
    terminal.keys(&["Escape"]);
    until("they are gone", || !terminal.screen().contains("docker-init"));
    terminal.keys(&["w"]);
    terminal.until(&["/srv/css/a"]);
    terminal.keys(&["Escape"]);
    until("they are gone", || !terminal.screen().contains("/srv/css/a"));
    // An image of what it has become, with a name of the test's own.
    let image = format!("{name}-image:1");
    terminal.keys(&["C-s"]);
    terminal.until(&["Make an image of"]);
    terminal.keys(&[&image, "Enter"]);
    terminal.until(&["was made"]);
    assert!(!docker.engine.docker(&["images", "-q", &image]).is_empty());
    // Another policy, paused, let go on, ended with a signal.
    terminal.keys(&["u"]);
    terminal.until(&["Limits of"]);
    terminal.keys(&["Tab", "Tab", "Tab", "unless-stopped", "Enter"]);
    agree(&terminal);
    let policy = "{{.HostConfig.RestartPolicy.Name}}";
    until("it has another policy", || docker.inspect(&name, policy) == "unless-stopped");
    terminal.keys(&["p"]);
    agree(&terminal);
    terminal.until(&["paused"]);
    terminal.keys(&["p"]);
    agree(&terminal);
    until("it goes on", || docker.inspect(&name, "{{.State.Status}}") == "running");
    // Attached to, and left with the prefix.
    terminal.keys(&["a"]);
    terminal.until(&[&format!("docker attach {name}")]);
    terminal.keys(&["C-\\", "d"]);
    terminal.until(&["WHOSE", "nobody"]);
    terminal.keys(&["Escape"]);
    terminal.until(&["containers", "compose"]);
    only(&terminal, name.as_str());
    terminal.until(&["1 shown"]);
    // Away with it.
    terminal.keys(&["D"]);
    terminal.until(&["It runs: it is killed", "Type"]);
    terminal.keys(&[name.as_str(), "Enter"]);
    until("it is gone", || docker.inspect(&name, "{{.Id}}").is_empty());
    terminal.keys(&["C-c"]);
    terminal.ended();
}

#[test]
fn a_container_is_put_in_a_network_and_a_volume_is_backed_up_and_restored() {
    let docker = Docker::begin();
    let (engine, name) = (&docker.engine, docker.engine.name("net"));
    let volume = format!("{name}-volume");
    let network = format!("{name}-network");
    engine.docker(&["network", "create", "--internal", &network]);
    engine.docker(&[
        "run",
        "-d",
        "--init",
        "--name",
        name.as_str(),
        "--network",
        "bridge",
        "-v",
        &format!("{volume}:/data"),
        IMAGE,
        "sleep",
        "86400",
    ]);
    engine.docker(&["exec", name.as_str(), "sh", "-c", "echo kept > /data/file"]);
    let terminal = docker.page();
    terminal.keys(&["]"]);
    terminal.until(&["USED BY", "NEWER"]);
    terminal.keys(&["]"]);
    terminal.until(&["DRIVER", "PLACE"]);
    only(&terminal, &volume);
    terminal.until(&["1 shown"]);
    let file = docker.story.hub.dir.path().join("backup.tar");
    terminal.keys(&["w"]);
    terminal.until(&[".tar"]);
    terminal.keys(&["C-u", &file.display().to_string(), "Enter"]);
    until("it is backed up", || file.exists());
    engine.docker(&["exec", name.as_str(), "sh", "-c", "echo lost > /data/file"]);
    terminal.keys(&["a"]);
    terminal.until(&["Restore"]);
    terminal.keys(&["C-u", &file.display().to_string(), "Tab", "y", "Enter"]);
    agree(&terminal);
    until("it is restored", || {
        engine.docker(&["exec", name.as_str(), "cat", "/data/file"]) == "kept"
    });
    terminal.keys(&["]"]);
    terminal.until(&["SUBNET"]);
    only(&terminal, &network);
    terminal.until(&["1 shown"]);
    let networks =
        || docker.inspect(&name, "{{range $k, $v := .NetworkSettings.Networks}}{{$k}} {{end}}");
    terminal.keys(&["c"]);
    terminal.until(&["Put into"]);
    choose(&terminal, name.as_str());
    terminal.until(&[&format!("Put {name} into")]);
    terminal.keys(&["Enter"]);
    until("it is in the network", || networks().contains(&network));
    let row = format!(" {name} ");
    let is_in = || terminal.screen().lines().any(|l| l.starts_with('▌') && l.contains(&row));
    until("it is among those in the network", is_in);
    terminal.keys(&["o"]);
    terminal.until(&["Take out of"]);
    choose(&terminal, &format!("{name} "));
    agree(&terminal);
    until("it is out of the network", || !networks().contains(&network));
    terminal.keys(&["C-c"]);
    terminal.ended();
}

#[test]
fn a_compose_project_is_kept_planned_brought_up_found_drifted_and_taken_away() {
    let docker = Docker::begin();
    let name = docker.engine.name("shop");
    let folder = docker.story.hub.dir.path().join(name.as_str());
    fs::create_dir(&folder).unwrap();
    let file = folder.join("compose.yaml");
    let text = |seconds: u32| {
        format!(
            "version: '2.4'\nservices:\n  web:\n    image: {IMAGE}\n    init: true\n    command: sleep {seconds}\n    network_mode: none\n"
        )
    };
    fs::write(&file, text(86400)).unwrap();
    let terminal = docker.page();
    terminal.keys(&["["]);
    terminal.until(&["The hub keeps no compose project"]);
    // Named as its folder.
    terminal.keys(&["+"]);
    terminal.until(&["New compose project"]);
    terminal.keys(&["C-u", &file.display().to_string(), "Tab", "Tab", "web1", "Enter"]);
    terminal.until(&[&format!("{name} is kept as version 1")]);
    let bring = |terminal: &Terminal, plan: &str| {
        terminal.keys(&["u"]);
        terminal.until(&["bring it up", plan]);
        terminal.keys(&["u"]);
        agree(terminal);
        terminal.until(&["web1  done"]);
        terminal.keys(&["Escape"]);
        terminal.until(&["1/1"]);
    };
    bring(&terminal, "there is no container of it");
    let container = format!("{name}_web_1");
    docker.engine.docker(&["stop", "--time", "1", &container]);
    terminal.keys(&["R"]);
    terminal.until(&["down", "0/1"]);
    // A newer file, and what it would do.
    fs::write(&file, text(76400)).unwrap();
    terminal.keys(&["e"]);
    terminal.until(&["compose.yaml"]);
    terminal.keys(&["C-u", &file.display().to_string(), "Enter"]);
    terminal.until(&[&format!("{name} is kept as version 2")]);
    bring(&terminal, "its settings are others");
    let command = docker.engine.docker(&["inspect", "--format", "{{.Config.Cmd}}", &container]);
    assert!(command.contains("76400"), "{command}");
    terminal.keys(&["D"]);
    terminal.until(&["containers and networks"]);
    terminal.keys(&["Enter"]);
    terminal.until(&["its volumes stay", "Type"]);
    terminal.keys(&[name.as_str(), "Enter"]);
    terminal.until(&["web1  done"]);
    assert!(
        docker.engine.docker(&["ps", "-aq", "--filter", &format!("name={container}")]).is_empty()
    );
    terminal.keys(&["Escape"]);
    until("it is gone", || !terminal.screen().contains("p shows it again"));
    terminal.until(&["down", "0/0"]);
    terminal.keys(&["C-x"]);
    terminal.until(&["Delete", "its containers go on", "Type"]);
    terminal.keys(&[name.as_str(), "Enter"]);
    terminal.until(&["The hub keeps no compose project"]);
    terminal.keys(&["C-c"]);
    terminal.ended();
}
