//! What this machine's system tells about its routes and its ports. Where it tells nothing, there is no answer.

use std::net::IpAddr;

/// Where packets for everywhere else go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DefaultRoute {
    /// None on a link without routers.
    pub(super) gateway: Option<IpAddr>,
    pub(super) interface: String,
}

#[cfg(target_os = "linux")]
pub(super) use linux::{default_routes, listener_of};

#[cfg(not(target_os = "linux"))]
pub(super) fn default_routes() -> Option<Vec<DefaultRoute>> {
    None
}

#[cfg(not(target_os = "linux"))]
pub(super) fn listener_of(_: u16) -> Option<String> {
    None
}

#[cfg(target_os = "linux")]
mod linux {
    use super::DefaultRoute;
    use std::fs;
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

    pub(in super::super) fn default_routes() -> Option<Vec<DefaultRoute>> {
        let v4 = fs::read_to_string("/proc/net/route").ok()?;
        let v6 = fs::read_to_string("/proc/net/ipv6_route").unwrap_or_default();
        Some(v4.lines().filter_map(route_v4).chain(v6.lines().filter_map(route_v6)).collect())
    }

    /// Interface, destination, gateway, flags, …, mask in column 7; addresses are hexadecimal in the machine's order of bytes.
    fn route_v4(line: &str) -> Option<DefaultRoute> {
        let mut columns = line.split_whitespace();
        let (interface, destination, gateway) = (columns.next()?, columns.next()?, columns.next()?);
        let gateway = Ipv4Addr::from(u32::from_str_radix(gateway, 16).ok()?.to_ne_bytes());
        let is_default = destination == "00000000" && columns.nth(4)? == "00000000";
        let gateway = (!gateway.is_unspecified()).then_some(IpAddr::V4(gateway));
        is_default.then(|| DefaultRoute { gateway, interface: interface.into() })
    }

    /// Destination, its prefix, source, its prefix, gateway, …, interface.
    fn route_v6(line: &str) -> Option<DefaultRoute> {
        let columns: Vec<_> = line.split_whitespace().collect();
        let [destination, prefix, _, _, gateway, .., interface] = columns.as_slice() else { return None };
        let is_default = destination.bytes().all(|digit| digit == b'0') && *prefix == "00";
        let gateway = Ipv6Addr::from(u128::from_str_radix(gateway, 16).ok()?);
        let gateway = (!gateway.is_unspecified()).then_some(IpAddr::V6(gateway));
        // The kernel's own entry that says there is no route stands on lo.
        (is_default && *interface != "lo").then(|| DefaultRoute { gateway, interface: (*interface).into() })
    }

    /// The program that listens on a port, as `NAME (PID)`; of another user's program nothing is known.
    pub(in super::super) fn listener_of(port: u16) -> Option<String> {
        let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(|path| fs::read_to_string(path).unwrap_or_default());
        let inode = tables.iter().flat_map(|table| table.lines()).find_map(|line| listening_inode(line, port))?;
        let socket = format!("socket:[{inode}]");
        let processes = fs::read_dir("/proc").ok()?.flatten();
        let owner = processes.filter(|process| {
            let descriptors = fs::read_dir(process.path().join("fd")).into_iter().flatten().flatten();
            descriptors
                .map(|fd| fs::read_link(fd.path()))
                .any(|link| link.is_ok_and(|link| link.as_os_str() == &*socket))
        });
        let owner = owner.map(|process| process.path()).next()?;
        let name = fs::read_to_string(owner.join("comm")).unwrap_or_default();
        Some(format!("{} ({})", name.trim(), owner.file_name()?.to_string_lossy()))
    }

    /// Number, local address, remote address, state (0A listens), …, inode in column 9.
    fn listening_inode(line: &str, port: u16) -> Option<&str> {
        let columns: Vec<_> = line.split_whitespace().collect();
        let (local, state, inode) = (columns.get(1)?, columns.get(3)?, columns.get(9)?);
        let (_, local) = local.rsplit_once(':')?;
        (*state == "0A" && u16::from_str_radix(local, 16) == Ok(port)).then_some(inode)
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn routes_are_read_as_the_kernel_writes_them() {
            let v4 = "eth0\t00000000\t0101A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0";
            let gateway = if cfg!(target_endian = "little") { "192.168.1.1" } else { "1.1.168.192" };
            let route = |gateway: &str| DefaultRoute { gateway: gateway.parse().ok(), interface: "eth0".into() };
            assert_eq!(route_v4(v4), Some(route(gateway)));
            assert_eq!(route_v4("eth0\t0001A8C0\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0"), None);
            assert_eq!(route_v4("Iface\tDestination\tGateway \tFlags"), None);
            let zero = "0".repeat(32);
            let v6 = |prefix: &str, gateway: &str, interface: &str| {
                format!("{zero} {prefix} {zero} 00 {gateway} 00000400 00000001 00000000 00000003 {interface}")
            };
            let gateway = "fe800000000000000000000000000001";
            assert_eq!(route_v6(&v6("00", gateway, "eth0")), Some(route("fe80::1")));
            assert_eq!(route_v6(&v6("40", gateway, "eth0")), None);
            assert_eq!(route_v6(&v6("00", &zero, "lo")), None);
        }
    }
}
