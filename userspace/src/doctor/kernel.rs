//! The kernel: its version, what of it the daemon needs, and what it lets us do.

use std::fs;
use std::path::Path;

use super::{Findings, Host, Part, Severity};
use crate::blocklist::{self, BlocklistError};

/// Frames in several buffers (`xdp.frags`), without which the program isn't taken.
const NEEDED: (u32, u32) = (5, 18);
/// The oldest that Ravelin is tested on.
const TESTED: (u32, u32) = (6, 1);
/// By number (linux/capability.h), those that the daemon can't do without.
const CAPABILITIES: [(u32, &str); 3] =
    [(12, "CAP_NET_ADMIN"), (38, "CAP_PERFMON"), (39, "CAP_BPF")];
/// Measured: a ban's memory in the kernel, with the hash's own, and what the daemon takes at most.
const BYTES_PER_BAN: u64 = 128;
const DAEMON_BYTES: u64 = 300 << 20;

pub(super) fn examine(host: &Host, findings: &mut Findings) {
    version(findings);
    btf(findings);
    jit(findings);
    bpffs(host, findings);
    let may = capabilities(host, findings);
    if may {
        trial(findings);
    }
    memory(host, findings);
}

fn version(findings: &mut Findings) {
    let name = rustix::system::uname();
    let release = name.release().to_string_lossy();
    let remedy = "apt-get install linux-image-amd64 && reboot";
    match parse_release(&release) {
        None => findings.unseen(
            Part::Kernel,
            "kernel-version",
            format!("the kernel calls itself `{release}`, which isn't a version"),
            "uname -r",
        ),
        Some(version) if version < NEEDED => findings.failure(
            Part::Kernel,
            "kernel-version",
            format!("Linux {release}: XDP programs for jumbo frames came with 5.18"),
            "The kernel won't take the program.",
            remedy,
        ),
        Some(version) if version < TESTED => findings.warning(
            Part::Kernel,
            "kernel-version",
            format!("Linux {release}: Ravelin is tested from 6.1 on"),
            "Nobody has tried whether everything holds there.",
            remedy,
        ),
        Some(_) => findings.ok(
            Part::Kernel,
            "kernel-version",
            format!("Linux {release}: pinned links (5.9), ring buffers (5.8), jumbo frames (5.18)"),
        ),
    }
}

/// `6.1` of `6.1.0-37-cloud-amd64`.
fn parse_release(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|char: char| !char.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

fn btf(findings: &mut Findings) {
    // Nothing in the program depends on the kernel's own types, so its absence isn't even a warning.
    let message = if Path::new("/sys/kernel/btf/vmlinux").exists() {
        "the kernel has its type information (BTF)"
    } else {
        "the kernel has no type information (BTF); Ravelin doesn't need it"
    };
    findings.ok(Part::Kernel, "btf", message);
}

fn jit(findings: &mut Findings) {
    const FILE: &str = "/proc/sys/net/core/bpf_jit_enable";
    match fs::read_to_string(FILE).as_deref().map(str::trim) {
        Ok("0") => findings.warning(
            Part::Kernel,
            "jit-off",
            "the BPF compiler (JIT) is off",
            "The program is interpreted, and each packet costs several times as much.",
            "sysctl -w net.core.bpf_jit_enable=1",
        ),
        Ok(_) => findings.ok(Part::Kernel, "jit", "the BPF compiler (JIT) is on"),
        // Another network namespace than the first, or a kernel that has it always on.
        Err(_) => findings.unseen(
            Part::Kernel,
            "jit",
            "whether the BPF compiler (JIT) is on can't be seen in this namespace",
            "nsenter --net --target 1 sysctl net.core.bpf_jit_enable",
        ),
    }
}

fn bpffs(host: &Host, findings: &mut Findings) {
    let dir = &host.config.bpf_dir;
    let why = "Bans are pinned there; that is how they outlive the daemon.";
    if blocklist::is_on_bpffs(dir) {
        findings.ok(Part::Kernel, "bpffs", format!("{} is on a BPF file system", dir.display()));
    } else if dir.starts_with("/sys/fs/bpf") {
        findings.warning(
            Part::Kernel,
            "bpffs-missing",
            "no BPF file system is mounted at /sys/fs/bpf; a start as root mounts it",
            why,
            "mount -t bpf bpf /sys/fs/bpf",
        );
    } else {
        let parent = dir.parent().unwrap_or(dir).display();
        findings.failure(
            Part::Kernel,
            "bpffs-missing",
            format!("bpf_dir {} isn't on a BPF file system", dir.display()),
            why,
            format!("mount -t bpf bpf {parent}"),
        );
    }
}

/// Whether this process could do what the daemon does.
fn capabilities(host: &Host, findings: &mut Findings) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let Some((effective, bounding)) = set(&status, "CapEff:").zip(set(&status, "CapBnd:")) else {
        findings.unseen(
            Part::Kernel,
            "capabilities",
            "/proc/self/status doesn't tell our capabilities",
            "mount -t proc proc /proc",
        );
        return false;
    };
    let lacking = |set: u64| -> Vec<&str> {
        CAPABILITIES.iter().filter(|(bit, _)| set >> bit & 1 == 0).map(|(_, name)| *name).collect()
    };
    let (lacks, never) = (lacking(effective), lacking(bounding));
    if lacks.is_empty() {
        findings.ok(
            Part::Kernel,
            "capabilities",
            "CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON are ours",
        );
        return true;
    }
    if host.is_root || !never.is_empty() {
        let names = if never.is_empty() { lacks } else { never };
        findings.failure(
            Part::Kernel,
            "capabilities-missing",
            format!(
                "{} can't be had here: a container, or a unit that bounds them",
                names.join(", ")
            ),
            "Without them the program can't be loaded or attached.",
            format!("docker run --network host --cap-add {} ...", names.join(" --cap-add ")),
        );
    } else {
        findings.unseen(
            Part::Kernel,
            "capabilities",
            "whether the kernel takes the program can only root see",
            "sudo ravelin doctor",
        );
    }
    false
}

