//! Packages that are installed, out of the package manager's own database, and which of them have a
//! newer version as far as the host's own lists know: nothing goes over the network. Kept until those
//! files change.

mod newer;

use crate::Config;
use crate::text::{lines, lossy};
use cmdr_protocol::CallError;
use cmdr_protocol::system::{self, Package, PackagePage};
use newer::Newer;
use std::ffi::OsString;
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
const DESC: u64 = 64 * 1024;
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
const PACMAN: &str = "lib/pacman/local";
/// Lists of what there would be to get: when they change, other versions may be newer.
const LISTS: [&str; 7] = [
    "lib/apt/lists",
    "cache/dnf",
    "cache/libdnf5",
    "cache/yum",
    "cache/zypp/solv",
    "cache/apk",
    "lib/pacman/sync",
];
const RPM: [&str; 3] = ["lib/rpm/rpmdb.sqlite", "lib/rpm/Packages.db", "lib/rpm/Packages"];

fn stamp(config: &Config) -> Stamp {
    let var = &config.var_root;
    let beside = var.parent().unwrap_or(Path::new("/"));
    let paths = [DPKG, PACMAN].iter().chain(&LISTS).chain(&RPM).map(|path| var.join(path));
    let changed = |path: &Path| std::fs::metadata(path).and_then(|meta| meta.modified()).ok();
    paths.map(|path| changed(&path)).chain([changed(&beside.join(APK))]).collect()
}

