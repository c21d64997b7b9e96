//! The package managers: with which words each is asked, and how what it says is read.

use crate::Config;
use std::path::Path;

/// How to find out whether a source has a package.
pub(super) enum Known {
    /// It lists names that begin so, one a line.
    Listed(&'static [&'static str]),
    /// It says something and ends with 0.
    Code(&'static [&'static str]),
}

/// One package manager.
pub(super) struct Manager {
    pub(super) name: &'static str,
    pub(super) env: &'static [(&'static str, &'static str)],
    /// Lists what is installed.
    pub(super) list: &'static [&'static str],
    /// Name and version out of a line of that.
    pub(super) line: fn(&str) -> Option<(String, String)>,
    /// The name without the version that is wanted.
    pub(super) bare: fn(&str) -> &str,
    pub(super) known: Option<Known>,
    /// Fetches the lists of what there is; empty where that goes by itself.
    pub(super) refresh: &'static [&'static str],
    pub(super) install: &'static [&'static str],
    pub(super) remove: &'static [&'static str],
    /// Some; empty where that is no good idea.
    pub(super) upgrade: &'static [&'static str],
    pub(super) upgrade_all: &'static [&'static str],
    /// Codes that are as good as 0.
    pub(super) fine: &'static [i32],
    /// Codes after which fresh lists may help.
    pub(super) stale: &'static [i32],
    /// A folder that has something in it after one was cut off, and what finishes that.
    pub(super) mend: Option<(&'static str, &'static [&'static str])>,
}

impl std::fmt::Debug for Manager {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Manager").field("name", &self.name).finish_non_exhaustive()
    }
}

macro_rules! apt {
    ($($arg:literal),*) => {
        &[
            "apt-get", "-q", "-y", "-o", "Dpkg::Options::=--force-confdef", "-o",
            "Dpkg::Options::=--force-confold", "-o", "DPkg::Lock::Timeout=120", "-o", "Dpkg::Use-Pty=0", $($arg),*
        ]
    };
}

static APT: Manager = Manager {
    name: "apt",
    env: &[
        ("DEBIAN_FRONTEND", "noninteractive"),
        ("APT_LISTCHANGES_FRONTEND", "none"),
        ("NEEDRESTART_MODE", "l"),
        ("LC_ALL", "C.UTF-8"),
    ],
    list: &["dpkg-query", "-W", "-f", "${db:Status-Status}\\t${binary:Package}\\t${Version}\\n"],
    line: |line| {
        let mut fields = line.split('\t');
        let status = fields.next()?;
        let (name, version) = (fields.next()?, fields.next()?);
        (status == "installed").then(|| (name.to_owned(), version.to_owned()))
    },
    bare: |name| name.split('=').next().unwrap_or(name),
    // apt-get reads a name that nothing has as a pattern: only names that are there are given to it.
    known: Some(Known::Listed(&["apt-cache", "pkgnames"])),
    refresh: apt!["update"],
    install: apt!["install", "--"],
    remove: apt!["remove", "--"],
    upgrade: apt!["install", "--only-upgrade", "--"],
    upgrade_all: apt!["upgrade", "--with-new-pkgs"],
    fine: &[],
    stale: &[100],
    mend: Some((
        "lib/dpkg/updates",
        &["dpkg", "--configure", "-a", "--force-confdef", "--force-confold"],
    )),
};

const RPM: &[&str] = &["rpm", "-qa", "--qf", "%{NAME}\\t%{VERSION}-%{RELEASE}\\n"];

fn rpm_line(line: &str) -> Option<(String, String)> {
    let (name, version) = line.split_once('\t')?;
    Some((name.to_owned(), version.to_owned()))
}

static DNF: Manager = Manager {
    name: "dnf",
    env: &[("LC_ALL", "C.UTF-8")],
    list: RPM,
    line: rpm_line,
    bare: |name| name,
    known: Some(Known::Code(&["dnf", "-q", "repoquery", "--whatprovides"])),
    refresh: &["dnf", "-q", "makecache"],
    install: &["dnf", "-y", "install"],
    remove: &["dnf", "-y", "--setopt=clean_requirements_on_remove=0", "remove"],
    upgrade: &["dnf", "-y", "upgrade"],
    upgrade_all: &["dnf", "-y", "upgrade"],
    fine: &[],
    stale: &[],
    mend: None,
};

