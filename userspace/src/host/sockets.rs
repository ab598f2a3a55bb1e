//! TCP connections of this network namespace, asked of the kernel by peer: who is connected, and whether to
//! an SSH server. By sock_diag(7), since /proc/net/tcp costs a line for each connection of a busy host.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ipnet::IpNet;
use netlink_sys::protocols::NETLINK_SOCK_DIAG;
use netlink_sys::{Socket, SocketAddr as NetlinkAddr};

use super::HostError;

/// `SOCK_DIAG_BY_FAMILY` (linux/sock_diag.h).
const BY_FAMILY: u16 = 20;
/// `NLM_F_REQUEST | NLM_F_DUMP` (linux/netlink.h).
const DUMP: u16 = 0x301;
/// `NLMSG_ERROR`, `NLMSG_DONE`.
const ERROR: u16 = 2;
const DONE: u16 = 3;
/// `INET_DIAG_REQ_BYTECODE` and `INET_DIAG_BC_D_COND` (linux/inet_diag.h).
const BYTECODE: u16 = 1;
const PEER_IS: u8 = 8;
/// `1 << TCP_ESTABLISHED` (linux/tcp_states.h).
const ESTABLISHED: u32 = 1 << 1;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
/// The kernel never sends more in one datagram.
const DATAGRAM: usize = 1 << 16;
/// Of `struct nlmsghdr`, and of it with `struct inet_diag_msg`.
const HEADER: usize = 16;
const MESSAGE: usize = HEADER + 72;
/// Where a server of SSH listens, unless its process says otherwise.
const SSH: u16 = 22;

/// An established TCP connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Connection {
    /// Our end.
    pub local: SocketAddr,
    /// The other.
    pub peer: SocketAddr,
    /// The socket's inode, by which `/proc/PID/fd` knows it.
    pub inode: u32,
}

/// Established connections with peers in `net`, of this port where one is given.
///
/// # Errors
/// Where netlink can't be used, or the kernel can't answer (its module `tcp_diag` is missing).
pub fn connections(net: IpNet, port: Option<u16>) -> Result<Vec<Connection>, HostError> {
    let mut found = Vec::new();
    // A socket that listens on `::` has its IPv4 peers as mapped IPv6 ones.
    let families: &[u8] = if net.addr().is_ipv4() { &[AF_INET, AF_INET6] } else { &[AF_INET6] };
    for family in families {
        dump(&question(*family, net, port), &mut found)
            .map_err(|source| HostError::Connections { source })?;
    }
    Ok(found)
}

/// Peers in `net` of connections to this host's SSH server: to port 22, or to a process `sshd`.
///
/// # Errors
/// As [`connections`].
pub fn ssh_peers(net: IpNet) -> Result<Vec<SocketAddr>, HostError> {
    let connections = connections(net, None)?;
    if connections.is_empty() {
        return Ok(Vec::new());
    }
    let sockets = sockets_of_sshd();
    Ok(connections
        .into_iter()
        .filter(|connection| connection.local.port() == SSH || sockets.contains(&connection.inode))
        .map(|connection| connection.peer)
        .collect())
}

/// Inodes of the sockets that processes called `sshd` have open; processes that can't be looked into have
/// none.
fn sockets_of_sshd() -> HashSet<u32> {
    let mut inodes = HashSet::new();
    for process in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let path = process.path();
        let is_sshd = fs::read(path.join("comm")).is_ok_and(|name| name.starts_with(b"sshd"));
        if !is_sshd {
            continue;
        }
        for file in fs::read_dir(path.join("fd")).into_iter().flatten().flatten() {
            let Ok(link) = fs::read_link(file.path()) else { continue };
            let link = link.to_string_lossy();
            let inode = link.strip_prefix("socket:[").and_then(|rest| rest.strip_suffix(']'));
            inodes.extend(inode.and_then(|inode| inode.parse::<u32>().ok()));
        }
    }
    inodes
}

/// A `struct nlmsghdr`, a `struct inet_diag_req_v2`, and the condition as the kernel's own bytecode.
fn question(family: u8, net: IpNet, port: Option<u16>) -> Vec<u8> {
    let condition = condition(net, port);
    let mut message = vec![0; HEADER];
    message.extend([family, 6, 0, 0]);
    message.extend(ESTABLISHED.to_ne_bytes());
    // An id that isn't looked at in a dump.
    message.extend([0; 48]);
    let length = u16::try_from(4 + condition.len()).unwrap_or(u16::MAX);
    message.extend(length.to_ne_bytes());
    message.extend(BYTECODE.to_ne_bytes());
    message.extend(condition);
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
    message[..4].copy_from_slice(&length.to_ne_bytes());
    message[4..6].copy_from_slice(&BY_FAMILY.to_ne_bytes());
    message[6..8].copy_from_slice(&DUMP.to_ne_bytes());
    message
}

