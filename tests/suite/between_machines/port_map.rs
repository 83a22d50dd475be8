//! `--map`: a home behind a router in namespaces. The router runs miniupnpd, or the services that a test needs (`support/router.py`).

use crate::support::net::Net;
use crate::support::peer::Stream;
use crate::support::{Home, Peer, quit, text};
use nix::sys::signal::Signal::SIGINT;
use p2pchat::net::invite::Invite;
use serde_json::Value;
use std::env;
use std::path::{Path, PathBuf};

const WAN: &str = "11.22.33.1";
/// Of the home, by IPv4 and IPv6.
const LAN: &str = "10.1.0.1";
const OWN_V6: &str = "2001:db8:1::2";
/// A web server's place, as far as a router may send somebody there.
const BYSTANDER: &str = "import socket\ns = socket.create_server((\"0.0.0.0\", 5000))\nprint(\"{\\\"event\\\":\\\"listening\\\"}\", flush=True)\n\
    while True:\n s.accept()\n print(\"{\\\"event\\\":\\\"called\\\"}\", flush=True)\n";

/// A machine `home` behind `router`, which translates its addresses and lets nobody in, and one `outside`; the router has the address
/// `wan` there.
fn home_network(test: &str, wan: &str) -> Option<Net> {
    let mut net = Net::new(test)?;
    for name in ["home", "outside"] {
        net.machine(name);
    }
    net.ip("router", "addr del 10.2.0.1/24 dev to-2");
    net.ip("router", &format!("addr add {wan}/24 dev to-2"));
    net.ip("outside", &format!("addr add {}2/24 dev eth0", wan.strip_suffix('1').unwrap()));
    for (name, address) in [
        ("router", "fe80::1/64 dev to-1"),
        ("router", "2001:db8:1::1/64 dev to-1"),
        ("router", "2001:db8:2::1/64 dev to-2"),
        ("home", &format!("{OWN_V6}/64 dev eth0")),
        ("outside", "2001:db8:2::2/64 dev eth0"),
    ] {
        net.ip(name, &format!("addr add {address} nodad"));
    }
    net.sh("router", "echo 1 >/proc/sys/net/ipv6/conf/all/forwarding");
    net.ip("home", "-6 route add default via fe80::1 dev eth0");
    net.ip("outside", "-6 route add default via 2001:db8:2::1 dev eth0");
    let rules = [
        "add table inet filter",
        "add chain inet filter miniupnpd",
        "add chain inet filter to_home",
        "add chain inet filter to_outside",
        "add chain inet filter forward { type filter hook forward priority 0; policy drop; }",
        "add rule inet filter forward ct state established,related accept",
        "add rule inet filter forward iif to-1 accept",
        "add rule inet filter forward jump miniupnpd",
        "add chain inet filter prerouting { type nat hook prerouting priority -100; }",
        "add rule inet filter prerouting jump to_home",
        "add chain inet filter postrouting { type nat hook postrouting priority 100; }",
        "add rule inet filter postrouting jump to_outside",
        "add rule inet filter postrouting oif to-2 ip saddr 10.1.0.0/24 masquerade",
    ];
    net.nft("router", &rules);
    Some(net)
}

/// Where `.ci/run` unpacks miniupnpd; none, said aloud, elsewhere.
fn miniupnpd_place(test: &str) -> Option<PathBuf> {
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join("miniupnpd");
    if place.join("usr/sbin/miniupnpd").exists() {
        return Some(place);
    }
    assert_ne!(env::var("P2PCHAT_NETNS").as_deref(), Ok("must"), "{test}: .ci/run puts miniupnpd into {place:?}");
    eprintln!("SKIPPED {test}: needs miniupnpd in {}", place.display());
    None
}

/// Both, where both are.
fn home_with_miniupnpd(test: &str, wan: &str) -> Option<(Net, PathBuf)> {
    Some((home_network(test, wan)?, miniupnpd_place(test)?))
}

