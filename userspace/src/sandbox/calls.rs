//! System calls: those that the daemon, its libraries and `journalctl` make, and no others.
//!
//! What isn't listed fails with EPERM, and so harmlessly where a library only tries. `clone3`, whose flags a filter
//! can't see, fails with ENOSYS: then `clone` is used, whose flags it can.

use std::collections::BTreeMap;
use std::env::consts::ARCH;

use libc::c_long;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, apply_filter,
};

use super::{Gap, Needs};

type Backend = seccompiler::BackendError;

/// Calls by what they are for. Restricted ones (`socket`, `mmap`, ...) are below.
pub(super) const CALLS: &[(&str, &[c_long])] = &[
    (
        "memory: allocators, thread stacks, SQLite's shared memory, the ring buffer of dropped packets",
        &[
            libc::SYS_brk,
            libc::SYS_madvise,
            libc::SYS_membarrier,
            libc::SYS_mremap,
            libc::SYS_munmap,
        ],
    ),
    (
        "files: logs, configuration, packs, the database",
        &[
            libc::SYS_close,
            libc::SYS_close_range,
            libc::SYS_dup,
            libc::SYS_dup3,
            libc::SYS_fadvise64,
            libc::SYS_fcntl,
            libc::SYS_flock,
            libc::SYS_fstat,
            libc::SYS_fstatfs,
            libc::SYS_getdents64,
            libc::SYS_lseek,
            libc::SYS_newfstatat,
            libc::SYS_openat,
            libc::SYS_pread64,
            libc::SYS_preadv,
            libc::SYS_preadv2,
            libc::SYS_read,
            libc::SYS_readv,
            libc::SYS_statfs,
            libc::SYS_statx,
        ],
    ),
    (
        "ways to files: who could write to a log decides whether it is believed",
        &[
            libc::SYS_chdir,
            libc::SYS_faccessat,
            libc::SYS_faccessat2,
            libc::SYS_fchdir,
            libc::SYS_fgetxattr,
            libc::SYS_getcwd,
            libc::SYS_getxattr,
            libc::SYS_lgetxattr,
            libc::SYS_readlinkat,
        ],
    ),
    (
        "writing: the database, the last good copy, sockets and the lock",
        &[
            libc::SYS_fallocate,
            libc::SYS_fchmod,
            libc::SYS_fchmodat,
            libc::SYS_fchown,
            libc::SYS_fchownat,
            libc::SYS_fdatasync,
            libc::SYS_fsync,
            libc::SYS_ftruncate,
            libc::SYS_mkdirat,
            libc::SYS_pwrite64,
            libc::SYS_pwritev,
            libc::SYS_pwritev2,
            libc::SYS_renameat,
            libc::SYS_renameat2,
            libc::SYS_umask,
            libc::SYS_unlinkat,
            libc::SYS_utimensat,
            libc::SYS_write,
            libc::SYS_writev,
        ],
    ),
    (
        "waiting: for lines, clients, signals",
        &[
            libc::SYS_epoll_create1,
            libc::SYS_epoll_ctl,
            libc::SYS_epoll_pwait,
            libc::SYS_epoll_pwait2,
            libc::SYS_eventfd2,
            libc::SYS_inotify_add_watch,
            libc::SYS_inotify_init1,
            libc::SYS_inotify_rm_watch,
            libc::SYS_pipe2,
            libc::SYS_ppoll,
            libc::SYS_pselect6,
            libc::SYS_signalfd4,
            libc::SYS_timerfd_create,
            libc::SYS_timerfd_gettime,
            libc::SYS_timerfd_settime,
        ],
    ),
    (
        "sockets: control, sources, relay, webhook, netlink (which kinds: see below)",
        &[
            libc::SYS_accept,
            libc::SYS_accept4,
            libc::SYS_bind,
            libc::SYS_connect,
            libc::SYS_getpeername,
            libc::SYS_getsockname,
            libc::SYS_getsockopt,
            libc::SYS_listen,
            libc::SYS_recvfrom,
            libc::SYS_recvmmsg,
            libc::SYS_recvmsg,
            libc::SYS_sendmmsg,
            libc::SYS_sendmsg,
            libc::SYS_sendto,
            libc::SYS_setsockopt,
            libc::SYS_shutdown,
        ],
    ),
    ("maps, programs and links: what it is all about", &[libc::SYS_bpf]),
    (
        "threads and time",
        &[
            libc::SYS_clock_getres,
            libc::SYS_clock_gettime,
            libc::SYS_clock_nanosleep,
            libc::SYS_exit,
            libc::SYS_exit_group,
            libc::SYS_futex,
            libc::SYS_get_robust_list,
            libc::SYS_getcpu,
            libc::SYS_getrandom,
            libc::SYS_getrusage,
            libc::SYS_gettid,
            libc::SYS_gettimeofday,
            libc::SYS_nanosleep,
            libc::SYS_prctl,
            libc::SYS_restart_syscall,
            libc::SYS_rseq,
            libc::SYS_rt_sigaction,
            libc::SYS_rt_sigpending,
            libc::SYS_rt_sigprocmask,
            libc::SYS_rt_sigreturn,
            libc::SYS_rt_sigsuspend,
            libc::SYS_rt_sigtimedwait,
            libc::SYS_sched_getaffinity,
            libc::SYS_sched_yield,
            libc::SYS_set_robust_list,
            libc::SYS_set_tid_address,
            libc::SYS_sigaltstack,
            libc::SYS_sysinfo,
            libc::SYS_tgkill,
            libc::SYS_times,
            libc::SYS_uname,
        ],
    ),
    (
        "who we are, and who is at the other end",
        &[
            libc::SYS_capget,
            libc::SYS_getegid,
            libc::SYS_geteuid,
            libc::SYS_getgid,
            libc::SYS_getgroups,
            libc::SYS_getpgid,
            libc::SYS_getpid,
            libc::SYS_getppid,
            libc::SYS_getresgid,
            libc::SYS_getresuid,
            libc::SYS_getsid,
            libc::SYS_getuid,
        ],
    ),
];

