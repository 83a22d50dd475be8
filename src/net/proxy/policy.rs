//! Which hosts are dialled through which proxy: `--proxy`, the environment, and their exceptions.

use super::{Proxy, ProxyError, Scheme};
use crate::net::address::Candidate;
use std::net::IpAddr;
use zeroize::Zeroizing;

/// Whether a name is of Tor's (RFC 7686), which no name server must be asked for.
pub fn is_onion(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    host.rsplit('.').next().is_some_and(|last| last.eq_ignore_ascii_case("onion")) && host.contains('.')
}

/// Which hosts are dialled through which proxy.
#[derive(Debug, Clone, Default)]
pub struct ProxyPolicy {
    proxy: Option<Proxy>,
    /// `NO_PROXY`, its entries in lower case.
    except: Vec<String>,
}

impl ProxyPolicy {
    /// `option` is that of `--proxy`; `variable` looks the environment up. The first that is set counts; `none`, or an empty variable,
    /// is no proxy.
    ///
    /// # Errors
    /// When the one that counts is no URL of a proxy, which one and why: to dial directly instead could betray its user.
    pub fn from_settings(option: Option<&str>, variable: impl Fn(&str) -> Option<String>) -> Result<Self, String> {
        let of_variable = |name| variable(name).map(|value| (name, Zeroizing::new(value)));
        let option = option.map(|value| ("--proxy", Zeroizing::new(value.to_owned())));
        let setting = option
            .or_else(|| of_variable("P2PCHAT_PROXY"))
            .or_else(|| of_variable("ALL_PROXY"))
            .or_else(|| of_variable("all_proxy"));
        let proxy = match setting {
            None => None,
            Some((_, url)) if url.as_str() == "none" => None,
            Some((name, url)) if url.is_empty() && name != "--proxy" => None,
            Some((name, url)) => Some(Proxy::parse(&url).map_err(|error| format!("{name}: {error}"))?),
        };
        let except = variable("NO_PROXY").or_else(|| variable("no_proxy")).unwrap_or_default().to_lowercase();
        let entries = except.split([',', ' ']).filter(|entry| !entry.is_empty());
        Ok(Self { proxy, except: entries.map(str::to_owned).collect() })
    }

    /// The proxy, if there is one.
    pub fn proxy(&self) -> Option<&Proxy> {
        self.proxy.as_ref()
    }

    /// What `address` is dialled through; none: directly.
    ///
    /// # Errors
    /// For an onion name without a proxy that looks names up.
    pub fn proxy_for(&self, address: &Candidate) -> Result<Option<&Proxy>, ProxyError> {
        let host = address.host.as_str().to_lowercase();
        let proxy = self.proxy.as_ref().filter(|_| !is_loopback(&host) && !self.is_excepted(&host));
        match proxy {
            Some(proxy) if is_onion(&host) && proxy.scheme != Scheme::Socks5h => Err(ProxyError::Onion),
            None if is_onion(&host) => Err(ProxyError::Onion),
            proxy => Ok(proxy),
        }
    }

    /// Whether the only candidate, when there is no other, can be dialled.
    ///
    /// # Errors
    /// Why not, in words.
    pub fn check(&self, candidates: &[Candidate]) -> Result<(), String> {
        let [only] = candidates else { return Ok(()) };
        self.proxy_for(only).map(drop).map_err(|error| format!("cannot connect to {only}: {error}"))
    }

    /// As curl reads `NO_PROXY`: `*`, a name and all below it, an address, or a network as ADDRESS/BITS.
    fn is_excepted(&self, host: &str) -> bool {
        let ip: Option<IpAddr> = host.parse().ok();
        self.except.iter().any(|entry| {
            let name = entry.trim_start_matches('.');
            let below = host.strip_suffix(name).is_some_and(|before| before.is_empty() || before.ends_with('.'));
            entry == "*" || (!name.is_empty() && below) || ip.is_some_and(|ip| is_in_network(ip, entry))
        })
    }
}

fn is_loopback(host: &str) -> bool {
    host == "localhost"
        || host.ends_with(".localhost")
        || host.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback())
}

fn is_in_network(ip: IpAddr, network: &str) -> bool {
    let Some((network, bits)) = network.split_once('/') else { return network.parse() == Ok(ip) };
    let (Ok(network), Ok(bits)) = (network.parse::<IpAddr>(), bits.parse::<u32>()) else { return false };
    match (ip, network) {
        (IpAddr::V4(ip), IpAddr::V4(network)) if bits <= u32::BITS => {
            (ip.to_bits() ^ network.to_bits()).leading_zeros() >= bits
        }
        (IpAddr::V6(ip), IpAddr::V6(network)) if bits <= u128::BITS => {
            (ip.to_bits() ^ network.to_bits()).leading_zeros() >= bits
        }
        _ => false,
    }
}
