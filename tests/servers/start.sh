#!/bin/sh
# Gets a real search server from Maven Central, starts it on 127.0.0.1, and prints its address and its process when it answers:
#
#   tests/servers/start.sh KIND FOLDER [PORT] [SECONDS] [DATA]
#   ELBOW_OPENSEARCH=127.0.0.1:9241 PID=12345
#
# The output is good for `eval`, and `kill $PID` stops the server. Everything is put into FOLDER; what Maven got is used again by
# the next run there. The server ends by itself after SECONDS (1800). Needs Maven and a JDK from 17 on; opensearch-3 needs one from 21 on,
# which is looked for in JAVA_HOME and /usr/lib/jvm, and where there is none it exits with 3. It removes nothing.
# OpenSearch's runner takes only ports from 9201 to 9299, and the next free one from PORT on. With DATA it goes on with what an
# earlier run has left in that folder.
#
# KIND                  prints                    is
# opensearch            ELBOW_OPENSEARCH          a node that lets everybody in
# opensearch-3          ELBOW_OPENSEARCH_3        the same, of the next major version
# elasticsearch         ELBOW_ELASTICSEARCH       the same
# elasticsearch-small   ELBOW_ELASTICSEARCH_SMALL one that says 429: documents on their way may have 2 MiB together, and one thread
#                                                 writes, for which four further shards may wait
# opensearch-secure     ELBOW_OPENSEARCH_SECURE   one that speaks TLS and asks who somebody is
#
# For opensearch-secure it makes certificates with openssl, all for 127.0.0.1 and by one authority, and prints their folder as
# ELBOW_OPENSEARCH_SECURE_TLS: the authority's `root-ca.pem`; `admin.pem` and `admin-key.pem`, with which everything is allowed, as to
# make users by `_plugins/_security/api`; and `relay.pem` and `relay-key.pem` of a user called relay. There are no other users.
set -eu

usage() { sed -n '2,26s/^# \{0,1\}//p' "$0" >&2; exit 2; }
[ $# -ge 2 ] || usage
kind=$1
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$2"
seconds=${4:-1800}
# Of which jars it is made.
made_of=$kind
case $kind in
    opensearch) port=${3:-9241} variable=ELBOW_OPENSEARCH runner=2.19.1.0 ;;
    opensearch-3) port=${3:-9261} variable=ELBOW_OPENSEARCH_3 runner=3.8.0.0 ;;
    elasticsearch) port=${3:-9401} variable=ELBOW_ELASTICSEARCH ;;
    elasticsearch-small) port=${3:-9402} variable=ELBOW_ELASTICSEARCH_SMALL made_of=elasticsearch ;;
    opensearch-secure) port=${3:-9403} variable=ELBOW_OPENSEARCH_SECURE ;;
    *) usage ;;
