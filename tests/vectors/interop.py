#!/usr/bin/env python3
"""Replays the vectors of p2pchat/1 without any code of p2pchat, from src/PROTOCOL.md alone.

    python3 -m venv /tmp/v && /tmp/v/bin/pip install noiseprotocol spake2 blake3 cryptography kyber-py
    /tmp/v/bin/python tests/vectors/interop.py

Ends with 0 when every value agrees. It is documentation: `cargo test` does not need it.
"""

import base64
import ipaddress
import json
import pathlib
import struct

from blake3 import blake3
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from kyber_py.ml_kem import ML_KEM_768
from noise.connection import Keypair, NoiseConnection
from spake2 import SPAKE2_A, SPAKE2_B

HERE = pathlib.Path(__file__).parent
REKEY_INTERVAL = 2**20
checks = 0


def main():
    for mode, name in enumerate(["open", "code"]):
        connection(mode, json.loads((HERE / f"{name}.json").read_text()))
    for case in json.loads((HERE / "frames.json").read_text()):
        same(f"frame {case['frame']}", frame(case["frame"], case["fields"]), case["bytes"])
    texts = json.loads((HERE / "texts.json").read_text())
    for case in texts["keys"]:
        same("fingerprint", fingerprint(bytes.fromhex(case["public"])), case["fingerprint"])
    for case in texts["codes"]:
        same(f"code {case['typed']!r}", secret(case["typed"]), case["password"])
    for case in texts["hellos"]:
        verdict = hello_verdict(bytes.fromhex(case["own"]), bytes.fromhex(case["theirs"]))
        same(f"hello {case['theirs']}", verdict, case["verdict"])
    print(f"{checks} values agree")


def same(what, ours, theirs):
    global checks
    ours = ours.hex() if isinstance(ours, bytes) else ours
    assert ours == theirs, f"{what}: {ours} here, {theirs} in the vector"
    checks += 1


# --- Sections 1 to 4, 6 and 10: a whole connection ---------------------------------------------------------------------


