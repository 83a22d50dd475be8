#!/usr/bin/env python3
"""Draws .github/session.svg: a real session of two p2pchats, recorded in tmux.

    cargo build --release && python3 .github/picture.py target/release/p2pchat

Needs tmux. Everything happens in a temporary folder and on a free port; nothing on the screens is made up. The screens
also go to standard output as text, for README.md.
"""

import html
import os
import re
import shlex
import socket
import subprocess
import sys
import tempfile
import time
import unicodedata
from pathlib import Path

COLUMNS, ROWS = 80, 24
CELL_WIDTH, CELL_HEIGHT = 7.2, 16  # px, of a 12 px monospace font
MARGIN = 12
BACKGROUND, FOREGROUND, FRAME = "#16181d", "#d5d8de", "#2a2e37"
PALETTE = [
    "#3b4048", "#e06c75", "#98c379", "#e5c07b", "#61afef", "#c678dd", "#56b6c2", "#abb2bf",
    "#7a828e", "#f0858d", "#b0d68f", "#f0d08f", "#7fc1f5", "#d794e8", "#70cbd6", "#ffffff",
]
PATIENCE = 20  # seconds that anything on a screen may take


class Screen:
    """A terminal of a tmux server of our own, with a shell and p2pchat in its path."""

    def __init__(self, server, who, program, root):
        self.tmux = ["tmux", "-L", server, "-f", "/dev/null"]
        self.who = who
        folder = root / who
        folder.mkdir()
        environment = {
            "P2PCHAT_DATA": str(root / f"{who}.data"),
            "P2PCHAT_NAME": who,
            "PATH": f"{program.parent}:{os.environ['PATH']}",
        }
        settings = " ".join(f"{name}={shlex.quote(value)}" for name, value in environment.items())
        self.call("new-session", "-d", "-s", who, "-x", str(COLUMNS), "-y", str(ROWS), "-c", str(folder),
                  f"PS1='{who}$ ' {settings} exec bash --norc --noprofile")
        self.wait(re.escape(f"{who}$"))

    def call(self, *arguments):
        return subprocess.run([*self.tmux, *arguments], check=True, capture_output=True, text=True).stdout

    def type(self, line):
        self.call("send-keys", "-t", self.who, "-l", line)
        self.call("send-keys", "-t", self.who, "Enter")

    def text(self):
        return self.call("capture-pane", "-p", "-t", self.who)

    def coloured(self):
        return self.call("capture-pane", "-e", "-p", "-t", self.who)

    def wait(self, pattern):
        """Waits until the screen shows a match, and gives it."""
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            found = re.search(pattern, self.text())
            if found:
                return found
            time.sleep(0.02)
        raise SystemExit(f"{self.who}'s screen never showed {pattern!r}:\n{self.text()}")


def record(program):
    """Plays the session; gives both screens as they were while a file was on its way."""
    server = f"picture-{os.getpid()}"
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        try:
            bob, alice = Screen(server, "bob", program, root), Screen(server, "alice", program, root)
            # Long enough on its way to be seen; a hole needs no space here.
            with open(root / "alice" / "holiday.zip", "wb") as file:
                file.truncate(4 << 30)
            with socket.socket() as probe:
                port = 5000 if probe.connect_ex(("127.0.0.1", 5000)) else 5151
            bob.type(f"p2pchat listen {port}")
            address = bob.wait(rf"connect (\d[\d.]+:{port})")[1]
            alice.type(f"p2pchat connect {address}")
            alice.wait("connected to bob")
            alice.type("hi! I have the pictures")
            bob.wait("alice  hi!")
            bob.type("great, send them")
            alice.wait("bob  great")
            alice.type("/send holiday.zip")
            bob.wait("y or n")
            bob.type("y")
            alice.wait(r"\d% ")
            alice.type("it is large, we can go on talking")
            bob.wait("alice  it is large")
            bob.type("I see it coming")
            alice.wait("bob  I see")
            alice.wait(r" [4-8]\d% ")
            screens = [(screen.who, screen.coloured(), screen.text()) for screen in (bob, alice)]
            for screen in (alice, bob):
                screen.type("/quit")
                screen.type("/quit")
            return screens
        finally:
            subprocess.run(["tmux", "-L", server, "kill-server"], check=False, capture_output=True)


