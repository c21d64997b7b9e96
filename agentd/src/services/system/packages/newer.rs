//! Newer versions of installed packages, as each package manager tells them out of the lists that it has: dnf, yum and
//! zypper for rpm, apk, pacman. Nothing goes over the network, and nothing is changed.

use super::{Package, Tools};
use crate::text::{lines, lossy};
use std::collections::HashMap;

/// Of each name: for which kind of machine (any, when empty), and the newer version.
pub(super) type Newer = HashMap<String, Vec<(String, String)>>;

/// Asks whichever of the programs for rpm there is.
pub(super) async fn of_rpm(tools: &Tools) -> Result<Newer, String> {
    let check = ["-q", "-C", "check-update"];
    let zypper = ["--non-interactive", "--quiet", "--no-refresh", "list-updates"];
    for program in ["dnf", "yum"] {
        if tools.has(program) {
            // 100 says that there is something newer.
            return Ok(check_update(&tools.run(program, &check, &[0, 100]).await?));
        }
    }
    if tools.has("zypper") {
        return Ok(list_updates(&tools.run("zypper", &zypper, &[0]).await?));
    }
    Err("there is neither dnf nor yum nor zypper".to_owned())
}

pub(super) async fn of_apk(tools: &Tools, packages: &[Package]) -> Result<Newer, String> {
    let said = tools.run("apk", &["--no-network", "version", "-l", "<"], &[0]).await?;
    Ok(apk_version(&said, packages))
}

pub(super) async fn of_pacman(tools: &Tools) -> Result<Newer, String> {
    // 1 says that there is nothing newer.
    Ok(pacman_qu(&tools.run("pacman", &["-Qu"], &[0, 1]).await?))
}

fn put(newer: &mut Newer, name: &str, arch: &str, version: &str) {
    newer.entry(name.to_owned()).or_default().push((arch.to_owned(), version.to_owned()));
}

/// Rows `NAME.ARCH VERSION REPOSITORY`, of which a long one is broken in two; what comes after them is about
/// packages that replace others.
pub(super) fn check_update(bytes: &[u8]) -> Newer {
    let (mut newer, mut begun) = (Newer::new(), String::new());
    for line in lines(bytes) {
        let line = lossy(line);
        if line.trim_start().starts_with("Obsoleting") {
            break;
        }
        let whole = std::mem::take(&mut begun) + " " + &line;
        let Some((name, arch, version)) = row(&whole).or_else(|| row(&line)) else {
            if !line.starts_with(char::is_whitespace) && line.split_whitespace().count() < 3 {
                begun.clone_from(&line);
            }
            continue;
        };
        put(&mut newer, name, arch, version);
    }
    newer
}

fn row(line: &str) -> Option<(&str, &str, &str)> {
    let mut fields = line.split_whitespace();
    let (package, version, _) = (fields.next()?, fields.next()?, fields.next()?);
    let (name, arch) = package.rsplit_once('.')?;
    (fields.next().is_none() && version.contains('-')).then_some((name, arch, version))
}

/// A table with the columns status, repository, name, current version, available version, architecture.
pub(super) fn list_updates(bytes: &[u8]) -> Newer {
    let mut newer = Newer::new();
    for line in lines(bytes) {
        let line = lossy(line);
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        if let ["v", _, name, _, version, arch] = cells[..] {
            put(&mut newer, name, arch, version);
        }
    }
    newer
}

/// Rows `NAME-VERSION < NEWER`: only the list of what is installed says where the name ends.
pub(super) fn apk_version(bytes: &[u8], packages: &[Package]) -> Newer {
    let whole = |p: &Package| (format!("{}-{}", p.name, p.version), p.name.clone());
    let names: HashMap<String, String> = packages.iter().map(whole).collect();
    let mut newer = Newer::new();
    for line in lines(bytes) {
        let line = lossy(line);
        let Some((installed, version)) = line.split_once(" < ") else { continue };
        if let (Some(name), Some(version)) =
            (names.get(installed.trim()), version.split_whitespace().next())
        {
            put(&mut newer, name, "", version);
        }
    }
    newer
}

