//! Packages that are installed, out of the package manager's own database, and which of them have a
//! newer version as far as the host's own lists know: nothing goes over the network. Kept until those
//! files change.

use crate::Config;
use crate::text::{lines, lossy};
use cmdr_protocol::CallError;
use cmdr_protocol::system::{self, Package, PackagePage};
use std::collections::HashMap;
use std::io::Read as _;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::io::AsyncReadExt as _;
use tokio::process::Command;
use tokio::sync::Mutex;
use tokio::time::timeout;

/// Packages of one page.
const PAGE: usize = 1500;
/// The most packages of a host.
const MOST: usize = 50_000;
/// The most of a database that is read, and of what a program says.
const FILE: u64 = 96 << 20;
const SAID: u64 = 16 << 20;
/// How long a package manager may take to answer.
const PATIENCE: Duration = Duration::from_secs(30);
const SUMMARY: usize = 160;

/// What is installed, kept from one question to the next.
#[derive(Debug, Default)]
pub struct Packages {
    kept: Arc<Mutex<Option<Arc<Kept>>>>,
}

/// When the files last changed that all of this was read from.
type Stamp = Vec<Option<SystemTime>>;

#[derive(Debug, Default)]
struct Kept {
    stamp: Stamp,
    packages: Vec<Package>,
    upgradable: Option<u32>,
    manager: &'static str,
    notes: Vec<String>,
}

impl Packages {
    /// A page of those that fit.
    pub(super) async fn page(
        &self,
        config: &Config,
        call: &system::Packages,
    ) -> Result<PackagePage, CallError> {
        let kept = self.newest(config).await?;
        let name = call.name.to_ascii_lowercase();
        let fits = |p: &&Package| {
            (name.is_empty() || p.name.to_ascii_lowercase().contains(&name))
                && (!call.upgradable || !p.newer.is_empty())
        };
        let total = kept.packages.iter().filter(fits).count();
        let most = if call.limit == 0 { PAGE } else { PAGE.min(call.limit as usize) };
        let page = kept.packages.iter().filter(fits).skip(call.skip as usize).take(most);
        Ok(PackagePage {
            packages: page.cloned().collect(),
            total: u32::try_from(total).unwrap_or(u32::MAX),
            upgradable: kept.upgradable,
            manager: kept.manager.to_owned(),
            notes: kept.notes.clone(),
        })
    }

    /// Reads anew what has changed. Who asks meanwhile waits for the same answer, and it is kept also
    /// when whoever asked has lost patience: the next one finds it.
    async fn newest(&self, config: &Config) -> Result<Arc<Kept>, CallError> {
        let (held, config) = (self.kept.clone(), config.clone());
        let reading = tokio::spawn(async move {
            let mut held = held.lock().await;
            let stamp = stamp(&config);
            if let Some(kept) = held.as_ref().filter(|kept| kept.stamp == stamp) {
                return Ok(kept.clone());
            }
            let kept = Arc::new(Kept { stamp, ..look(&config).await? });
            *held = Some(kept.clone());
            Ok(kept)
        });
        reading.await.map_err(|e| CallError::failed(format!("reading packages: {e}")))?
    }
}

const DPKG: &str = "lib/dpkg/status";
const APK: &str = "lib/apk/db/installed";
const RPM: [&str; 3] = ["lib/rpm/rpmdb.sqlite", "lib/rpm/Packages.db", "lib/rpm/Packages"];

fn stamp(config: &Config) -> Stamp {
    let var = &config.var_root;
    let beside = var.parent().unwrap_or(Path::new("/"));
    let paths = [DPKG, "lib/apt/lists", RPM[0], RPM[1], RPM[2]].map(|path| var.join(path));
    let changed = |path: &Path| std::fs::metadata(path).and_then(|meta| meta.modified()).ok();
    paths.iter().map(|path| changed(path)).chain([changed(&beside.join(APK))]).collect()
}