async fn look(config: &Config) -> Result<Kept, CallError> {
    let var = &config.var_root;
    let apk = var.parent().unwrap_or(Path::new("/")).join(APK);
    let tools = Tools(config.program_path.clone());
    let mut kept = if var.join(DPKG).exists() {
        let packages = read(&var.join(DPKG), read_dpkg).await?;
        let args = ["-s", "-q", "-o", "Debug::NoLocking=1", "dist-upgrade"];
        let newer = tools.run("apt-get", &args, &[0]).await.map(|said| read_upgrades(&said));
        Kept { packages, manager: "dpkg", ..Kept::default() }.with(newer)
    } else if RPM.iter().any(|path| var.join(path).exists()) {
        let args = ["-qa", "--qf", "%{NAME}\\t%{VERSION}-%{RELEASE}\\t%{ARCH}\\t%{SUMMARY}\\n"];
        let said = tools.run("rpm", &args, &[0]).await.map_err(CallError::failed)?;
        let newer = newer::of_rpm(&tools).await;
        Kept { packages: read_rpm(&said), manager: "rpm", ..Kept::default() }.with(newer)
    } else if apk.exists() {
        let packages = read(&apk, read_apk).await?;
        let newer = newer::of_apk(&tools, &packages).await;
        Kept { packages, manager: "apk", ..Kept::default() }.with(newer)
    } else if var.join(PACMAN).is_dir() {
        let folder = var.join(PACMAN);
        let reading = tokio::task::spawn_blocking(move || read_pacman(&folder));
        let packages = reading.await.map_err(|e| CallError::failed(e.to_string()))?;
        let newer = newer::of_pacman(&tools).await;
        Kept { packages, manager: "pacman", ..Kept::default() }.with(newer)
    } else {
        return Err(CallError::not_found(
            "this host has no database of packages that is known here (dpkg, rpm, apk, pacman)",
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

/// Programs of the host, looked for in these folders.
struct Tools(Option<OsString>);

impl Tools {
    fn has(&self, program: &str) -> bool {
        let path = self.0.clone().or_else(|| std::env::var_os("PATH")).unwrap_or_default();
        std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
    }

    /// What a program says that ends with one of these; why not, in words.
    async fn run(&self, program: &str, args: &[&str], good: &[i32]) -> Result<Vec<u8>, String> {
        let mut command = Command::new(program);
        if let Some(path) = &self.0 {
            command.env("PATH", path);
        }
        let child = command
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
            Ok(Ok(status)) if status.code().is_some_and(|code| good.contains(&code)) => Ok(said),
            Ok(Ok(status)) => Err(format!("{program} ended with {status}")),
            Ok(Err(e)) => Err(format!("{program}: {e}")),
            Err(_) => Err(format!("{program} did not end within {} s", PATIENCE.as_secs())),
        }
    }
}

impl Kept {
    /// With the newer versions, or with why they are not known.
    fn with(mut self, newer: Result<Newer, String>) -> Self {
        let newer = match newer {
            Ok(newer) => newer,
            Err(why) => {
                self.notes.push(format!("newer versions are not known: {why}"));
                return self;
            }
        };
        let count: usize = newer.values().map(Vec::len).sum();
        self.upgradable = Some(u32::try_from(count).unwrap_or(u32::MAX));
        for package in &mut self.packages {
            let versions = newer.get(&package.name).into_iter().flatten();
            let mut fits = versions.filter(|(arch, _)| arch.is_empty() || *arch == package.arch);
            if let Some((_, version)) = fits.next() {
                package.newer.clone_from(version);
            }
        }
        self
    }
}

/// Lines `Inst NAME [old] (NEW …)`; a name may have its kind of machine behind a colon.
pub(super) fn read_upgrades(bytes: &[u8]) -> Newer {
    let mut newer = Newer::new();
    for line in lines(bytes) {
        let text = lossy(line.strip_prefix(b"Inst ").unwrap_or_default());
        let Some((name, rest)) = text.split_once(' ') else { continue };
        // What was not installed before is nothing newer.
        let version = rest.strip_prefix('[').and_then(|rest| rest.split_once('('));
        let version = version.and_then(|(_, rest)| rest.split([' ', ')']).next());
        let Some(version) = version else { continue };
        let (name, arch) = name.split_once(':').unwrap_or((name, ""));
        newer.entry(name.to_owned()).or_default().push((arch.to_owned(), version.to_owned()));
    }
    newer
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

/// A folder a package, with its `desc`: `%FIELD%`, and the value on the next line.
fn read_pacman(folder: &Path) -> Vec<Package> {
    let mut packages = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten().take(MOST + 1) {
        let mut bytes = Vec::new();
        let file = std::fs::File::open(entry.path().join("desc"));
        if file.and_then(|file| file.take(DESC).read_to_end(&mut bytes)).is_err() {
            continue;
        }
        packages.extend(read_desc(&bytes));
    }
    packages
}

pub(super) fn read_desc(bytes: &[u8]) -> Option<Package> {
    let mut package = Package::default();
    let mut lines = bytes.split(|b| *b == b'\n');
    while let Some(line) = lines.next() {
        let field = match line {
            b"%NAME%" => &mut package.name,
            b"%VERSION%" => &mut package.version,
            b"%ARCH%" => &mut package.arch,
            b"%DESC%" => &mut package.summary,
            _ => continue,
        };
        *field = short(lossy(lines.next()?));
    }
    (!package.name.is_empty()).then_some(package)
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
        assert_eq!(newer["bash"], [(String::new(), "5.2-3".to_owned())]);
        assert_eq!(newer["libc6"], [("i386".to_owned(), "2.37".to_owned())]);
    }

    #[test]
    fn other_package_managers_are_read_too() {
        let apk = read_apk(b"C:x\nP:musl\nV:1.2\nA:x86_64\nT:the c library\n\nP:busybox\nV:1");
        assert_eq!(apk.len(), 2);
        assert_eq!((apk[0].name.as_str(), apk[0].summary.as_str()), ("musl", "the c library"));
        let rpm = read_rpm(b"bash\t5.1-2\tx86_64\tThe shell\nbad\n");
        assert_eq!((rpm.len(), rpm[0].version.as_str()), (1, "5.1-2"));
    }

    /// A program in this folder that says this when it is given these words, and fails otherwise.
    fn fake(folder: &Path, name: &str, args: &str, code: i32, said: &str) {
        use std::os::unix::fs::PermissionsExt as _;
        let path = folder.join(name);
        let script = format!(
            "#!/bin/sh\n[ \"$*\" = '{args}' ] || exit 99\ncat <<'END'\n{said}END\nexit {code}\n"
        );
        std::fs::write(&path, script).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// What a host with these programs tells: packages with a newer version, how many there are, and notes.
    async fn told(
        root: &Path,
        tools: &[(&str, &str, i32, &str)],
    ) -> (Vec<String>, Option<u32>, Vec<String>) {
        let bin = root.join("bin");
        std::fs::create_dir_all(&bin).unwrap();
        for (name, args, code, said) in tools {
            fake(&bin, name, args, *code, said);
        }
        let mut config = config(root);
        let path = std::env::join_paths([bin.as_path(), Path::new("/usr/bin"), Path::new("/bin")]);
        config.program_path = Some(path.unwrap());
        let call = system::Packages { upgradable: true, ..Default::default() };
        let page = Packages::default().page(&config, &call).await.unwrap();
        let shown = |p: &Package| format!("{} {} {} < {}", p.name, p.arch, p.version, p.newer);
        (page.packages.iter().map(shown).collect(), page.upgradable, page.notes)
    }

    #[tokio::test]
    async fn a_host_with_dnf_tells_what_is_newer_of_each_kind_of_machine() {
        let dir = tempfile::tempdir().unwrap();
        put(dir.path(), "var/lib/rpm/rpmdb.sqlite", "");
        let installed =
            "bash\t5.1.8-6.el9\tx86_64\tThe shell\nzlib\t1.2-1\ti686\tz\nzlib\t1.2-1\tx86_64\tz\n";
        let rpm = (
            "rpm",
            "-qa --qf %{NAME}\\t%{VERSION}-%{RELEASE}\\t%{ARCH}\\t%{SUMMARY}\\n",
            0,
            installed,
        );
        let dnf = (
            "dnf",
            "-q -C check-update",
            100,
            "\nbash.x86_64   5.1.8-9.el9   baseos\nzlib.x86_64  1.2-2  baseos\n",
        );
        let told = told(dir.path(), &[rpm, dnf]).await;
        assert_eq!(told.0, ["bash x86_64 5.1.8-6.el9 < 5.1.8-9.el9", "zlib x86_64 1.2-1 < 1.2-2"]);
        assert_eq!((told.1, told.2), (Some(2), Vec::new()));
    }

    #[tokio::test]
    async fn a_host_with_apk_or_pacman_tells_what_is_newer_and_a_tool_that_fails_is_said() {
        let dir = tempfile::tempdir().unwrap();
        put(
            dir.path(),
            "lib/apk/db/installed",
            "P:musl\nV:1.2.4-r2\nA:x86_64\nT:libc\n\nP:zlib\nV:1\n",
        );
        let said = "Installed:      Available:\nmusl-1.2.4-r2      < 1.2.5-r0 \n";
        let told_apk = told(dir.path(), &[("apk", "--no-network version -l <", 0, said)]).await;
        assert_eq!(told_apk.0, ["musl x86_64 1.2.4-r2 < 1.2.5-r0"]);
        let failed = told(dir.path(), &[("apk", "--no-network version -l <", 3, "")]).await;
        assert_eq!((failed.0.len(), failed.1), (0, None));
        assert!(failed.2[0].contains("apk ended with"), "{:?}", failed.2);

        let dir = tempfile::tempdir().unwrap();
        let desc =
            "%NAME%\nopenssl\n\n%VERSION%\n3.6.3-1\n\n%DESC%\nThe toolkit\n\n%ARCH%\nx86_64\n";
        put(dir.path(), "var/lib/pacman/local/openssl-3.6.3-1/desc", desc);
        put(dir.path(), "var/lib/pacman/local/ALPM_DB_VERSION", "9\n");
        let told_pacman =
            told(dir.path(), &[("pacman", "-Qu", 0, "openssl 3.6.3-1 -> 3.6.4-1\n")]).await;
        assert_eq!(told_pacman.0, ["openssl x86_64 3.6.3-1 < 3.6.4-1"]);
        let none = told(dir.path(), &[("pacman", "-Qu", 1, "")]).await;
        assert_eq!((none.0.len(), none.1), (0, Some(0)));
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
            let _ = (read_dpkg(&bytes), read_apk(&bytes), read_rpm(&bytes), read_upgrades(&bytes), read_desc(&bytes));
        }
    }
}
