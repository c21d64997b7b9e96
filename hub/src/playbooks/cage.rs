//! What keeps a playbook in. Its text may say that something be done on the machine it runs on, and its templates can
//! run programs; here that reaches nothing: it reads the system's programs and its own folder, writes only there, and
//! has no network, no other program to talk to, no rights beyond those of the hub's user and not all of these.
//!
//! Two things of the kernel do it together. Landlock knows files, and newer ones know signals. A filter of system calls
//! (seccomp) takes away what Landlock does not look at: sockets of every kind but pairs that reach nobody else, changing
//! permissions and owners of files, the lengths of those that are not open, and whatever reaches into another process of
//! the same user. Where either is not to be had nothing is run.

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible as _, LandlockStatus,
    RestrictionStatus, Ruleset, RulesetAttr as _, RulesetCreatedAttr as _, RulesetError,
    RulesetStatus, Scope, make_bitflags, path_beneath_rules,
};
use rustix::process::{Resource, Rlimit, setrlimit};
use rustix::thread::{CapabilitySet, CapabilitySets};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen as Len, SeccompCmpOp as Cmp, SeccompCondition,
    SeccompFilter, SeccompRule, TargetArch, sock_filter,
};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The newest that is understood; of an older one all it has is asked for.
const NEWEST: ABI = ABI::V9;
/// The system's programs.
pub(super) const PROGRAMS: &[&str] = &["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64"];
/// What programs look at when they start. No more of /etc: the hub's settings may be there.
const ETC: &[&str] = &[
    "/etc/alternatives",
    "/etc/ansible/collections",
    "/etc/ansible/roles",
    "/etc/group",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/localtime",
    "/etc/nsswitch.conf",
    "/etc/os-release",
    "/etc/passwd",
];
/// Of the machine.
const MACHINE: &[&str] = &["/sys/devices/system/cpu", "/dev/urandom", "/dev/random", "/dev/zero"];
/// Where Python keeps its locks.
pub(super) const LOCKS: &str = "/dev/shm";
/// The largest file it may write, the memory of one process, files open at once, processes of the hub's user.
pub(super) const FILE: u64 = 512 << 20;
const MEMORY: u64 = 4 << 30;
const OPEN: u64 = 1024;
const PROCESSES: u64 = 4096;

/// Puts this process and all that come of it into the cage, for good.
pub(super) fn enter(folder: &Path, reads: &[PathBuf]) -> Result<(), String> {
    let failed = |what: &str, e: &dyn std::fmt::Display| {
        format!("a playbook cannot be kept in on this machine, so it was not run: {what}: {e}")
    };
    for (resource, most) in [
        (Resource::Fsize, FILE),
        (Resource::As, MEMORY),
        (Resource::Nofile, OPEN),
        (Resource::Nproc, PROCESSES),
        (Resource::Core, 0),
    ] {
        limit(resource, most).map_err(|e| failed("limits", &e))?;
    }
    drop_rights().map_err(|e| failed("rights", &e))?;
    let status = files(folder, reads).map_err(|e| failed("Landlock", &e))?;
    let scoped = is_kept(&status)?;
    for filter in filters(scoped).map_err(|e| failed("system calls", &e))? {
        seccompiler::apply_filter(&filter).map_err(|e| failed("system calls", &e))?;
    }
    Ok(())
}

/// No more than it is already.
fn limit(resource: Resource, most: u64) -> rustix::io::Result<()> {
    let now = rustix::process::getrlimit(resource);
    let least = |limit: Option<u64>| Some(limit.map_or(most, |limit| limit.min(most)));
    setrlimit(resource, Rlimit { current: least(now.current), maximum: least(now.maximum) })
}

/// A hub of root has rights that go past every file permission.
fn drop_rights() -> rustix::io::Result<()> {
    rustix::thread::set_no_new_privs(true)?;
    let none = CapabilitySet::empty();
    rustix::thread::clear_ambient_capability_set()?;
    let sets = CapabilitySets { effective: none, permitted: none, inheritable: none };
    rustix::thread::set_capabilities(None, sets)
}

