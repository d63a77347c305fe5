#!/usr/bin/env python3
"""An app in Python over the local websocket of a client; nothing but the standard library.

    npx mixwright client run --id alice
    python3 examples/websocket-app.py ws://127.0.0.1:1977

It asks for the client's address, sends a message to it with reply blocks, answers that message without knowing where it
came from, and prints what came. The websocket speaks the protocol of nym-client, so this runs with that too.
"""

import argparse
import base64
import json
import os
import socket
import struct
import urllib.parse


class WebSocket:
    """As much of RFC 6455 as talking JSON to a server on this machine needs."""

    def __init__(self, url):
        host = urllib.parse.urlsplit(url)
        self.stream = socket.create_connection((host.hostname, host.port)).makefile("rwb")
        key = base64.b64encode(os.urandom(16)).decode()
        self.stream.write(
            f"GET {host.path or '/'} HTTP/1.1\r\nHost: {host.netloc}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        self.stream.flush()
        status = self.stream.readline()
        if status.split()[1:2] != [b"101"]:
            raise ConnectionError(f"this is no websocket: {status.decode().strip()}")
        while self.stream.readline().strip():
            pass

    def send(self, request):
        self.write_frame(0x1, json.dumps(request).encode())

    def receive(self):
        """The next message; waits for it."""
        data = b""
        while True:
            first, second = self.read(2)
            length = second & 0x7F
            if length == 126:
                (length,) = struct.unpack(">H", self.read(2))
            elif length == 127:
                (length,) = struct.unpack(">Q", self.read(8))
            payload = self.read(length)
            opcode = first & 0x0F
            if opcode == 0x8:
                raise ConnectionError("the client has closed the websocket")
            if opcode == 0x9:
                self.write_frame(0xA, payload)
            elif opcode in (0x0, 0x1):
                data += payload
                if first & 0x80:
                    return json.loads(data)

    def read(self, length):
        data = self.stream.read(length)
        if len(data) < length:
            raise ConnectionError("the client has hung up")
        return data

    def write_frame(self, opcode, payload):
        mask = os.urandom(4)
        if len(payload) < 126:
            length = bytes([0x80 | len(payload)])
        elif len(payload) < 1 << 16:
            length = struct.pack(">BH", 0x80 | 126, len(payload))
        else:
            length = struct.pack(">BQ", 0x80 | 127, len(payload))
        masked = bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))
        self.stream.write(bytes([0x80 | opcode]) + length + mask + masked)
        self.stream.flush()


def talk(client):
    def receive(kind):
        """The next message of a kind. An error is an answer too."""
        while True:
            message = client.receive()
            if message["type"] == "error":
                raise SystemExit(message["message"])
            if message["type"] == kind:
                return message

    client.send({"type": "selfAddress"})
    address = receive("selfAddress")["address"]
    print("address:", address)

    client.send({"type": "sendAnonymous", "recipient": address, "message": "hello from Python", "replySurbs": 5})
    question = receive("received")
    print("received:", question["message"])

    client.send({"type": "reply", "senderTag": question["senderTag"], "message": "hello yourself"})
    print("answer:", receive("received")["message"])


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("url", nargs="?", default="ws://127.0.0.1:1977", help="default: %(default)s")
url = parser.parse_args().url
try:
    talk(WebSocket(url))
except OSError as error:
    # A client talks to one app at a time, and hangs up on the next.
    raise SystemExit(f"{url}: {error}; does a client run there, and no other app?")
