//! What only shows between machines: each is a network namespace.

use crate::support::net::Net;
use crate::support::{Home, quit, text};
use std::time::Instant;

/// A web server as far as a dialler sees one.
const WEB_SERVER: &str = "import socket\ns = socket.create_server((\"0.0.0.0\", 5000))\nprint(\"{\\\"event\\\":\\\"listening\\\"}\", flush=True)\n\
    while True:\n c = s.accept()[0]\n c.recv(28)\n c.sendall(b\"HTTP/1.1 400 Bad Request\\r\\n\\r\\n\")\n c.close()\n";

#[test]
fn the_right_listener_is_found_past_dead_and_wrong_addresses_behind_a_firewall() {
    let Some(mut net) = Net::new("the_right_listener_is_found") else { return };
    let [web, other, right, dialler] = ["web", "other", "right", "dialler"].map(|name| net.machine(name));
    // The dialler's firewall lets in answers alone, the right listener's that port too; what goes to 10.2.0.99 vanishes.
    let firewall = |rule: &str| {
        format!(
            "printf '%s\\n' 'add table ip f' 'add chain ip f in {{ type filter hook input priority 0; policy drop; }}' \
            'add rule ip f in ct state established,related accept' 'add rule ip f in iif lo accept' {rule} | nft -f -"
        )
    };
    net.sh("dialler", &firewall(""));
    net.sh("right", &firewall("'add rule ip f in tcp dport 5000 accept'"));
    net.ip("router", "route add blackhole 10.9.0.0/16");
    let script = Home::new();
    let path = script.file("web.py", WEB_SERVER);
    let line = format!("exec ip netns exec {} python3 {}", net.name("web"), path.display());
    let server = script.start_by("web", &line, &[]);
    server.event("listening");
    let listen = ["listen", "0.0.0.0:5000", "--json", "--invite"];
    let decoy = Home::new().start_by("other", &net.on("other"), &listen);
    decoy.event("listening");
    let dead = "10.9.0.99:5000";
    let at = [dead.to_owned(), format!("{web}:5000"), format!("{other}:5000")];
    let options: Vec<&str> = at.iter().flat_map(|at| ["--at", at.as_str()]).collect();
    let mut listening = Home::new().start_by("right", &net.on("right"), &[&listen[..], &options].concat());
    let invite = text(&listening.event("listening"), "invite").to_owned();
    let begun = Instant::now();
    let mut dialling = Home::new().start_by("dialler", &net.on("dialler"), &["connect", &invite, "--json"]);
    let connected = dialling.event("connected");
    eprintln!("connected past three wrong addresses after {:?}", begun.elapsed());
    assert_eq!([text(&connected, "addr"), text(&connected, "trust")], [&format!("{right}:5000"), "verified"]);
    assert!(text(&listening.event("connected"), "addr").starts_with(&dialler));
    // It was asked too, and before.
    decoy.event("warning");
    quit(&mut listening, &mut dialling);
    assert!(listening.all("warning").is_empty() && decoy.all("connected").is_empty());
}
