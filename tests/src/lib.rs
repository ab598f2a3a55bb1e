//! Ravelin's lab: network namespaces with real Suricata, sshd, Postfix and nmap.

pub mod netns;
pub mod xdp;
