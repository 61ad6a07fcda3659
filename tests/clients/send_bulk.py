#!/usr/bin/env python3
"""Sends events with the Elasticsearch or OpenSearch client for Python, as docs/senders.md has it.

    send_bulk.py URL EVENTS
"""

import sys
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
events = ({"message": f"seq={number:07d}", "_id": "a member like others", "n": number} for number in range(count))
exec(code.replace("http://elbow.example.com:8080", url))
assert client.info()["tagline"] == "You Know, for Search"  # noqa: F821
