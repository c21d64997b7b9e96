//! Opens a link in the operator's own browser. Only what begins with `http` or `https`, as one argument of a
//! program that is there for it, and only at a desktop of this machine: within SSH a browser would open
//! where nobody sits.

use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::process::Command;

/// The program that opens links. Elsewhere than on macOS one called `open` does something else.
const OPENER: &str = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
/// The longest address that is opened.
const LONGEST: usize = 2048;
/// An opener that goes on for so long is a browser itself.
const PATIENCE: Duration = Duration::from_secs(3);

/// The program that opens links here, if there is one and somebody sits at its screen.
pub fn find(var: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let set = |name: &str| var(name).filter(|value| !value.is_empty());
    if ["SSH_CONNECTION", "SSH_CLIENT", "SSH_TTY"].into_iter().any(|name| set(name).is_some()) {
        return None;
    }
    let desktop = ["DISPLAY", "WAYLAND_DISPLAY"].into_iter().any(|name| set(name).is_some());
    if !desktop && !cfg!(target_os = "macos") {
        return None;
    }
    let path = set("PATH")?;
    std::env::split_paths(&path).filter(|folder| folder.is_absolute()).find_map(|folder| {
        let program = folder.join(OPENER);
        let is = program.metadata().ok()?;
        (is.is_file() && is.permissions().mode() & 0o111 != 0).then_some(program)
    })
}

/// Whether an address that a host has sent is one that may be opened.
pub fn is_web(address: &str) -> bool {
    let rest = ["http://", "https://"].into_iter().find_map(|scheme| {
        let begins = address.get(..scheme.len())?.eq_ignore_ascii_case(scheme);
        begins.then(|| &address[scheme.len()..])
    });
    address.len() <= LONGEST
        && rest.is_some_and(|rest| !rest.is_empty() && rest.chars().all(|c| c.is_ascii_graphic()))
}

/// Opens it; the error says what went wrong, and what can be done instead.
pub async fn open(opener: &Path, address: &str) -> Result<(), String> {
    let name = opener.display();
    let instead = "copy the link instead";
    if !is_web(address) {
        return Err(format!("this is no address of http or https: {instead}"));
    }
    let mut child = Command::new(opener)
        .arg(address)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        // A Ctrl-C is for the client alone.
        .process_group(0)
        .spawn()
        .map_err(|e| format!("starting {name}: {e}; {instead}"))?;
    match tokio::time::timeout(PATIENCE, child.wait()).await {
        // It goes on without us.
        Err(_) => Ok(()),
        Ok(Ok(status)) if status.success() => Ok(()),
        Ok(Ok(status)) => Err(format!("{name} could not open the link ({status}); {instead}")),
        Ok(Err(e)) => Err(format!("waiting for {name}: {e}; {instead}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_addresses_of_the_web_are_opened() {
        for good in ["http://a", "HTTPS://Example.com/a?b=c&d#e", "https://xn--fiq.cn/%E8%8A"] {
            assert!(is_web(good), "{good}");
        }
        let long = format!("https://{}", "a".repeat(LONGEST));
        for bad in
            ["", "http://", "file:///etc/passwd", "javascript:x", "--help", "https://a b", &long]
        {
            assert!(!is_web(bad), "{bad}");
        }
        assert!(!is_web("https://a\u{1b}[0m"), "escapes");
        assert!(!is_web("https://\u{202e}moc"), "letters that turn others round");
    }

    #[test]
    fn nothing_is_opened_within_ssh_without_a_desktop_or_without_a_program() {
        let folder = tempfile::tempdir().expect("folder");
        let program = folder.path().join("xdg-open");
        std::fs::write(&program, "").expect("write");
        let path = folder.path().as_os_str().to_owned();
        let with = |more: &'static [&'static str]| {
            let path = path.clone();
            find(move |name| match name {
                "PATH" => Some(path.clone()),
                name => more.contains(&name).then(|| "x".into()),
            })
        };
        assert_eq!(with(&["DISPLAY"]), None, "it is no program");
        let mode = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(&program, mode).expect("mode");
        assert_eq!(with(&["DISPLAY"]), Some(program.clone()));
        assert_eq!(with(&["WAYLAND_DISPLAY"]), Some(program));
        assert_eq!(with(&[]), None);
        assert_eq!(with(&["DISPLAY", "SSH_CONNECTION"]), None);
    }
}