/// A set of capabilities out of proc(5)'s status.
fn set(status: &str, name: &str) -> Option<u64> {
    let text = status.lines().find_map(|line| line.strip_prefix(name))?;
    u64::from_str_radix(text.trim(), 16).ok()
}

/// What no list of versions tells: whether this kernel takes this program.
fn trial(findings: &mut Findings) {
    match blocklist::trial() {
        Ok(()) => findings.ok(Part::Kernel, "program", "the kernel takes the maps and programs"),
        Err(error @ BlocklistError::Load { .. }) => findings.failure(
            Part::Kernel,
            "program-refused",
            error.to_string(),
            "Nothing can be dropped without it.",
            "dmesg | tail",
        ),
        Err(error) => findings.push(
            Part::Kernel,
            "program-refused",
            Severity::Failure,
            error.to_string(),
            Some("Nothing can be dropped without it."),
            Some("apt-get install --reinstall ravelin".to_owned()),
        ),
    }
}

fn memory(host: &Host, findings: &mut Findings) {
    let max = u64::from(host.config.ban.max);
    let needed = DAEMON_BYTES + 2 * max * BYTES_PER_BAN;
    let Some((limit, whose)) = limit() else {
        findings.unseen(
            Part::Kernel,
            "memory",
            "how much memory there is can't be seen",
            "mount -t proc proc /proc",
        );
        return;
    };
    let mib = |bytes: u64| bytes >> 20;
    if limit >= needed {
        findings.ok(
            Part::Kernel,
            "memory",
            format!("{} MiB of memory ({whose}); at worst {} are needed", mib(limit), mib(needed)),
        );
        return;
    }
    // Half of it for the maps, rounded to what one would write.
    let fits = (limit / 2 / (2 * BYTES_PER_BAN)).max(1_024).next_power_of_two() / 2;
    findings.warning(
        Part::Kernel,
        "memory-short",
        format!(
            "{} MiB of memory ({whose}); {max} bans of each family and a million offenders take {}",
            mib(limit),
            mib(needed)
        ),
        "Under a large attack bans would be refused, or the daemon killed.",
        format!("ban: {{max: {fits}}}   # in {}", host.config_path),
    );
}

/// The least of what limits the daemon, and whose limit that is.
fn limit() -> Option<(u64, &'static str)> {
    let info = fs::read_to_string("/proc/meminfo").ok()?;
    let total = info.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let total: u64 = total.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    let unit = "/sys/fs/cgroup/system.slice/ravelin.service/memory.max";
    let unit = fs::read_to_string(unit).ok().and_then(|max| max.trim().parse().ok());
    Some(match unit {
        Some(unit) if unit < total << 10 => (unit, "MemoryMax of ravelin.service"),
        _ => (total << 10, "the host's"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_read_and_compared_by_number() {
        for (release, version) in
            [("6.1.0-37-cloud-amd64", (6, 1)), ("5.18.0", (5, 18)), ("6.18.44-fc-v782", (6, 18))]
        {
            assert_eq!(parse_release(release), Some(version));
        }
        assert_eq!(parse_release("next"), None);
        assert!(parse_release("5.4.0").unwrap() < NEEDED && (6, 10) > TESTED);
    }

    #[test]
    fn capabilities_are_bits() {
        let status = "Name:\tx\nCapEff:\t000000c000001000\nCapBnd:\t0\n";
        let effective = set(status, "CapEff:").unwrap();
        assert!(CAPABILITIES.iter().all(|(bit, _)| effective >> bit & 1 == 1));
        assert_eq!(set(status, "CapBnd:"), Some(0));
    }
}
