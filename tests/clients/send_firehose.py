#!/usr/bin/env python3
"""Sends what Amazon Data Firehose sends to an HTTP endpoint, and believes only answers that it would believe.

    send_firehose.py URL EVENTS
"""

import base64
import gzip
import json
import sys
import time
import uuid

import requests

url, count = sys.argv[1], int(sys.argv[2])
session = requests.Session()
for first in range(0, count, 500):
    numbers = range(first, min(first + 500, count))
    records = [{"data": base64.b64encode(f'{{"message":"seq={number:07d}"}}'.encode()).decode()} for number in numbers]
    request_id = str(uuid.uuid4())
    body = json.dumps({"requestId": request_id, "timestamp": int(time.time() * 1000), "records": records})
    headers = {
        "X-Amz-Firehose-Protocol-Version": "1.0",
        "X-Amz-Firehose-Request-Id": request_id,
        "X-Amz-Firehose-Source-Arn": "arn:aws:firehose:eu-central-1:123456789012:deliverystream/lines",
        "X-Amz-Firehose-Access-Key": "secret",
        "X-Amz-Firehose-Common-Attributes": json.dumps({"commonAttributes": {"Environment": "ci"}}),
        "Content-Type": "application/json",
        "Content-Encoding": "gzip",
    }
    for attempt in range(60):
        try:
            response = session.post(url, data=gzip.compress(body.encode()), headers=headers, timeout=180)
            answer = response.json()
            if response.status_code == 200 and answer["requestId"] == request_id and answer["timestamp"] > 1_500_000_000_000:
                assert response.headers["Content-Type"] == "application/json"
                break
        except requests.ConnectionError:
            pass
        time.sleep(0.5)
    else:
        sys.exit("no answer that counts")
