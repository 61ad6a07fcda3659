#!/bin/sh
# Sends the HTTP source what docs/openapi.json allows and what it does not, and holds the answers to what is described there:
# schemathesis.sh ELBOW [SECONDS]. Needs schemathesis (PyPI; 4.32 is known to work).
set -eu
elbow=$(realpath "$1")
here=$(cd "$(dirname "$0")" && pwd)
folder=$(mktemp -d)
admin=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
cat >"$folder/elbow.toml" <<END
[admin]
address = "127.0.0.1:$admin"

[[source]]
name = "web"
type = "http"
address = "127.0.0.1:$port"

[[sink]]
name = "file"
type = "file"
path = "$folder/documents.json"
END
"$elbow" run --config "$folder/elbow.toml" >"$folder/elbow.log" 2>&1 &
relay=$!
trap 'kill "$relay" 2>/dev/null; wait "$relay" 2>/dev/null || true; rm -rf "$folder"' EXIT
until grep -q "requests over HTTP" "$folder/elbow.log"; do
    kill -0 "$relay" || { cat "$folder/elbow.log"; exit 1; }
    sleep 0.1
done
# It leaves its notes where it runs. How bodies of lines are written is in schemathesis_hooks.py.
cd "$folder"
# What is refused for its form only is not what schemathesis takes for malformed: nothing is refused for what it says.
export SCHEMATHESIS_HOOKS=schemathesis_hooks PYTHONPATH=$here
timeout "${2:-240}" "${SCHEMATHESIS:-schemathesis}" run "$here/../../docs/openapi.json" \
    --url "http://127.0.0.1:$port" --max-examples 20 --seed 1 --no-color --request-timeout 10 \
    --checks not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,response_schema_conformance
kill -0 "$relay"
