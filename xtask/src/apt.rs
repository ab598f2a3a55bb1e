//! Debian's package manager, without questions and without services being started.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use crate::cargo::quietly;

const APT_GET: &str = "/usr/bin/apt-get";
/// Maintainer scripts ask it before they start a service; exit code 101 means: don't.
const POLICY: &str = "/usr/sbin/policy-rc.d";
/// Where the machine's own policy waits meanwhile.
const ASIDE: &str = "/usr/sbin/policy-rc.d.ravelin-aside";
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
const BACKPORTS: &str = "/etc/apt/sources.list.d/ravelin-lab-backports.list";

/// Whether packages can be installed here: the machine has apt, and we are root.
pub(crate) fn can_install() -> bool {
    is_there() && is_root()
}

/// Whether this machine has apt.
pub(crate) fn is_there() -> bool {
    Path::new(APT_GET).exists()
}

/// Whether we are root.
pub(crate) fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

/// Installs these packages; services in them aren't started.
pub(crate) fn install(names: &[&str]) -> Result<()> {
    // A fresh image's lists are empty, an old one's name versions that the mirror no longer has.
    update()?;
    let (mut plain, mut backported) = (Vec::new(), Vec::new());
    for name in names {
        if is_installable(name)? { plain.push(*name) } else { backported.push(*name) }
    }
    let _guard = NoServices::begin()?;
    // An interrupted run leaves packages half configured, and apt refuses to go on from there.
    quietly(Command::new("/usr/bin/dpkg").args(["--configure", "-a"]).stdin(Stdio::null()))?;
    if !plain.is_empty() {
        quietly(apt_get().arg("install").args(plain))?;
    }
    if !backported.is_empty() {
        // So that what they need comes from there too.
        let release = add_backports()?;
        quietly(apt_get().args(["--target-release", &release, "install"]).args(backported))?;
    }
    Ok(())
}

fn apt_get() -> Command {
    let mut apt = Command::new(APT_GET);
    apt.env("DEBIAN_FRONTEND", "noninteractive")
        .env("NEEDRESTART_SUSPEND", "1")
        .stdin(Stdio::null())
        .args(["--quiet=2", "--yes", "--no-install-recommends"])
        // Somebody else's apt may be at work: wait for it.
        .args(["-o", "DPkg::Lock::Timeout=600", "-o", "Dpkg::Use-Pty=0"])
        .args(["-o", "Dpkg::Options::=--force-confdef", "-o", "Dpkg::Options::=--force-confold"]);
    apt
}

/// Brings apt's lists up to date.
pub(crate) fn update() -> Result<()> {
    quietly(apt_get().arg("update"))
}

/// Whether apt can install this package from the sources it has, without being told to use backports.
fn is_installable(name: &str) -> Result<bool> {
    let status = apt_get()
        .args(["--simulate", "install", name])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .context("could not start apt-get")?;
    Ok(status.success())
}

/// What isn't in this Debian (Suricata in 12) is in its backports: adds those, from the mirror that this
/// machine uses. Gives their name, such as `bookworm-backports`.
fn add_backports() -> Result<String> {
    let os = fs::read_to_string("/etc/os-release").context("could not read /etc/os-release")?;
    let codename = os
        .lines()
        .find_map(|line| line.strip_prefix("VERSION_CODENAME="))
        .context("expected VERSION_CODENAME in /etc/os-release, found none")?
        .trim_matches('"');
    let release = format!("{codename}-backports");
    let output = Command::new(APT_GET)
        .args(["indextargets", "--format", "$(REPO_URI) $(CODENAME)"])
        .output()
        .context("could not start apt-get")?;
    let targets = String::from_utf8_lossy(&output.stdout).into_owned();
    let mirror_of = |wanted: &str| {
        targets
            .lines()
            .filter_map(|line| line.split_once(' '))
            .find_map(|(mirror, codename)| (codename == wanted).then_some(mirror))
    };
    if mirror_of(&release).is_none() {
        let mirror = mirror_of(codename).with_context(|| {
            format!("expected a source of `{codename}` in apt's list, found none")
        })?;
        eprintln!("Adding {release} of {mirror} to apt's sources ({BACKPORTS})");
        let signed = if Path::new(KEYRING).exists() {
            format!("[signed-by={KEYRING}] ")
        } else {
            String::new()
        };
        let entry = format!(
            "# Added by Ravelin's `cargo xtask`: Suricata isn't in Debian 12 itself.\n\
             deb {signed}{mirror} {release} main\n"
        );
        fs::write(BACKPORTS, entry).with_context(|| format!("could not write {BACKPORTS}"))?;
        update()?;
    }
    Ok(release)
}

