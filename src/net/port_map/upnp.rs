//! UPnP: the router is searched for by multicast (SSDP), describes its services, and is asked by them (Internet Gateway Device 1 and 2).
//!
//! A search is answered by anybody on the network: only the router that packets go through counts where it is known, else a neighbour on
//! an own link, never this machine itself; and the description and controls have to be at the very address that answered.

use super::gateway::Gateway;
use super::http::{Url, element};
use super::pcp::Assigned;
use super::{LIFETIME, MapError, Method};
use crate::net::reach::{self, OwnNetworks};
use socket2::SockRef;
use std::cell::OnceCell;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, UdpSocket};
use std::ops::Range;
use std::time::{Duration, Instant};

/// Answers come within the second that is asked for (MX 1); routers are late.
const SEARCH: Duration = Duration::from_millis(2_500);
/// How long one socket is waited for while others may have an answer.
const TURN: Duration = Duration::from_millis(50);
const SSDP: u16 = 1900;
const GROUP_V4: Ipv4Addr = Ipv4Addr::new(239, 255, 255, 250);
const GROUP_V6: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0xc);
const DEVICES: [&str; 2] =
    ["urn:schemas-upnp-org:device:InternetGatewayDevice:2", "urn:schemas-upnp-org:device:InternetGatewayDevice:1"];
/// In the order in which they are asked; the first alone maps another port by itself.
const CONNECTIONS: [&str; 3] = [
    "urn:schemas-upnp-org:service:WANIPConnection:2",
    "urn:schemas-upnp-org:service:WANIPConnection:1",
    "urn:schemas-upnp-org:service:WANPPPConnection:1",
];
const FIREWALL: &str = "urn:schemas-upnp-org:service:WANIPv6FirewallControl:1";
/// For a request, once connected.
const CONTROL: Duration = Duration::from_secs(3);
/// Other ports that are tried when the wanted one is another machine's.
const RANDOM_TRIES: usize = 3;
const RANDOM_PORTS: Range<u16> = 20_000..60_000;
/// Codes of errors.
const FAILED: u16 = 501;
const FORBIDDEN: u16 = 606;
const CONFLICT: u16 = 718;
const ONLY_PERMANENT: u16 = 725;
/// What stands for an answer without a code.
const GARBAGE: u16 = 0;

/// A search under way: one socket for each own address.
pub(super) struct RouterSearch {
    sockets: Vec<Searching>,
    begun: Instant,
    found: OnceCell<Option<Found>>,
}

struct Searching {
    socket: UdpSocket,
    own: IpAddr,
    /// Whose answer alone counts.
    router: Option<IpAddr>,
    group: SocketAddr,
}

/// What answered.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) own: IpAddr,
    pub(super) description: Url,
}

impl RouterSearch {
    /// Asks around from each own address.
    pub(super) fn start(gateways: &[Gateway]) -> Self {
        let socket = |&Gateway { own, router, scope }| {
            // By IPv6 a router answers from another address than that of the route, so whoever answers counts.
            let router = router.filter(IpAddr::is_ipv4);
            let socket = UdpSocket::bind((own, 0)).ok()?;
            let group = match own {
                IpAddr::V4(own) => {
                    SockRef::from(&socket).set_multicast_if_v4(&own).ok()?;
                    SocketAddr::from((GROUP_V4, SSDP))
                }
                IpAddr::V6(_) => {
                    SockRef::from(&socket).set_multicast_if_v6(scope).ok()?;
                    SocketAddrV6::new(GROUP_V6, SSDP, 0, scope).into()
                }
            };
            Some(Searching { socket, own, router, group })
        };
        let sockets = gateways.iter().filter_map(socket).collect();
        let search = Self { sockets, begun: Instant::now(), found: OnceCell::new() };
        search.send();
        search
    }

    fn send(&self) {
        for Searching { socket, group, router, .. } in &self.sockets {
            // A firewall of this machine lets in answers to what was sent to the router alone.
            let places = [Some(*group), router.map(|router| (router, SSDP).into())];
            for (device, to) in DEVICES.iter().flat_map(|device| places.iter().flatten().map(move |to| (device, to))) {
                let host = if group.is_ipv4() { "239.255.255.250:1900" } else { "[FF02::C]:1900" };
                let request = format!(
                    "M-SEARCH * HTTP/1.1\r\nHOST: {host}\r\nMAN: \"ssdp:discover\"\r\nMX: 1\r\nST: {device}\r\n\r\n"
                );
                let _ = socket.send_to(request.as_bytes(), to);
            }
        }
    }

    /// The first answer that counts, which is waited for once; none within [`SEARCH`].
    pub(super) fn found(&self) -> Option<&Found> {
        self.found.get_or_init(|| self.wait()).as_ref()
    }