/// What of the files there are.
fn files(folder: &Path, reads: &[PathBuf]) -> Result<RestrictionStatus, RulesetError> {
    let read = AccessFs::from_read(NEWEST);
    let look: BitFlags<AccessFs> = make_bitflags!(AccessFs::{ReadFile | ReadDir});
    let write = make_bitflags!(AccessFs::{ReadFile | WriteFile});
    let own = AccessFs::from_all(NEWEST)
        & !make_bitflags!(AccessFs::{Execute | MakeChar | MakeBlock | MakeSock | MakeFifo | IoctlDev | ResolveUnix});
    let locks = make_bitflags!(AccessFs::{ReadFile | WriteFile | MakeReg | RemoveFile | Truncate});
    // Debian keeps a part of Python there.
    let python =
        std::fs::read_dir("/etc").into_iter().flatten().flatten().filter(|entry| {
            entry.file_name().to_str().is_some_and(|name| name.starts_with("python3"))
        });
    let python: Vec<_> = python.map(|entry| entry.path()).collect();
    Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::from_all(ABI::V1))?
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(NEWEST))?
        // Of every port, none.
        .handle_access(AccessNet::from_all(NEWEST))?
        .scope(Scope::from_all(NEWEST))?
        .create()?
        .add_rules(path_beneath_rules(PROGRAMS, read))?
        .add_rules(path_beneath_rules(reads, read))?
        .add_rules(path_beneath_rules(ETC, look))?
        .add_rules(path_beneath_rules(python, look))?
        .add_rules(path_beneath_rules(MACHINE, look))?
        .add_rules(path_beneath_rules(["/dev/null"], write))?
        .add_rules(path_beneath_rules([LOCKS], locks))?
        .add_rules(path_beneath_rules([folder], own))?
        .restrict_self()
}

/// Whether signals are among what Landlock keeps in; an error when it keeps in nothing.
fn is_kept(status: &RestrictionStatus) -> Result<bool, String> {
    let kept = status.ruleset != RulesetStatus::NotEnforced && status.no_new_privs;
    match status.landlock {
        LandlockStatus::Available { effective_abi, .. } if kept => Ok(effective_abi >= ABI::V6),
        _ => Err("a playbook cannot be kept in on this machine, so it was not run: its kernel has no Landlock \
                  (Linux 5.13 or newer, with 'landlock' among its security modules)"
            .to_owned()),
    }
}

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// The system calls that are refused, and those that are as if the kernel were too old for them.
fn filters(scoped: bool) -> Result<[BpfProgram; 3], seccompiler::BackendError> {
    let arch: TargetArch = std::env::consts::ARCH.try_into()?;
    let all = |calls: &[i64]| calls.iter().map(|call| (*call, Vec::new())).collect::<Rules>();
    let mut refused = all(REFUSED);
    refused.extend(all(OLD));
    let mut only = |call: i64, argument: u8, len: Len, cmp: Cmp, value: u64| {
        let condition = SeccompCondition::new(argument, len, cmp, value)?;
        refused.entry(call).or_default().push(SeccompRule::new(vec![condition])?);
        Ok::<_, seccompiler::BackendError>(())
    };
    // Times of what is open may be changed, limits of one's own.
    only(libc::SYS_utimensat, 1, Len::Qword, Cmp::Ne, 0)?;
    only(libc::SYS_prlimit64, 0, Len::Qword, Cmp::Ne, 0)?;
    // Of pairs, streams and sequences go from one end to the other and nowhere else. A datagram may name another
    // address, and with it every socket of the machine that has a path: the journal, the log.
    let int = |value: i32| u64::from(value.cast_unsigned());
    only(libc::SYS_socketpair, 0, Len::Dword, Cmp::Ne, int(libc::AF_UNIX))?;
    for kind in [libc::SOCK_DGRAM, libc::SOCK_RAW] {
        only(libc::SYS_socketpair, 1, Len::Dword, Cmp::MaskedEq(0xf), int(kind))?;
    }
    // These change what is open for reading alone.
    for command in FLAGS {
        only(libc::SYS_ioctl, 1, Len::Dword, Cmp::Eq, *command)?;
    }
    let namespaces = [
        libc::CLONE_NEWUSER,
        libc::CLONE_NEWNS,
        libc::CLONE_NEWNET,
        libc::CLONE_NEWPID,
        libc::CLONE_NEWIPC,
        libc::CLONE_NEWUTS,
        libc::CLONE_NEWCGROUP,
    ];
    for flag in namespaces.map(int) {
        only(libc::SYS_clone, 0, Len::Qword, Cmp::MaskedEq(flag), flag)?;
    }
    if !scoped {
        // Signals that come of a file: F_SETOWN, F_SETOWN_EX and F_SETSIG; FIOSETOWN and SIOCSPGRP.
        for (call, command) in [
            (libc::SYS_fcntl, 8),
            (libc::SYS_fcntl, 15),
            (libc::SYS_fcntl, 10),
            (libc::SYS_ioctl, 0x8901),
            (libc::SYS_ioctl, 0x8902),
        ] {
            only(call, 1, Len::Dword, Cmp::Eq, command)?;
        }
        refused.extend(all(SIGNALS));
    }
    // Its flags are in memory, where no filter looks; without it the older call is made.
    let unknown = all(&[libc::SYS_clone3]);
    let filter = |rules, errno: i32| {
        let errno = SeccompAction::Errno(errno.cast_unsigned());
        SeccompFilter::new(rules, SeccompAction::Allow, errno, arch)?.try_into()
    };
    Ok([second_table(), filter(refused, libc::EPERM)?, filter(unknown, libc::ENOSYS)?])
}