/// miniupnpd on the router, with PCP and UPnP or without the one.
fn miniupnpd(net: &Net, place: &Path, pcp: bool) -> Peer {
    let home = Home::new();
    let pcp_word = if pcp { "yes" } else { "no" };
    let settings = home.file(
        "conf",
        format!(
            "ext_ifname=to-2\nlistening_ip=to-1\nhttp_port=0\nenable_natpmp={pcp_word}\nenable_upnp=yes\nsecure_mode=yes\n\
             uuid=12345678-1234-1234-1234-123456789012\nupnp_table_name=filter\nupnp_nat_table_name=filter\n\
             upnp_forward_chain=miniupnpd\nupnp_nat_chain=to_home\nupnp_nat_postrouting_chain=to_outside\n\
             allow 1024-65535 10.1.0.0/24 1024-65535\ndeny 0-65535 0.0.0.0/0 0-65535\n"
        ),
    );
    let [place, settings, pid] = [place, &settings, &home.work().join("pid")].map(|path| path.display().to_string());
    let libraries = format!("$(echo {place}/usr/lib/*-linux-gnu)");
    let line = format!(
        "export LD_LIBRARY_PATH={libraries}; exec ip netns exec {} {place}/usr/sbin/miniupnpd -d -f {settings} -P {pid}",
        net.name("router")
    );
    let router = home.start_by("miniupnpd", &line, &[]);
    // The last that it says before it serves.
    router.line(Stream::Err, |line| line.contains(if pcp { "for NAT-PMP/PCP" } else { "HTTP IPv6 address" }));
    router
}

/// The test's own router.
fn router(net: &Net, mode: &str) -> Peer {
    net.python("router", include_str!("../support/router.py"), &[mode, LAN, WAN])
}

fn listen(net: &Net, home: &Home, options: &[&str]) -> Peer {
    net.start("home", home, &[&["listen", "5000", "--map", "--json"], options].concat())
}

fn invite(listening: &Value) -> Invite {
    Invite::parse(text(listening, "invite")).unwrap()
}

fn addresses(listening: &Value) -> Vec<String> {
    invite(listening).candidates().iter().map(ToString::to_string).collect()
}

fn doctor(net: &Net) -> String {
    let doctor = net.start("home", &Home::new(), &["doctor", "5000"]);
    doctor.line(Stream::Out, |line| line.contains("the router"))
}

/// Waits until the router has no rule for the port; it may be slow to carry out what it was asked.
fn is_gone(net: &Net, chain: &str) {
    let listed = format!("nft list chain inet filter {chain} | grep -q 5000");
    net.sh("router", &format!("for i in $(seq 300); do {listed} || exit 0; sleep 0.1; done; exit 1"));
}

#[test]
fn a_mapping_lets_in_and_is_gone_after_ctrl_c() {
    let Some((net, place)) = home_with_miniupnpd("a_mapping_lets_in_and_is_gone_after_ctrl_c", WAN) else { return };
    for (pcp, by, offered) in [(true, "PCP", "PCP, NAT-PMP, UPnP"), (false, "UPnP", "UPnP")] {
        if !pcp {
            // A firewall that keeps out answers to what was sent to all.
            net.firewall("home", &["meta l4proto icmpv6", "tcp dport 5000"]);
        }
        let _router = miniupnpd(&net, &place, pcp);
        let said = format!("ok the router lets callers in when it is asked, by {offered}; its address is {WAN}");
        assert_eq!(doctor(&net), said);
        net.sh("router", "! nft list chain inet filter to_home | grep -q 5000");
        let mut ana = listen(&net, &Home::new(), &["--invite", "--keep"]);
        let outside = format!("{WAN}:5000");
        let listening = ana.event("listening");
        let mapped = ana.wait_for(|event| event["event"] == "mapped" && event["addr"] == *outside);
        assert_eq!((text(&mapped, "by"), &mapped["seconds"]), (by, &3_600.into()));
        for nth in [1, 2] {
            let listening = if nth == 1 { listening.clone() } else { ana.event_nth(2, "listening") };
            assert!(addresses(&listening)[..2].contains(&outside), "{listening}");
            let dial = ["connect", text(&listening, "invite"), "--json"];
            let mut ben = net.start("outside", &Home::new(), &dial);
            assert!(
                [outside.clone(), format!("[{OWN_V6}]:5000")].contains(&text(&ben.event("connected"), "addr").into())
            );
            ben.send("/quit");
            ben.ends_with(0);
        }
        let mut ben = net.start("outside", &Home::new(), &["connect", &outside, "--json", "--code=wrong"]);
        ben.ends_with(4);
        net.sh("router", "nft list chain inet filter to_home | grep -q 5000");
        ana.signal(SIGINT);
        ana.ends_with(130);
        is_gone(&net, "to_home");
    }
}