esac
java=java project=$made_of
if [ "$kind" = opensearch-3 ]; then
    project=opensearch java=
    for home in ${JAVA_HOME:+"$JAVA_HOME"} /usr/lib/jvm/*; do
        version=$("$home/bin/java" -XshowSettings:properties -version 2>&1 | sed -n 's/^ *java.specification.version = //p') || continue
        case $version in 2[1-9] | [3-9][0-9]) java=$home/bin/java ;; esac
    done
    [ -n "$java" ] || { echo "start.sh: $kind needs a JDK from 21 on, in JAVA_HOME or /usr/lib/jvm" >&2; exit 3; }
fi
folder=$(cd "$2" && pwd)/$made_of
mkdir -p "$folder"

# An authority and what it has signed, in this folder, for a week: `NAME.pem` and `NAME-key.pem`, the same for servers and clients.
certificates() {
    printf 'subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth\n' >extensions
    set -- -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes
    (
        set -e
        openssl req -x509 "$@" -days 7 -subj "/CN=authority of a test" -keyout root-ca-key.pem -out root-ca.pem
        for name in node admin relay; do
            openssl req "$@" -subj "/CN=$name" -keyout "$name-key.pem" -out "$name.csr"
            openssl x509 -req -in "$name.csr" -CA root-ca.pem -CAkey root-ca-key.pem -CAcreateserial -days 7 \
                -extfile extensions -out "$name.pem"
        done
    ) >openssl.log 2>&1
}

cp "$here/$project/pom.xml" "$folder/pom.xml"
if [ ! -e "$folder/jars/complete" ]; then
    (cd "$folder" && timeout 600 mvn -q -B dependency:copy-dependencies -DoutputDirectory=jars ${runner:+"-Drunner=$runner"} >mvn.log 2>&1) || {
        tail -5 "$folder/mvn.log" >&2
        echo "start.sh: Maven cannot get $kind" >&2
        exit 1
    }
    # A plugin is an archive of jars and of what it begins with.
    for archive in "$folder"/jars/*.zip; do
        [ ! -e "$archive" ] || (cd "$folder/jars" && jar xf "$archive")
    done
    touch "$folder/jars/complete"
fi

# A new folder each time unless told otherwise: what an earlier run has indexed is none of this one's business.
data=${5:-$(mktemp -d "$folder/run.XXXXXX")}
mkdir -p "$data"
log=$data/server.log
# Whoever else listens there would answer for it. OpenSearch's runner looks for itself.
if [ -z "${runner:-}" ]; then
    met=0
    curl -s -m 5 "http://127.0.0.1:$port" >/dev/null || met=$?
    [ "$met" -eq 7 ] || { echo "start.sh: port $port is taken" >&2; exit 1; }
fi
cd "$data"
: >"$log"
scheme=http more=
case $kind in
    opensearch | opensearch-3)
        # A name of its own: it looks for others of its name on this machine, and joins them.
        nohup timeout "$seconds" "$java" -Xms512m -Xmx1g -cp "$folder/jars/*" org.codelibs.opensearch.runner.OpenSearchRunner \
            -basePath "$data/node" -numOfNode 1 -baseHttpPort $((port - 1)) -clusterName "elbow-$(basename "$data")" >"$log" 2>&1 </dev/null &
        set --
        ;;
    elasticsearch | elasticsearch-small)
        if [ "$kind" = elasticsearch-small ]; then
            set -- indexing_pressure.memory.limit=2mb node.processors=1 thread_pool.write.queue_size=4
        else
            set --
        fi
        javac -cp "$folder/jars/*" -d "$data" "$here/elasticsearch/Server.java"
        nohup timeout "$seconds" java -Xms512m -Xmx1g -cp "$folder/jars/*:$data" Server "$data/home" "$port" "$@" >"$log" 2>&1 </dev/null &
        set --
        ;;
    opensearch-secure)
        config=$data/home/config
        if [ ! -e "$config" ]; then
            mkdir -p "$config/opensearch-security"
            cp "$folder"/jars/config/*.yml "$config/opensearch-security"
            cp "$here/$kind/security"/*.yml "$config/opensearch-security"
            cd "$config"
            certificates
            cd "$data"
        fi
        javac -cp "$folder/jars/*" -d "$data" "$here/$kind/Server.java"
        nohup timeout "$seconds" java -Xms512m -Xmx1g -cp "$folder/jars/*:$data" Server "$data/home" "$port" >"$log" 2>&1 </dev/null &
        scheme=https more=" ${variable}_TLS=$config"
        set -- --cacert "$config/root-ca.pem" --cert "$config/admin.pem" --key "$config/admin-key.pem"
        ;;
esac
pid=$!

waited=0
while [ "$waited" -lt 180 ]; do
    if [ -n "${runner:-}" ]; then
        # It takes the next free port where this one is taken, and says which.
        port=$(sed -n 's/^HTTP Port: *//p' "$log" | head -1)
    fi
    health="_cluster/health?wait_for_status=yellow&timeout=4s"
    if [ -n "$port" ] && curl -fsS -m 5 "$@" "$scheme://127.0.0.1:$port/$health" >/dev/null 2>&1; then
        echo "$variable=127.0.0.1:$port$more PID=$pid"
        exit 0
    fi
    if ! kill -0 "$pid" 2>/dev/null; then
        tail -5 "$log" >&2
        echo "start.sh: $kind has ended; see $log" >&2
        exit 1
    fi
    sleep 1
    waited=$((waited + 1))
done
kill "$pid"
echo "start.sh: $kind does not answer after $waited seconds; see $log" >&2
exit 1