/// Kernels for x86-64 may have a second table of calls, whose numbers have this bit: the same calls, which no other
/// filter would know again. They are as if there were none.
fn second_table() -> BpfProgram {
    let code = |code: u32| u16::try_from(code).unwrap_or_default();
    let step = |code, jt, jf, k| sock_filter { code, jt, jf, k };
    vec![
        // The number of the call; from there on it is one of them.
        step(code(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS), 0, 0, 0),
        step(code(libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K), 0, 1, SECOND_TABLE),
        step(
            code(libc::BPF_RET | libc::BPF_K),
            0,
            0,
            libc::SECCOMP_RET_ERRNO | libc::ENOSYS.cast_unsigned(),
        ),
        step(code(libc::BPF_RET | libc::BPF_K), 0, 0, libc::SECCOMP_RET_ALLOW),
    ]
}

const SECOND_TABLE: u32 = 0x4000_0000;

/// What no playbook needs, and what reaches out of the cage past Landlock.
const REFUSED: &[i64] = &[
    // Sockets of every kind; some pairs of one's own remain.
    libc::SYS_socket,
    libc::SYS_connect,
    libc::SYS_bind,
    libc::SYS_listen,
    libc::SYS_accept,
    libc::SYS_accept4,
    // Memory and messages that outlive whoever made them, beside files.
    libc::SYS_shmget,
    libc::SYS_shmat,
    libc::SYS_shmctl,
    libc::SYS_semget,
    libc::SYS_semop,
    libc::SYS_semtimedop,
    libc::SYS_semctl,
    libc::SYS_msgget,
    libc::SYS_msgsnd,
    libc::SYS_msgrcv,
    libc::SYS_msgctl,
    libc::SYS_mq_open,
    libc::SYS_mq_unlink,
    // A way round every other filter.
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    // Files by their paths, of which Landlock does not know these.
    libc::SYS_truncate,
    libc::SYS_fchmodat,
    452, // fchmodat2
    libc::SYS_fchownat,
    libc::SYS_setxattr,
    libc::SYS_lsetxattr,
    libc::SYS_removexattr,
    libc::SYS_lremovexattr,
    // What is open for reading is enough for these.
    libc::SYS_fchmod,
    libc::SYS_fchown,
    libc::SYS_fsetxattr,
    libc::SYS_fremovexattr,
    463, // setxattrat
    466, // removexattrat
    469, // file_setattr
    libc::SYS_name_to_handle_at,
    libc::SYS_open_by_handle_at,
    libc::SYS_fanotify_init,
    libc::SYS_inotify_add_watch,
    // Other processes of the same user.
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_pidfd_getfd,
    libc::SYS_kcmp,
    libc::SYS_setpriority,
    libc::SYS_ioprio_set,
    libc::SYS_sched_setaffinity,
    libc::SYS_sched_setattr,
    libc::SYS_sched_setparam,
    libc::SYS_sched_setscheduler,
    libc::SYS_migrate_pages,
    libc::SYS_move_pages,
    // Keys that the hub's session may hold.
    libc::SYS_add_key,
    libc::SYS_keyctl,
    libc::SYS_request_key,
    // Other namespaces, other mounts, other kernels.
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_fsopen,
    libc::SYS_fspick,
    libc::SYS_fsmount,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_mount_setattr,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_kexec_load,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_quotactl,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_reboot,
    libc::SYS_acct,
];
/// Commands for a file that was opened for reading which change it: its flags, its attributes, its version, its
/// encryption, that it never be written again.
const FLAGS: &[u64] = &[
    0x4008_6602, // FS_IOC_SETFLAGS
    0x4004_6602, // FS_IOC32_SETFLAGS
    0x401c_5820, // FS_IOC_FSSETXATTR
    0x4008_7602, // FS_IOC_SETVERSION
    0x800c_6613, // FS_IOC_SET_ENCRYPTION_POLICY
    0x4080_6685, // FS_IOC_ENABLE_VERITY
];
/// The same by calls that newer machines do not have any more.
#[cfg(target_arch = "x86_64")]
const OLD: &[i64] = &[
    libc::SYS_chmod,
    libc::SYS_chown,
    libc::SYS_lchown,
    libc::SYS_utime,
    libc::SYS_utimes,
    libc::SYS_futimesat,
];
#[cfg(not(target_arch = "x86_64"))]
const OLD: &[i64] = &[];
/// Signals, where Landlock does not know them: then no process of a playbook ends another.
const SIGNALS: &[i64] = &[
    libc::SYS_kill,
    libc::SYS_tkill,
    libc::SYS_tgkill,
    libc::SYS_rt_sigqueueinfo,
    libc::SYS_rt_tgsigqueueinfo,
    libc::SYS_pidfd_send_signal,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_filters_can_be_made_for_old_and_new_kernels() {
        for scoped in [true, false] {
            let [second, refused, unknown] = filters(scoped).unwrap();
            assert!(refused.len() > REFUSED.len() && !second.is_empty() && !unknown.is_empty());
            assert!(refused.len() < 4096, "the kernel takes no more: {}", refused.len());
        }
    }
}
