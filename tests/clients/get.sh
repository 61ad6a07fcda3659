#!/bin/sh
# Gets the clients that tests/clients/run.py runs into a folder: get.sh FOLDER. Needs Python with venv; npm, Go and the packages of
# Debian, for rsyslog and syslog-ng, where they are there. Filebeat is built by tests/clients/filebeat-build.
set -eu
folder=$(mkdir -p "$1" && cd "$1" && pwd)
here=$(cd "$(dirname "$0")" && pwd)

python3 -m venv "$folder/v8"
"$folder/v8/bin/pip" install -q 'elasticsearch==8.19.*' requests
python3 -m venv "$folder/v7"
"$folder/v7/bin/pip" install -q 'elasticsearch==7.17.*'
python3 -m venv "$folder/opensearch"
"$folder/opensearch/bin/pip" install -q 'opensearch-py==3.2.*'

if command -v npm >/dev/null; then
    mkdir -p "$folder/js"
    (cd "$folder/js" && npm init -y >/dev/null && npm install --silent '@elastic/elasticsearch@8') ||
        echo "npm does not get it: no client in JavaScript"
else
    echo "without npm: no client in JavaScript"
fi

if command -v go >/dev/null; then
    mkdir -p "$folder/go"
    cp "$here/bulk-go/main.go" "$here/bulk-go/go.mod" "$folder/go/"
    (cd "$folder/go" && go mod tidy && go build -o send .) || echo "it does not build: no client in Go"
else
    echo "without Go: no client in Go"
fi

# The packages of rsyslog and syslog-ng exclude one another: the second is unpacked beside.
if command -v apt-get >/dev/null; then
    mkdir -p "$folder/debian"
    # The names are those of Debian 12.
    if (cd "$folder/debian" && apt-get download -q syslog-ng-core syslog-ng-mod-http libivykis0 libnet1 libpcre3); then
        for package in "$folder"/debian/*.deb; do dpkg -x "$package" "$folder/syslog-ng"; done
    else
        echo "its packages have other names here: no syslog-ng"
    fi
    echo "for rsyslog: apt-get install rsyslog-elasticsearch"
fi
echo "for filebeat: put its program at $folder/filebeat"