    /// Asks again in the middle of the search, since datagrams get lost.
    fn wait(&self) -> Option<Found> {
        let mut again = Some(self.begun + SEARCH / 2);
        let mut buffer = [0; 1_500];
        let own_networks = OwnNetworks::now();
        // The sender of a datagram can be forged: no request may go to this machine's own services, nor out of its networks.
        let is_neighbour = |ip| {
            (reach::is_link_local(ip) || own_networks.contain(ip)) && !own_networks.include(ip) && !ip.is_loopback()
        };
        loop {
            if again.take_if(|again| Instant::now() >= *again).is_some() {
                self.send();
            }
            for Searching { socket, own, router, .. } in &self.sockets {
                socket.set_read_timeout(Some(TURN)).ok()?;
                match socket.recv_from(&mut buffer) {
                    Ok((length, from)) => {
                        let counts = router.map_or_else(|| is_neighbour(from.ip()), |router| router == from.ip());
                        let description =
                            buffer.get(..length).filter(|_| counts).and_then(|answer| read_location(answer, from));
                        if let Some(description) = description {
                            return Some(Found { own: *own, description });
                        }
                    }
                    Err(error) if is_no_answer_yet(error.kind()) => {}
                    // A socket that fails at once must not make a busy loop of this.
                    Err(_) => std::thread::sleep(TURN),
                }
            }
            if self.sockets.is_empty() || self.begun.elapsed() > SEARCH {
                return None;
            }
        }
    }
}