/// A `struct inet_diag_bc_op` with its `struct inet_diag_hostcond`: a peer that fits jumps to the end,
/// another one beyond it.
fn condition(net: IpNet, port: Option<u16>) -> Vec<u8> {
    let (family, address) = match net.addr() {
        IpAddr::V4(v4) => (AF_INET, v4.octets().to_vec()),
        IpAddr::V6(v6) => (AF_INET6, v6.octets().to_vec()),
    };
    let length = u8::try_from(4 + 8 + address.len()).unwrap_or(u8::MAX);
    let mut condition = vec![PEER_IS, length];
    condition.extend((u16::from(length) + 4).to_ne_bytes());
    condition.extend([family, net.prefix_len(), 0, 0]);
    condition.extend(port.map_or(-1, i32::from).to_ne_bytes());
    condition.extend(address);
    condition
}

fn dump(question: &[u8], found: &mut Vec<Connection>) -> io::Result<()> {
    let mut socket = Socket::new(NETLINK_SOCK_DIAG)?;
    socket.bind_auto()?;
    socket.send_to(question, &NetlinkAddr::new(0, 0), 0)?;
    let mut buffer = Vec::with_capacity(DATAGRAM);
    loop {
        buffer.clear();
        match socket.recv(&mut buffer, 0) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        }
        let mut rest = buffer.as_slice();
        while let Some(header) = rest.first_chunk::<HEADER>() {
            let length = u32::from_ne_bytes([header[0], header[1], header[2], header[3]]);
            let length = usize::try_from(length).unwrap_or(usize::MAX).clamp(HEADER, rest.len());
            match u16::from_ne_bytes([header[4], header[5]]) {
                DONE => return Ok(()),
                ERROR => {
                    let code = rest.get(HEADER..).and_then(|body| body.first_chunk::<4>());
                    let code = code.map_or(libc::EPROTO, |code| -i32::from_ne_bytes(*code));
                    return Err(io::Error::from_raw_os_error(code));
                }
                BY_FAMILY => found.extend(connection(&rest[..length])),
                _ => {}
            }
            rest = &rest[length.next_multiple_of(4).min(rest.len())..];
        }
    }
}

/// A `struct inet_diag_msg`: family and three more bytes, ports, addresses (in network order), interface
/// and cookie, then five numbers of which the last is the inode.
fn connection(message: &[u8]) -> Option<Connection> {
    let body = message.first_chunk::<MESSAGE>()?.get(HEADER..)?;
    let port = |at: usize| u16::from_be_bytes([body[at], body[at + 1]]);
    let address = |at: usize| -> Option<IpAddr> {
        match body[0] {
            AF_INET => Some(Ipv4Addr::from(*body.get(at..)?.first_chunk::<4>()?).into()),
            AF_INET6 => {
                let v6 = Ipv6Addr::from(*body.get(at..)?.first_chunk::<16>()?);
                Some(IpAddr::V6(v6).to_canonical())
            }
            _ => None,
        }
    };
    Some(Connection {
        local: SocketAddr::new(address(8)?, port(4)),
        peer: SocketAddr::new(address(24)?, port(6)),
        inode: u32::from_ne_bytes(*body.last_chunk::<4>()?),
    })
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    fn net(text: &str) -> IpNet {
        text.parse().unwrap()
    }

    /// Those that our listener has accepted.
    fn with(net: IpNet, peer: Option<u16>, listener: u16) -> Vec<SocketAddr> {
        let found = connections(net, peer).unwrap();
        let ours = found.into_iter().filter(|connection| connection.local.port() == listener);
        ours.map(|connection| connection.peer).collect()
    }

    #[test]
    fn connections_are_found_by_peer_and_port_and_end() {
        // Dual-stack where the host has IPv6: an IPv4 peer is a mapped one there.
        for (listen, connect) in
            [("127.0.0.1:0", "127.0.0.1"), ("[::]:0", "127.0.0.1"), ("[::1]:0", "::1")]
        {
            let Ok(listener) = TcpListener::bind(listen) else { continue };
            let port = listener.local_addr().unwrap().port();
            let client = TcpStream::connect((connect, port)).unwrap();
            let (accepted, _) = listener.accept().unwrap();
            let peer = client.local_addr().unwrap();
            let host = IpNet::from(peer.ip());
            assert_eq!(with(host, Some(peer.port()), port), [peer], "{listen}");
            assert_eq!(with(host, None, port), [peer]);
            let wide = if peer.is_ipv4() { net("127.0.0.0/8") } else { net("::/64") };
            assert_eq!(with(wide, None, port), [peer]);
            assert!(with(host, Some(1), port).is_empty());
            assert!(with(net("192.0.2.0/24"), None, port).is_empty());
            assert!(with(net("2001:db8::/32"), None, port).is_empty());
            // Not established any more from the moment on that either end is closed.
            drop(accepted);
            assert!(with(host, Some(peer.port()), port).is_empty());
        }
    }
}
