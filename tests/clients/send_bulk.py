#!/usr/bin/env python3
"""Sends events with the Elasticsearch or OpenSearch client for Python, as docs/senders.md has it.

    send_bulk.py URL EVENTS
"""

import sys
import time
from pathlib import Path

try:
    import opensearchpy
except ImportError:
    opensearchpy = None
    import elasticsearch
    import elasticsearch.helpers

url, count = sys.argv[1], int(sys.argv[2])
heading = "OpenSearch clients" if opensearchpy else "Elasticsearch clients"
page = (Path(__file__).resolve().parent.parent.parent / "docs/senders.md").read_text()
code = page.split(f"\n## {heading}\n", 1)[1].split("```python\n", 1)[1].split("```", 1)[0]
# A client raises when the relay is away for longer than its tries last; the program goes on from the last event it was told of.
code = code.replace("http://elbow.example.com:8080", url).replace("assert ok, item", "assert ok, item; told += 1")
lost = (opensearchpy or elasticsearch).exceptions.ConnectionError
told = 0
deadline = time.monotonic() + 120
while told < count:
    events = ({"message": f"seq={number:07d}", "_id": "a member like others", "n": number} for number in range(told, count))
    try:
        exec(code)
    except lost:
        if time.monotonic() > deadline:
            raise
        time.sleep(0.1)
assert client.info()["tagline"] == "You Know, for Search"  # noqa: F821
