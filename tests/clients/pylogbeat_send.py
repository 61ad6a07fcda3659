"""Sends numbered events with pylogbeat, which numbers on across windows: pylogbeat_send.py PORT EVENTS"""

import sys

from pylogbeat import PyLogBeatClient

port, events = int(sys.argv[1]), int(sys.argv[2])
with PyLogBeatClient("127.0.0.1", port, ssl_enable=False, timeout=30) as client:
    for start in range(0, events, 1000):
        client.send([{"message": "a line", "number": number} for number in range(start, min(start + 1000, events))])