def spans(line):
    """Splits a line with SGR sequences into (column, text, style)."""
    style, column, result = {}, 0, []
    for piece in re.split(r"(\x1b\[[\d;]*m)", line):
        if piece.startswith("\x1b["):
            style = changed(style, [int(code or 0) for code in piece[2:-1].split(";")])
        elif piece:
            result.append((column, piece, style))
            column += sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in piece)
    return result


def changed(style, codes):
    style = dict(style)
    while codes:
        code = codes.pop(0)
        if code == 0:
            style = {}
        elif code == 1:
            style["bold"] = True
        elif code == 2:
            style["dim"] = True
        elif code == 7:
            style["reverse"] = True
        elif code == 22:
            style.pop("bold", None), style.pop("dim", None)
        elif code == 27:
            style.pop("reverse", None)
        elif 30 <= code <= 37 or 90 <= code <= 97:
            style["colour"] = PALETTE[code - 30 if code < 40 else code - 82]
        elif code == 39:
            style.pop("colour", None)
        elif code == 38 and codes[:1] == [5]:
            style["colour"] = xterm(codes[1])
            codes = codes[2:]
    return style


def xterm(number):
    if number < 16:
        return PALETTE[number]
    if number >= 232:
        return "#" + f"{8 + 10 * (number - 232):02x}" * 3
    levels = [0, 95, 135, 175, 215, 255]
    number -= 16
    return "#" + "".join(f"{levels[part]:02x}" for part in (number // 36, number // 6 % 6, number % 6))


def draw(screens):
    texts = [coloured.rstrip("\n").split("\n") for _, coloured, _ in screens]
    rows = max(len(lines) for lines in texts) + 1
    width, height = COLUMNS * CELL_WIDTH + 2 * MARGIN, rows * CELL_HEIGHT + 2 * MARGIN + 20
    total = len(screens) * (width + MARGIN) - MARGIN
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {total:.0f} {height:.0f}" role="img" '
        f'font-family="ui-monospace,Menlo,Consolas,DejaVu Sans Mono,monospace" font-size="12">',
        "<title>Two terminals: bob listens, alice connects and sends a file while they talk</title>",
    ]
    for number, (lines, (who, _, _)) in enumerate(zip(texts, screens)):
        left = number * (width + MARGIN)
        out.append(f'<g transform="translate({left:.1f} 0)">'
                   f'<rect width="{width:.1f}" height="{height}" rx="6" fill="{BACKGROUND}" stroke="{FRAME}"/>'
                   f'<text x="{width / 2:.0f}" y="16" fill="#7a828e" text-anchor="middle">{who}</text>')
        for row, line in enumerate(lines):
            y = MARGIN + 20 + row * CELL_HEIGHT + 12
            for column, text, style in spans(line):
                if text.strip():
                    out.append(span(MARGIN + column * CELL_WIDTH, y, text, style))
        out.append("</g>")
    return "\n".join(out + ["</svg>", ""])


def span(x, y, text, style):
    # The leading blanks are in x, since XML viewers fold them; the width is said, since fonts differ.
    blanks = len(text) - len(text.lstrip(" "))
    x, text = x + blanks * CELL_WIDTH, text.strip(" ")
    columns = sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)
    attributes = [f'x="{x:.1f}" y="{y}" textLength="{columns * CELL_WIDTH:.1f}" lengthAdjust="spacingAndGlyphs"',
                  f'fill="{style.get("colour", FOREGROUND)}"']
    if style.get("bold"):
        attributes.append('font-weight="bold"')
    if style.get("dim"):
        attributes.append('opacity=".65"')
    return f'<text xml:space="preserve" {" ".join(attributes)}>{html.escape(text)}</text>'


def main():
    program = Path(sys.argv[1] if len(sys.argv) > 1 else "target/release/p2pchat").resolve()
    screens = record(program)
    Path(__file__).with_name("session.svg").write_text(draw(screens), encoding="utf-8")
    for who, _, text in screens:
        print(f"--- {who}\n{text.rstrip()}\n")


main()
