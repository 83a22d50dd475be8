//! Machines and the network between them: a namespace each, joined by one router. Needs root, `ip`, `nft` and `python3`.

use super::{Home, Peer, Pty};
use nix::sched::{CloneFlags, setns};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, id};
use std::sync::atomic::{AtomicU32, Ordering};
use std::{env, fs, thread};

/// See the module. Its namespaces are deleted when it is dropped, by their names.
pub(crate) struct Net {
    prefix: String,
    names: Vec<String>,
    /// Networks between the router and a machine.
    links: u32,
}

impl Net {
    /// A network without machines; none, said aloud, where there can be none. With `P2PCHAT_NETNS=must` that fails.
    pub(crate) fn new(test: &str) -> Option<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let runs = |tool: &str, argument| Command::new(tool).arg(argument).output().is_ok_and(|it| it.status.success());
        let prefix = format!("p2p-{}-{}", id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let mut net = Self { prefix, names: Vec::new(), links: 0 };
        let able = nix::unistd::geteuid().is_root() && runs("ip", "-V") && runs("nft", "-v") && runs("python3", "-V");
        if able && run("ip", &["netns", "add", &net.name("router")]).is_ok() {
            net.names.push("router".into());
            net.ip("router", "link set lo up");
            net.sh("router", "echo 1 >/proc/sys/net/ipv4/ip_forward");
            return Some(net);
        }
        assert_ne!(
            env::var("P2PCHAT_NETNS").as_deref(),
            Ok("must"),
            "{test}: namespaces need root, ip, nft and python3"
        );
        eprintln!("SKIPPED {test}: needs root, ip, nft and python3");
        None
    }

    /// A machine without any network.
    pub(crate) fn namespace(&mut self, name: &str) {
        run("ip", &["netns", "add", &self.name(name)]).unwrap();
        self.names.push(name.into());
        // Else an IPv6 address is not used for a second or two.
        self.sh(name, "for all in all default; do echo 0 >/proc/sys/net/ipv6/conf/$all/accept_dad; done");
        self.ip(name, "link set lo up");
    }

    /// A cable between two machines, each with the name of its end.
    pub(crate) fn cable(&self, (one, end): (&str, &str), (other, far_end): (&str, &str)) {
        let (one_name, other_name) = (self.name(one), self.name(other));
        let far = ["type", "veth", "peer", "name", far_end, "netns", &other_name];
        run("ip", &[&["-n", &one_name, "link", "add", end], &far[..]].concat()).unwrap();
        self.ip(one, &format!("link set {end} up"));
        self.ip(other, &format!("link set {far_end} up"));
    }

    /// A machine at `10.N.0.2`, its router at `10.N.0.1`; N counts from 1.
    pub(crate) fn machine(&mut self, name: &str) -> String {
        self.namespace(name);
        let address = self.link(name, "eth0");
        self.ip(name, &format!("route add default via 10.{}.0.1", self.links));
        address
    }

    /// One more network between a machine and its router, of the next number.
    pub(crate) fn link(&mut self, name: &str, interface: &str) -> String {
        self.links += 1;
        let n = self.links;
        let peer = format!("to-{n}");
        self.cable(("router", &peer), (name, interface));
        self.ip("router", &format!("addr add 10.{n}.0.1/24 dev {peer}"));
        self.ip(name, &format!("addr add 10.{n}.0.2/24 dev {interface}"));
        format!("10.{n}.0.2")
    }

    /// Runs on a machine, for sockets that are to be there.
    pub(crate) fn inside<T: Send>(&self, name: &str, run: impl FnOnce() -> T + Send) -> T {
        let namespace = File::open(Path::new("/run/netns").join(self.name(name))).unwrap();
        let inside = move || {
            setns(namespace, CloneFlags::CLONE_NEWNET).unwrap();
            run()
        };
        thread::scope(|scope| scope.spawn(inside).join().unwrap())
    }