/// Packages whose name matches a regular expression.
pub(crate) fn search(pattern: &str) -> Result<Vec<String>> {
    let output = Command::new("/usr/bin/apt-cache")
        .args(["search", "--names-only", pattern])
        .output()
        .context("could not start apt-cache")?;
    let listed = String::from_utf8_lossy(&output.stdout);
    Ok(listed.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect())
}

/// Unpacks a package's files into a new directory; nothing is installed, none of its scripts runs.
pub(crate) fn unpack(name: &str, dir: &Path) -> Result<()> {
    fs::create_dir_all(dir).with_context(|| format!("failed to create {dir:?}"))?;
    // As root it would complain that it can't become another user to write here.
    let sandbox = ["-o", "APT::Sandbox::User=root"];
    quietly(apt_get().current_dir(dir).args(sandbox).args(["download", name]))?;
    for entry in fs::read_dir(dir).with_context(|| format!("failed to read {dir:?}"))? {
        let package = entry?.path();
        quietly(Command::new("/usr/bin/dpkg-deb").arg("--extract").arg(&package).arg(dir))?;
        fs::remove_file(&package).with_context(|| format!("failed to remove {package:?}"))?;
    }
    Ok(())
}

/// Answers a package's question in advance.
pub(crate) fn preseed(answer: &str) -> Result<()> {
    use std::io::Write as _;
    let mut child = Command::new("/usr/bin/debconf-set-selections")
        .stdin(Stdio::piped())
        .spawn()
        .context("could not start debconf-set-selections")?;
    if let Some(mut stdin) = child.stdin.take() {
        writeln!(stdin, "{answer}")?;
    }
    let status = child.wait()?;
    if !status.success() {
        bail!("debconf-set-selections ended with {status} for `{answer}`");
    }
    Ok(())
}

/// Keeps a service that came with a package from starting at the next boot.
pub(crate) fn disable(service: &str) -> Result<()> {
    let systemctl = "/usr/bin/systemctl";
    if !Path::new(systemctl).exists() {
        return Ok(());
    }
    quietly(Command::new(systemctl).args(["disable", service]))
}

/// While it lives, no maintainer script starts a service. The machine's own policy is put aside and back.
struct NoServices;

impl NoServices {
    const SCRIPT: &str = "#!/bin/sh\n\
        # Ravelin's `cargo xtask`: packages that it installs start no services.\n\
        exit 101\n";

    fn begin() -> Result<Self> {
        match fs::read_to_string(POLICY) {
            // What an interrupted run has left: the machine's own, if it had one, is aside already.
            Ok(script) if script == Self::SCRIPT => {}
            Ok(_) => fs::rename(POLICY, ASIDE)
                .with_context(|| format!("could not move {POLICY} to {ASIDE}"))?,
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error).with_context(|| format!("could not read {POLICY}")),
        }
        let guard = Self;
        fs::write(POLICY, Self::SCRIPT)
            .and_then(|()| fs::set_permissions(POLICY, fs::Permissions::from_mode(0o755)))
            .with_context(|| format!("could not write {POLICY}"))?;
        Ok(guard)
    }
}

impl Drop for NoServices {
    fn drop(&mut self) {
        let (done, what) = if Path::new(ASIDE).exists() {
            (fs::rename(ASIDE, POLICY), format!("move {ASIDE} back to {POLICY}"))
        } else {
            (fs::remove_file(POLICY), format!("remove {POLICY}"))
        };
        if let Err(error) = done {
            eprintln!(
                "xtask: could not {what}: {error}: do it, or no package will start its services"
            );
        }
    }
}
