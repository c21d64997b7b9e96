//! A power cut loses nothing that the hub had acknowledged: what the kernel still holds in memory is
//! gone, and what was promised is there all the same. Needs root, or sudo without a password, to
//! mount a disk of its own.

use crate::load::Load;
use harness::process::{HubProcess, run};
use rustix::process::{Pid, Signal, geteuid, getgid, getuid, kill_process};
use std::path::{Path, PathBuf};
use std::process::Command;

/// How often the gate cuts the power; the long form of this test sets more.
fn cuts() -> u64 {
    std::env::var("CMDR_CUTS").ok().and_then(|n| n.parse().ok()).unwrap_or(8)
}

fn as_root(program: &str) -> Command {
    if geteuid().is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("sudo");
    command.args(["-n", program]);
    command
}

fn done(command: &mut Command) {
    let output = run(command);
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A disk in a file, mounted; let go of when dropped.
struct Disk {
    point: PathBuf,
}

impl Disk {
    fn mount(image: &Path, point: &Path) -> Self {
        std::fs::create_dir_all(point).unwrap();
        // Nothing reaches the disk by itself while the test runs: only what is asked for.
        done(as_root("mount").args(["-o", "loop,commit=600"]).arg(image).arg(point));
        let disk = Self { point: point.to_owned() };
        let owner = format!("{}:{}", getuid().as_raw(), getgid().as_raw());
        done(as_root("chown").arg(owner).arg(point));
        disk
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        run(as_root("umount").arg("-l").arg(&self.point));
    }
}

#[tokio::test]
async fn no_acknowledged_write_is_lost_when_the_power_is_cut() {
    let dir = tempfile::tempdir().unwrap();
    let image = dir.path().join("disk");
    std::fs::File::create(&image).unwrap().set_len(96 << 20).unwrap();
    done(Command::new("/sbin/mkfs.ext4").arg("-q").arg(&image));
    let disk = Disk::mount(&image, &dir.path().join("hub"));
    let mut hub = HubProcess::start_in(dir);
    let load = Load::on(&hub).await;
    for round in 0..cuts() {
        load.goes_on_for(20 + (round * 37) % 100).await;
        let pid = hub.running.as_ref().and_then(|hub| Pid::from_raw(hub.pid().cast_signed()));
        kill_process(pid.unwrap(), Signal::STOP).unwrap();
        let after = tempfile::tempdir().unwrap();
        let copy = after.path().join("disk");
        let (from, to) = (image.clone(), copy.clone());
        // The disk as it is at this moment. Meanwhile answers that are on their way arrive.
        let copied = tokio::task::spawn_blocking(move || {
            done(Command::new("cp").arg("--sparse=always").args([from, to]));
        });
        copied.await.unwrap();
        let promised = load.promised();
        kill_process(pid.unwrap(), Signal::CONT).unwrap();
        let copy = Disk::mount(&copy, &after.path().join("hub"));
        let mut again = HubProcess::start_in(after);
        load.assert_kept(&format!("cut {round}"), &promised, load.stored_at(&again).await);
        assert!(again.command(&["audit", "verify"]).contains("is whole"));
        assert!(again.command(&["check"]).contains(" 0 damaged"));
        again.kill();
        drop(copy);
    }
    load.stop();
    hub.kill();
    drop(disk);
}
