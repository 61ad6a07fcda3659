#!/usr/bin/env python3
"""Lines through a relay into a real search server, exactly once, while both are killed.

    tests/servers/kills.py opensearch|elasticsearch FOLDER ELBOW [EVENTS]

FOLDER is where start.sh keeps its servers, ELBOW the relay's program. EVENTS (200000) ALB lines with a number each are sent over TCP
to a relay with a buffer on disk, in connections that are confirmed as a whole; what was not confirmed is sent again. On the way the
relay is killed three times with SIGKILL and the server twice, and started again. In the end each number has to be there once, under
one id. It says what it saw and exits with 1 where that is not so. It takes a minute for 200 000 events, and is bounded to 15.
"""

import collections
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request

HERE = pathlib.Path(__file__).parent
BEGUN = time.monotonic()
LIMIT = 900
CHUNK = 10_000
LINE = (
    'https 2026-03-01T10:20:30.123456Z app/web/0123456789abcdef 192.0.2.10:40001 10.0.1.5:8080 0.001 0.025 0.000 200 200 512 2048 '
    '"GET https://www.example.com:443/index.html?a=%d HTTP/1.1" "curl/8.5.0" TLS_AES_128_GCM_SHA256 TLSv1.3 '
    'arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/web/0a1b2c3d4e5f6071 "Root=1-65f00000-%024x" "www.example.com" '
    '"session-reused" 10 2026-03-01T10:20:30.097000Z "forward" "-" "-" "10.0.1.5:8080" "200" "-" "-" TID_00112233445566778899aabbccddeeff\n'
)


def bounded():
    if time.monotonic() - BEGUN > LIMIT:
        sys.exit(f"kills.py: not done after {LIMIT} s")


class Server:
    """A search server that keeps its data when it is killed."""

    def __init__(self, kind, folder, data):
        self.kind, self.folder, self.data, self.kills, self.port = kind, folder, data, 0, ""
        self.start()

    def start(self):
        port = self.port or ("9261" if self.kind == "opensearch" else "9461")
        done = subprocess.run(
            [HERE / "start.sh", self.kind, self.folder, port, str(LIMIT), self.data], capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            sys.exit(f"kills.py: {done.stderr}")
        words = dict(word.split("=", 1) for word in done.stdout.split())
        self.pid = int(words.pop("PID"))
        (self.address,) = words.values()
        self.port = self.address.rsplit(":", 1)[1]

    def kill(self):
        """Kills it with its wrapper, and starts it with the same data."""
        for child in pathlib.Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split():
            os.kill(int(child), signal.SIGKILL)
        gone = time.monotonic()
        while pathlib.Path(f"/proc/{self.pid}").exists() and time.monotonic() - gone < 30:
            time.sleep(0.05)
        self.kills += 1
        self.start()

    def stop(self):
        try:
            os.kill(self.pid, signal.SIGTERM)
        except ProcessLookupError:
            pass

    def ask(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"http://{self.address}{path}", data, {"Content-Type": "application/json"}, method=method)
        with urllib.request.urlopen(request, timeout=120) as answer:
            return json.load(answer)


class Relay:
    """A relay whose buffer stays when it is killed."""

    def __init__(self, elbow, folder, address):
        self.elbow, self.kills = elbow, 0
        self.lines, self.admin = free_port(), free_port()
        self.config = folder / "elbow.toml"
        self.config.write_text(
            f'data_dir = "{folder}/data"\n[admin]\naddress = "127.0.0.1:{self.admin}"\n'
            f'[[source]]\nname = "lines"\ntype = "tcp"\naddress = "127.0.0.1:{self.lines}"\nconfirm = "close"\n'
            f'[[sink]]\nname = "search"\ntype = "elasticsearch"\nhosts = ["http://{address}"]\nindex = "kills-%Y.%m.%d"\n'
        )
        self.log = open(folder / "elbow.log", "ab")
        self.start()

    def start(self):
        self.process = subprocess.Popen([self.elbow, "run", "-c", self.config], stderr=self.log, stdout=self.log)
        for _ in range(600):
            try:
                self.page("/health")
                return
            except (OSError, urllib.error.URLError):
                if self.process.poll() is not None:
                    sys.exit(f"kills.py: the relay ended, see {self.log.name}")
                time.sleep(0.05)
        sys.exit("kills.py: the relay does not start")

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.kills += 1
        self.start()

    def page(self, path):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.admin}{path}", timeout=10) as answer:
            return answer.read().decode()

    def sum(self, family):
        lines = [line for line in self.page("/metrics").splitlines() if line.startswith(f"elbow_{family}{{")]
        return sum(int(float(line.rsplit(" ", 1)[1])) for line in lines)


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def send(relay, events, confirmed, again):
    """Sends everything; `confirmed` gets the number of lines that were."""
    for first in range(0, events, CHUNK):
        text = "".join(LINE % (number, number) for number in range(first, min(first + CHUNK, events))).encode()
        while True:
            bounded()
            try:
                with socket.create_connection(("127.0.0.1", relay.lines), timeout=120) as stream:
                    stream.sendall(text)
                    stream.shutdown(socket.SHUT_WR)
                    if stream.recv(1) == b"":
                        break
            except OSError:
                again.append(first)
                time.sleep(0.1)
        confirmed[0] = first + CHUNK


