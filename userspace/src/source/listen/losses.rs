//! What the kernel dropped of a UDP socket's datagrams because they weren't read in time.

use std::fs;
use std::io;
use std::os::fd::AsFd;

use rustix::fs::fstat;

/// How a UDP socket is doing, as the kernel says.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Queue {
    /// Bytes that wait to be read, as the kernel accounts for them.
    pub(super) waiting: u64,
    /// Datagrams dropped since the socket was made.
    pub(super) dropped: u64,
}

/// Of a socket, by its inode.
pub(super) fn queue(socket: impl AsFd) -> io::Result<Queue> {
    let inode = fstat(socket)?.st_ino;
    // A thread may be in another namespace than its process.
    for table in ["/proc/thread-self/net/udp", "/proc/thread-self/net/udp6"] {
        let text = match fs::read_to_string(table) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            text => text?,
        };
        if let Some(queue) = find(&text, inode) {
            return Ok(queue);
        }
    }
    Err(io::Error::new(io::ErrorKind::NotFound, "the socket isn't in /proc/net/udp"))
}

/// `sl local_address rem_address st tx:rx tr:tm->when retrnsmt uid timeout inode ref pointer drops`
/// (net/ipv4/udp.c, `udp4_format_sock`).
fn find(table: &str, inode: u64) -> Option<Queue> {
    table.lines().skip(1).find_map(|line| {
        let mut words = line.split_ascii_whitespace();
        let (_sent, waiting) = words.nth(4)?.split_once(':')?;
        if words.nth(4)?.parse() != Ok(inode) {
            return None;
        }
        let waiting = u64::from_str_radix(waiting, 16).ok()?;
        Some(Queue { waiting, dropped: words.nth(2)?.parse().ok()? })
    })
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;

    const TABLE: &str = "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops
  512: 00000000:0202 00000000:0000 07 00000000:00034100 00:00000000 00000000     0        0 70001 2 0000000000000000 0
  513: 0100007F:0035 00000000:0000 07 00000000:00000000 00:00000000 00000000   101        0 70002 2 0000000000000000 4711
";

    #[test]
    fn the_own_line_is_found() {
        assert_eq!(find(TABLE, 70_001), Some(Queue { waiting: 0x34100, dropped: 0 }));
        assert_eq!(find(TABLE, 70_002), Some(Queue { waiting: 0, dropped: 4711 }));
        assert_eq!(find(TABLE, 0), None);
    }

    #[test]
    fn a_full_socket_drops_and_tells() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(socket) = UdpSocket::bind(address) else { continue };
            rustix::net::sockopt::set_socket_recv_buffer_size(&socket, 1).unwrap();
            let sender = UdpSocket::bind(address).unwrap();
            assert_eq!(queue(&socket).unwrap(), Queue::default());
            for _ in 0..100 {
                sender.send_to(&[b'x'; 1000], socket.local_addr().unwrap()).unwrap();
            }
            let Queue { waiting, dropped } = queue(&socket).unwrap();
            assert!(waiting > 0 && (1..100).contains(&dropped), "{waiting} {dropped}");
        }
    }
}