async fn look(config: &Config) -> Result<Kept, CallError> {
    let var = &config.var_root;
    let apk = var.parent().unwrap_or(Path::new("/")).join(APK);
    let mut kept = if var.join(DPKG).exists() {
        let packages = read(&var.join(DPKG), read_dpkg).await?;
        with_upgrades(Kept { packages, manager: "dpkg", ..Kept::default() }).await
    } else if RPM.iter().any(|path| var.join(path).exists()) {
        let args = ["-qa", "--qf", "%{NAME}\\t%{VERSION}-%{RELEASE}\\t%{ARCH}\\t%{SUMMARY}\\n"];
        let said = run("rpm", &args).await.map_err(CallError::failed)?;
        let notes = vec!["newer versions are not known here".to_owned()];
        Kept { packages: read_rpm(&said), manager: "rpm", notes, ..Kept::default() }
    } else if apk.exists() {
        let packages = read(&apk, read_apk).await?;
        let notes = vec!["newer versions are not known here".to_owned()];
        Kept { packages, manager: "apk", notes, ..Kept::default() }
    } else {
        return Err(CallError::not_found(
            "this host has no database of packages that is known here (dpkg, rpm, apk)",
        ));
    };
    kept.packages.sort_by(|a, b| a.name.cmp(&b.name).then_with(|| a.arch.cmp(&b.arch)));
    if kept.packages.len() > MOST {
        kept.notes.push(format!("{} more packages are not shown", kept.packages.len() - MOST));
        kept.packages.truncate(MOST);
    }
    Ok(kept)
}

async fn read(path: &Path, parse: fn(&[u8]) -> Vec<Package>) -> Result<Vec<Package>, CallError> {
    let of = path.to_owned();
    let reading = tokio::task::spawn_blocking(move || {
        let mut bytes = Vec::new();
        std::fs::File::open(&of)?.take(FILE).read_to_end(&mut bytes)?;
        std::io::Result::Ok(parse(&bytes))
    });
    let failed = |e: String| CallError::failed(format!("reading {}: {e}", path.display()));
    reading.await.map_err(|e| failed(e.to_string()))?.map_err(|e| failed(e.to_string()))
}

/// What a program says; why not, in words.
async fn run(program: &str, args: &[&str]) -> Result<Vec<u8>, String> {
    let child = Command::new(program)
        .args(args)
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn();
    let mut child = child.map_err(|e| format!("{program}: {e}"))?;
    let out = child.stdout.take().ok_or_else(|| format!("{program} says nothing"))?;
    let mut said = Vec::new();
    let whole = async {
        out.take(SAID).read_to_end(&mut said).await?;
        child.wait().await
    };
    match timeout(PATIENCE, whole).await {
        Ok(Ok(status)) if status.success() => Ok(said),
        Ok(Ok(status)) => Err(format!("{program} ended with {status}")),
        Ok(Err(e)) => Err(format!("{program}: {e}")),
        Err(_) => Err(format!("{program} did not end within {} s", PATIENCE.as_secs())),
    }
}

/// What an upgrade would bring, without doing it and without the network.
async fn with_upgrades(mut kept: Kept) -> Kept {
    let args = ["-s", "-q", "-o", "Debug::NoLocking=1", "dist-upgrade"];
    match run("apt-get", &args).await {
        Ok(said) => {
            let newer = read_upgrades(&said);
            kept.upgradable = Some(u32::try_from(newer.len()).unwrap_or(u32::MAX));
            for package in &mut kept.packages {
                let name = newer.get(&package.name);
                let name =
                    name.or_else(|| newer.get(&format!("{}:{}", package.name, package.arch)));
                if let Some(version) = name {
                    package.newer.clone_from(version);
                }
            }
        }
        Err(why) => kept.notes.push(format!("newer versions are not known: {why}")),
    }
    kept
}

