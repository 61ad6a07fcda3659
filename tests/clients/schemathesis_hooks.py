"""What schemathesis has to be told to send bodies of lines: how they are written, and what a bulk request is made of."""

import json

import schemathesis


@schemathesis.serializer("application/x-ndjson")
def lines(_context, value):
    return value if isinstance(value, bytes) else str(value).encode()


@schemathesis.hook
def map_body(context, body):
    """Of every two texts meant for a bulk request one stays as it is, and the other becomes documents behind actions."""
    operation = context.operation
    if operation is None or not operation.path.endswith("_bulk") or not isinstance(body, str) or len(body) % 2:
        return body
    actions = ["index", "create", "delete", "update"]
    parts = []
    for number, line in enumerate(body.split(" ")):
        action = actions[(number + len(body) // 2) % len(actions)]
        parts.append(json.dumps({action: {"_index": line[:64], "_id": str(number)}}))
        if action != "delete":
            parts.append(json.dumps({"message": line}))
    return "\n".join(parts) + "\n"
