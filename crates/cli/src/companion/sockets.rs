//! Whose a connection of this machine is, as Linux tells it (proc_net(5)).

use std::collections::HashSet;
use std::io::Read as _;

use rustix::process::Pid;

/// The most of a table that is read, in bytes.
const LIMIT: u64 = 8 * 1024 * 1024;
/// The state of a connection that stands.
const ESTABLISHED: &str = "01";

/// Whose a connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whose {
    /// Of the process that was asked about.
    Its,
    /// Of another process of this machine.
    Anothers,
    /// There is none of these ports (an address was translated), or it cannot be known.
    Unknown,
}

/// Whose the connection from port `local` to port `remote` is.
pub(super) fn whose(pid: Pid, local: u16, remote: u16) -> Whose {
    let found: HashSet<u64> = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .flat_map(|table| inodes(&read(table), local, remote))
        .collect();
    if found.is_empty() {
        return Whose::Unknown;
    }
    match sockets_of(pid) {
        Some(held) if held.is_disjoint(&found) => Whose::Anothers,
        Some(_) => Whose::Its,
        None => Whose::Unknown,
    }
}

fn read(table: &str) -> String {
    let mut text = String::new();
    if let Ok(file) = std::fs::File::open(table) {
        let _partial = file.take(LIMIT).read_to_string(&mut text);
    }
    text
}

/// The inodes of the connections between these ports.
fn inodes(table: &str, local: u16, remote: u16) -> Vec<u64> {
    let of_line = |line: &str| {
        let mut fields = line.split_ascii_whitespace().skip(1);
        let fits = port(fields.next()?)? == local
            && port(fields.next()?)? == remote
            && fields.next()? == ESTABLISHED;
        let inode = fields.nth(5)?.parse().ok()?;
        (fits && inode != 0).then_some(inode)
    };
    table.lines().skip(1).filter_map(of_line).collect()
}

/// Of `0100007F:1F90`.
fn port(address: &str) -> Option<u16> {
    u16::from_str_radix(address.rsplit_once(':')?.1, 16).ok()
}

/// The inodes of a process's sockets.
fn sockets_of(pid: Pid) -> Option<HashSet<u64>> {
    let files = std::fs::read_dir(format!("/proc/{}/fd", pid.as_raw_nonzero())).ok()?;
    let links = files.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
    Some(links.filter_map(|link| socket(link.to_str()?)).collect())
}

/// Of `socket:[4711]`.
fn socket(link: &str) -> Option<u64> {
    link.strip_prefix("socket:[")?
        .strip_suffix(']')?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:9C40 0100007F:20FB 01 00000000:00000000 00:00000000 00000000  1000        0 4711 1 00 20 4 30 10 -1
   1: 0100007F:20FB 0100007F:9C40 01 00000000:00000000 00:00000000 00000000  1000        0 4712 1 00 20 4 30 10 -1
   2: 0100007F:9C41 0100007F:20FB 06 00000000:00000000 03:00000F00 00000000     0        0 0 3 00
   3: 0100007F:9C42 0100007F:20FB";

    #[test]
    fn a_connection_is_found_by_both_its_ports() {
        assert_eq!(inodes(TABLE, 40_000, 8443), [4711]);
        assert!(inodes(TABLE, 40_000, 443).is_empty());
        assert!(inodes(TABLE, 40_001, 8443).is_empty(), "it is closing");
        assert!(inodes(TABLE, 40_002, 8443).is_empty());
        assert!(inodes("", 1, 1).is_empty());
        let six = TABLE.replace("0100007F:", "00000000000000000000000001000000:");
        assert_eq!(inodes(&six, 40_000, 8443), [4711]);
    }

    #[test]
    fn links_of_sockets() {
        assert_eq!(socket("socket:[4711]"), Some(4711));
        assert_eq!(socket("pipe:[4711]"), None);
        assert_eq!(socket("/dev/null"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn our_own_connections_are_ours_and_no_other_processs() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let to = listener.local_addr().unwrap().port();
        let connection = std::net::TcpStream::connect(("127.0.0.1", to)).unwrap();
        let from = connection.local_addr().unwrap().port();
        let me = rustix::process::getpid();
        assert_eq!(whose(me, from, to), Whose::Its);
        let mut other = std::process::Command::new("sleep")
            .arg("600")
            .spawn()
            .unwrap();
        let pid = Pid::from_child(&other);
        assert_eq!(whose(pid, from, to), Whose::Anothers);
        other.kill().unwrap();
        other.wait().unwrap();
        drop(connection);
        assert_eq!(whose(me, from, 1), Whose::Unknown);
    }
}