static ZYPPER: Manager = Manager {
    name: "zypper",
    env: &[("LC_ALL", "C.UTF-8"), ("ZYPP_LOCK_TIMEOUT", "120")],
    list: RPM,
    line: rpm_line,
    bare: |name| name.split('=').next().unwrap_or(name),
    known: Some(Known::Code(&[
        "zypper",
        "--non-interactive",
        "--quiet",
        "search",
        "--match-exact",
        "--provides",
    ])),
    refresh: &["zypper", "--non-interactive", "refresh"],
    install: &["zypper", "--non-interactive", "install", "--auto-agree-with-licenses"],
    remove: &["zypper", "--non-interactive", "remove"],
    upgrade: &["zypper", "--non-interactive", "update", "--auto-agree-with-licenses"],
    upgrade_all: &["zypper", "--non-interactive", "update", "--auto-agree-with-licenses"],
    // There are updates; the host, or the package manager, should be started again; a repository was left out.
    fine: &[100, 101, 102, 103, 106],
    stale: &[104],
    mend: None,
};

static APK: Manager = Manager {
    name: "apk",
    env: &[("LC_ALL", "C.UTF-8")],
    list: &["apk", "info", "-v"],
    line: |line| {
        // name-version-rN: the version begins behind the last '-' but one.
        let line = line.trim();
        let (rest, _) = line.rsplit_once('-')?;
        let (name, _) = rest.rsplit_once('-')?;
        Some((name.to_owned(), line.get(name.len() + 1..)?.to_owned()))
    },
    bare: |name| name.split(['=', '~', '@']).next().unwrap_or(name),
    known: Some(Known::Code(&["apk", "search", "--exact", "--quiet"])),
    refresh: &["apk", "update"],
    install: &["apk", "--wait", "120", "add"],
    remove: &["apk", "--wait", "120", "del"],
    upgrade: &["apk", "--wait", "120", "upgrade"],
    upgrade_all: &["apk", "--wait", "120", "upgrade"],
    fine: &[],
    stale: &[1],
    mend: None,
};

static PACMAN: Manager = Manager {
    name: "pacman",
    env: &[("LC_ALL", "C.UTF-8")],
    list: &["pacman", "-Q"],
    line: |line| {
        let (name, version) = line.split_once(' ')?;
        Some((name.to_owned(), version.to_owned()))
    },
    bare: |name| name,
    known: Some(Known::Code(&["pacman", "-Sp", "--noconfirm", "--print-format", "%n"])),
    // Fresh lists without an upgrade of everything break such a system; there is no refresh of its own.
    refresh: &[],
    install: &["pacman", "-S", "--noconfirm", "--needed"],
    remove: &["pacman", "-R", "--noconfirm"],
    upgrade: &[],
    upgrade_all: &["pacman", "-Syu", "--noconfirm"],
    fine: &[],
    stale: &[],
    mend: None,
};

impl Manager {
    /// The one whose database this host has.
    pub(super) fn of(config: &Config) -> Option<&'static Self> {
        let var = &config.var_root;
        let beside = var.parent().unwrap_or(Path::new("/"));
        let rpm = ["lib/rpm/rpmdb.sqlite", "lib/rpm/Packages.db", "lib/rpm/Packages"];
        if var.join("lib/dpkg/status").exists() {
            Some(&APT)
        } else if rpm.iter().any(|path| var.join(path).exists())
            || beside.join("usr/lib/sysimage/rpm").exists()
        {
            let zypper = config.etc_root.join("zypp").exists();
            Some(if zypper { &ZYPPER } else { &DNF })
        } else if beside.join("lib/apk/db/installed").exists() {
            Some(&APK)
        } else if var.join("lib/pacman/local").exists() {
            Some(&PACMAN)
        } else {
            None
        }
    }

    /// Whether a name with an architecture may be one that is listed without.
    pub(super) fn native(&self, name: &str) -> bool {
        self.name == "apt" && name.ends_with(&format!(":{}", architecture()))
    }
}

/// This machine's architecture, as Debian names it.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "i386",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_each_one_lists_is_read() {
        let of = |manager: &Manager, line: &str| {
            (manager.line)(line).map(|(name, version)| format!("{name} {version}"))
        };
        assert_eq!(of(&APT, "installed\tnginx\t1.22.1-9").unwrap(), "nginx 1.22.1-9");
        assert_eq!(of(&APT, "config-files\tnginx\t1.22.1-9"), None);
        assert_eq!(of(&DNF, "bash\t5.1.8-9.el9").unwrap(), "bash 5.1.8-9.el9");
        assert_eq!(of(&APK, "libcrypto3-3.1.4-r5").unwrap(), "libcrypto3 3.1.4-r5");
        assert_eq!(
            of(&APK, "ca-certificates-bundle-20230506-r0").unwrap(),
            "ca-certificates-bundle 20230506-r0"
        );
        assert_eq!(of(&PACMAN, "linux-api-headers 6.4-1").unwrap(), "linux-api-headers 6.4-1");
    }
}
