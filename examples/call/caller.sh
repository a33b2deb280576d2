#!/usr/bin/env bash
# The caller puts an offer of a connection on the line, as WebRTC peers do, and gets the answer of whoever takes it.
#
# Two events: `ring` hands the offer over, `answer` brings the answer back. The second is named after the first one's
# number in the trace, so that two calls at once do not mix.
set -euo pipefail
url=${SYNCNET_URL:-http://localhost:8000}

call=$(curl -sS --fail-with-body "$url/event" --json '{
  "event": "ring", "actor": "CALLER", "timeout": "60s",
  "payload": {"type": "offer", "sdp": "v=0 o=caller 1 1 IN IP4 192.0.2.1"}
}')
curl -sS --fail-with-body "$url/event" --json "{
  \"event\": \"answer-$(jq .sync <<<"$call")\", \"actor\": \"CALLER\", \"timeout\": \"60s\"
}" | jq --raw-output '.payloads | del(.CALLER) | to_entries[] | "CALLER hears \(.key): \(.value.sdp)"'
