#!/usr/bin/env bash
# One of several callees that race to answer a call. Usage: callee.sh NAME
#
# The selector matches the caller only, so two callees never sync with each other. One of them gets the caller.
set -euo pipefail
url=${SYNCNET_URL:-http://localhost:8000}
name=${1:?usage: callee.sh NAME}

if ! call=$(curl -sS --fail-with-body "$url/event?event=ring&actor=$name&selector=actor=CALLER&timeout=${TIMEOUT:-60s}"); then
  echo "$name was too late"
  exit
fi
echo "$name takes the call: $(jq --raw-output .payloads.CALLER.sdp <<<"$call")"
curl -sS --fail-with-body "$url/event" --json "{
  \"event\": \"answer-$(jq .sync <<<"$call")\", \"actor\": \"$name\", \"timeout\": \"60s\",
  \"payload\": {\"type\": \"answer\", \"sdp\": \"v=0 o=$name 1 1 IN IP4 192.0.2.2\"}
}" >/dev/null
