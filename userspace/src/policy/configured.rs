//! What of configuration and host the allow list and `home` are made of.

use std::net::IpAddr;

use ipnet::IpNet;

use super::Network;
use super::allow::AllowList;
use crate::config::{Config, Input, Preset};
use crate::event::Target;

/// What of configuration and host the allow list and `home` are made of.
#[derive(Debug)]
pub(super) struct Configured {
    pub(super) allow: Vec<IpNet>,
    pub(super) presets: Vec<&'static Preset>,
    pub(super) files: Vec<IpNet>,
    /// Who sends us syslog: a ban would silence him.
    pub(super) senders: Vec<IpAddr>,
    pub(super) home: Vec<IpNet>,
    pub(super) network: Network,
}

impl Configured {
    pub(super) fn of(config: &Config, network: &Network) -> Self {
        let ports = config.sources.iter().flatten().filter_map(|source| match &source.input {
            Input::Port(port) => Some(port),
            _ => None,
        });
        // A whole network that may send isn't somebody whom we talk to.
        let senders = ports
            .flat_map(|port| &port.from)
            .filter(|net| net.prefix_len() == net.max_prefix_len());
        Self {
            allow: config.allow.clone(),
            presets: config.allow_presets.clone(),
            files: Vec::new(),
            senders: senders.map(IpNet::addr).collect(),
            home: config.home.clone(),
            network: network.clone(),
        }
    }

    pub(super) fn allow_list(&self, by_hand: impl IntoIterator<Item = Target>) -> AllowList {
        let mut list = AllowList::new(&self.allow, &self.senders, &self.network, by_hand);
        list.add_published(&self.presets, &self.files);
        list
    }
}