/// Rows `NAME OLD -> NEW`, with a word behind those that are held back.
pub(super) fn pacman_qu(bytes: &[u8]) -> Newer {
    let mut newer = Newer::new();
    for line in lines(bytes) {
        let line = lossy(line);
        let fields: Vec<&str> = line.split_whitespace().collect();
        if let [name, _, "->", version, ..] = fields[..] {
            put(&mut newer, name, "", version);
        }
    }
    newer
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn one(newer: &Newer, name: &str) -> (String, String) {
        let all = newer.get(name).unwrap_or_else(|| panic!("{name} in {newer:?}"));
        assert_eq!(all.len(), 1, "{all:?}");
        all[0].clone()
    }

    fn pair(a: &str, b: &str) -> (String, String) {
        (a.to_owned(), b.to_owned())
    }

    #[test]
    fn what_dnf_and_yum_say_is_read_up_to_what_replaces_others() {
        // Two for two kinds of machines, an epoch, a name that breaks the line, a heading before and after.
        let said =
            b"Last metadata expiration check: 0:12:31 ago on Fri 20 Nov 2026 10:00:00 UTC.\n\n\
            openssl-libs.i686                    1:3.0.7-27.el9                  baseos\n\
            openssl-libs.x86_64                  1:3.0.7-27.el9                  baseos\n\
            python3.11-setuptools-wheel.noarch   65.5.1-2.el9                    appstream\n\
            NetworkManager-initscripts-ifcfg-rh.x86_64\n\
            \x20                                    1:1.46.0-8.el9                  baseos\n\
            Obsoleting Packages\n\
            dnf-data.noarch                      4.14.0-9.el9                    baseos\n\
            \x20   dnf-conf.noarch                  4.2.7-1.el9                     @System\n";
        let newer = check_update(said);
        assert_eq!(newer.len(), 3, "{newer:?}");
        let of = &newer["openssl-libs"];
        assert_eq!(of, &[pair("i686", "1:3.0.7-27.el9"), pair("x86_64", "1:3.0.7-27.el9")]);
        assert_eq!(one(&newer, "python3.11-setuptools-wheel"), pair("noarch", "65.5.1-2.el9"));
        let long = one(&newer, "NetworkManager-initscripts-ifcfg-rh");
        assert_eq!(long, pair("x86_64", "1:1.46.0-8.el9"));
        assert!(check_update(b"").is_empty());
    }

    #[test]
    fn what_zypper_says_is_read() {
        let said = b"S | Repository             | Name          | Current Version | Available Version | Arch\n\
            --+------------------------+---------------+-----------------+-------------------+-------\n\
            v | Main Update Repository | bash          | 4.4-150400.25.22 | 4.4-150400.27.3.1 | x86_64\n\
            v | Update repository with updates from SUSE | libz1 | 1.2.13-1.1 | 1.2.13-2.1 | x86_64\n";
        let newer = list_updates(said);
        assert_eq!(newer.len(), 2);
        assert_eq!(one(&newer, "bash"), pair("x86_64", "4.4-150400.27.3.1"));
        assert!(list_updates(b"No updates found.\n").is_empty());
    }

    #[test]
    fn what_apk_says_is_read_with_the_names_that_are_installed() {
        let package = |name: &str, version: &str| Package {
            name: name.into(),
            version: version.into(),
            ..Package::default()
        };
        let installed = [
            package("busybox", "1.36.1-r4"),
            package("ca-certificates-bundle", "20230506-r0"),
            package("ssl_client", "1.36.1-r4"),
        ];
        let said = b"Installed:                                Available:\n\
            busybox-1.36.1-r4                       < 1.36.1-r5 \n\
            ca-certificates-bundle-20230506-r0      < 20240226-r0 \n\
            unknown-1-r0                            < 2-r0 \n";
        let newer = apk_version(said, &installed);
        assert_eq!(newer.len(), 2);
        assert_eq!(one(&newer, "busybox"), pair("", "1.36.1-r5"));
        assert_eq!(one(&newer, "ca-certificates-bundle"), pair("", "20240226-r0"));
    }

    #[test]
    fn what_pacman_says_is_read() {
        let newer = pacman_qu(
            b"openssl 3.6.3-1 -> 3.6.4-1\nlinux 6.17.3.arch1-1 -> 6.17.4.arch1-1 [ignored]\n",
        );
        assert_eq!(one(&newer, "openssl"), pair("", "3.6.4-1"));
        assert_eq!(one(&newer, "linux"), pair("", "6.17.4.arch1-1"));
        assert!(pacman_qu(b":: starting\n").is_empty());
    }

    proptest! {
        #[test]
        fn whatever_they_say_is_read(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = (check_update(&bytes), list_updates(&bytes), apk_version(&bytes, &[]), pacman_qu(&bytes));
        }
    }
}
