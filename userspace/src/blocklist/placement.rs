//! Where a program belongs when interfaces are stacked.
//!
//! | interface | attached | why |
//! |---|---|---|
//! | part of a bond or team | refused | a program on a part keeps one off the whole, and the whole guards its parts |
//! | bond | there | the kernel puts the program on all parts, natively where mode and drivers take it |
//! | VLAN, macvlan, bridge | there, generically | it has no native XDP; what it lies on does, and the program reads tags |
//! | bridge's port | there | what comes in by it passes the program on its way to host and guests |
//! | tunnel (wireguard, tun, ppp) | refused | no Ethernet header; its outer packets come in by another interface |

use crate::host::{Kind, Link};

/// The bond or team that `link` is a part of.
pub(super) fn whole<'l>(link: &Link, links: &'l [Link]) -> Option<&'l Link> {
    let master = links.iter().find(|other| Some(other.index) == link.master)?;
    matches!(kind(master), "bond" | "team").then_some(master)
}

/// Where the program would run natively, for an interface that only takes it generically.
pub(super) fn better(link: &Link, links: &[Link]) -> Option<String> {
    let named = |index| links.iter().find(|other| Some(other.index) == index);
    match kind(link) {
        "vlan" => {
            let parent = &named(link.lower)?.name;
            Some(format!(
                "it is a VLAN of `{parent}`: name that, the program reads tags (and then drops in every \
                 VLAN of it)"
            ))
        }
        "macvlan" | "ipvlan" | "macvtap" => {
            let parent = &named(link.lower)?.name;
            Some(format!("it lies on `{parent}`: name that, in the namespace that has it"))
        }
        "bridge" => {
            let ports: Vec<String> = links
                .iter()
                .filter(|port| port.master == Some(link.index))
                .map(|port| format!("`{}`", port.name))
                .collect();
            let ports = if ports.is_empty() { "none now".to_owned() } else { ports.join(", ") };
            Some(format!(
                "it is a bridge: name the port that the world is behind ({ports}), which also keeps \
                 banned sources from the guests"
            ))
        }
        _ => None,
    }
}

fn kind(link: &Link) -> &str {
    match &link.kind {
        Some(Kind::Bridge) => "bridge",
        Some(Kind::Other(kind)) => kind,
        Some(Kind::Veth) | None => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The loopback, made into something else: its index, name, kind, master and what it lies on.
    fn link(index: u32, name: &str, kind: &str, master: Option<u32>, lower: Option<u32>) -> Link {
        let mut link = crate::host::link("lo").unwrap().unwrap();
        link.kind = match kind {
            "" => None,
            "bridge" => Some(Kind::Bridge),
            other => Some(Kind::Other(other.to_owned())),
        };
        link.index = index;
        name.clone_into(&mut link.name);
        (link.master, link.lower) = (master, lower);
        link
    }

    #[test]
    fn a_part_of_a_bond_is_told_its_whole_and_a_bridges_port_is_not() {
        let links = [(7, "bond0", "bond"), (8, "br0", "bridge"), (9, "team0", "team")]
            .map(|(index, name, kind)| link(index, name, kind, None, None));
        let part = |master| link(2, "eth0", "", master, None);
        assert_eq!(whole(&part(Some(7)), &links).unwrap().name, "bond0");
        assert_eq!(whole(&part(Some(9)), &links).unwrap().name, "team0");
        assert_eq!(whole(&part(Some(8)), &links), None);
        assert_eq!(whole(&part(None), &links), None);
        assert_eq!(better(&links[0], &links), None);
    }

    #[test]
    fn what_only_runs_generically_is_told_where_it_would_run_natively() {
        let eth0 = link(2, "eth0", "", Some(8), None);
        let links = [eth0, link(8, "br0", "bridge", None, None)];
        let vlan = link(3, "eth0.5", "vlan", None, Some(2));
        assert!(better(&vlan, &links).unwrap().contains("VLAN of `eth0`"));
        assert!(better(&links[1], &links).unwrap().contains("(`eth0`)"));
        assert_eq!(better(&links[0], &links), None);
    }
}
