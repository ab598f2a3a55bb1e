//! Each layer by itself, on a thread of its own: what it takes stays with that.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::process::Command;
use std::thread;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketType, socket};
use rustix::thread::{CapabilitySet, capabilities, no_new_privs};

use super::*;

/// What `work` sees once the thread is confined.
fn confined<T: Send + 'static>(needs: Needs, work: impl FnOnce() -> T + Send + 'static) -> T {
    let inside = move || {
        let gaps = enter(&needs);
        assert!(gaps.is_empty(), "{gaps:?}");
        work()
    };
    thread::spawn(inside).join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

fn is_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        eprintln!("SKIPPED: only root has what is dropped here");
    }
    root
}

#[test]
fn few_capabilities_stay_and_none_comes_back() {
    if !is_root() {
        return;
    }
    let status = || fs::read_to_string("/proc/thread-self/status").unwrap();
    let status = confined(Needs::default(), status);
    // NET_ADMIN (12), DAC_READ_SEARCH (2), PERFMON (38), BPF (39).
    let few = "000000c000001004";
    for line in [
        format!("CapPrm:\t{few}"),
        format!("CapEff:\t{few}"),
        format!("CapBnd:\t{few}"),
        "CapInh:\t0000000000000000".to_owned(),
        "CapAmb:\t0000000000000000".to_owned(),
        "NoNewPrivs:\t1".to_owned(),
        "Seccomp:\t2".to_owned(),
    ] {
        assert!(status.lines().any(|found| found == line), "{line}: {status}");
    }
    let all = Needs { others_programs: true, low_ports: true, groups: true, ..Needs::default() };
    let effective = confined(all, || capabilities(None).unwrap().effective);
    for more in [CapabilitySet::SYS_ADMIN, CapabilitySet::NET_BIND_SERVICE, CapabilitySet::CHOWN] {
        assert!(effective.contains(more), "{effective:?}");
    }
    assert!(!no_new_privs().unwrap(), "other threads are as before");
}

#[test]
fn files_elsewhere_can_be_neither_read_nor_written() {
    let dir = tempfile::tempdir().unwrap();
    let base = dir.path().to_owned();
    for folder in ["read", "write", "other"] {
        fs::create_dir(base.join(folder)).unwrap();
        fs::write(base.join(folder).join("file"), "x").unwrap();
    }
    let needs = Needs {
        read: vec![base.join("read")],
        write: vec![base.join("write")],
        ..Needs::default()
    };
    confined(needs, move || {
        let file = |folder: &str| base.join(folder).join("file");
        let denied = |error: std::io::Error| error.kind() == ErrorKind::PermissionDenied;
        fs::read(file("read")).unwrap();
        fs::read("/etc/hosts").unwrap();
        assert!(fs::write(file("read"), "y").is_err_and(denied));
        assert!(fs::remove_file(file("read")).is_err_and(denied));
        assert!(fs::read(file("other")).is_err_and(denied), "a path outside is opened");
        assert!(fs::read_dir(base.join("other")).is_err_and(denied));
        assert!(fs::rename(file("read"), base.join("write/stolen")).is_err());
        fs::write(file("write"), "y").unwrap();
        fs::rename(file("write"), base.join("write/renamed")).unwrap();
        UnixListener::bind(base.join("write/socket")).unwrap();
        assert!(UnixListener::bind(base.join("other/socket")).is_err_and(denied));
        // Looking isn't reading.
        fs::metadata(file("other")).unwrap();
        File::options().write(true).open("/dev/null").unwrap();
    });
}

#[test]
fn what_is_read_may_be_replaced_and_come_later() {
    let dir = tempfile::tempdir().unwrap();
    let base = dir.path().to_owned();
    let needs = Needs { read: vec![base.clone()], ..Needs::default() };
    let (go, wait) = std::sync::mpsc::channel();
    let inside = thread::spawn(move || {
        assert!(enter(&needs).is_empty());
        wait.recv().unwrap();
        fs::read(base.join("log")).unwrap()
    });
    fs::write(dir.path().join("new"), "fresh").unwrap();
    fs::rename(dir.path().join("new"), dir.path().join("log")).unwrap();
    go.send(()).unwrap();
    assert_eq!(inside.join().unwrap(), b"fresh");
}

#[test]
fn programs_run_only_where_one_is_needed() {
    let run = || Command::new("true").status();
    assert!(confined(Needs::default(), run).is_err());
    let journal = Needs { programs: true, ..Needs::default() };
    assert!(confined(journal, run).unwrap().success());
    // And it is as confined as we are.
    let journal = Needs { programs: true, ..Needs::default() };
    let read = || Command::new("cat").arg("/root").output();
    assert!(!confined(journal, read).unwrap().status.success());
}

#[test]
fn calls_that_nobody_needs_are_refused() {
    confined(Needs::default(), || {
        let refused = Some(Errno::PERM);
        let raw = |family, kind| socket(family, kind, None).err();
        assert_eq!(raw(AddressFamily::PACKET, SocketType::RAW), refused);
        assert_eq!(raw(AddressFamily::VSOCK, SocketType::STREAM), refused);
        assert_eq!(raw(AddressFamily::INET, SocketType::STREAM), None);
        assert_eq!(raw(AddressFamily::NETLINK, SocketType::RAW), None);
        use rustix::mount::{MountFlags, mount, unmount};
        let mounted = mount("none", "/mnt", "tmpfs", MountFlags::empty(), None::<&std::ffi::CStr>);
        assert_eq!(mounted.err(), refused);
        assert_eq!(unmount("/mnt", rustix::mount::UnmountFlags::empty()).err(), refused);
        assert_eq!(rustix::system::sethostname(b"x").err(), refused);
        assert_eq!(rustix::process::chroot("/").err(), refused);
        assert_eq!(
            rustix::process::setrlimit(
                rustix::process::Resource::Core,
                rustix::process::getrlimit(rustix::process::Resource::Core)
            )
            .err(),
            refused
        );
        // Threads and sockets as before.
        thread::spawn(|| ()).join().unwrap();
        TcpListener::bind("127.0.0.1:0").unwrap();
    });
}

#[test]
fn every_reason_has_calls_and_every_call_one_reason() {
    let mut seen = std::collections::BTreeSet::new();
    for (reason, calls) in calls::CALLS {
        assert!(!reason.is_empty() && !calls.is_empty());
        for call in *calls {
            assert!(seen.insert(*call), "{call} stands twice");
        }
    }
}
