//! This machine's default routes, as its kernel lists them; not known on systems other than Linux.

use std::net::IpAddr;

/// Where packets for everywhere else go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DefaultRoute {
    /// None on a link without routers.
    pub gateway: Option<IpAddr>,
    pub interface: String,
}

#[cfg(target_os = "linux")]
pub use linux::default_routes;

#[cfg(not(target_os = "linux"))]
pub fn default_routes() -> Option<Vec<DefaultRoute>> {
    None
}

#[cfg(target_os = "linux")]
mod linux {
    use super::DefaultRoute;
    use std::fs;
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

    pub fn default_routes() -> Option<Vec<DefaultRoute>> {
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