def connection(mode, v):
    i, r = v["initiator"], v["responder"]
    hello_i, hello_r = hello(mode, i), hello(mode, r)
    same("hello of I", hello_i, v["hello_i"])
    same("hello of R", hello_r, v["hello_r"])
    spake_i = spake_r = psk = b""
    if mode == 1:
        spake_i, spake_r, key = spake(v["code"], i, r)
        same("spake of I", spake_i, v["spake_i"])
        same("spake of R", spake_r, v["spake_r"])
        same("spake key", key, v["spake_key"])
        psk = derive("p2pchat/1 2026 spake2 key to noise psk", key)
        same("psk", psk, v["psk"])

    prologue = b"p2pchat/1" + hello_i + hello_r + spake_i + spake_r
    noise_i, noise_r = noise(i, psk, prologue, True), noise(r, psk, prologue, False)
    for number in (1, 2, 3):
        sender, receiver = (noise_r, noise_i) if number == 2 else (noise_i, noise_r)
        message = bytes(sender.write_message())
        same(f"message {number}", message, v[f"message_{number}"])
        assert len(message) == ((32, 48)[mode], 96, 64)[number - 1]
        receiver.read_message(message)
    handshake_hash = noise_i.get_handshake_hash()
    same("handshake hash", handshake_hash, v["handshake_hash"])

    for side, name in ((i, "i"), (r, "r")):
        private = X25519PrivateKey.from_private_bytes(bytes.fromhex(side["static_private"]))
        public = private.public_key().public_bytes_raw()
        same("static key", public, v[f"static_public_{name}"])
        same("fingerprint", fingerprint(public), v[f"fingerprint_{name}"])

    states = noise_i.noise_protocol
    keys = {"I": states.cipher_state_encrypt.k, "R": states.cipher_state_decrypt.k}
    same("key of I", bytes(keys["I"]), v["key_i"])
    same("key of R", bytes(keys["R"]), v["key_r"])

    ek, _, ct, ss = kem(bytes.fromhex(i["kem_seed"]), bytes.fromhex(r["kem_message"]))
    same("KEM key", ek, v["kem_key"])
    same("KEM ciphertext", ct, v["kem_ct"])
    same("KEM secret", ss, v["kem_secret"])
    pq = derive("p2pchat/1 2026 ml-kem-768", handshake_hash + ek + ct + ss)
    same("pq", pq, v["pq"])
    hybrid = {side: derive("p2pchat/1 2026 hybrid key", bytes(key) + pq) for side, key in keys.items()}
    same("hybrid key of I", hybrid["I"], v["hybrid_key_i"])
    same("hybrid key of R", hybrid["R"], v["hybrid_key_r"])
    same("frame KEM_KEY", frame("KEM_KEY", {"key": ek.hex()}), v["records"][0]["frame"])
    first_hybrid = {"I": 2 if mode == 0 else 1, "R": 1}

    # The same records twice: AES-GCM by hand, and noiseprotocol's own transport.
    epochs = {"I": 0, "R": 0}
    for record in v["records"]:
        sender, counter = record["from"], record["counter"]
        plain = bytes.fromhex(record["frame"])
        transport = noise_i if sender == "I" else noise_r
        if counter == first_hybrid[sender]:
            keys[sender] = hybrid[sender]
            transport.noise_protocol.cipher_state_encrypt.initialize_key(hybrid[sender])
        while counter // REKEY_INTERVAL > epochs[sender]:
            keys[sender] = AESGCM(keys[sender]).encrypt(nonce(2**64 - 1), bytes(32), b"")[:32]
            transport.rekey_outbound_cipher()
            epochs[sender] += 1
        sealed = AESGCM(keys[sender]).encrypt(nonce(counter), plain, b"")
        same(f"record {sender} {counter}", struct.pack(">H", len(sealed)) + sealed, record["record"])
        transport.noise_protocol.cipher_state_encrypt.n = counter
        same(f"record {sender} {counter} of noiseprotocol", bytes(transport.encrypt(plain)), sealed.hex())

    if mode == 0:
        nonce_i, nonce_r = (bytes.fromhex(side["verification_nonce"]) for side in (i, r))
        commit = frame("COMMIT", {"hash": derive("p2pchat/1 2026 sas commitment", nonce_i).hex()})
        same("commitment", commit, v["records"][1]["frame"])
        number = derive("p2pchat/1 2026 sas", handshake_hash + nonce_i + nonce_r)[:8]
        digits = f"{int.from_bytes(number, 'big') % 10**10:010}"
        same("verification number", f"{digits[:5]} {digits[5:]}", v["verification"])


def hello(mode, side):
    return b"P2PCHAT\x01" + bytes([mode, 0, 0, 0]) + bytes.fromhex(side["hello_nonce"])


def spake(code, i, r):
    ids = {"idA": b"p2pchat/1 initiator", "idB": b"p2pchat/1 responder"}
    password = secret(code).encode()
    states = [kind(password, entropy_f=fixed(side), **ids) for kind, side in ((SPAKE2_A, i), (SPAKE2_B, r))]
    messages = [state.start() for state in states]
    key = states[0].finish(messages[1])
    assert key == states[1].finish(messages[0])
    return messages[0], messages[1], key


def fixed(side):
    """The vector's 64 bytes are a little-endian number; this package reads its randomness as a big-endian one."""
    return lambda count: bytes.fromhex(side["spake2_random"])[::-1][:count]


def noise(side, psk, prologue, initiator):
    name = b"Noise_XXpsk0_25519_AESGCM_SHA256" if psk else b"Noise_XX_25519_AESGCM_SHA256"
    connection = NoiseConnection.from_name(name)
    if psk:
        connection.set_psks(psk)
    connection.set_prologue(prologue)
    if initiator:
        connection.set_as_initiator()
    else:
        connection.set_as_responder()
    connection.set_keypair_from_private_bytes(Keypair.STATIC, bytes.fromhex(side["static_private"]))
    connection.set_keypair_from_private_bytes(Keypair.EPHEMERAL, bytes.fromhex(side["ephemeral_private"]))
    connection.start_handshake()
    return connection


