#!/bin/bash
# A real S3 server for tests: Ceph with one mon, one OSD in memory and one radosgw, everything on loopback.
#   tests/ceph.sh up DIR [PORT]        start it with its data in DIR (7480 by default), print what to export
#   tests/ceph.sh try DIR [PORT]       `up` with a bucket, or what runs already; prints what to export and to run
#   tests/ceph.sh serve DIR [PORT]     the same in a container: for others too, until it is stopped
#   tests/ceph.sh gateway-kill DIR     kill -9 the gateway alone; the data stays
#   tests/ceph.sh gateway-start DIR    start the gateway again
#   tests/ceph.sh down DIR             stop what `up` started, remove DIR
# Debian: apt-get install -y --no-install-recommends radosgw ceph-mon ceph-osd ceph-common
set -euo pipefail

KEY=testkey000000000000 SECRET=testsecret0000000000000000000000000000000 # fixed, for this server only
listen=127.0.0.1

fail() { echo "ceph.sh: $*" >&2; exit 1; }
usage() { sed -n '2,8s/^# \{0,1\}//p' "$0" >&2; exit 2; }
taken() { (: >"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }
free_port() { local p; while p=$((20000 + RANDOM % 12000)); taken "$p"; do :; done; echo "$p"; }

await() { # SECONDS WHAT COMMAND...
    local end=$((SECONDS + $1)) what=$2; shift 2
    until "$@" >>"$dir/log/start" 2>&1; do
        ((SECONDS < end)) || fail "$what did not come up; see $dir/log"
        sleep 0.1
    done
}

is_up() { [[ -f $dir/port ]] || fail "there is no server in $dir; start one with: $0 up $dir"; }

alive() { # NAME: is the daemon of that pid file running, and ours?
    pid=$(cat "$dir/run/$1.pid" 2>/dev/null) && grep -qazF "$dir/ceph.conf" "/proc/$pid/cmdline" 2>/dev/null
}

stop() { # NAME SIGNAL
    alive "$1" || return 0
    kill "-$2" "$pid" 2>/dev/null || true
    for _ in $(seq 100); do alive "$1" || return 0; sleep 0.1; done
    kill -KILL "$pid" 2>/dev/null || true
}

write_conf() { # PORT
    local mon; mon=$(free_port)
    cat >"$dir/ceph.conf" <<CONF
[global]
fsid = $(cat /proc/sys/kernel/random/uuid)
mon host = v1:127.0.0.1:$mon
mon initial members = a
auth cluster required = none
auth service required = none
auth client required = none
public addr = 127.0.0.1
cluster addr = 127.0.0.1
ms bind ipv6 = false
ms bind msgr2 = false
run dir = $dir/run
pid file = $dir/run/\$name.pid
log file = $dir/log/\$name.log
crash dir = $dir/log
admin socket =
osd pool default size = 1
osd pool default min size = 1
mon allow pool size one = true
osd pool default pg num = 8
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
osd client watch timeout = 3
mon data avail warn = 1
mon data avail crit = 1
osd objectstore = memstore
memstore device bytes = 4294967296
[mon.a]
mon data = $dir/mon
[osd.0]
osd data = $dir/osd
[client.rgw]
rgw frontends = beast endpoint=$listen:$1 tcp_nodelay=1
rgw enable apis = s3
rgw thread pool size = 64
debug rgw = 1
CONF
}

start_cluster() {
    local uuid conf=(-c "$dir/ceph.conf")
    monmaptool --create --clobber --addv a "[$(sed -n 's/^mon host = //p' "$dir/ceph.conf")]" \
        --fsid "$(sed -n 's/^fsid = //p' "$dir/ceph.conf")" "$dir/monmap"
    ceph-mon "${conf[@]}" --mkfs -i a --monmap "$dir/monmap"
    ceph-mon "${conf[@]}" -i a
    await 120 "the monitor" timeout 5 ceph "${conf[@]}" -s
    uuid=$(cat /proc/sys/kernel/random/uuid)
    ceph "${conf[@]}" osd new "$uuid" 0
    ceph-osd "${conf[@]}" -i 0 --mkfs --osd-uuid "$uuid"
    await 120 "the OSD" osd_is_up
}

osd_is_up() { # on a busy machine its first command may leave before it knows the cluster's fsid: it exits, start it again
    alive osd.0 || ceph-osd -c "$dir/ceph.conf" -i 0
    timeout 10 ceph -c "$dir/ceph.conf" osd stat | grep -q '1 up'
}

start_gateway() {
    local port; port=$(cat "$dir/port")
    alive client.rgw && fail "the gateway of $dir is running"
    taken "$port" && fail "port $port of 127.0.0.1 is taken; give another"
    radosgw -c "$dir/ceph.conf" -n client.rgw >>"$dir/log/start" 2>&1 || fail "radosgw does not start; see $dir/log"
    await 120 "the gateway" taken "$port"
}

up() {
    local port=${1:-7480} tool
    for tool in radosgw radosgw-admin ceph-mon ceph-osd ceph monmaptool; do
        command -v $tool >/dev/null || fail "$tool is missing: apt-get install -y --no-install-recommends radosgw ceph-mon ceph-osd ceph-common"
    done
    [[ ! -e $dir || -f $dir/ceph.conf || -z $(ls -A "$dir") ]] || fail "$dir is not empty and not from this script"
    down
    taken "$port" && fail "port $port of 127.0.0.1 is taken; give another"
    mkdir -p "$dir"/{mon,osd,run,log}
    write_conf "$port"
    echo "$port" >"$dir/port"
    start_cluster >>"$dir/log/start" 2>&1 || fail "the cluster does not start: $(tail -n 1 "$dir/log/start")"
    start_gateway
    radosgw-admin -c "$dir/ceph.conf" user create --uid=test --display-name=test --access-key=$KEY --secret-key=$SECRET \
        >>"$dir/log/start" 2>&1 || fail "the user could not be made; see $dir/log/start"
    exports
}

exports() {
    printf 'export %s\n' "AWS_ENDPOINT_URL_S3=http://127.0.0.1:$(cat "$dir/port")" "AWS_ACCESS_KEY_ID=$KEY" \
        "AWS_SECRET_ACCESS_KEY=$SECRET" "AWS_REGION=us-east-1"
}

try() { # PORT
    local python; python=$(dirname "$0")/../.venv/bin/python
    alive client.rgw || up "${1:-7480}" >/dev/null
    eval "$(exports)"
    "$python" -c 'import boto3, os
boto3.client("s3", "us-east-1", endpoint_url=os.environ["AWS_ENDPOINT_URL_S3"]).create_bucket(Bucket="cxr")'
    exports
    echo "# the bucket is s3://cxr: .venv/bin/python jobs/generate.py tiny --out s3://cxr/demo"
    echo "# stop it, and lose what is in it: tests/ceph.sh down $dir"
}

serve() { # PORT
    listen=0.0.0.0
    trap down EXIT
    trap 'exit 0' TERM INT
    up "${1:-7480}" >/dev/null
    touch "$dir/ready"
    while alive client.rgw && alive osd.0 && alive mon.a; do sleep 1; done
    fail "a daemon has died; its log ends with: $(tail -qn 3 "$dir"/log/*.log)"
}

down() {
    [[ -f $dir/ceph.conf ]] || return 0
    stop client.rgw KILL
    stop osd.0 KILL
    stop mon.a TERM
    rm -rf "$dir"
}

[[ $# -ge 2 ]] || usage
dir=$(realpath -m "$2") pid=
case $1 in
    up) up "${3:-}" ;;
    try) try "${3:-}" ;;
    serve) serve "${3:-}" ;;
    down) down ;;
    gateway-kill) is_up; stop client.rgw KILL ;;
    gateway-start) is_up; start_gateway ;;
    *) usage ;;
esac
