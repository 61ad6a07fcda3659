#!/usr/bin/env python3
"""Runs real clients against the relay: 100 000 events each through real sockets into a file.

    tests/clients/get.sh DIRECTORY             gets the clients there
    tests/clients/run.py DIRECTORY [NAME...]   runs those named, or all that are there
        --events N      how many events (100000)
        --kill N        kills the relay N times in mid-stream and starts it again on its buffer
        --if-there      passes over those named that are not there
        --identity WORD what makes two events one (content)
        --elbow PATH    the relay (target/debug/elbow)

Checks that no event is missing; without --kill that none came twice; with it that equal copies of an event have its id, and says
how many events the sender has written in other words the second time. A sink may write again what it wrote shortly before a
kill; with --kill and --identity arrival such copies have the same id, and what has been taken in twice has two: of a sender that
waits for each answer, no more than one request for each kill.
What a client is told to do stands in docs/senders.md and is taken from there.
"""

import argparse
import collections
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
EXAMPLE = "elbow.example.com"
PATIENCE = 240
# Events of a request, for senders that have only one under way.
REQUEST = {
    "filebeat": 50, "rsyslog": 1000, "forwarder": 500, "firehose": 500,
    "elasticsearch-py-8": 500, "elasticsearch-py-7": 500, "opensearch-py": 500,
}
NUMBER = re.compile(rb"seq=(\d{7})")
ID = re.compile(rb'"event.id":"([0-9a-f]+)"')
# Where the sender says no time, it is that of arrival.
TIME = re.compile(rb'"@timestamp":"[^"]*"')


def snippet(heading, language):
    """The first block of that language below that heading of docs/senders.md."""
    page = (ROOT / "docs/senders.md").read_text()
    section = page.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    return section.split(f"```{language}\n", 1)[1].split("```", 1)[0]


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


class Relay:
    def __init__(self, program, folder, identity):
        self.program, self.folder, self.port = program, folder, free_port()
        self.file = folder / "documents.json"
        admin = free_port()
        (folder / "elbow.toml").write_text(
            f'data_dir = "{folder}/data"\n'
            f'[admin]\naddress = "127.0.0.1:{admin}"\n'
            '[buffer]\nkind = "disk"\nmax_bytes = "2GiB"\n'
            f'[[source]]\nname = "web"\ntype = "http"\naddress = "127.0.0.1:{self.port}"\nidentity = "{identity}"\n'
            f'[[sink]]\nname = "file"\ntype = "file"\npath = "{self.file}"\nrotate_bytes = "1GiB"\n'
        )

    def start(self):
        log = open(self.folder / "elbow.log", "ab")
        self.process = subprocess.Popen(
            [self.program, "run", "--config", self.folder / "elbow.toml"], stdout=log, stderr=log
        )
        for _ in range(200):
            if self.process.poll() is not None:
                sys.exit((self.folder / "elbow.log").read_text())
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.05)
        sys.exit("the relay does not listen")

    def written(self):
        return self.file.stat().st_size if self.file.exists() else 0

    def documents(self):
        """What is in the file, but for halves of lines: a relay that is killed may leave one, which the next one ends."""
        self.halves = 0
        if self.file.exists():
            with open(self.file, "rb") as lines:
                for line in lines:
                    try:
                        json.loads(line)
                        yield line
                    except ValueError:
                        self.halves += 1

    def numbers(self):
        counts = collections.Counter()
        for line in self.documents():
            found = NUMBER.search(line)
            counts[found.group(1) if found else b"none"] += 1
        return counts

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)


def lines_file(folder, events):
    path = folder / "lines.log"
    with open(path, "w") as file:
        for number in range(events):
            file.write(f"seq={number:07d} a line of some length, as logs have them\n")
    return path


def python(home, version, script):
    def command(folder, port, events):
        return [home / version / "bin/python", HERE / script, f"http://127.0.0.1:{port}", str(events)]

    return home / version / "bin/python", command


def pasted(folder, name, text, port):
    path = folder / name
    path.write_text(text.replace(f"{EXAMPLE}:8080", f"127.0.0.1:{port}").replace(EXAMPLE, "127.0.0.1").replace("8080", str(port)))
    return path


def filebeat(program):
    def command(folder, port, events):
        lines = lines_file(folder, events)
        text = snippet("Filebeat", "yaml").replace("/var/log/lines/*.log", str(lines))
        config = pasted(folder, "filebeat.yml", text, port)
        config.chmod(0o600)
        return [program, "-e", "--strict.perms=false", "-c", config, "--path.home", folder, "--path.data", folder / "beat"]

    return program, command


def rsyslog(folder, port, events):
    lines = lines_file(folder, events)
    (folder / "work").mkdir()
    text = (
        f'global(workDirectory="{folder}/work" maxMessageSize="64k")\n'
        'module(load="imfile" mode="inotify")\n'
        f'input(type="imfile" file="{lines}" tag="t")\n' + snippet("rsyslog", "text")
    )
    return ["/usr/sbin/rsyslogd", "-n", "-C", "-i", folder / "rsyslog.pid", "-f", pasted(folder, "rsyslog.conf", text, port)]


