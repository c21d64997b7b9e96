//! Packages: by the real apt and dpkg in a root of their own, and by programs that answer as the others do.

use super::*;
use cmdr_protocol::ErrorKind;
use cmdr_protocol::runs::{Action, Packages};
use harness::process::run;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command as Program;

fn order(action: Action, names: &[&str]) -> Order {
    let names = names.iter().map(|&name| name.to_owned()).collect();
    Order { packages: Some(Packages { action, names }), ..Order::default() }
}

fn program(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, PermissionsExt::from_mode(0o755)).unwrap();
}

fn done(command: &mut Program) -> String {
    let output = run(command);
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A package with nothing in it, in a source of packages.
fn package(source: &Path, name: &str, version: &str, depends: &str) {
    let (root, file) = (source.join("root"), format!("{name}_{version}_all.deb"));
    std::fs::create_dir_all(root.join("DEBIAN")).unwrap();
    let depends = if depends.is_empty() { String::new() } else { format!("Depends: {depends}\n") };
    let head = format!(
        "Package: {name}\nVersion: {version}\nArchitecture: all\nMaintainer: A Test <test@example.org>\n\
         {depends}Description: a package of a test\n"
    );
    std::fs::write(root.join("DEBIAN/control"), &head).unwrap();
    let deb = source.join(&file);
    done(Program::new("dpkg-deb").arg("--build").arg(&root).arg(&deb));
    let sum = done(Program::new("sha256sum").arg(&deb));
    let (sum, size) = (sum.split(' ').next().unwrap(), deb.metadata().unwrap().len());
    let entry = format!("{head}Filename: ./{file}\nSize: {size}\nSHA256: {sum}\n\n");
    let list = source.join("Packages");
    let before = std::fs::read_to_string(&list).unwrap_or_default();
    std::fs::write(list, before + &entry).unwrap();
}

/// The real apt and dpkg, in a root that has nothing yet.
fn real_apt(dir: &Path) -> String {
    let (root, source, bin) = (dir.join("root"), dir.join("source"), dir.join("bin"));
    for folder in [
        "var/lib/dpkg/updates",
        "var/lib/dpkg/info",
        "var/lib/apt/lists/partial",
        "var/cache/apt/archives/partial",
        "etc/apt",
        "var/log/apt",
    ] {
        std::fs::create_dir_all(root.join(folder)).unwrap();
    }
    for folder in [&source, &bin] {
        std::fs::create_dir_all(folder).unwrap();
    }
    std::fs::write(root.join("var/lib/dpkg/status"), "").unwrap();
    let sources = format!("deb [trusted=yes] file:{} ./\n", source.display());
    std::fs::write(root.join("etc/apt/sources.list"), sources).unwrap();
    let (config, at) = (dir.join("apt.conf"), root.display());
    let text = format!(
        "Dir \"{at}/\";\nDir::State::status \"{at}/var/lib/dpkg/status\";\nAPT::Sandbox::User \"root\";\n\
         Dir::Bin::dpkg \"{}/dpkg\";\nAPT::Architecture \"amd64\";\nDir::Log \"{at}/var/log/apt\";\n",
        bin.display()
    );
    std::fs::write(&config, text).unwrap();
    for name in ["apt-get", "apt-cache"] {
        let text =
            format!("#!/bin/sh\nAPT_CONFIG={} exec /usr/bin/{name} \"$@\"\n", config.display());
        program(&bin.join(name), &text);
    }
    let to_root = format!(
        "#!/bin/sh\nexec /usr/bin/dpkg --root={at} --force-not-root --force-script-chrootless --log=/dev/null \"$@\"\n"
    );
    program(&bin.join("dpkg"), &to_root);
    let query =
        format!("#!/bin/sh\nexec /usr/bin/dpkg-query --admindir={at}/var/lib/dpkg \"$@\"\n");
    program(&bin.join("dpkg-query"), &query);
    format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", bin.display())
}

async fn apt_host() -> (Host, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().canonicalize().unwrap();
    let path = real_apt(&dir);
    let host = Host::with(|config| {
        config.var_root = dir.join("root/var");
        config.package_path = Some(path);
    })
    .await;
    (host, folder)
}

#[tokio::test]
async fn apt_installs_upgrades_and_removes_and_says_when_it_is_so_already() {
    let (mut host, folder) = apt_host().await;
    let source = folder.path().canonicalize().unwrap().join("source");
    package(&source, "cmdr-base", "1.0", "");
    package(&source, "cmdr-tool", "1.0", "cmdr-base");
    // Its lists were never fetched.
    let report = host.run("r.0.0", order(Action::Install, &["cmdr-tool"])).await;
    let said = host.watching.text("r.0.0");
    assert_eq!((report.state, report.already), (TargetState::Ok, false), "{report:?} {said}");
    assert_eq!(report.message, "installed cmdr-base 1.0, cmdr-tool 1.0");
    let report = host.run("r.0.1", order(Action::Install, &["cmdr-tool", "cmdr-base"])).await;
    assert_eq!((report.state, report.already, report.code), (TargetState::Ok, true, None));
    assert_eq!(report.message, "cmdr-tool, cmdr-base are installed already");
    let report = host.run("r.0.2", order(Action::Upgrade, &["cmdr-tool"])).await;
    assert_eq!((report.state, report.already), (TargetState::Ok, true), "{report:?}");
    package(&source, "cmdr-tool", "1.1", "cmdr-base");
    let report = host.run("r.0.3", order(Action::Upgrade, &[])).await;
    assert_eq!(report.message, "changed cmdr-tool 1.0 to 1.1", "{}", host.watching.text("r.0.3"));
    let report = host.run("r.0.4", order(Action::Install, &["cmdr-tool=1.1"])).await;
    assert!(report.already, "{report:?}");
    let report = host.run("r.0.5", order(Action::Remove, &["cmdr-base"])).await;
    assert_eq!(report.message, "removed cmdr-base, cmdr-tool", "{}", host.watching.text("r.0.5"));
    let report = host.run("r.0.6", order(Action::Remove, &["cmdr-base"])).await;
    assert_eq!(
        (report.already, report.message.as_str()),
        (true, "cmdr-base is not installed already")
    );
}

#[tokio::test]
async fn a_package_that_does_not_exist_changes_nothing_and_is_named() {
    let (mut host, folder) = apt_host().await;
    let source = folder.path().canonicalize().unwrap().join("source");
    package(&source, "cmdr-tool", "1.0", "");
    // To apt this would be a pattern that fits the one above.
    for (n, name) in ["no-such-package", "cmdr.tool"].iter().enumerate() {
        let report =
            host.run(&format!("r.{n}.0"), order(Action::Install, &["cmdr-tool", name])).await;
        assert_eq!(report.state, TargetState::Failed, "{report:?}");
        assert_eq!(report.message, format!("no source of this host has a package {name}"));
    }
    let status = folder.path().join("root/var/lib/dpkg/status");
    assert!(!std::fs::read_to_string(status).unwrap().contains("cmdr-tool"));
    let report = host.run("r.8.0", order(Action::Upgrade, &["cmdr-tool"])).await;
    assert!(report.message.contains("is not installed"), "{report:?}");
    for name in ["-y", "/tmp/x.deb", "x-", "a b", "cmdr*"] {
        let refused = host.ask(&take("r.9.0", order(Action::Install, &[name]))).await.unwrap_err();
        assert_eq!(refused.kind, ErrorKind::Malformed, "{name}");
    }
}

/// A package manager that keeps its packages as files in a folder, and writes down with which words it was called.
async fn other(database: &str, etc: &str, name: &str, text: &str) -> (Host, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().canonicalize().unwrap();
    let bin = dir.join("bin");
    for folder in ["bin", "has", "root/var", "root/etc"] {
        std::fs::create_dir_all(dir.join(folder)).unwrap();
    }
    std::fs::create_dir_all(dir.join("root").join(database)).unwrap();
    if !etc.is_empty() {
        std::fs::create_dir_all(dir.join("root/etc").join(etc)).unwrap();
    }
    for file in ["passwd", "group"] {
        std::fs::copy(Path::new("/etc").join(file), dir.join("root/etc").join(file)).unwrap();
    }
    let head =
        format!("#!/bin/sh\nHAS={0}/has\necho \"${{0##*/}} $*\" >> {0}/asked\n", dir.display());
    program(&bin.join(name), &(head.clone() + text));
    let rpm = "cd $HAS; for f in *; do [ -e \"$f\" ] && printf '%s\\t%s\\n' \"$f\" \"$(cat $f)\"; done; exit 0\n";
    program(&bin.join("rpm"), &(head + rpm));
    let path = format!("{}:/usr/bin:/bin", bin.display());
    let host = Host::with(|config| {
        config.var_root = dir.join("root/var");
        config.etc_root = dir.join("root/etc");
        config.package_path = Some(path);
    })
    .await;
    (host, folder)
}

/// Goes through all that is asked of a package manager; with which words it was.
async fn all_of_it((mut host, folder): (Host, tempfile::TempDir)) -> Vec<String> {
    let report = host.run("r.0.0", order(Action::Install, &["tool"])).await;
    let said = host.watching.text("r.0.0");
    assert_eq!(report.message, "installed tool 1-1", "{report:?} {said}");
    let report = host.run("r.0.1", order(Action::Install, &["tool"])).await;
    assert_eq!((report.already, report.message.as_str()), (true, "tool is installed already"));
    let report = host.run("r.0.2", order(Action::Install, &["missing"])).await;
    assert_eq!(report.state, TargetState::Failed, "{report:?}");
    assert!(report.message.contains("has a package missing"), "{report:?}");
    let report = host.run("r.0.3", order(Action::Upgrade, &[])).await;
    assert_eq!(report.message, "changed tool 1-1 to 2-1", "{report:?}");
    let report = host.run("r.0.4", order(Action::Remove, &["tool", "missing"])).await;
    assert_eq!(report.message, "removed tool", "{report:?}");
    let report = host.run("r.0.5", order(Action::Remove, &["tool"])).await;
    assert!(report.already, "{report:?}");
    let asked = std::fs::read_to_string(folder.path().join("asked")).unwrap();
    let mut asked: Vec<_> = asked.lines().map(str::to_owned).collect();
    asked.retain(|line| !line.starts_with("rpm ") && line != "apk info -v" && line != "pacman -Q");
    asked
}

#[tokio::test]
async fn dnf_is_asked_without_questions() {
    let text = "case \"$*\" in
'-q repoquery --whatprovides tool') echo tool-1-1 ;;
'-q repoquery'*|'-q makecache') ;;
'-y install tool') echo 1-1 > $HAS/tool ;;
'-y upgrade') echo 2-1 > $HAS/tool ;;
*'remove tool') rm $HAS/tool ;;
*) echo unexpected; exit 9 ;;
esac\n";
    let asked = all_of_it(other("usr/lib/sysimage/rpm", "", "dnf", text).await).await;
    assert_eq!(
        asked,
        [
            "dnf -q repoquery --whatprovides tool",
            "dnf -y install tool",
            "dnf -q repoquery --whatprovides missing",
            "dnf -q makecache",
            "dnf -q repoquery --whatprovides missing",
            "dnf -q makecache",
            "dnf -y upgrade",
            "dnf -y --setopt=clean_requirements_on_remove=0 remove tool",
        ]
    );
}

