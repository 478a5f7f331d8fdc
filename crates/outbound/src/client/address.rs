//! Which addresses are connected to.
//!
//! A name in a configuration can be made to lead anywhere by whoever owns its zone: to the metadata
//! service of the cloud that the gate runs in, or to a port that only listens on this machine. So an
//! address that no foreign service has is refused, unless the URL that a person configured has that
//! very address in it.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::net::TcpStream;

use super::error::CallError;
use super::url::is_loopback;

/// Addresses that are tried for one name.
const TRIED: usize = 8;

/// What kind of address is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// This machine.
    Loopback,
    /// This network segment; most clouds have their metadata service here.
    LinkLocal,
    /// The metadata service of a cloud, elsewhere.
    Metadata,
    /// No address of one machine: unspecified, multicast, broadcast, reserved.
    NotAHost,
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Loopback => "a loopback address",
            Self::LinkLocal => "a link-local address",
            Self::Metadata => "a cloud's metadata address",
            Self::NotAHost => "not the address of one machine",
        })
    }
}

/// Resolves and connects. An address written in a configured URL (`literal_is_meant`) is taken as it
/// is, and so is `localhost`, if it leads to a loopback address.
pub(crate) async fn connect(
    host: &str,
    port: u16,
    literal_is_meant: bool,
) -> Result<TcpStream, CallError> {
    let failed = |source| CallError::Connect {
        server: match host.contains(':') {
            true => format!("[{host}]:{port}"),
            false => format!("{host}:{port}"),
        },
        source,
    };
    let addresses = resolve(host, port, literal_is_meant).await?;
    let stream = TcpStream::connect(addresses.as_slice())
        .await
        .map_err(failed)?;
    stream.set_nodelay(true).map_err(failed)?;
    Ok(stream)
}

/// The addresses of a host, none of them refused. One refused address refuses all: a name that leads
/// there is not what it seems.
pub(crate) async fn resolve(
    host: &str,
    port: u16,
    literal_is_meant: bool,
) -> Result<Vec<SocketAddr>, CallError> {
    let lookup = tokio::net::lookup_host((host, port)).await;
    let found = lookup.map_err(|source| CallError::Resolve {
        host: host.to_owned(),
        source: Some(source),
    })?;
    let addresses: Vec<SocketAddr> = found.take(TRIED).collect();
    for address in &addresses {
        check(host, address.ip(), literal_is_meant)?;
    }
    if addresses.is_empty() {
        return Err(CallError::Resolve {
            host: host.to_owned(),
            source: None,
        });
    }
    Ok(addresses)
}

fn check(host: &str, address: IpAddr, literal_is_meant: bool) -> Result<(), CallError> {
    let Some(class) = class(address) else {
        return Ok(());
    };
    let literal = host.parse::<IpAddr>().is_ok();
    let local = class == Class::Loopback && is_loopback(host);
    if literal_is_meant && (literal || local) {
        return Ok(());
    }
    Err(CallError::Address {
        host: host.to_owned(),
        address,
        class,
    })
}

/// What is wrong with an address, if anything is. Private networks are fine: many trackers live there.
pub fn class(address: IpAddr) -> Option<Class> {
    match address.to_canonical() {
        IpAddr::V4(v4) => class_v4(v4),
        IpAddr::V6(v6) => class_v6(v6),
    }
}

fn class_v4(address: Ipv4Addr) -> Option<Class> {
    /// Azure's wire server and Alibaba Cloud's metadata service.
    const METADATA: [Ipv4Addr; 2] = [
        Ipv4Addr::new(168, 63, 129, 16),
        Ipv4Addr::new(100, 100, 100, 200),
    ];
    let [first, ..] = address.octets();
    match () {
        () if address.is_loopback() => Some(Class::Loopback),
        () if address.is_link_local() => Some(Class::LinkLocal),
        () if METADATA.contains(&address) => Some(Class::Metadata),
        () if first == 0 || first >= 224 => Some(Class::NotAHost),
        () => None,
    }
}

fn class_v6(address: Ipv6Addr) -> Option<Class> {
    /// AWS.
    const METADATA: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);
    let [a, b, c, d, e, f, g, h] = address.segments();
    let v4 = |high: u16, low: u16| {
        let [w, x] = high.to_be_bytes();
        let [y, z] = low.to_be_bytes();
        class_v4(Ipv4Addr::new(w, x, y, z))
    };
    match (a, b, c, d, e, f) {
        _ if address.is_loopback() => Some(Class::Loopback),
        _ if address.is_unspecified() || address.is_multicast() => Some(Class::NotAHost),
        _ if address == METADATA => Some(Class::Metadata),
        _ if address.is_unicast_link_local() => Some(Class::LinkLocal),
        // IPv4 addresses in IPv6 clothes: NAT64, 6to4, and the old compatible form.
        (0x64, 0xff9b, 0, 0, 0, 0) | (0, 0, 0, 0, 0, 0) => v4(g, h),
        (0x64, 0xff9b, 1, ..) => Some(Class::NotAHost),
        (0x2002, high, low, ..) => v4(high, low),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes() {
        use Class::{LinkLocal, Loopback, Metadata, NotAHost};
        for (text, wanted) in [
            ("127.0.0.1", Some(Loopback)),
            ("127.255.0.1", Some(Loopback)),
            ("::1", Some(Loopback)),
            ("::ffff:127.0.0.1", Some(Loopback)),
            ("::127.0.0.1", Some(Loopback)),
            ("64:ff9b::7f00:1", Some(Loopback)),
            ("2002:7f00:1::", Some(Loopback)),
            ("169.254.169.254", Some(LinkLocal)),
            ("::ffff:169.254.169.254", Some(LinkLocal)),
            ("64:ff9b::a9fe:a9fe", Some(LinkLocal)),
            ("2002:a9fe:a9fe::1", Some(LinkLocal)),
            ("fe80::1", Some(LinkLocal)),
            ("fd00:ec2::254", Some(Metadata)),
            ("168.63.129.16", Some(Metadata)),
            ("100.100.100.200", Some(Metadata)),
            ("0.0.0.0", Some(NotAHost)),
            ("0.1.2.3", Some(NotAHost)),
            ("::", Some(NotAHost)),
            ("224.0.0.1", Some(NotAHost)),
            ("255.255.255.255", Some(NotAHost)),
            ("ff02::1", Some(NotAHost)),
            ("64:ff9b:1::1", Some(NotAHost)),
            ("10.0.0.1", None),
            ("192.168.1.1", None),
            ("fd00::1", None),
            ("192.0.2.1", None),
            ("2001:db8::1", None),
        ] {
            assert_eq!(class(text.parse().unwrap()), wanted, "{text}");
        }
    }

    #[test]
    fn an_address_is_taken_only_where_a_person_wrote_it() {
        let metadata: IpAddr = "169.254.169.254".parse().unwrap();
        let local: IpAddr = "127.0.0.1".parse().unwrap();
        for (host, address, meant, fine) in [
            ("jira.example.com", "192.0.2.1".parse().unwrap(), true, true),
            ("jira.example.com", metadata, true, false),
            ("jira.example.com", local, true, false),
            ("169.254.169.254", metadata, true, true),
            ("169.254.169.254", metadata, false, false),
            ("127.0.0.1", local, true, true),
            ("127.0.0.1", local, false, false),
            ("localhost", local, true, true),
            ("localhost", local, false, false),
            ("localhost", metadata, true, false),
            ("localhost.evil.example", local, true, false),
        ] {
            assert_eq!(
                check(host, address, meant).is_ok(),
                fine,
                "{host} {address}"
            );
        }
    }
}