/// What the same is called where there are older names for it.
#[cfg(target_arch = "x86_64")]
const OLDER: &[c_long] = &[
    libc::SYS_access,
    libc::SYS_arch_prctl,
    libc::SYS_chmod,
    libc::SYS_chown,
    libc::SYS_dup2,
    libc::SYS_epoll_create,
    libc::SYS_epoll_wait,
    libc::SYS_getpgrp,
    libc::SYS_getrlimit,
    libc::SYS_lchown,
    libc::SYS_lstat,
    libc::SYS_mkdir,
    libc::SYS_open,
    libc::SYS_pipe,
    libc::SYS_poll,
    libc::SYS_readlink,
    libc::SYS_rename,
    libc::SYS_rmdir,
    libc::SYS_select,
    libc::SYS_stat,
    libc::SYS_time,
    libc::SYS_unlink,
];
#[cfg(not(target_arch = "x86_64"))]
const OLDER: &[c_long] = &[];

/// Starting `journalctl`, ending it, waiting for its end.
const PROGRAMS: &[c_long] = &[
    libc::SYS_execve,
    libc::SYS_kill,
    libc::SYS_pidfd_open,
    libc::SYS_pidfd_send_signal,
    libc::SYS_wait4,
    libc::SYS_waitid,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_vfork,
];

/// Kinds of sockets: control socket and resolver, relay and webhook, interfaces and routes. No raw packets, no
/// Bluetooth, no kernel crypto.
const FAMILIES: [i32; 4] = [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK];

/// `clone` with any of these makes a namespace: a way to rights that we have given up.
const NAMESPACES: i32 = libc::CLONE_NEWNS
    | libc::CLONE_NEWCGROUP
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET;

pub(super) fn filter(needs: &Needs) -> Result<(), Gap> {
    programs(needs)
        .map_err(|error| error.to_string())
        .and_then(|programs| {
            programs
                .iter()
                .try_for_each(|program| apply_filter(program).map_err(|error| error.to_string()))
        })
        .map_err(|reason| Gap::Calls { reason })
}

/// In order: the second one refuses to put another one before it.
fn programs(needs: &Needs) -> Result<[BpfProgram; 2], Backend> {
    let arch: TargetArch = ARCH.try_into()?;
    let eperm = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    let enosys = SeccompAction::Errno(libc::ENOSYS.unsigned_abs());
    let allowed = SeccompFilter::new(rules(needs)?, eperm, SeccompAction::Allow, arch)?;
    let clone3 = BTreeMap::from([(libc::SYS_clone3, Vec::new())]);
    let clone3 = SeccompFilter::new(clone3, SeccompAction::Allow, enosys, arch)?;
    Ok([clone3.try_into()?, allowed.try_into()?])
}

fn rules(needs: &Needs) -> Result<BTreeMap<c_long, Vec<SeccompRule>>, Backend> {
    let free = CALLS.iter().flat_map(|(_, calls)| *calls).chain(OLDER);
    let programs: &[c_long] = if needs.programs { PROGRAMS } else { &[] };
    let mut rules: BTreeMap<c_long, Vec<SeccompRule>> =
        free.chain(programs).map(|call| (*call, Vec::new())).collect();
    // Refused by the other filter.
    rules.insert(libc::SYS_clone3, Vec::new());

    let families = FAMILIES.map(|family| Ok(vec![is(0, family)?]));
    rules.insert(libc::SYS_socket, any(families)?);
    // Tokio's way to be woken by a signal.
    rules.insert(libc::SYS_socketpair, any([Ok(vec![is(0, libc::AF_UNIX)?])])?);
    rules.insert(libc::SYS_clone, any([Ok(vec![lacks(0, NAMESPACES)?])])?);
    // Memory is written or run, never both; what was written is never made runnable.
    let (write, run) = (libc::PROT_WRITE, libc::PROT_EXEC);
    rules.insert(libc::SYS_mmap, any([Ok(vec![lacks(2, write)?]), Ok(vec![lacks(2, run)?])])?);
    rules.insert(libc::SYS_mprotect, any([Ok(vec![lacks(2, run)?])])?);
    // Nobody types into a terminal for its owner.
    let (type_in, draw) = (libc::TIOCSTI, libc::TIOCLINUX);
    rules.insert(libc::SYS_ioctl, any([Ok(vec![is_not(1, type_in)?, is_not(1, draw)?])])?);
    // Limits are read.
    let read = SeccompCondition::new(2, SeccompCmpArgLen::Qword, SeccompCmpOp::Eq, 0)?;
    rules.insert(libc::SYS_prlimit64, any([Ok(vec![read])])?);
    Ok(rules)
}

/// Allowed where all conditions of any of them hold.
fn any(
    rules: impl IntoIterator<Item = Result<Vec<SeccompCondition>, Backend>>,
) -> Result<Vec<SeccompRule>, Backend> {
    rules.into_iter().map(|conditions| SeccompRule::new(conditions?)).collect()
}

fn is(argument: u8, value: i32) -> Result<SeccompCondition, Backend> {
    let value = u64::from(value.unsigned_abs());
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, value)
}

fn is_not(argument: u8, value: u64) -> Result<SeccompCondition, Backend> {
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::Ne, value)
}

/// None of these bits is set.
fn lacks(argument: u8, bits: i32) -> Result<SeccompCondition, Backend> {
    let mask = u64::from(bits.cast_unsigned());
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::MaskedEq(mask), 0)
}