#[test]
fn cgnat_is_named_and_ipv6_lets_in_all_the_same() {
    let Some((net, place)) = home_with_miniupnpd("cgnat_is_named_and_ipv6_lets_in_all_the_same", "100.64.1.1") else {
        return;
    };
    let no_address = "the router has no public IPv4 address: there is another NAT before it";
    let outside = format!("[{OWN_V6}]:5000");
    let dial = ["connect", &*outside, "--json"];
    // The firewall of the router keeps IPv6 out as well.
    let mut ana = net.start("home", &Home::new(), &["listen", "5000", "--json"]);
    ana.event("listening");
    net.start("outside", &Home::new(), &[&dial[..], &["--timeout", "1"]].concat()).ends_with(3);
    ana.kill();
    for (pcp, by) in [(true, "PCP"), (false, "UPnP")] {
        if !pcp {
            // Without PCP by IPv4 this miniupnpd serves it by IPv6.
            let chain = "add chain inet filter input { type filter hook input priority 0; }";
            net.nft("router", &[chain, "add rule inet filter input meta nfproto ipv6 udp dport 5351 reject"]);
        }
        let _router = miniupnpd(&net, &place, pcp);
        assert!(doctor(&net).starts_with(&format!("-- {no_address}")));
        let mut ana = listen(&net, &Home::new(), &[]);
        let warning = ana.event("warning");
        assert!(text(&warning, "text").starts_with(no_address), "{warning}");
        let mapped = ana.event("mapped");
        assert_eq!([text(&mapped, "addr"), text(&mapped, "by")], [&*outside, by]);
        let mut ben = net.start("outside", &Home::new(), &dial);
        ben.event("connected");
        ana.event("connected");
        let addrs = ana.event("listening")["addrs"].to_string();
        assert!(!addrs.contains("100.64.") && addrs.contains(OWN_V6), "{addrs}");
        quit(&mut ana, &mut ben);
        // This miniupnpd does not delete by PCP what was asked for twice, as when an answer comes late.
        if !pcp {
            is_gone(&net, "miniupnpd");
        }
    }
}

#[test]
fn a_killed_listener_gets_its_mapping_back() {
    let Some((net, place)) = home_with_miniupnpd("a_killed_listener_gets_its_mapping_back", WAN) else { return };
    let router = miniupnpd(&net, &place, true);
    let home = Home::new();
    let mut killed = listen(&net, &home, &[]);
    let outside = format!("{WAN}:5000");
    killed.wait_for(|event| event["event"] == "mapped" && event["addr"] == *outside);
    killed.kill();
    net.sh("router", "nft list chain inet filter to_home | grep -q 5000");
    let mut again = listen(&net, &home, &[]);
    let mapped = again.wait_for(|event| event["event"] == "mapped" && event["addr"] == *outside);
    assert_eq!(text(&mapped, "by"), "PCP");
    again.signal(SIGINT);
    again.ends_with(130);
    is_gone(&net, "to_home");
    drop(router);
}

#[test]
fn a_new_ipv6_prefix_gets_a_pinhole_of_its_own() {
    let Some((net, place)) = home_with_miniupnpd("a_new_ipv6_prefix_gets_a_pinhole_of_its_own", WAN) else { return };
    let _router = miniupnpd(&net, &place, true);
    let mut ana = listen(&net, &Home::new(), &[]);
    let mapped = |ip: &str| ana.wait_for(|event| event["event"] == "mapped" && event["addr"] == format!("[{ip}]:5000"));
    mapped(OWN_V6);
    let other = "2001:db8:1::9";
    net.ip("home", &format!("addr add {other}/64 dev eth0 nodad"));
    net.ip("home", &format!("addr del {OWN_V6}/64 dev eth0"));
    assert_eq!(text(&mapped(other), "by"), "PCP");
    assert!(ana.all("warning").is_empty());
    ana.signal(SIGINT);
    ana.ends_with(130);
}

#[test]
fn a_machine_that_moves_is_mapped_from_its_new_address() {
    let Some((net, place)) = home_with_miniupnpd("a_machine_that_moves_is_mapped", WAN) else { return };
    let _router = miniupnpd(&net, &place, true);
    let mut ana = listen(&net, &Home::new(), &[]);
    let outside = |event: &Value| event["event"] == "mapped" && text(event, "addr").starts_with(WAN);
    let before = ana.wait_for(outside);
    net.ip("home", "addr del 10.1.0.2/24 dev eth0");
    net.ip("home", "addr add 10.1.0.9/24 dev eth0");
    net.ip("home", "route add default via 10.1.0.1");
    let after = ana.wait_for(|event| outside(event) && event != &before);
    let mut ben = net.start("outside", &Home::new(), &["connect", text(&after, "addr"), "--json"]);
    ben.event("connected");
    ana.event("connected");
    quit(&mut ana, &mut ben);
}