#[tokio::test]
async fn zypper_is_asked_without_questions_and_a_wish_to_restart_is_no_failure() {
    let text = "[ $1 = --non-interactive ] || exit 9; shift
case \"$*\" in
'--quiet search --match-exact --provides tool') echo '  | tool | a tool | package' ;;
'--quiet search'*) exit 104 ;;
refresh) ;;
'install --auto-agree-with-licenses tool') echo 1-1 > $HAS/tool; exit 102 ;;
'update --auto-agree-with-licenses') echo 2-1 > $HAS/tool ;;
'remove tool') rm $HAS/tool ;;
*) echo unexpected; exit 9 ;;
esac\n";
    let asked = all_of_it(other("usr/lib/sysimage/rpm", "zypp", "zypper", text).await).await;
    assert_eq!(asked.len(), 8, "{asked:?}");
}

#[tokio::test]
async fn apk_is_asked_without_questions() {
    let text = "case \"$*\" in
'info -v') cd $HAS; for f in *; do [ -e $f ] && echo $f-$(cat $f); done; exit 0 ;;
'search --exact --quiet tool') echo tool ;;
'search'*|update) ;;
'--wait 120 add tool') echo 1-1 > $HAS/tool ;;
'--wait 120 upgrade') echo 2-1 > $HAS/tool ;;
'--wait 120 del tool') rm $HAS/tool ;;
*) echo unexpected; exit 9 ;;
esac\n";
    let host = other("lib/apk/db", "", "apk", text).await;
    std::fs::write(host.1.path().join("root/lib/apk/db/installed"), "").unwrap();
    let asked = all_of_it(host).await;
    assert_eq!(asked.len(), 8, "{asked:?}");
}

