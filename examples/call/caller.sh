#!/usr/bin/env bash
# The caller sends the description of a connection, as WebRTC peers do, and gets the answer of the callee.
#
# Two events: `ring` carries the description to the callee, `answer-N` carries the answer back. N is the number of the
# first sync, so that two calls at the same time do not mix.
set -euo pipefail
url=${SYNCNET_URL:-http://localhost:8000}

call=$(curl -sS --fail-with-body "$url/event" --json '{
  "event": "ring", "actor": "CALLER", "timeout": "60s",
  "payload": {"type": "offer", "sdp": "v=0 o=caller 1 1 IN IP4 192.0.2.1"}
}')
curl -sS --fail-with-body "$url/event" --json "{
  \"event\": \"answer-$(jq .sync <<<"$call")\", \"actor\": \"CALLER\", \"timeout\": \"60s\"
}" | jq --raw-output '.payloads | del(.CALLER) | to_entries[] | "CALLER hears \(.key): \(.value.sdp)"'
