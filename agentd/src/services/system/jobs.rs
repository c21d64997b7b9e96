//! Jobs that begin at their times: the tables of cron, its folders, and timers of systemd.

use crate::Config;
use crate::systemd::{Manager, figure, word};
use crate::text::{lines, lossy};
use cmdr_protocol::ErrorKind;
use cmdr_protocol::system::{Found, Job};
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// The most of a table that is read.
const FILE: u64 = 256 * 1024;
/// The most jobs that are told of.
const MOST: usize = 5000;

/// What cron does.
pub(super) fn cron(config: &Config) -> Found<Job> {
    let mut found = Found::default();
    let etc = &config.etc_root;
    let mut tables = vec![(etc.join("crontab"), None)];
    tables.extend(files(&etc.join("cron.d")).into_iter().map(|path| (path, None)));
    for folder in ["spool/cron/crontabs", "spool/cron"] {
        let folder = config.var_root.join(folder);
        if let Err(e) = std::fs::read_dir(&folder)
            && e.kind() == std::io::ErrorKind::PermissionDenied
        {
            found.notes.push(format!("tables of users are hidden: {}: {e}", folder.display()));
        }
        tables.extend(files(&folder).into_iter().map(|path| {
            let user = path.file_name().map(|name| name.to_string_lossy().into_owned());
            (path, user)
        }));
    }
    for (path, user) in tables {
        let mut bytes = Vec::new();
        match File::open(&path).and_then(|file| file.take(FILE).read_to_end(&mut bytes)) {
            Ok(_) => {
                let source = path.display().to_string();
                crontab(&bytes, user.as_deref(), &source, &mut found.rows);
            }
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
            Err(e) => found.notes.push(format!("{}: {e}", path.display())),
        }
    }
    for (folder, when) in [
        ("cron.hourly", "@hourly"),
        ("cron.daily", "@daily"),
        ("cron.weekly", "@weekly"),
        ("cron.monthly", "@monthly"),
    ] {
        for path in files(&etc.join(folder)) {
            let source = path.display().to_string();
            found.rows.push(Job {
                kind: "cron".into(),
                when: when.into(),
                user: "root".into(),
                command: source.clone(),
                source,
                ..Job::default()
            });
        }
    }
    found.rows.truncate(MOST);
    found
}

/// Ordinary files of a folder by name, without those that cron passes over.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut files: Vec<PathBuf> = entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| !kind.is_dir()))
        .filter(|entry| !entry.file_name().to_string_lossy().starts_with('.'))
        .map(|entry| entry.path())
        .take(1000)
        .collect();
    files.sort();
    files
}

/// Reads a table: of the host's own, whose lines name a user, or of this user. A line that makes no
/// sense is left out.
pub(super) fn crontab(bytes: &[u8], user: Option<&str>, source: &str, jobs: &mut Vec<Job>) {
    for line in lines(bytes) {
        let text = lossy(line);
        let text = text.trim();
        if text.is_empty() || text.starts_with('#') || jobs.len() >= MOST {
            continue;
        }
        if let Some((when, user, command)) = parse(text, user) {
            jobs.push(Job {
                kind: "cron".into(),
                when,
                user,
                command,
                source: source.to_owned(),
                ..Job::default()
            });
        }
    }
}

/// When, as whom, what.
fn parse(text: &str, user: Option<&str>) -> Option<(String, String, String)> {
    let fields = if text.starts_with('@') { 1 } else { 5 };
    let mut rest = text;
    let mut when = Vec::new();
    for _ in 0..fields {
        let (field, more) = rest.split_once(char::is_whitespace)?;
        let fits = |c: char| c.is_ascii_alphanumeric() || "*/,-?#@~".contains(c);
        if field.is_empty() || !field.chars().all(fits) {
            return None;
        }
        when.push(field);
        rest = more.trim_start();
    }
    let (user, command) = match user {
        Some(user) => (user, rest),
        None => rest.split_once(char::is_whitespace)?,
    };
    let command = command.trim_start();
    if command.is_empty() {
        return None;
    }
    Some((when.join(" "), user.to_owned(), command.to_owned()))
}

