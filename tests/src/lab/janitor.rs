//! Removes a lab, in whatever way its process ends: a shell that waits for our end of a pipe to close.

use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};

use anyhow::{Context as _, Result};

/// Kills what lives in the lab's namespaces, takes down its mounts, removes namespaces and folder.
const ROUTINE: &str = r#"
trap '' HUP INT TERM
cat >/dev/null
spaces=$(ip netns list | awk -v lab="$1-" 'index($1, lab) == 1 { print $1 }')
for space in $spaces; do
    for round in 1 2 3 4 5; do
        pids=$(ip netns pids "$space")
        [ -z "$pids" ] && break
        kill -9 $pids 2>/dev/null
        sleep 0.02
    done
done
for space in $spaces; do ip netns del "$space"; done
awk -v dir="$2/" 'index($2, dir) == 1 { print $2 }' /proc/self/mounts | sort -r | while read -r mount; do
    umount "$mount" || umount -l "$mount"
done
rm -rf --one-file-system "$2"
"#;

/// Waits for the lab's end; dropping it is that end.
#[derive(Debug)]
pub(crate) struct Janitor {
    shell: Child,
    /// Closes with us, also when we are killed.
    line: Option<ChildStdin>,
}

impl Janitor {
    /// For the namespaces whose names begin with `name` and a dash, and this folder.
    pub(crate) fn hire(name: &str, dir: &Path) -> Result<Self> {
        use std::os::unix::process::CommandExt as _;
        let mut shell = Command::new("/bin/sh")
            .args(["-c", ROUTINE, "janitor", name])
            .arg(dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            // A Ctrl-C goes to our process group; the janitor has to outlive it.
            .process_group(0)
            .spawn()
            .context("could not start /bin/sh")?;
        let line = shell.stdin.take();
        Ok(Self { shell, line })
    }
}

impl Drop for Janitor {
    fn drop(&mut self) {
        drop(self.line.take());
        if let Err(error) = self.shell.wait() {
            eprintln!("the lab's janitor was lost: {error}");
        }
    }
}