def kem(seed, message):
    ek, dk = ML_KEM_768.key_derive(seed)
    ss, ct = ML_KEM_768._encaps_internal(ek, message)
    assert ML_KEM_768.decaps(dk, ct) == ss
    return ek, dk, ct, ss


def derive(context, material):
    return blake3(material, derive_key_context=context).digest()


def nonce(counter):
    return struct.pack(">4xQ", counter)


def fingerprint(public):
    digits = base64.b32encode(derive("p2pchat/1 2026 fingerprint", public)[:20]).decode()
    return "-".join(digits[at : at + 4] for at in range(0, len(digits), 4))


def secret(code):
    return "".join(c for c in code.lower() if c in "abcdefghijklmnopqrstuvwxyz0123456789")


def hello_verdict(own, theirs):
    if theirs[:7] != b"P2PCHAT":
        return "not p2pchat"
    if theirs[7] != 1 or theirs[8] not in (0, 1) or any(theirs[9:12]):
        return "version"
    if theirs[8] != own[8]:
        return "mode"
    return "itself" if theirs[12:] == own[12:] else "good"


# --- Section 5: frames -------------------------------------------------------------------------------------------------

KINDS = {
    "COMMIT": (0x01, "hash:h"),
    "NONCE": (0x02, "nonce:h"),
    "REVEAL": (0x03, "nonce:h"),
    "GREETING": (0x04, "intent:B session:h received:Q features:I next_transfer:I reconnect_timeout:I name:s8"),
    "REFUSAL": (0x05, "code:B"),
    "KEM_KEY": (0x06, "key:h"),
    "KEM_CT": (0x07, "ct:h"),
    "PING": (0x10, "token:Q"),
    "PONG": (0x11, "token:Q"),
    "ACK": (0x12, "received:Q"),
    "CREDIT": (0x13, "limit:Q"),
    "RESTART": (0x14, "transfer:I position:Q digest:h"),
    "ADDRS": (0x15, "port:H addresses:a"),
    "RECEIVED": (0x16, "transfer:I position:Q"),
    "LINE": (0x20, "seq:Q flags:B text:s"),
    "OFFER": (0x21, "seq:Q transfer:I files:I folders:I bytes:Q list:I digest:h"),
    "ACCEPT": (0x22, "seq:Q transfer:I position:Q digest:h"),
    "DECLINE": (0x23, "seq:Q transfer:I reason:B text:s16"),
    "CANCEL": (0x24, "seq:Q transfer:I reason:B text:s16"),
    "COMPLETE": (0x25, "seq:Q transfer:I files:I failed:I"),
    "BYE": (0x26, "seq:Q reason:B"),
    "CHUNK": (0x30, "transfer:I position:Q data:h"),
    "FILE_END": (0x31, "transfer:I position:Q status:B digest:h"),
    "BEGIN": (0x32, "transfer:I position:Q"),
    "ZCHUNK": (0x33, "transfer:I position:Q frame:h"),
}


def frame(name, fields):
    kind, shape = KINDS[name]
    out = bytes([kind])
    for field in shape.split():
        key, form = field.split(":")
        value = fields[key]
        if form == "h":
            out += bytes.fromhex(value)
        elif form == "a":
            out += bytes([len(value)])
            for address in value:
                host, port = address.rsplit(":", 1)
                entry = ipaddress.ip_address(host.strip("[]")).packed
                entry += b"" if int(port) == fields["port"] else struct.pack(">H", int(port))
                out += bytes([len(entry)]) + entry
        elif form.startswith("s"):
            text = value.encode()
            out += {"s": b"", "s8": bytes([len(text) % 256]), "s16": struct.pack(">H", len(text))}[form] + text
        else:
            out += struct.pack(">" + form, value)
    return out


if __name__ == "__main__":
    main()