    /// A machine at `10.200.0.N` and `fd00:200::N`, on one segment with the others made so: what it sends to a group reaches them all. The
    /// router does not reach it.
    pub(crate) fn neighbour(&mut self, name: &str) -> String {
        let n = self.names.len();
        if n == 1 {
            self.ip("router", "link add segment type bridge mcast_snooping 0 forward_delay 0");
            self.ip("router", "link set segment up");
        }
        self.namespace(name);
        let port = format!("to-{name}");
        self.cable(("router", &port), (name, "eth0"));
        self.ip("router", &format!("link set {port} master segment"));
        self.ip(name, &format!("addr add 10.200.0.{n}/24 dev eth0"));
        self.ip(name, &format!("addr add fd00:200::{n}/64 dev eth0 nodad"));
        format!("10.200.0.{n}")
    }

    pub(crate) fn ip(&self, name: &str, arguments: &str) {
        let name = self.name(name);
        run("ip", &[&["-n", &name][..], &arguments.split(' ').collect::<Vec<_>>()].concat()).unwrap();
    }

    /// Runs a line of shell on a machine: what it says.
    pub(crate) fn sh(&self, name: &str, line: &str) -> String {
        run("ip", &["netns", "exec", &self.name(name), "sh", "-ec", line]).unwrap()
    }

    /// A file of `/etc`, as the programs of a machine see it that start from now on; there has to be one of that name.
    pub(crate) fn etc(&self, name: &str, file: &str, content: &str) {
        let folder = self.etc_of(name);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(file), content).unwrap();
    }

    fn etc_of(&self, name: &str) -> PathBuf {
        Path::new("/etc/netns").join(self.name(name))
    }

    /// Gives `nft` on a machine these statements.
    pub(crate) fn nft(&self, name: &str, statements: &[&str]) {
        self.sh(name, &format!("printf '%s\\n' '{}' | nft -f -", statements.join("' '")));
    }

    /// A firewall that lets in what belongs to connections that are there, and what `accepts` says; all else vanishes.
    pub(crate) fn firewall(&self, name: &str, accepts: &[&str]) {
        let chain = "add table inet own\nadd chain inet own in { type filter hook input priority 0; policy drop; }";
        let accepts = ["ct state established,related", "iif lo"].iter().chain(accepts);
        self.nft(
            name,
            &[chain, &accepts.map(|what| format!("add rule inet own in {what} accept\n")).collect::<String>()],
        );
    }

    /// From now on what goes to an address is answered by the end of its connection, where it leaves a machine or passes it (`hook`).
    pub(crate) fn resets(&self, name: &str, hook: &str, address: &str) {
        let chain = format!("add chain ip resets {hook} {{ type filter hook {hook} priority -1; }}");
        let rule = format!("add rule ip resets {hook} ip daddr {address} reject with tcp reset");
        self.nft(name, &["add table ip resets", &chain, &rule]);
    }

    /// Starts the program on a machine.
    pub(crate) fn start(&self, name: &str, home: &Home, arguments: &[&str]) -> Peer {
        home.start_by(name, &format!("exec ip netns exec {} \"$@\"", self.name(name)), arguments)
    }

    /// Runs any program on a machine in a terminal of its own.
    pub(crate) fn terminal(&self, name: &str, home: &Home, command: &[&str]) -> Pty {
        Pty::run(home, "ip", &[&["netns", "exec", &self.name(name)], command].concat())
    }

    /// Runs a script in python on a machine; it says `listening` when it is ready.
    pub(crate) fn python(&self, name: &str, script: &str, arguments: &[&str]) -> Peer {
        let home = Home::new();
        let path = home.file("script.py", script);
        let arguments = arguments.join(" ");
        let line = format!("exec ip netns exec {} python3 {} {arguments}", self.name(name), path.display());
        let running = home.start_by(name, &line, &[]);
        running.event("listening");
        running
    }

    pub(crate) fn name(&self, name: &str) -> String {
        format!("{}-{name}", self.prefix)
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        for name in &self.names {
            let _ = run("ip", &["netns", "del", &self.name(name)]);
            let _ = fs::remove_dir_all(self.etc_of(name));
        }
    }
}

fn run(program: &str, arguments: &[&str]) -> Result<String, String> {
    let output = Command::new(program).args(arguments).output().map_err(|error| error.to_string())?;
    let said = || format!("{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned()).ok_or_else(said)
}
