//! What the lab needs on a machine, and how it gets there.
//!
//! Where everything is there already, this only looks at a few paths. Otherwise, on Debian and as root, it
//! installs what is missing, saying so in one line; services that come along are neither started nor
//! enabled. Elsewhere it says what to install.

use std::path::Path;

use anyhow::{Result, bail};

use crate::apt;

/// A Debian package and the program in it that the lab calls.
struct Package {
    name: &'static str,
    program: &'static str,
    /// The service it would enable on a machine with systemd.
    service: Option<&'static str>,
}

const LAB: [Package; 12] = [
    Package { name: "suricata", program: "suricata", service: Some("suricata") },
    Package { name: "nginx", program: "nginx", service: Some("nginx") },
    Package { name: "postfix", program: "postfix", service: Some("postfix") },
    Package { name: "sasl2-bin", program: "saslpasswd2", service: Some("saslauthd") },
    Package { name: "openssh-server", program: "sshd", service: Some("ssh") },
    Package { name: "rsyslog", program: "rsyslogd", service: Some("rsyslog") },
    Package { name: "openssh-client", program: "ssh", service: None },
    Package { name: "nmap", program: "nmap", service: None },
    Package { name: "iproute2", program: "ip", service: None },
    Package { name: "iputils-ping", program: "ping", service: None },
    // For `promtool`, which judges the metrics.
    Package { name: "prometheus", program: "promtool", service: Some("prometheus") },
    // A real terminal for `ravelin top`.
    Package { name: "tmux", program: "tmux", service: None },
];

/// What `cargo xtask bench datapath` compares with, and what it needs for that.
const BENCH_DATAPATH: [Package; 6] = [
    Package { name: "iproute2", program: "ip", service: None },
    Package { name: "ethtool", program: "ethtool", service: None },
    Package { name: "nftables", program: "nft", service: None },
    Package { name: "ipset", program: "ipset", service: None },
    Package { name: "iptables", program: "iptables", service: None },
    Package { name: "xdp-tools", program: "xdp-filter", service: None },
];

/// Where those packages put their programs.
const PATH: [&str; 4] = ["/usr/bin", "/usr/sbin", "/bin", "/sbin"];

/// Makes sure that the lab can run on this machine.
pub(crate) fn lab() -> Result<()> {
    let missing: Vec<&Package> = LAB.iter().filter(|package| !package.is_there()).collect();
    let root = apt::is_root();
    if missing.is_empty() {
        if !root {
            bail!(
                "the lab makes network namespaces and loads an XDP program: run this as root \
                 (e.g. `sudo -E env PATH=\"$PATH\" cargo xtask demo`)"
            );
        }
        return Ok(());
    }
    let names: Vec<&str> = missing.iter().map(|package| package.name).collect();
    let listed = names.join(" ");
    if !apt::is_there() {
        bail!(
            "the lab needs programs that this machine lacks; what Debian calls {listed} \
             (programs: {}): install them, then run this again as root",
            missing.iter().map(|package| package.program).collect::<Vec<_>>().join(", ")
        );
    }
    if !root {
        bail!(
            "the lab needs root, and packages that this machine lacks: run this as root, which installs \
             them, or install them yourself: apt-get install --no-install-recommends {listed}"
        );
    }
    eprintln!("Installing what the lab needs and this machine lacks: {listed}");
    if names.contains(&"postfix") {
        // The lab brings its own configuration; this machine's mail stays as it is.
        apt::preseed("postfix postfix/main_mailer_type select No configuration")?;
    }
    apt::install(&names)?;
    for service in missing.iter().filter_map(|package| package.service) {
        apt::disable(service)?;
    }
    match missing.iter().find(|package| !package.is_there()) {
        None => Ok(()),
        Some(package) => bail!(
            "apt-get installed `{}`, but there is no program `{}` in {}",
            package.name,
            package.program,
            PATH.join(", ")
        ),
    }
}

/// Installs what the bench compares with, where that is possible: it says itself what it has to leave out.
pub(crate) fn bench_datapath() {
    let missing: Vec<&str> = BENCH_DATAPATH
        .iter()
        .filter(|package| !package.is_there())
        .map(|package| package.name)
        .collect();
    if missing.is_empty() {
        return;
    }
    let listed = missing.join(" ");
    if !apt::can_install() {
        eprintln!("The bench leaves out what this machine lacks (what Debian calls {listed})");
        return;
    }
    eprintln!("Installing what the bench compares with: {listed}");
    if let Err(error) = apt::install(&missing) {
        eprintln!("The bench leaves out what can't be installed ({listed}): {error:#}");
    }
}

impl Package {
    fn is_there(&self) -> bool {
        PATH.iter().any(|dir| Path::new(dir).join(self.program).exists())
    }
}
