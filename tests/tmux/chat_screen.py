#!/usr/bin/env python3
"""The chat screen in a real terminal: nothing is lost, nothing is left behind, and the terminal is given back.

    python3 tests/tmux/chat_screen.py PROGRAM [SCENARIO ...]

Each scenario runs `p2pchat listen` in a tmux of its own and, as its peer, `p2pchat connect --json`, through a relay that
carries only so many bytes a second, so that transfers last. Then it reads screen and scrollback back. Random numbers
come from fixed seeds. Needs tmux and nothing else.
"""

import json
import os
import pty
import random
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

PROGRAM = os.path.abspath(sys.argv[1]) if len(sys.argv) > 1 else sys.exit(__doc__)
# Bytes a second through the relay in each direction.
PACE = 3_000_000
PATIENCE = 60
# Longer than the narrow terminals, with wide characters, an emoji with a modifier, a joined one, and combining marks.
TYPED = "a typed line 日本語 👍🏽 e\u0301e\u0301 👩‍👩‍👧 that is longer than the width of the narrow ones and of many others"


class Failure(Exception):
    pass


def until(what, condition, patience=PATIENCE):
    end = time.monotonic() + patience
    while time.monotonic() < end:
        result = condition()
        if result:
            return result
        time.sleep(0.05)
    raise Failure(f"no {what} in {patience} s")


class Relay:
    """Carries bytes between two sockets at a bounded pace."""

    def __init__(self, port):
        self.port = port
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            far = socket.create_connection(("127.0.0.1", self.port))
            for source, sink in ((near, far), (far, near)):
                source.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                threading.Thread(target=self.carry, args=(source, sink), daemon=True).start()

    @staticmethod
    def carry(source, sink):
        try:
            while data := source.recv(16_384):
                sink.sendall(data)
                time.sleep(len(data) / PACE)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            for end in (source, sink):
                try:
                    end.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass


class Peer:
    """The scripted one: lines in, JSON events out."""

    def __init__(self, address, folder, *options):
        self.folder = folder
        os.makedirs(folder)
        self.events = []
        self.process = subprocess.Popen(
            [PROGRAM, "connect", address, "-n", "bob", "--json", "--accept", "always", "-d", folder, *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "P2PCHAT_DATA": folder + ".data"},
        )
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.process.stdout:
            self.events.append(json.loads(line))

    def say(self, *lines):
        self.process.stdin.write("".join(line + "\n" for line in lines))
        self.process.stdin.flush()

    def heard(self):
        return [event["text"] for event in self.events if event["event"] == "message"]