#[test]
fn the_older_protocol_maps_renews_and_deletes_and_its_silence_is_noticed() {
    let Some(net) = home_network("the_older_protocol_maps", WAN) else { return };
    let router = router(&net, "nat-pmp");
    let mut ana = listen(&net, &Home::new(), &[]);
    let mapped = ana.event("mapped");
    let outside = format!("{WAN}:41000");
    assert_eq!((text(&mapped, "addr"), text(&mapped, "by"), &mapped["seconds"]), (&*outside, "NAT-PMP", &10.into()));
    let asked = |nth| {
        let asked = router.event_nth(nth, "asked");
        [&asked["inside"], &asked["outside"], &asked["lifetime"]].map(|number| number.as_u64().unwrap())
    };
    assert_eq!(asked(1), [5_000, 5_000, 3_600]);
    assert_eq!(asked(2), [5_000, 41_000, 3_600]);
    let lost = ana.event("warning");
    assert!(text(&lost, "text").starts_with(&format!("the router does not let callers in at {outside} any more")));
    ana.signal(SIGINT);
    ana.ends_with(130);
    let fits = |event: &Value| event["event"] == "asked" && event["lifetime"] == 0;
    assert_eq!(router.wait_for(fits)["outside"], 0);
}

#[test]
fn a_port_that_is_taken_becomes_another_and_a_lease_without_end_is_said() {
    let Some(net) = home_network("a_port_that_is_taken_becomes_another", WAN) else { return };
    let router = router(&net, "lasting");
    let mut ana = listen(&net, &Home::new(), &[]);
    let mapped = ana.event("mapped");
    let (ip, port) = text(&mapped, "addr").split_once(':').unwrap();
    assert_eq!((ip, text(&mapped, "by"), &mapped["seconds"]), (WAN, "UPnP", &0.into()));
    assert!((20_000..60_000).contains(&port.parse::<u16>().unwrap()), "{port}");
    ana.signal(SIGINT);
    ana.ends_with(130);
    let deleted = router.event("DeletePortMapping");
    assert!(text(&deleted, "body").contains(&format!("<NewExternalPort>{port}</NewExternalPort>")), "{deleted}");
}

#[test]
fn a_slow_router_delays_nothing_and_its_address_comes_into_the_same_invite() {
    let Some(net) = home_network("a_slow_router_delays_nothing", WAN) else { return };
    let _router = router(&net, "late");
    let mut ana = listen(&net, &Home::new(), &["--invite"]);
    let first = ana.event("listening");
    let outside = format!("{WAN}:5000");
    assert!(!addresses(&first).contains(&outside));
    let second = ana.event_nth(2, "listening");
    assert_eq!(addresses(&second)[0], outside);
    assert_eq!(invite(&first).id(), invite(&second).id());
    assert_eq!(ana.all("mapped").len(), 1);
    // What was sent first is good as well.
    let mut ben = net.start("home", &Home::new(), &["connect", text(&first, "invite"), "--json"]);
    assert_eq!(ben.event("connected")["trust"], "verified");
    ana.event("connected");
    quit(&mut ana, &mut ben);
}

#[test]
fn a_hostile_router_is_bounded_leads_nowhere_and_gets_no_address_into_an_invite() {
    let Some(net) = home_network("a_hostile_router_is_bounded", WAN) else { return };
    let bystander = net.python("outside", BYSTANDER, &[]);
    for (mode, says) in [
        ("elsewhere", "the router offers no port mapping"),
        ("endless", "the router offers no port mapping"),
        ("drip", "the router offers no port mapping"),
        ("lying", "the router has no public IPv4 address"),
    ] {
        let router = router(&net, mode);
        let mut ana = listen(&net, &Home::new(), &["--invite"]);
        // Who has the invite comes in whatever the router does.
        let listening = ana.event("listening");
        assert!(text(&ana.event("warning"), "text").starts_with(says), "{mode}");
        assert!(ana.all("mapped").is_empty(), "{mode}");
        let own = [format!("[{OWN_V6}]:5000"), "10.1.0.2:5000".into()];
        assert_eq!(addresses(&listening), own, "{mode}");
        let mut ben = net.start("home", &Home::new(), &["connect", text(&listening, "invite"), "--json"]);
        ben.event("connected");
        assert!(ana.peak_memory() < 64 * 1024, "{mode}: {} KiB", ana.peak_memory());
        quit(&mut ana, &mut ben);
        if mode == "lying" {
            let fits = |event: &Value| event["event"] == "asked" && event["lifetime"] == 0;
            router.wait_for(fits);
        } else {
            router.event("searched");
        }
    }
    assert!(bystander.all("called").is_empty());
}

#[test]
fn a_port_is_not_opened_to_all_for_files_of_anybody_nor_on_loopback() {
    let options = ["listen", "--map", "--accept", "always", "--json"];
    let mut refused = Home::new().start("ana", &options);
    refused.ends_with(2);
    assert!(refused.lines(Stream::Err).concat().contains("with --map and --accept always anyone could send files"));
    let ana = Home::new().listen("ana", &["--map"]);
    let warning = ana.event("warning");
    assert!(text(&warning, "text").starts_with("the router cannot send callers to the address that is listened at"));
}