def syslog_ng(root):
    program = root / "usr/sbin/syslog-ng"

    def command(folder, port, events):
        lines = lines_file(folder, events)
        text = (
            '@version: 3.38\noptions { stats-freq(0); };\n'
            f'source s_lines {{ file("{lines}" flags(no-parse) multi-line-mode(none) log-iw-size(10000)); }};\n'
            + snippet("syslog-ng", "text")
            + "log { source(s_lines); destination(d_elbow); flags(flow-control); };\n"
        )
        config = pasted(folder, "syslog-ng.conf", text, port)
        folders = [root / "usr/lib/syslog-ng", root / "usr/lib/x86_64-linux-gnu", root / "lib/x86_64-linux-gnu"]
        modules = root / "usr/lib/syslog-ng/3.38"
        return [
            "env", "LD_LIBRARY_PATH=" + ":".join(map(str, folders)), program, "-F", "--no-caps", "-f", config,
            "-R", folder / "persist", "-p", folder / "pid", "-c", folder / "ctl", f"--module-path={modules}",
        ]

    return program, command


def javascript(folder_of_modules):
    def command(folder, port, events):
        return ["node", HERE / "send_bulk.cjs", folder_of_modules, f"http://127.0.0.1:{port}", str(events)]

    return folder_of_modules / "node_modules/@elastic/elasticsearch", command


def go(program):
    return program, lambda folder, port, events: [program, f"http://127.0.0.1:{port}", str(events)]


def clients(home):
    """Names, the file without which there is no such client, and what starts it."""
    all_of_them = {
        "elasticsearch-py-8": python(home, "v8", "send_bulk.py"),
        "elasticsearch-py-7": python(home, "v7", "send_bulk.py"),
        "opensearch-py": python(home, "opensearch", "send_bulk.py"),
        "forwarder": python(home, "v8", "send_forwarder.py"),
        "firehose": python(home, "v8", "send_firehose.py"),
        "elasticsearch-js": javascript(home / "js"),
        "elasticsearch-go": go(home / "go/send"),
        "filebeat": filebeat(home / "filebeat"),
        "rsyslog": (Path("/usr/lib/x86_64-linux-gnu/rsyslog/omelasticsearch.so"), rsyslog),
        "syslog-ng": syslog_ng(home / "syslog-ng"),
    }
    return all_of_them


def run(name, command, options):
    folder = Path(tempfile.mkdtemp(prefix=f"elbow-{name}-"))
    relay = Relay(options.elbow, folder, options.identity)
    relay.start()
    began = time.monotonic()
    said = open(folder / "client.log", "wb")
    client = subprocess.Popen(command(folder, relay.port, options.events), stdout=said, stderr=said, cwd=folder)
    killed = 0
    last = time.monotonic()
    size = 0
    failed = None
    while True:
        time.sleep(0.2)
        now = relay.written()
        if now != size:
            size, last = now, time.monotonic()
        if options.kill and killed < options.kill and size > (killed + 1) * options.events * 30:
            relay.process.kill()
            relay.process.wait()
            killed += 1
            time.sleep(0.5)
            relay.start()
        # A client that ends by itself says whether it is content; the others are done when everything is there.
        if client.poll() is not None:
            if client.returncode != 0:
                failed = f"the client ended with {client.returncode}"
            break
        if time.monotonic() - last > 3 and len(relay.numbers()) >= options.events:
            break
        if time.monotonic() - began > PATIENCE:
            failed = f"not done after {PATIENCE} s"
            break
    seconds = last - began
    if client.poll() is None:
        client.terminate()
        try:
            client.wait(20)
        except subprocess.TimeoutExpired:
            client.kill()
    status = relay.stop()
    counts = relay.numbers()
    foreign = counts.pop(b"none", 0)
    missing = options.events - len(counts)
    doubled = sum(count - 1 for count in counts.values())
    complaints = [failed] if failed else []
    if status != 0:
        complaints.append(f"the relay ended with {status}")
    if missing or foreign:
        complaints.append(f"{missing} missing, {foreign} that nobody has sent")
    if options.kill and killed < options.kill:
        complaints.append("it was done before the relay could be killed")
    if relay.halves > killed:
        complaints.append(f"{relay.halves} halves of lines")
    if doubled and not killed:
        complaints.append(f"{doubled} doubled")
    reworded = taken_twice = 0
    if doubled:
        ids = collections.defaultdict(set)
        for line in relay.documents():
            number = NUMBER.search(line).group(1)
            if counts[number] > 1:
                content, ids_of_line = ID.subn(b"", line)
                assert ids_of_line == 1, line
                content = TIME.sub(b"", content)
                ids[number].add((content, ID.search(line).group(1)))
        other = sum(len(known) > len({content for content, _ in known}) for known in ids.values())
        if options.identity == "arrival":
            taken_twice = sum(len(known) - 1 for known in ids.values())
            if taken_twice > killed * REQUEST.get(name, options.events):
                complaints.append(f"{taken_twice} events have been taken in twice")
        elif other:
            complaints.append(f"{other} equal copies with another id")
        reworded = sum(len({content for content, _ in known}) > 1 for known in ids.values())
    verdict = "; ".join(complaints) or "ok"
    print(
        f"{name}: {verdict}: {options.events} events, {missing} missing, {doubled} doubled "
        f"({reworded} in other words, {taken_twice} taken in twice), {killed} kills, {seconds:.1f} s",
        flush=True,
    )
    if complaints:
        print(f"  see {folder}", flush=True)
    else:
        shutil.rmtree(folder)
    return not complaints


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("home", type=Path)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--kill", type=int, default=0)
    parser.add_argument("--if-there", action="store_true")
    parser.add_argument("--identity", default="content")
    parser.add_argument("--elbow", default=os.environ.get("ELBOW", ROOT / "target/debug/elbow"))
    options = parser.parse_intermixed_args()
    known = clients(options.home.resolve())
    good = True
    for name in options.names or known:
        needs, command = known[name]
        if not needs.exists():
            print(f"{name}: not here", flush=True)
            good &= options.if_there or name not in options.names
            continue
        good &= run(name, command, options)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
