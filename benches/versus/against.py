#!/usr/bin/env python3
"""What it costs the relay to take bodies over HTTP beside nginx, and to end TLS beside HAProxy.

    benches/versus/against.py http ELBOW   gzip bodies of ALB lines; nginx takes the same ones and writes them to a file as they are
    benches/versus/against.py tls ELBOW    ALB lines over TLS and plainly; HAProxy ends the TLS and passes the bytes on to nobody

Both take turns on one machine, round by round, under the same load from the same sender. What is compared is the time on processors,
user and system; of TLS what it adds to the same bytes without it. Medians of the rounds are printed as ratios: seconds would say
more of the machine than of the programs. Needs nginx, or haproxy and openssl. A run takes about a minute and ends after five.
"""

import argparse
import gzip
import http.client
import os
import random
import shutil
import signal
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

ROUNDS = 7
SENDERS = 2
# Bodies of one sender in one round; of TLS more, because a line costs far less there.
BODIES = 60
BODIES_OF_TLS = 150
LINES = 2000
# Nothing here may hang for longer, in seconds.
PATIENCE = 30
WHOLE_RUN = 300
TICKS = os.sysconf("SC_CLK_TCK")


def lines(seed):
    draw = random.Random(seed)

    def line():
        return (
            f"https 2026-03-01T10:20:{draw.randrange(60):02}.{draw.randrange(10**6):06}Z app/web/0123456789abcdef "
            f"192.0.2.{draw.randrange(256)}:{draw.randrange(1024, 65536)} 10.0.1.{draw.randrange(256)}:8080 0.001 "
            f"{draw.random():.3f} 0.000 200 200 {draw.randrange(5000)} {draw.randrange(50000)} "
            f'"GET https://www.example.com:443/items/{draw.randrange(10**8)}?page={draw.randrange(100)} HTTP/1.1" '
            '"Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0" TLS_AES_128_GCM_SHA256 TLSv1.3 '
            "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/web/0a1b2c3d4e5f6071 "
            f'"Root=1-65f00000-{draw.randrange(16**24):024x}" "www.example.com" "session-reused" 10 '
            '2026-03-01T10:20:30.097000Z "forward" "-" "-" "10.0.1.5:8080" "200" "-" "-" '
            f"TID_{draw.randrange(16**32):032x}\n"
        )

    return "".join(line() for _ in range(LINES)).encode()


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


class Program:
    """A process that is ended with the run, and what it has used of the processors."""

    running = []

    def __init__(self, words, port):
        self.process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        Program.running.append(self.process)
        end = time.monotonic() + PATIENCE
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            if self.process.poll() is not None or time.monotonic() > end:
                sys.exit(f"{words[0]} does not listen: {self.process.stderr.read(4000) if self.process.poll() is not None else ''}")
            time.sleep(0.05)
        # What it says from here on is read and dropped, so that it never waits for a reader.
        threading.Thread(target=self.process.stderr.read, daemon=True).start()

    def seconds(self):
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def costs(self, work):
        """What `work` costs it, once it has come to rest."""
        before = self.seconds()
        work()
        last = self.seconds()
        for _ in range(20):
            time.sleep(0.2)
            now = self.seconds()
            if now - last < 2 / TICKS:
                break
            last = now
        return self.seconds() - before


