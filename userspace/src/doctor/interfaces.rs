//! The interfaces: what is protected or would be, natively or not, and what stands in the way.

use super::drivers::obstacles;
use super::{Findings, Host, Part, Severity};
use crate::blocklist::{AttachError, Mode, survey};
use crate::config::XdpMode;
use crate::host::{Driver, Link};

pub(super) fn examine(host: &Host, findings: &mut Findings) {
    let configured = &host.config.interfaces;
    let used = if configured.is_empty() { &host.facts.default_interfaces } else { configured };
    if used.is_empty() {
        findings.failure(
            Part::Interfaces,
            "no-interface",
            "this host has no default route, so its outward interface can't be told",
            "There is nothing to attach the program to.",
            format!("interfaces: [eth0]   # in {}; `ip -br link` lists them", host.config_path),
        );
    }
    for name in used {
        interface(host, name, findings);
    }
}

fn interface(host: &Host, name: &str, findings: &mut Findings) {
    let mode = host.config.xdp_mode;
    let survey = match survey(&host.config.bpf_dir, name, mode) {
        Ok(survey) => survey,
        Err(error) => return refused(host, name, &error, findings),
    };
    let Some(link) = host.facts.link(name) else { return };
    if !link.up {
        findings.warning(
            Part::Interfaces,
            "interface-down",
            format!("{name} is down"),
            "Nothing comes in by it.",
            format!("ip link set {name} up"),
        );
    }
    let driver = Driver::of(link);
    let told = told(link, &driver);
    let running = match survey.mode {
        Some(Mode::Native) => {
            return findings.ok(Part::Interfaces, "native", format!("{told}: protected, natively"));
        }
        Some(Mode::MapsOnly) => {
            return findings.ok(
                Part::Interfaces,
                "maps-only",
                format!("{told}: its loader feeds our maps"),
            );
        }
        Some(Mode::Generic) => "runs the program generically",
        None => "would run the program generically",
    };
    if mode == XdpMode::Generic {
        return findings.ok(
            Part::Interfaces,
            "generic",
            format!("{told}: {running}, as configured"),
        );
    }
    let (severity, why) = match mode {
        XdpMode::Native => {
            (Severity::Failure, "xdp_mode is native, so this interface isn't protected at all.")
        }
        _ => {
            (Severity::Warning, "Generic mode costs several times as much for each dropped packet.")
        }
    };
    let mut found = obstacles(name, link.mtu, &driver);
    if let Some(better) = survey.better {
        found.clear();
        findings.push(
            Part::Interfaces,
            "generic-mode",
            severity,
            format!("{told}: {running}: {better}"),
            Some(why),
            Some(format!("interfaces: [...]   # in {}", host.config_path)),
        );
    } else if found.is_empty() && survey.mode.is_none() {
        findings.ok(
            Part::Interfaces,
            "native-expected",
            format!("{told}: nothing speaks against native XDP"),
        );
    } else if found.is_empty() {
        findings.push(
            Part::Interfaces,
            "generic-mode",
            severity,
            format!("{told}: {running}; nothing is known that keeps the driver from native"),
            Some(why),
            Some("systemctl restart ravelin && dmesg | tail   # the driver says why".to_owned()),
        );
    }
    for obstacle in found {
        findings.push(
            Part::Interfaces,
            "generic-mode",
            severity,
            format!("{name} {running}: {}", obstacle.what),
            Some(why),
            Some(obstacle.remedy),
        );
    }
}

/// `eth0 (virtio_net, MTU 1500, LRO off)`.
fn told(link: &Link, driver: &Driver) -> String {
    let name = driver.name.as_deref().unwrap_or("driver unknown");
    let lro = match &driver.offloads {
        Some(on) if on.iter().any(|offload| offload.name == "rx-lro") => ", LRO on",
        Some(_) => ", LRO off",
        None => "",
    };
    format!("{} ({name}, MTU {}{lro})", link.name, link.mtu)
}

fn refused(host: &Host, name: &str, error: &AttachError, findings: &mut Findings) {
    let unprotected = "This interface isn't protected.";
    let remedy = match error {
        AttachError::Pin { source, .. }
            if source.kind() == std::io::ErrorKind::PermissionDenied && !host.is_root =>
        {
            return findings.unseen(
                Part::Interfaces,
                "interface-unseen",
                format!("{name}: whether its program is ours can only root see"),
                "sudo ravelin doctor",
            );
        }
        AttachError::Unproven { .. } => {
            return findings.unseen(
                Part::Interfaces,
                "interface-unseen",
                error.to_string(),
                "sudo ravelin doctor",
            );
        }
        AttachError::Foreign { interface, .. } => {
            let code = "foreign-program";
            let remedy =
                format!("ip link set {interface} xdp off   # if nobody needs that program");
            return findings.failure(
                Part::Interfaces,
                code,
                error.to_string(),
                unprotected,
                remedy,
            );
        }
        AttachError::NoInterface { .. } => {
            let known: Vec<&str> = host.facts.links.iter().map(|link| link.name.as_str()).collect();
            format!("interfaces: [...]   # in {}; there are {}", host.config_path, known.join(", "))
        }
        AttachError::PartOf { master, .. } => {
            format!("interfaces: [{master}]   # in {}", host.config_path)
        }
        AttachError::NotEthernet { .. } => {
            format!(
                "interfaces: [...]   # in {}; the one the tunnel's packets come by",
                host.config_path
            )
        }
        AttachError::NotALink { pin, .. } | AttachError::OwnLink { pin, .. } => {
            format!("rm {}", pin.display())
        }
        AttachError::Unfed { maps, .. } => format!(
            "ravelin object /run/ravelin.bpf.o && xdp-loader load -n ravelin -p {} {name} /run/ravelin.bpf.o",
            maps.display()
        ),
        AttachError::Elsewhere { .. } => {
            format!("bpf_dir: /sys/fs/bpf/ravelin-2   # in {}", host.config_path)
        }
        _ => format!("ip -details link show {name}"),
    };
    findings.failure(
        Part::Interfaces,
        "interface-unprotected",
        error.to_string(),
        unprotected,
        remedy,
    );
}
