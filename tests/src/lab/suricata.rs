//! Suricata on the server's interface, with a few rules of the lab's own.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;

use super::host::{Host, INTERFACE, Place};
use super::internet::SERVER;
use super::process::Process;
use super::server::write;

/// Suricata, looking at everything that reaches the server's stack.
#[derive(Debug)]
pub(super) struct Suricata {
    process: Process,
    output: PathBuf,
}

/// Sid of the rule that recognises nmap by what its scripts call themselves, as in the ET ruleset.
pub const NMAP_SID: u32 = 2_024_364;
/// Sid of the rule for many SYNs from one source: true, but anybody can forge a SYN.
pub const SYN_SID: u32 = 9_000_001;
/// Sid of the rule for many DNS questions from one source: anybody can forge those, too.
pub const DNS_SID: u32 = 9_000_002;

/// What it has seen.
pub(super) fn eve_of(dir: &Path) -> PathBuf {
    dir.join("suricata/eve.json")
}

/// Its rules.
pub(super) fn rules_of(dir: &Path) -> PathBuf {
    dir.join("suricata/lab.rules")
}

impl Suricata {
    pub(super) fn start(server: &Host, dir: &Path) -> Result<Self> {
        let home = dir.join("suricata");
        fs::create_dir(&home)?;
        write(&rules_of(dir), &rules())?;
        write(&home.join("classification.config"), CLASSES)?;
        write(&home.join("suricata.yaml"), &configuration(&home))?;
        let output = home.join("suricata.out");
        let mut suricata = server.command("/usr/bin/suricata");
        suricata.arg("-c").arg(home.join("suricata.yaml")).arg(format!("--af-packet={INTERFACE}"));
        Ok(Self { process: Process::start("suricata", &mut suricata, &output)?, output })
    }

    pub(super) fn wait(&mut self) -> Result<()> {
        let Self { process, output } = self;
        process.wait_for("`Engine started`", Duration::from_secs(60), || {
            Ok(fs::read_to_string(&*output)?.contains("Engine started").then_some(()))
        })
    }
}

/// All three are of priority 1, which bans at the first alert: what keeps the last two from doing so is
/// that a forger could have caused them.
fn rules() -> String {
    format!(
        "alert http any any -> $HOME_NET any (msg:\"ET SCAN Possible Nmap User-Agent Observed\"; \
         flow:established,to_server; http.user_agent; content:\"Nmap\"; nocase; \
         classtype:web-application-attack; sid:{NMAP_SID}; rev:3;)\n\
         alert tcp any any -> $HOME_NET any (msg:\"LAB Many SYNs from one source\"; flags:S,12; \
         threshold:type both,track by_src,count 100,seconds 1; \
         classtype:web-application-attack; sid:{SYN_SID}; rev:1;)\n\
         alert udp any any -> $HOME_NET 53 (msg:\"LAB Many DNS questions from one source\"; \
         threshold:type both,track by_src,count 100,seconds 1; \
         classtype:web-application-attack; sid:{DNS_SID}; rev:1;)\n"
    )
}

const CLASSES: &str = "config classification: web-application-attack,Web Application Attack,1\n";

fn configuration(home: &Path) -> String {
    let Place { v4, v6, .. } = SERVER;
    format!(
        r#"%YAML 1.1
---
vars:
  address-groups:
    HOME_NET: "[{v4},{v6}]"
default-log-dir: {home}
default-rule-path: {home}
rule-files: [lab.rules]
classification-file: {home}/classification.config
outputs:
  - fast:
      enabled: yes
      filename: fast.log
  - eve-log:
      enabled: yes
      filename: eve.json
      types: [alert]
logging:
  default-log-level: notice
  outputs:
    - console:
        enabled: yes
af-packet:
  - interface: {INTERFACE}
    threads: 1
    cluster-id: 99
    cluster-type: cluster_flow
    defrag: yes
    # Checksums are never computed between namespaces.
    checksum-checks: no
stream:
  checksum-validation: no
app-layer:
  protocols:
    http:
      enabled: yes
    ssh:
      enabled: yes
    dns:
      tcp:
        enabled: yes
        detection-ports:
          dp: 53
      udp:
        enabled: yes
        detection-ports:
          dp: 53
unix-command:
  enabled: no
"#,
        home = home.display(),
    )
}