/// Lines `Inst NAME [old] (NEW …)`.
pub(super) fn read_upgrades(bytes: &[u8]) -> HashMap<String, String> {
    let line = |line: &[u8]| {
        let text = lossy(line.strip_prefix(b"Inst ")?);
        let (name, rest) = text.split_once(' ')?;
        // What was not installed before is nothing newer.
        let rest = rest.strip_prefix('[')?;
        let version = rest.split_once('(')?.1.split([' ', ')']).next()?;
        Some((name.to_owned(), version.to_owned()))
    };
    lines(bytes).filter_map(line).collect()
}

/// Paragraphs of `Field: value`; those that are not installed, and those without a name, are left out.
pub(super) fn read_dpkg(bytes: &[u8]) -> Vec<Package> {
    let mut packages = Vec::new();
    let mut open = Package::default();
    let mut installed = false;
    let mut close = |open: &mut Package, installed: &mut bool| {
        let package = std::mem::take(open);
        if std::mem::take(installed) && !package.name.is_empty() && packages.len() <= MOST {
            packages.push(package);
        }
    };
    for line in bytes.split(|b| *b == b'\n') {
        if line.trim_ascii().is_empty() {
            close(&mut open, &mut installed);
            continue;
        }
        let Some(colon) = line.iter().position(|b| *b == b':') else { continue };
        let value = || lossy(line[colon + 1..].trim_ascii());
        match &line[..colon] {
            b"Package" => open.name = value(),
            b"Version" => open.version = value(),
            b"Architecture" => open.arch = value(),
            b"Description" => open.summary = short(value()),
            b"Status" => installed = value().ends_with(" installed"),
            _ => {}
        }
    }
    close(&mut open, &mut installed);
    packages
}

/// Paragraphs of `P:name`, `V:version`, `A:arch`, `T:summary`.
pub(super) fn read_apk(bytes: &[u8]) -> Vec<Package> {
    let mut packages: Vec<Package> = Vec::new();
    let mut open = Package::default();
    for line in bytes.split(|b| *b == b'\n').chain([&b""[..]]) {
        match line.split_at_checked(2) {
            Some((b"P:", value)) => open.name = lossy(value),
            Some((b"V:", value)) => open.version = lossy(value),
            Some((b"A:", value)) => open.arch = lossy(value),
            Some((b"T:", value)) => open.summary = short(lossy(value)),
            Some(_) => {}
            None => {
                let package = std::mem::take(&mut open);
                if !package.name.is_empty() && packages.len() <= MOST {
                    packages.push(package);
                }
            }
        }
    }
    packages
}

fn read_rpm(bytes: &[u8]) -> Vec<Package> {
    let line = |line: &[u8]| {
        let text = lossy(line);
        let mut fields = text.splitn(4, '\t').map(str::to_owned);
        let (name, version) = (fields.next()?, fields.next()?);
        let (arch, summary) = (fields.next()?, fields.next().unwrap_or_default());
        let newer = String::new();
        Some(Package { name, version, arch, newer, summary: short(summary) })
    };
    lines(bytes).filter_map(line).take(MOST + 1).collect()
}