def numbers(server):
    """How often each number is there."""
    seen = collections.Counter()
    query = {"size": 10_000, "_source": ["trace_id"], "sort": ["_doc"]}
    page = server.ask("POST", "/kills-*/_search?scroll=2m", query)
    while page["hits"]["hits"]:
        bounded()
        seen.update(int(hit["_source"]["trace_id"].rsplit("-", 1)[1], 16) for hit in page["hits"]["hits"])
        page = server.ask("POST", "/_search/scroll", {"scroll": "2m", "scroll_id": page["_scroll_id"]})
    return seen


def main():
    kind, folder, elbow = sys.argv[1:4]
    events = int(sys.argv[4]) if len(sys.argv) > 4 else 200_000
    elbow = str(pathlib.Path(elbow).resolve())
    with tempfile.TemporaryDirectory() as place:
        place = pathlib.Path(place)
        server = Server(kind, folder, place / "server")
        relay = None
        try:
            to = f"elasticsearch://{server.address}/kills-%Y.%m.%d"
            subprocess.run([elbow, "setup", "elasticsearch", "--to", to, "--no-lifecycle"], check=True, stdout=subprocess.DEVNULL)
            relay = Relay(elbow, place, server.address)
            confirmed, again = [0], []
            sending = threading.Thread(target=send, args=(relay, events, confirmed, again), daemon=True)
            sending.start()
            steps = [(0.1, relay), (0.25, server), (0.4, relay), (0.6, server), (0.8, relay)]
            for part, what in steps:
                # What has been delivered decides, so that the server is killed with something to do.
                while confirmed[0] < part * events:
                    bounded()
                    time.sleep(0.02)
                what.kill()
            sending.join(LIMIT)
            while relay.sum("sink_buffered_events") > 0:
                bounded()
                time.sleep(0.2)
            server.ask("POST", "/kills-*/_refresh")
            count = server.ask("GET", "/kills-*/_count")["count"]
            seen = numbers(server)
            missing = events - len(seen)
            twice = sum(count - 1 for count in seen.values())
            refused = relay.sum("sink_refused_events_total")
            relay.process.terminate()
            status = relay.process.wait(60)
        finally:
            if relay is not None and relay.process.poll() is None:
                relay.process.kill()
            server.stop()
    print(
        f"{kind}: {events} events, {relay.kills} kills of the relay, {server.kills} of the server, {len(again)} connections sent again: "
        f"{count} documents, {missing} missing, {twice} twice, {refused} refused, exit {status}, {time.monotonic() - BEGUN:.0f} s"
    )
    sys.exit(0 if (count, missing, twice, refused, status) == (events, 0, 0, 0, 0) else 1)


main()
