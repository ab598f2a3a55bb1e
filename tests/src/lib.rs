//! Ravelin's lab: network namespaces with real Suricata, sshd, Postfix and nmap, and what happens in them; and
//! other projects' log lines, read through the shipped packs.

pub mod bench;
pub mod bpf;
pub mod conformance;
pub mod differential;
pub mod lab;
pub mod month;
pub mod netns;
pub mod oracle;
pub mod scenario;
pub mod torture;
pub mod vm;
pub mod xdp;