#[tokio::test]
async fn pacman_is_asked_without_questions_and_upgrades_everything_or_nothing() {
    let text = "case \"$*\" in
-Q) cd $HAS; for f in *; do [ -e $f ] && echo \"$f $(cat $f)\"; done; exit 0 ;;
'-Sp --noconfirm --print-format %n tool') echo tool ;;
'-Sp '*) echo 'error: target not found'; exit 1 ;;
'-S --noconfirm --needed tool') echo 1-1 > $HAS/tool ;;
'-Syu --noconfirm') echo 2-1 > $HAS/tool ;;
'-R --noconfirm tool') rm $HAS/tool ;;
*) echo unexpected; exit 9 ;;
esac\n";
    let (mut host, folder) = other("var/lib/pacman/local", "", "pacman", text).await;
    std::fs::write(folder.path().join("has/tool"), "1-1").unwrap();
    let report = host.run("r.9.9", order(Action::Upgrade, &["tool"])).await;
    assert_eq!(report.state, TargetState::Refused, "{report:?}");
    assert!(report.message.contains("everything or nothing"), "{report:?}");
    std::fs::remove_file(folder.path().join("has/tool")).unwrap();
    let asked = all_of_it((host, folder)).await;
    assert_eq!(asked.len(), 5, "{asked:?}");
}

#[tokio::test]
async fn a_host_without_a_package_manager_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let var = folder.path().join("root/var");
    std::fs::create_dir_all(&var).unwrap();
    let mut host = Host::with(|config| config.var_root = var).await;
    let report = host.run("r.0.0", order(Action::Install, &["tool"])).await;
    assert_eq!(report.state, TargetState::Refused, "{report:?}");
    assert!(report.message.contains("apt, dnf"), "{report:?}");
}