fn short(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(SUMMARY));
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::fmt::Write as _;

    fn config(root: &Path) -> Config {
        let mut config = Config::new("/nonexistent".into());
        config.var_root = root.join("var");
        config
    }

    fn put(root: &Path, path: &str, text: &str) {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    #[test]
    fn installed_packages_of_dpkg_are_read_and_odd_paragraphs_lose_only_themselves() {
        let text = "Package: bash\nStatus: install ok installed\nArchitecture: amd64\nVersion: 5.2-2\n\
                    Description: a shell\n it: has a long text\nConffiles:\n /etc/x 1\n\n\
                    Package: gone\nStatus: deinstall ok config-files\nVersion: 1\n\n\
                    no colon here\nStatus: install ok installed\n\n\u{0}\n\n\
                    Package: zsh\nStatus: hold ok installed\nVersion: 5.9";
        let shown: Vec<_> = read_dpkg(text.as_bytes())
            .into_iter()
            .map(|p| (p.name, p.version, p.summary))
            .collect();
        let of = |a: &str, b: &str, c: &str| (a.to_owned(), b.to_owned(), c.to_owned());
        assert_eq!(shown, [of("bash", "5.2-2", "a shell"), of("zsh", "5.9", "")]);
    }

    #[test]
    fn what_an_upgrade_would_bring_is_read() {
        let said = b"NOTE: x\nInst bash [5.2-2] (5.2-3 Debian:12 [amd64])\n\
                     Inst new (1.0 Debian:12 [amd64])\nInst libc6:i386 [2.36] (2.37 Debian [i386]) []\nConf bash (5.2-3)\n";
        let newer = read_upgrades(said);
        assert_eq!(newer.len(), 2);
        assert_eq!(newer["bash"], "5.2-3");
    }

    #[test]
    fn other_package_managers_are_read_too() {
        let apk = read_apk(b"C:x\nP:musl\nV:1.2\nA:x86_64\nT:the c library\n\nP:busybox\nV:1");
        assert_eq!(apk.len(), 2);
        assert_eq!((apk[0].name.as_str(), apk[0].summary.as_str()), ("musl", "the c library"));
        let rpm = read_rpm(b"bash\t5.1-2\tx86_64\tThe shell\nbad\n");
        assert_eq!((rpm.len(), rpm[0].version.as_str()), (1, "5.1-2"));
    }

    #[tokio::test]
    async fn ten_thousand_packages_come_in_pages_and_are_read_again_only_when_they_change() {
        let dir = tempfile::tempdir().unwrap();
        let mut text = String::new();
        for n in 0..10_000 {
            write!(text, "P:p{n:05}\nV:1\nA:x\nT:{}\n\n", "s".repeat(300)).unwrap();
        }
        put(dir.path(), "lib/apk/db/installed", &text);
        let (config, packages) = (config(dir.path()), Packages::default());
        let mut got = Vec::new();
        loop {
            let skip = got.len() as u32;
            let call = system::Packages { skip, ..Default::default() };
            let page = packages.page(&config, &call).await.unwrap();
            assert_eq!(page.total, 10_000);
            let bytes = cmdr_link::codec::encode(&page).unwrap();
            assert!(bytes.len() < cmdr_link::frame::MAX_FRAME, "{}", bytes.len());
            if page.packages.is_empty() {
                break;
            }
            got.extend(page.packages);
        }
        assert_eq!(got.len(), 10_000);
        let call = system::Packages { skip: 9_990, limit: 7, ..Default::default() };
        assert_eq!(packages.page(&config, &call).await.unwrap().packages.len(), 7);
        let call = system::Packages { name: "P0999".into(), ..Default::default() };
        assert_eq!(packages.page(&config, &call).await.unwrap().total, 10);

        let kept = packages.newest(&config).await.unwrap();
        assert!(Arc::ptr_eq(&kept, &packages.newest(&config).await.unwrap()));
        put(dir.path(), "lib/apk/db/installed", "P:one\nV:1\n");
        let now = std::fs::metadata(dir.path().join(APK)).unwrap().modified().unwrap();
        let later = now + Duration::from_secs(9);
        let file = std::fs::File::options().write(true).open(dir.path().join(APK)).unwrap();
        file.set_modified(later).unwrap();
        assert_eq!(packages.newest(&config).await.unwrap().packages.len(), 1);
    }

    #[tokio::test]
    async fn a_host_without_a_known_package_manager_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let call = system::Packages::default();
        let error = Packages::default().page(&config(dir.path()), &call).await.unwrap_err();
        assert_eq!(error.kind, cmdr_protocol::ErrorKind::NotFound);
    }

    proptest! {
        #[test]
        fn any_database_is_read(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = (read_dpkg(&bytes), read_apk(&bytes), read_rpm(&bytes), read_upgrades(&bytes));
        }
    }
}