def at_once(work):
    failed = []

    def guarded(number):
        try:
            work(number)
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=guarded, args=[number]) for number in range(SENDERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        sys.exit(f"a sender failed: {failed[0]!r}")


def relay(program, folder, sources):
    config = folder / "elbow.toml"
    config.write_text('[admin]\naddress = "off"\n' + sources + '[[sink]]\nname = "out"\ntype = "stdout"\n')
    return [program, "run", "--config", config]


def put(port, bodies):
    def work(number):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
        for _ in range(BODIES):
            connection.request("PUT", f"/body-{number}", bodies[number], {"Content-Encoding": "gzip"})
            answer = connection.getresponse()
            answer.read()
            if answer.status not in (200, 201, 204):
                raise RuntimeError(f"answered with {answer.status}")

    at_once(work)


def over_http(options, folder):
    bodies = [gzip.compress(lines(number), 6) for number in range(SENDERS)]
    ours, theirs = free_port(), free_port()
    source = f'[[source]]\nname = "web"\ntype = "http"\naddress = "127.0.0.1:{ours}"\n'
    elbow = Program(relay(options.elbow, folder, source), ours)
    (folder / "bodies").mkdir()
    config = folder / "nginx.conf"
    config.write_text(
        f"daemon off; master_process off; user root; pid {folder}/nginx.pid; error_log {folder}/error.log;\n"
        "events {}\n"
        f"http {{ access_log off; client_max_body_size 64m; client_body_buffer_size 4m; client_body_temp_path {folder}/temp;\n"
        f"  server {{ listen 127.0.0.1:{theirs}; keepalive_requests 100000;\n"
        f"    location / {{ root {folder}/bodies; dav_methods PUT; }} }} }}\n"
    )
    nginx = Program(["nginx", "-c", config, "-e", folder / "error.log", "-p", folder], theirs)
    rounds = []
    for number in range(ROUNDS + 1):
        pair = elbow.costs(lambda: put(ours, bodies)), nginx.costs(lambda: put(theirs, bodies))
        # The first is for warming up.
        if number:
            rounds.append(pair)
    raw = sum(len(gzip.decompress(body)) for body in bodies) / sum(map(len, bodies))
    print(f"bodies of {LINES} lines, 1 to {raw:.1f} packed; Elbow unpacks them, and parses and writes each line")
    shows("elbow / nginx", [ours / theirs for ours, theirs in rounds])


def send(port, context, data):
    def work(number):
        stream = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        if context:
            stream = context.wrap_socket(stream, server_hostname="localhost")
        for _ in range(BODIES_OF_TLS):
            stream.sendall(data[number])
        if context:
            stream = stream.unwrap()
        stream.shutdown(socket.SHUT_WR)
        while stream.recv(65536):
            pass
        stream.close()

    at_once(work)


def swallow(listener):
    """Takes connections and reads them to their ends."""

    def one(stream):
        while stream.recv(1 << 20):
            pass
        stream.close()

    while True:
        threading.Thread(target=one, args=[listener.accept()[0]], daemon=True).start()


def over_tls(options, folder):
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=localhost",
         "-days", "2", "-keyout", folder / "key.pem", "-out", folder / "certificate.pem"],
        check=True, capture_output=True, timeout=PATIENCE,
    )
    both = folder / "both.pem"
    both.write_text((folder / "certificate.pem").read_text() + (folder / "key.pem").read_text())
    context = ssl.create_default_context(cafile=folder / "certificate.pem")
    context.check_hostname = False
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    listener = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=swallow, args=[listener], daemon=True).start()
    ports = {name: free_port() for name in ("elbow", "elbow tls", "haproxy", "haproxy tls")}
    sources = "".join(
        f'[[source]]\nname = "{name}"\ntype = "tcp"\naddress = "127.0.0.1:{port}"\nformat = "text"\nredact = false\n{tls}'
        for name, port, tls in (
            ("plain", ports["elbow"], ""),
            ("safe", ports["elbow tls"], f'tls = {{ certificate = "{folder}/certificate.pem", key = "{folder}/key.pem" }}\n'),
        )
    )
    elbow = Program(relay(options.elbow, folder, sources), ports["elbow tls"])
    config = folder / "haproxy.cfg"
    config.write_text(
        "global\n  nbthread 2\n"
        "defaults\n  mode tcp\n  timeout connect 5s\n  timeout client 60s\n  timeout server 60s\n"
        f"frontend plain\n  bind 127.0.0.1:{ports['haproxy']}\n  default_backend nobody\n"
        f"frontend safe\n  bind 127.0.0.1:{ports['haproxy tls']} ssl crt {both}\n  default_backend nobody\n"
        f"backend nobody\n  server nobody 127.0.0.1:{listener.getsockname()[1]}\n"
    )
    haproxy = Program(["haproxy", "-db", "-f", config], ports["haproxy tls"])
    data = [lines(number) for number in range(SENDERS)]
    rounds = []
    for number in range(ROUNDS + 1):
        took = {}
        for name, port in ports.items():
            program = elbow if name.startswith("elbow") else haproxy
            took[name] = program.costs(lambda: send(port, context if "tls" in name else None, data))
        if number:
            rounds.append(took)
    print("lines as text, 2 connections, TLS 1.3 with AES-GCM")
    shows("elbow / haproxy, with TLS", [took["elbow tls"] / took["haproxy tls"] for took in rounds])
    added = [
        (took["elbow tls"] - took["elbow"]) / max(took["haproxy tls"] - took["haproxy"], 1 / TICKS) for took in rounds
    ]
    shows("elbow / haproxy, what TLS adds", added)


def shows(name, ratios):
    print(f"{name}: {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}, {len(ratios)} rounds)", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["http", "tls"])
    parser.add_argument("elbow", type=Path)
    options = parser.parse_args()
    options.elbow = options.elbow.resolve()
    folder = Path(tempfile.mkdtemp(prefix="elbow-against-"))

    def too_long(*_):
        sys.exit(f"not done after {WHOLE_RUN} s")

    signal.signal(signal.SIGALRM, too_long)
    signal.alarm(WHOLE_RUN)
    try:
        {"http": over_http, "tls": over_tls}[options.what](options, folder)
    finally:
        for process in Program.running:
            process.kill()
            process.wait()
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