/// Adds the timers of systemd; a host without systemd has none.
pub(super) async fn timers(config: &Config, found: &mut Found<Job>) {
    let read = async {
        let manager = Manager::connect(config).await?;
        let mut jobs = Vec::new();
        let units = manager.units().await?;
        let timers = units.into_iter().filter(|unit| unit.0.rsplit('.').next() == Some("timer"));
        for unit in timers.filter(|unit| unit.3 == "active").take(MOST) {
            // One may end while it is asked about.
            let Ok(timer) = manager.properties(unit.6.as_str(), "Timer").await else { continue };
            let seconds = |name| figure(&timer, name).filter(|us| *us > 0).map(|us| us / 1_000_000);
            jobs.push(Job {
                kind: "timer".into(),
                when: unit.0.clone(),
                user: String::new(),
                command: word(&timer, "Unit"),
                source: unit.0,
                next_s: seconds("NextElapseUSecRealtime"),
                last_s: seconds("LastTriggerUSec"),
            });
        }
        Ok::<_, cmdr_protocol::CallError>(jobs)
    };
    match read.await {
        Ok(jobs) => found.rows.extend(jobs),
        Err(e) if e.kind == ErrorKind::NotFound => {}
        Err(e) => found.notes.push(format!("timers: {}", e.message)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str, user: Option<&str>) -> Vec<(String, String, String)> {
        let mut jobs = Vec::new();
        crontab(text.as_bytes(), user, "x", &mut jobs);
        jobs.into_iter().map(|job| (job.when, job.user, job.command)).collect()
    }

    fn of(when: &str, user: &str, command: &str) -> (String, String, String) {
        (when.to_owned(), user.to_owned(), command.to_owned())
    }

    #[test]
    fn tables_of_the_host_and_of_users_are_read_and_settings_are_no_jobs() {
        let text = "# m h dom mon dow user command\nSHELL=/bin/sh\nMAILTO = root\n\
                    17 *\t* * *  root\t cd / && run-parts /etc/cron.hourly\n\
                    @reboot www /usr/bin/begin --now\n5 4 * * sun\nx\n*/5 1,2 * jan-mar 1-5 li a b\n";
        assert_eq!(
            read(text, None),
            [
                of("17 * * * *", "root", "cd / && run-parts /etc/cron.hourly"),
                of("@reboot", "www", "/usr/bin/begin --now"),
                of("*/5 1,2 * jan-mar 1-5", "li", "a b"),
            ]
        );
        assert_eq!(read("@daily backup.sh\n", Some("li")), [of("@daily", "li", "backup.sh")]);
    }

    #[test]
    fn all_places_of_cron_are_looked_at() {
        let dir = tempfile::tempdir().unwrap();
        let mut config = Config::new("/nonexistent".into());
        (config.etc_root, config.var_root) = (dir.path().join("etc"), dir.path().join("var"));
        for folder in ["etc/cron.d", "etc/cron.daily", "var/spool/cron/crontabs"] {
            std::fs::create_dir_all(dir.path().join(folder)).unwrap();
        }
        for (path, text) in [
            ("etc/crontab", "1 1 * * * root a\n"),
            ("etc/cron.d/php", "2 2 * * * www b\n"),
            ("etc/cron.d/.placeholder", "3 3 * * * root no\n"),
            ("etc/cron.daily/logrotate", "#!/bin/sh\n"),
            ("var/spool/cron/crontabs/li", "4 4 * * * c\n"),
        ] {
            std::fs::write(dir.path().join(path), text).unwrap();
        }
        let found = cron(&config);
        let shown: Vec<_> =
            found.rows.iter().map(|job| (job.when.as_str(), job.user.as_str())).collect();
        assert_eq!(
            shown,
            [("1 1 * * *", "root"), ("2 2 * * *", "www"), ("4 4 * * *", "li"), ("@daily", "root")]
        );
    }

    proptest! {
        #[test]
        fn any_table_is_read(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            crontab(&bytes, None, "x", &mut Vec::new());
            crontab(&bytes, Some("li"), "x", &mut Vec::new());
        }
    }
}
