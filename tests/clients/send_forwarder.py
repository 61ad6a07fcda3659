#!/usr/bin/env python3
"""Sends what the Logstash output of Elastic's serverless forwarder sends: NDJSON in gzip by PUT, with a user and a password.

    send_forwarder.py URL EVENTS

A batch is tried again as the forwarder does it, after 429 and 5xx and where the connection fails.
"""

import gzip
import json
import sys

import requests
from requests.adapters import HTTPAdapter
from urllib3.util.retry import Retry

url, count = sys.argv[1], int(sys.argv[2])
session = requests.Session()
session.auth = ("elbow", "secret")
session.mount(url, HTTPAdapter(max_retries=Retry(total=4, backoff_factor=1, status_forcelist=[429, 500, 502, 503, 504])))
for first in range(0, count, 500):
    numbers = range(first, min(first + 500, count))
    events = [json.dumps({"_id": f"id-{number}", "message": f"seq={number:07d}"}) for number in numbers]
    response = session.put(
        url,
        data=gzip.compress("\n".join(events).encode(), 9),
        headers={"Content-Encoding": "gzip", "Content-Type": "application/x-ndjson"},
        timeout=10,
    )
    assert response.status_code == 200, response.text
    assert response.json()["accepted"] == len(numbers), response.text
    assert response.elapsed.total_seconds() < 5, response.elapsed
