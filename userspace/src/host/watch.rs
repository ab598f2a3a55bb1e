//! Tells when interfaces, addresses or routes change, so that facts can be asked for anew.

use std::os::fd::{AsFd, BorrowedFd};

use super::HostError;
use super::netlink::Netlink;

/// `RTNLGRP_LINK`, `_IPV4_IFADDR`, `_IPV4_ROUTE`, `_IPV6_IFADDR`, `_IPV6_ROUTE` (rtnetlink.h).
const GROUPS: [u32; 5] = [1, 5, 7, 9, 11];

/// A subscription to changes in the network namespace it was opened in.
///
/// Its descriptor becomes readable when something changed; what, is for [`facts`](super::facts) to say.
pub struct Watch(Netlink);

impl Watch {
    /// Begins watching.
    ///
    /// # Errors
    /// Where netlink can't be used.
    pub fn open() -> Result<Self, HostError> {
        let mut socket = Netlink::open()?;
        for group in GROUPS {
            socket.join(group)?;
        }
        Ok(Self(socket))
    }

    /// Whether something changed since the last call. Doesn't block.
    ///
    /// # Errors
    /// Where the socket broke.
    pub fn changed(&self) -> Result<bool, HostError> {
        self.0.discard()
    }
}

impl AsFd for Watch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
