//! Ports and pod networks that nobody else uses.

use std::fmt;
use std::fs;
use std::io;
use std::net::{Ipv4Addr, TcpListener};

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::name::Name;

/// As many free loopback ports as asked for, all different.
///
/// They are free again when this returns, so another program may take one before its
/// user binds it: `up` then starts over with new ones.
pub(crate) fn free_ports<const N: usize>() -> io::Result<[u16; N]> {
    let mut ports = [0; N];
    // Held together, so that the kernel gives each only once.
    let mut held = Vec::with_capacity(N);
    for port in &mut ports {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        *port = listener.local_addr()?.port();
        held.push(listener);
    }
    Ok(ports)
}

/// The /24 below 10.0.0.0/8 from which one cluster's pods get their addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PodNetwork {
    second: u8,
}

impl PodNetwork {
    /// Chosen by the cluster's name, so that a restart finds the same one, and moved
    /// on where another cluster or a route of the machine has it.
    pub(crate) fn choose(name: &Name, taken: &[Self]) -> Result<Self, Error> {
        let routes = fs::read_to_string("/proc/net/route").unwrap_or_default();
        Self::first_free(name, taken, &routes)
    }

    fn first_free(name: &Name, taken: &[Self], routes: &str) -> Result<Self, Error> {
        // 96 is the service network's; the low ones are what offices use.
        const FIRST: u32 = 100;
        const COUNT: u32 = 150;
        let start = name.as_str().bytes().fold(0_u32, |sum, byte| {
            sum.wrapping_mul(31).wrapping_add(u32::from(byte))
        });
        (0..COUNT)
            .filter_map(|step| u8::try_from(FIRST + start.wrapping_add(step) % COUNT).ok())
            .map(|second| Self { second })
            .find(|network| !taken.contains(network) && !network.is_routed(routes))
            .ok_or(Error::NoPodNetwork)
    }

    /// Whether the kernel's table names an address of this network. There addresses
    /// are hexadecimal with the first octet last: 10.100.0.2 is `0200640A`.
    fn is_routed(self, routes: &str) -> bool {
        let ours = format!("00{:02X}0A", self.second);
        routes
            .lines()
            .filter_map(|line| line.split_ascii_whitespace().nth(1))
            .any(|destination| destination.get(2..) == Some(ours.as_str()))
    }
}

impl fmt::Display for PodNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "10.{}.0.0/24", self.second)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_different_and_free() {
        let ports = free_ports::<8>().unwrap();
        let mut sorted = ports.to_vec();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(sorted.len(), 8);
        for port in ports {
            assert!(TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok());
        }
    }

    #[test]
    fn the_same_name_gets_the_same_network_unless_it_is_taken() {
        let name: Name = "dev".parse().unwrap();
        let first = PodNetwork::first_free(&name, &[], "").unwrap();
        assert_eq!(PodNetwork::first_free(&name, &[], "").unwrap(), first);
        let second = PodNetwork::first_free(&name, &[first], "").unwrap();
        assert_ne!(second, first);

        let route = format!("Iface Destination\nveth1 0200{:02X}0A 0\n", first.second);
        let other = PodNetwork::first_free(&name, &[], &route).unwrap();
        assert_eq!(other, second);
    }

    #[test]
    fn a_full_machine_is_an_error_and_not_a_clash() {
        let all: Vec<_> = (0..=u8::MAX).map(|second| PodNetwork { second }).collect();
        assert!(PodNetwork::first_free(&"dev".parse().unwrap(), &all, "").is_err());
    }
}
