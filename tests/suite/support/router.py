"""A router's mapping services as a test wants them: router.py MODE LAN WAN. It serves at the address LAN, says on standard output what it
is asked, and maps nothing. MODE is one of

  nat-pmp    the older protocol alone, with leases of 10 s; after the second request to map it is silent
  lasting    an Internet Gateway Device 1 whose leases have no end, and where each port below 20000 is another machine's
  late       one that takes 0.8 s for each answer
  elsewhere  one whose description is said to be at 11.22.33.2:5000
  endless    one whose description does not end, and a flood of datagrams for each that is sent to the port of PCP
  drip       one whose description comes byte by byte
  lying      one whose external address is private, by every protocol
"""
import json
import socket
import struct
import sys
import threading
import time

MODE, LAN, WAN = sys.argv[1:4]
IP_CONNECTION = "urn:schemas-upnp-org:service:WANIPConnection:1"

def say(**event):
    print(json.dumps(event), flush=True)

def pcp(server):
    mapped = 0
    while True:
        request, caller = server.recvfrom(2000)
        if MODE == "endless":
            for size in range(2000):
                server.sendto(bytes([2, 0x81, 0, 0]) + b"\xff" * (size % 1100), caller)
        elif MODE == "lying":
            if request[0] == 2 and request[1] == 1:
                say(event="asked", lifetime=struct.unpack(">I", request[4:8])[0])
                answer = bytearray(request)
                answer[1] |= 0x80
                answer[8:24] = bytes(16)
                answer[44:60] = bytes(10) + b"\xff\xff" + bytes([192, 168, 9, 9])
                server.sendto(answer, caller)
        elif MODE == "nat-pmp":
            if request[0] != 0:
                server.sendto(bytes([0, 0x80 | request[1] & 0x7f, 0, 1, 0, 0, 0, 9]), caller)
            elif request[1] == 0:
                server.sendto(bytes([0, 128, 0, 0, 0, 0, 0, 9]) + socket.inet_aton(WAN), caller)
            else:
                inside, outside, lifetime = struct.unpack(">HHI", request[4:12])
                say(event="asked", inside=inside, outside=outside, lifetime=lifetime)
                mapped += 1
                if lifetime == 0 or mapped <= 2:
                    server.sendto(bytes([0, 130, 0, 0, 0, 0, 0, 9]) + struct.pack(">HHI", inside, 41000, min(lifetime, 10)), caller)

def description():
    return f"""<?xml version="1.0"?><root><device><serviceList><service>
        <serviceType>{IP_CONNECTION}</serviceType><controlURL>/control</controlURL></service></serviceList></device></root>"""

def answered(action, body):
    def value(name):
        return body.split(f"<{name}>")[1].split("<")[0]
    if action == "GetExternalIPAddress":
        wan = "10.9.9.9" if MODE == "lying" else WAN
        return 200, f"<NewExternalIPAddress>{wan}</NewExternalIPAddress>"
    if action == "AddPortMapping" and MODE == "lasting":
        if int(value("NewExternalPort")) < 20000:
            return 500, "<errorCode>718</errorCode>"
        if value("NewLeaseDuration") != "0":
            return 500, "<errorCode>725</errorCode>"
    return 200, ""

def serve(connection):
    data = b""
    while b"\r\n\r\n" not in data:
        data += connection.recv(4096)
    head, body = data.split(b"\r\n\r\n", 1)
    length = [int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")]
    while len(body) < sum(length):
        body += connection.recv(4096)
    if MODE == "late":
        time.sleep(0.8)
    action = head.split(b"#")[1].split(b'"')[0].decode() if b"#" in head else "description"
    if action == "description":
        if MODE == "endless":
            connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            while True:
                connection.sendall(b"<service>" * 1000)
        if MODE == "drip":
            say(event="dripping")
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n")
            while True:
                connection.sendall(b"x")
                time.sleep(0.05)
        status, answer = 200, description()
    else:
        status, answer = answered(action, body.decode())
        say(event=action, body=body.decode())
    # In two chunks, as some routers answer.
    half = len(answer) // 2
    chunks = "".join(f"{len(part):x}\r\n{part}\r\n" for part in (answer[:half], answer[half:]) if part) + "0\r\n\r\n"
    connection.sendall(f"HTTP/1.1 {status} X\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}".encode())
    connection.close()

def http(server):
    while True:
        connection, _ = server.accept()
        threading.Thread(target=lambda: quietly(connection), daemon=True).start()

def quietly(connection):
    try:
        serve(connection)
    except (OSError, IndexError):
        pass

def ssdp(search, port):
    answers = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    answers.bind((LAN, 0))
    place = "11.22.33.2:5000" if MODE == "elsewhere" else f"{LAN}:{port}"
    while True:
        request, caller = search.recvfrom(2000)
        kind = request.split(b"\r\nST: ")[1].split(b"\r\n")[0].decode()
        if kind.endswith(":1"):
            answer = f"HTTP/1.1 200 OK\r\nST: {kind}\r\nLOCATION: http://{place}/description.xml\r\n\r\n"
            answers.sendto(answer.encode(), caller)
            say(event="searched")

def start(service, *arguments):
    threading.Thread(target=service, args=arguments, daemon=True).start()

def datagrams(address):
    bound = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    bound.bind(address)
    return bound

if MODE != "lasting":
    start(pcp, datagrams((LAN, 5351)))
if MODE != "nat-pmp":
    server = socket.create_server((LAN, 0))
    start(http, server)
    search = datagrams(("239.255.255.250", 1900))
    search.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton("239.255.255.250") + socket.inet_aton(LAN))
    start(ssdp, search, server.getsockname()[1])
say(event="listening")
sys.stdin.read()