class Chat:
    """The program in a tmux of its own, and its peer."""

    def __init__(self, columns=80, rows=24, options=()):
        self.folder = tempfile.mkdtemp(prefix="p2pchat-screen-")
        self.socket = os.path.join(self.folder, "tmux")
        self.peer = self.relay = None
        configuration = os.path.join(self.folder, "tmux.conf")
        environment = {"P2PCHAT_DATA": os.path.join(self.folder, "own.data"), "LC_ALL": "C.UTF-8", "PS1": "$ "}
        with open(configuration, "w") as file:
            file.write("set -g history-limit 50000\nset -g default-terminal tmux-256color\n")
            file.writelines(f"set-environment -g {name} '{value}'\n" for name, value in environment.items())
        size = ["-x", str(columns), "-y", str(rows)]
        self.tmux("-u", "-f", configuration, "new-session", "-d", *size, "bash --norc --noprofile")
        try:
            self.resize(columns, rows)
            self.shell(f"cd {self.folder}; mkdir in; stty -a > before")
            self.keys("clear", "Enter")
            self.keys(f"{PROGRAM} listen 127.0.0.1:0 -n alice -d in {' '.join(options)}", "Enter")
            port = until("address", lambda: re.search(r"connect 127\.0\.0\.1:(\d+)", self.everything()))
            self.pid = int(self.child())
            self.relay = Relay(int(port[1]))
            self.peer = Peer(self.relay.address, os.path.join(self.folder, "bob"), *options)
            until("peer", lambda: "] bob" in self.everything())
        except BaseException:
            self.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, kind, failure, trace):
        if failure:
            print("\n".join(self.everything().splitlines()[-60:]))
        self.close()

    def close(self):
        if self.peer:
            self.peer.process.kill()
            self.peer.process.wait()
        if self.relay:
            self.relay.listener.close()
        subprocess.run(["tmux", "-S", self.socket, "kill-server"], capture_output=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    def tmux(self, *arguments, given=None):
        command = ["tmux", "-S", self.socket, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True, input=given).stdout

    def child(self):
        """The process that the shell has started, if it still runs."""
        shell = self.tmux("display", "-p", "#{pane_pid}").strip()
        with open(f"/proc/{shell}/task/{shell}/children") as file:
            children = file.read().split()
        return children[0] if children else None

    def keys(self, *keys):
        self.tmux("send-keys", *keys)

    def type(self, text):
        self.tmux("send-keys", "-l", text)

    def shell(self, command):
        """Runs a command in the shell and waits for its end."""
        mark = f"done{random.getrandbits(40)}"
        self.keys(f"{command}; echo {mark[:5]}''{mark[5:]}", "Enter")
        until(command, lambda: mark in self.everything())

    def resize(self, columns, rows):
        self.tmux("resize-window", "-x", str(columns), "-y", str(rows))

    def everything(self):
        """Scrollback and screen, rows that the terminal wrapped joined again."""
        return self.tmux("capture-pane", "-p", "-J", "-S", "-")

    def screen(self):
        return self.tmux("capture-pane", "-p")

    def input(self):
        """The typed line as the screen shows it: the rows of the input, joined."""
        rows = self.screen().splitlines()
        at = max(number for number, row in enumerate(rows) if row.startswith(">"))
        text = rows[at][2:]
        for row in rows[at + 1 :]:
            if not row.startswith("  ") or row.startswith("   "):
                break
            text += row[2:]
        return text

    def check(self, messages, typed="", bars=0):
        """Every message once and whole, one block, and the typed line as it was typed."""
        until("last message", lambda: f"</m{messages}>" in self.everything())
        until("quiet screen", self.is_still)
        text = self.everything()
        counts = {number: (text.count(f"<m{number}>"), text.count(f"</m{number}>")) for number in range(1, messages + 1)}
        wrong = {number: count for number, count in counts.items() if count != (1, 1)}
        if wrong:
            raise Failure(f"{len(wrong)} of {messages} messages not once: {dict(list(wrong.items())[:5])}")
        order = [int(number) for number in re.findall(r"<m(\d+)>", text)]
        if order != sorted(order):
            raise Failure("messages out of order")
        for what, pattern, wanted in (("status rows", r"^-- ", 1), ("bars", r"^[↑↓] \d+ ", bars)):
            there = len(re.findall(pattern, text, re.M))
            if there != wanted:
                raise Failure(f"{there} {what} instead of {wanted}")
        # Blanks at the ends of rows are not told from what follows them.
        if re.sub(r"\s", "", self.input()) != re.sub(r"\s", "", typed):
            raise Failure(f"the typed line is {self.input()!r}")

    def is_still(self):
        before = re.sub(r"\d+", "", self.screen())
        time.sleep(0.7)
        return before == re.sub(r"\d+", "", self.screen())

    def ghosts(self):
        """Rows of the input that were left behind."""
        return len(re.findall(r"^>", self.everything(), re.M)) - 1

    def settings_are_back(self, when):
        self.shell("stty -a > after")
        with open(self.folder + "/before") as before, open(self.folder + "/after") as after:
            if before.read() != after.read():
                raise Failure(f"stty differs {when}")

    def check_sane(self, what):
        """The program has ended, and the terminal is as it was before."""
        until(f"end after {what}", lambda: not self.child(), 15)
        self.settings_are_back(f"after {what}")
        if re.search(r"^(-- |[↑↓] \d|>)", self.everything(), re.M):
            raise Failure(f"the block is left behind after {what}")
        modes = self.tmux("display", "-p", "#{cursor_flag} #{wrap_flag} #{alternate_on}").split()
        if modes != ["1", "1", "0"]:
            raise Failure(f"modes {modes} after {what}")


def message(number, dice):
    filling = "lorem ipsum " * dice.randrange(9)
    return f"<m{number}> {filling}</m{number}>"


def trickle(chat, count, dice, shortest, longest):
    """Has the peer say `count` messages with gaps of so many seconds; gives the thread that does."""

    def say():
        for number in range(1, count + 1):
            chat.peer.say(message(number, dice))
            time.sleep(dice.uniform(shortest, longest))

    thread = threading.Thread(target=say)
    thread.start()
    return thread


def start_transfers(chat):
    """One each way, not compressible, and larger than the relay carries in the time of a test."""
    block = os.urandom(1 << 20)
    for folder in (chat.folder, chat.peer.folder):
        with open(folder + "/big.bin", "wb") as file:
            for _ in range(256):
                file.write(block)
    chat.keys("/send big.bin", "Enter")
    chat.peer.say(f"/send {chat.peer.folder}/big.bin")
    until("offer", lambda: re.search(r"y or n\? take \[\d+\] big", chat.screen()))
    chat.keys("y", "Enter")
    until("two bars", lambda: len(re.findall(r"^[↑↓] \d+ .*%", chat.screen(), re.M)) == 2)


def flood(columns, rows):
    """3,000 messages at once while someone types and two files are on their way."""
    with Chat(columns, rows) as chat:
        start_transfers(chat)
        dice = random.Random(columns)
        chat.peer.say(*(message(number, dice) for number in range(1, 3001)))
        for start in range(0, len(TYPED), 7):
            chat.type(TYPED[start : start + 7])
        chat.check(3000, TYPED, bars=2)
        if chat.ghosts():
            raise Failure(f"{chat.ghosts()} rows of the input left behind")
        chat.keys("Enter")
        until("line at the peer", lambda: TYPED in chat.peer.heard())


def fast_resizes(columns, rows):
    """40 resizes as fast as tmux takes them, and again, and again."""
    with Chat(columns, rows) as chat:
        start_transfers(chat)
        chat.type(TYPED)
        dice = random.Random(7)
        talk = trickle(chat, 60, random.Random(8), 0.05, 0.1)
        # Narrow at the end, so that all rows have been wrapped anew.
        for last_columns in (120, 44, 90, 50):
            for _ in range(39):
                chat.resize(dice.randint(40, 120), dice.randint(12, 40))
            chat.resize(last_columns, dice.randint(12, 40))
            time.sleep(0.5)
        talk.join()
        chat.check(60, TYPED, bars=2)


def random_resizes(seed):
    """Resizes at random times, with typing and a message every 50 to 300 ms."""
    dice = random.Random(seed)
    columns, rows = dice.choice([(80, 24), (40, 10)])
    with Chat(columns, rows) as chat:
        start_transfers(chat)
        talk = trickle(chat, 60, random.Random(seed + 100), 0.05, 0.3)
        typed = 0
        while talk.is_alive():
            chat.type(TYPED[typed : typed + 4])
            typed += 4
            if dice.random() < 0.5:
                chat.resize(dice.randint(30, 120), dice.randint(10, 40))
            time.sleep(dice.choice([0.01, 0.05, 0.2, 0.4]))
        chat.type(TYPED[typed:])
        chat.resize(columns, rows)
        chat.check(60, TYPED, bars=2)
        # A frame that meets the terminal after a resize may leave a row of the input standing. That has to be rare.
        if chat.ghosts() > 2:
            raise Failure(f"{chat.ghosts()} rows of the input left behind")


def wrapping():
    """500 messages, sizes from 20x5 to 200x50, a paste and a stop in between."""
    dice = random.Random(20)
    with Chat() as chat:
        start_transfers(chat)
        talk = trickle(chat, 500, random.Random(21), 0.01, 0.05)
        chat.tmux("load-buffer", "-", given="pasted 日本 ")
        pastes = 0
        for turn in range(20):
            chat.resize(*((20, 5), (200, 50), (dice.randint(20, 200), dice.randint(5, 50)))[turn % 3])
            if turn % 4 == 0:
                chat.tmux("paste-buffer", "-p")
                pastes += 1
            if turn == 10:
                chat.resize(80, 24)
                chat.keys("C-z")
                until("stop", lambda: "Stopped" in chat.everything())
                chat.keys("fg", "Enter")
            time.sleep(dice.choice([0.05, 0.4, 0.8]))
        talk.join()
        chat.resize(80, 24)
        chat.check(500, "pasted 日本 " * pastes, bars=2)
        if chat.ghosts() > 2:
            raise Failure(f"{chat.ghosts()} rows of the input left behind")


def paste():
    """Two lines pasted with CR are one message."""
    with Chat() as chat:
        chat.tmux("load-buffer", "-", given="first line\n\tsecond 日本")
        chat.tmux("paste-buffer", "-p")
        until("paste", lambda: "second" in chat.screen())
        chat.keys("Enter")
        until("message", chat.peer.heard)
        if chat.peer.heard() != ["first line\n\tsecond 日本"]:
            raise Failure(f"the peer heard {chat.peer.heard()}")
        until("block", lambda: "2 lines, #1" in chat.screen())


def suspend():
    """Ctrl-Z gives the terminal back, `fg` takes it again; nothing typed or said meanwhile is lost."""
    with Chat() as chat:
        chat.type("half a line")
        until("typed line", lambda: "> half a line" in chat.screen())
        for turn in range(1, 4):
            chat.keys("C-z")
            until("stop", lambda: chat.everything().count("Stopped") >= turn)
            if re.search(r"^(-- |>)", chat.everything(), re.M):
                raise Failure("the block is left behind while stopped")
            chat.settings_are_back("while stopped")
            chat.peer.say(f"<m{turn}> while you were stopped </m{turn}>")
            chat.keys("fg", "Enter")
            until("message", lambda: f"</m{turn}>" in chat.everything())
        # Stopped from outside there is no time to give the terminal back; `fg` has to take it all the same.
        os.kill(chat.pid, signal.SIGSTOP)
        until("stop", lambda: chat.everything().count("Stopped") >= 4)
        chat.keys("fg", "Enter")
        chat.peer.say("<m4> </m4>")
        until("last message", lambda: "</m4>" in chat.everything())
        chat.type(" and the rest")
        chat.keys("Enter")
        until("line at the peer", lambda: "half a line and the rest" in chat.peer.heard())
        chat.keys("/quit", "Enter")
        until("end", lambda: not chat.child(), 15)
        chat.settings_are_back("after all that")


def enter_once_it_ended(chat):
    """When the peer ends it, the screen stays until Enter on an empty line."""
    until("the end", lambda: "Enter on an empty line leaves" in chat.screen())
    chat.keys("Enter")


ENDINGS = {
    "/quit": lambda chat: chat.keys("/quit", "Enter"),
    "Ctrl-D": lambda chat: chat.keys("C-d"),
    "Ctrl-C twice": lambda chat: chat.keys("C-c", "C-c"),
    "SIGTERM": lambda chat: os.kill(chat.pid, signal.SIGTERM),
    "SIGINT": lambda chat: os.kill(chat.pid, signal.SIGINT),
    "SIGHUP": lambda chat: os.kill(chat.pid, signal.SIGHUP),
    "the peer's bye": lambda chat: (chat.peer.say("/quit"), enter_once_it_ended(chat)),
    "the peer's death": lambda chat: (chat.peer.process.kill(), enter_once_it_ended(chat)),
    "a panic": lambda chat: chat.keys("/panic!", "Enter"),
}


def ending(what):
    """However it ends, the terminal is sane again."""
    with Chat(options=["--reconnect", "0"]) as chat:
        chat.peer.say("<m1> </m1>")
        until("message", lambda: "</m1>" in chat.everything())
        ENDINGS[what](chat)
        if what == "a panic":
            answer = until("answer", lambda: re.search("unknown command|a bug ended", chat.everything()))[0]
            if answer == "unknown command":
                print("       (a panic can be asked for in debug builds only)")
                return
        chat.check_sane(what)


def leaving_with_transfers():
    """Leaving asks while something is on its way."""
    with Chat() as chat:
        start_transfers(chat)
        chat.keys("/quit", "Enter")
        until("question", lambda: "y or n? leave when" in chat.screen())
        chat.keys("n", "Enter")
        until("the question to go", lambda: "leave when" not in chat.screen())
        if not chat.child():
            raise Failure("it left without an answer")
        chat.keys("/quit", "Enter", "/quit", "Enter")
        chat.check_sane("an answer")


def idle():
    """While nothing happens, the threads of screen and input do not wake at all."""
    with Chat() as chat:
        time.sleep(1)
        before = wakes(chat.pid)
        time.sleep(6)
        after = wakes(chat.pid)
        for name in ("frontend", "input", "notices"):
            if before[name] != after[name]:
                raise Failure(f"thread {name} woke {after[name] - before[name]} times in 6 s")


def wakes(process):
    counts = {}
    for task in os.listdir(f"/proc/{process}/task"):
        with open(f"/proc/{process}/task/{task}/status") as file:
            status = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
        counts[status["Name"]] = int(status["voluntary_ctxt_switches"])
    return counts


def key_to_paint():
    """From a key to its echo, while messages pour in."""
    folder = tempfile.mkdtemp(prefix="p2pchat-screen-")
    process, terminal = pty.fork()
    if process == 0:
        os.environ.update(P2PCHAT_DATA=folder + "/own", TERM="xterm-256color")
        os.execv(PROGRAM, [PROGRAM, "listen", "127.0.0.1:0", "-n", "alice", "-d", folder])
    peer = None
    enough = threading.Event()
    try:
        seen = b""

        def read_until(pattern):
            nonlocal seen
            end = time.monotonic() + PATIENCE
            while not (found := re.search(pattern, re.sub(rb"\x1b\[[0-9;]*m", b"", seen))):
                if select.select([terminal], [], [], 0.01)[0]:
                    seen += os.read(terminal, 65_536)
                if time.monotonic() > end:
                    raise Failure(f"no {pattern}")
            return found

        address = read_until(rb"connect (127\.0\.0\.1:\d+)")[1].decode()
        peer = Peer(address, folder + "/bob")
        read_until(rb"\] bob")
        dice = random.Random(3)

        def pour():
            number = 0
            while not enough.is_set():
                peer.say(*(message(number + more, dice) for more in range(20)))
                number += 20
                time.sleep(0.02)

        threading.Thread(target=pour, daemon=True).start()
        read_until(rb"</m200>")
        times = []
        typed = b""
        for letter in b"the quick brown fox jumps over the lazy dog".replace(b" ", b""):
            seen = b""
            typed += bytes([letter])
            start = time.monotonic()
            os.write(terminal, bytes([letter]))
            read_until(b"> " + typed)
            times.append(time.monotonic() - start)
            pause = time.monotonic() + dice.uniform(0.01, 0.05)
            while time.monotonic() < pause:
                if select.select([terminal], [], [], 0.005)[0]:
                    os.read(terminal, 65_536)
        times.sort()
        middle, late = times[len(times) // 2], times[len(times) * 9 // 10]
        print(f"       key to paint: {middle * 1000:.1f} ms, nine of ten within {late * 1000:.1f} ms")
        if middle > 0.02:
            raise Failure("keys are painted too late")
    finally:
        enough.set()
        if peer:
            peer.process.kill()
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        os.close(terminal)
        shutil.rmtree(folder, ignore_errors=True)


SCENARIOS = {
    "flood at 80x24": lambda: flood(80, 24),
    "flood at 40x10": lambda: flood(40, 10),
    "fast resizes at 80x24": lambda: fast_resizes(80, 24),
    "fast resizes at 40x10": lambda: fast_resizes(40, 10),
    **{f"random resizes, seed {seed}": lambda seed=seed: random_resizes(seed) for seed in range(1, 6)},
    "wrapping": wrapping,
    "paste": paste,
    "suspend": suspend,
    **{f"ending by {what}": lambda what=what: ending(what) for what in ENDINGS},
    "leaving with transfers": leaving_with_transfers,
    "idle": idle,
    "key to paint": key_to_paint,
}


def main():
    wanted = sys.argv[2:]
    failed = 0
    for name, scenario in SCENARIOS.items():
        if wanted and not any(word in name for word in wanted):
            continue
        start = time.monotonic()
        try:
            scenario()
            print(f"ok     {name} ({time.monotonic() - start:.0f} s)", flush=True)
        except Failure as failure:
            failed += 1
            print(f"FAILED {name}: {failure}", flush=True)
    if failed:
        sys.exit(f"{failed} failed")


main()
