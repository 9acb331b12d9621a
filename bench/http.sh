#!/bin/sh
# bench/http.sh: workload W13. Single 200-byte JSON POSTs, class `os`, one shard, 64 connections of
# wrk, against nginx answering the same request with a constant; then pipelined by 16.
#
# Rounds are interleaved (nginx, bourn, bourn, nginx …), broker on core 0, wrk on core 1. Prints one
# line a measurement, then medians and their ratios. Absolute figures mean little; ratios do.
#
#   bench/http.sh [ROUNDS [SECONDS]]      needs: nginx wrk; BOURN_BIN names another binary
set -eu
rounds=${1:-5}
seconds=${2:-4}
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
bourn=${BOURN_BIN:-$root/build/release/bourn}
for tool in nginx wrk taskset; do
	command -v "$tool" >/dev/null || { echo "bench: '$tool' is missing: apt-get install $tool" >&2; exit 1; }
done

work=$(mktemp -d)
pids=
stop() {
	# shellcheck disable=SC2086 # words on purpose
	[ -z "$pids" ] || kill $pids 2>/dev/null || true
	wait 2>/dev/null || true
	rm -rf "$work"
}
trap stop EXIT
trap 'exit 1' INT TERM

free_port() {
	/usr/bin/python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

# 200 bytes of JSON, once or sixteen times a write.
cat >"$work/post.lua" <<'END'
local body = '{"id":123456,"text":"' .. string.rep("x", 177) .. '"}'
local one
init = function(args)
	wrk.method = "POST"
	wrk.body = body
	wrk.headers["Content-Type"] = "application/json"
	local times = tonumber(args[1]) or 1
	one = string.rep(wrk.format(nil, wrk.path), times)
end
request = function() return one end
END

nginx_port=$(free_port)
cat >"$work/nginx.conf" <<END
worker_processes 1;
daemon off;
pid $work/nginx.pid;
error_log $work/nginx.log;
events { worker_connections 1024; }
http {
	access_log off;
	keepalive_requests 1000000000;
	client_body_temp_path $work/body;
	proxy_temp_path $work/proxy;
	fastcgi_temp_path $work/fastcgi;
	uwsgi_temp_path $work/uwsgi;
	scgi_temp_path $work/scgi;
	server {
		listen 127.0.0.1:$nginx_port;
		default_type application/json;
		location / {
			return 201 '{"topic":"bench","partition":0,"offset":1234567,"timestamp":1763759278123,"durability":"os"}\n';
		}
	}
}
END
taskset -c 0 nginx -c "$work/nginx.conf" -p "$work" 2>/dev/null &
pids="$pids $!"

taskset -c 0 "$bourn" serve --port 0 --data "$work/data" --shards 1 --durability os \
	--log-level warn 2>"$work/bourn.log" &
pids="$pids $!"
for _ in $(seq 100); do
	bourn_port=$(sed -n 's/.*listening on http:\/\/[^ ]*:\([0-9]*\).*/\1/p' "$work/bourn.log")
	[ -z "$bourn_port" ] || break
	sleep 0.05
done
[ -n "$bourn_port" ] || { cat "$work/bourn.log" >&2; exit 1; }
curl -sf -o "$work/topic" -X PUT -H 'Content-Type: application/json' \
	-d '{"settings":{"durability":"os","retention.bytes":268435456}}' \
	"http://127.0.0.1:$bourn_port/v1/topics/bench"

# measure NAME PORT PIPELINED: requests a second of one run, refused if any answer was not 2xx.
measure() {
	taskset -c 1 wrk -t 1 -c 64 -d "${seconds}s" -s "$work/post.lua" \
		"http://127.0.0.1:$2/produce/bench" -- "$3" >"$work/wrk.txt"
	if grep -q 'Non-2xx\|Socket errors' "$work/wrk.txt"; then
		echo "bench: void run of $1:" >&2
		cat "$work/wrk.txt" >&2
		exit 1
	fi
	rate=$(sed -n 's/^Requests\/sec: *//p' "$work/wrk.txt")
	printf '%-16s %12.0f requests/s\n' "$1" "$rate"
	echo "$rate" >>"$work/$1"
}

median() {
	sort -n "$work/$1" | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'
}

measure warm-up-nginx "$nginx_port" 1
measure warm-up-bourn "$bourn_port" 1
round=0
while [ "$round" -lt "$rounds" ]; do
	round=$((round + 1))
	measure nginx "$nginx_port" 1
	measure bourn "$bourn_port" 1
	measure bourn-x16 "$bourn_port" 16
	measure nginx-x16 "$nginx_port" 16
done
awk -v n="$(median nginx)" -v b="$(median bourn)" -v p="$(median bourn-x16)" -v q="$(median nginx-x16)" 'BEGIN {
	printf "bourn / nginx, one at a time:    %.2f\n", b / n
	printf "bourn / nginx, pipelined by 16:  %.2f\n", p / q
	printf "bourn pipelined / one at a time: %.2f\n", p / b
}'