fn is_no_answer_yet(error: ErrorKind) -> bool {
    matches!(error, ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

/// Where the description stands, by the answer to a search.
pub fn read_location(answer: &[u8], from: SocketAddr) -> Option<Url> {
    let text = str::from_utf8(answer).ok()?;
    let is_gateway = |value: &str| value.contains(":InternetGatewayDevice:");
    let field = |name: &str| {
        let mut fields = text.lines().filter_map(|line| line.split_once(':'));
        fields.find(|(field, _)| field.trim().eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    };
    let answers = text.starts_with("HTTP/1.1 200") && field("st").is_some_and(is_gateway);
    Url::absolute(field("location").filter(|_| answers)?, from)
}

/// The controls of the services that are of use here, by their types.
pub fn read_services(description: &str, at: &Url) -> Vec<(&'static str, Url)> {
    let base = element(description, "URLBase").and_then(|base| Url::absolute(base, at.server));
    let base = base.as_ref().unwrap_or(at);
    let wanted = CONNECTIONS.iter().chain([&FIREWALL]);
    let services: Vec<_> = description.split("<service>").skip(1).collect();
    let control = |kind: &&'static str| {
        let service = services.iter().find(|service| element(service, "serviceType") == Some(*kind))?;
        Some((*kind, base.join(element(service, "controlURL")?)?))
    };
    wanted.filter_map(control).collect()
}

/// The code of an error; 0 when it has none.
fn error_code(body: &str) -> u16 {
    element(body, "errorCode").and_then(|code| code.parse().ok()).unwrap_or(GARBAGE)
}

fn upnp_error(code: u16) -> MapError {
    match code {
        FORBIDDEN => MapError::Forbidden,
        FAILED => MapError::NoPublicAddress,
        GARBAGE => MapError::Silent,
        code => MapError::Refused(Method::Upnp, code),
    }
}

fn random_port() -> Option<u16> {
    let Range { start, end } = RANDOM_PORTS;
    u16::try_from(getrandom::u32().ok()? % u32::from(end - start)).ok().map(|random| start + random)
}

/// One service of a router.
#[derive(Debug, Clone)]
pub(super) struct Service {
    kind: &'static str,
    control: Url,
    own: IpAddr,
    limit: Duration,
}

impl Found {
    /// The services that the router describes.
    fn services(&self) -> Vec<Service> {
        let Ok((200, description)) = self.description.get(self.own) else { return Vec::new() };
        let services = read_services(&description, &self.description);
        services.into_iter().map(|(kind, control)| Service { kind, control, own: self.own, limit: CONTROL }).collect()
    }

    /// The service that has an external address, and that address.
    pub(super) fn connection(&self) -> Result<(Service, Ipv4Addr), MapError> {
        let mut failure = MapError::Silent;
        for service in self.services().into_iter().filter(|service| service.kind != FIREWALL) {
            match service.external_address() {
                Ok(ip) => return Ok((service, ip)),
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    /// The service that opens the firewall for IPv6.
    pub(super) fn firewall(&self) -> Option<Service> {
        self.services().into_iter().find(|service| service.kind == FIREWALL)
    }
}

impl Service {
    /// For the end of the program, which waits for nobody long.
    pub(super) fn within(&self, limit: Duration) -> Self {
        Self { limit, ..self.clone() }
    }

    /// The body of the answer, or the code of the error. The values are numbers and addresses: nothing in them has to be escaped.
    fn ask(&self, action: &str, arguments: &[(&str, String)]) -> Result<String, u16> {
        let kind = self.kind;
        let arguments: String = arguments.iter().map(|(name, value)| format!("<{name}>{value}</{name}>")).collect();
        let body = format!(
            "<?xml version=\"1.0\"?>\r\n<s:Envelope xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\" \
             s:encodingStyle=\"http://schemas.xmlsoap.org/soap/encoding/\"><s:Body>\
             <u:{action} xmlns:u=\"{kind}\">{arguments}</u:{action}></s:Body></s:Envelope>\r\n"
        );
        let headers = format!("Content-Type: text/xml; charset=\"utf-8\"\r\nSOAPAction: \"{kind}#{action}\"\r\n");
        match self.control.post(self.own, self.limit, &headers, &body) {
            Ok((200, answer)) => Ok(answer),
            Ok((_, answer)) => Err(error_code(&answer)),
            Err(_) => Err(GARBAGE),
        }
    }

    pub(super) fn external_address(&self) -> Result<Ipv4Addr, MapError> {
        let answer = self.ask("GetExternalIPAddress", &[]).map_err(upnp_error)?;
        let ip = element(&answer, "NewExternalIPAddress").and_then(|ip| ip.parse::<Ipv4Addr>().ok());
        ip.filter(|ip| !ip.is_unspecified()).ok_or(MapError::NoPublicAddress)
    }

    /// Maps the port of the external address, or another port where it is another machine's.
    pub(super) fn map(&self, ip: Ipv4Addr, port: u16) -> Result<Assigned, MapError> {
        if !reach::is_global(ip.into()) {
            return Err(MapError::NoPublicAddress);
        }
        let added = match self.add(port, port) {
            Err(CONFLICT) if Some(&self.kind) == CONNECTIONS.first() => self.add_any(port),
            Err(CONFLICT) => {
                let mut tries = (0..RANDOM_TRIES).filter_map(|_| random_port()).map(|other| self.add(other, port));
                tries.find(|added| added != &Err(CONFLICT)).unwrap_or(Err(CONFLICT))
            }
            added => added,
        };
        let assigned = |(port, seconds)| Assigned { external: SocketAddr::new(ip.into(), port), seconds };
        added.map(assigned).map_err(upnp_error)
    }

    /// The external port and its seconds; 0 is without end, where the router knows nothing else.
    pub(super) fn add(&self, external: u16, port: u16) -> Result<(u16, u32), u16> {
        match self.add_for(LIFETIME, "AddPortMapping", external, port) {
            Ok(_) => Ok((external, LIFETIME)),
            Err(ONLY_PERMANENT) => self.add_for(0, "AddPortMapping", external, port).map(|_| (external, 0)),
            Err(code) => Err(code),
        }
    }

    fn add_any(&self, port: u16) -> Result<(u16, u32), u16> {
        let answer = self.add_for(LIFETIME, "AddAnyPortMapping", port, port)?;
        let given = element(&answer, "NewReservedPort").and_then(|port| port.parse().ok()).filter(|port| *port != 0);
        given.map(|given| (given, LIFETIME)).ok_or(GARBAGE)
    }

    fn add_for(&self, seconds: u32, action: &str, external: u16, port: u16) -> Result<String, u16> {
        let arguments = [
            ("NewRemoteHost", String::new()),
            ("NewExternalPort", external.to_string()),
            ("NewProtocol", "TCP".into()),
            ("NewInternalPort", port.to_string()),
            ("NewInternalClient", self.own.to_string()),
            ("NewEnabled", "1".into()),
            ("NewPortMappingDescription", "p2pchat".into()),
            ("NewLeaseDuration", seconds.to_string()),
        ];
        self.ask(action, &arguments)
    }

    pub(super) fn delete(&self, external: u16) {
        let port = [
            ("NewRemoteHost", String::new()),
            ("NewExternalPort", external.to_string()),
            ("NewProtocol", "TCP".into()),
        ];
        let _ = self.ask("DeletePortMapping", &port);
    }

    /// Opens the firewall for callers of the own address; the number is the pinhole's.
    pub(super) fn open(&self, port: u16) -> Result<u16, MapError> {
        let arguments = [
            ("RemoteHost", String::new()),
            ("RemotePort", "0".into()),
            ("InternalClient", self.own.to_string()),
            ("InternalPort", port.to_string()),
            ("Protocol", "6".into()),
            ("LeaseTime", LIFETIME.to_string()),
        ];
        let answer = self.ask("AddPinhole", &arguments).map_err(upnp_error)?;
        element(&answer, "UniqueID").and_then(|id| id.parse().ok()).ok_or(upnp_error(GARBAGE))
    }

    pub(super) fn keep_open(&self, pinhole: u16) -> Result<(), MapError> {
        let arguments = [("UniqueID", pinhole.to_string()), ("NewLeaseTime", LIFETIME.to_string())];
        self.ask("UpdatePinhole", &arguments).map(drop).map_err(upnp_error)
    }

    pub(super) fn shut(&self, pinhole: u16) {
        let _ = self.ask("DeletePinhole", &[("UniqueID", pinhole.to_string())]);
    }
}
