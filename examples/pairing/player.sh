#!/usr/bin/env bash
# A player looks for an opponent. Usage: player.sh NAME GAME RANK
#
# Labels and a selector choose the opponent: the same game, and a rank less than 100 away.
set -euo pipefail
url=${SYNCNET_URL:-http://localhost:8000}
name=${1:?usage: player.sh NAME GAME RANK} game=${2:?} rank=${3:?}

lowest=$((rank > 100 ? rank - 100 : 0))
curl -sS --fail-with-body --get "$url/event" \
  --data-urlencode "event=match" \
  --data-urlencode "actor=$name" \
  --data-urlencode "labels=game=$game,rank=$rank" \
  --data-urlencode "selector=actor!=$name,game=$game,rank>$lowest,rank<$((rank + 100))" |
  jq --raw-output --arg me "$name" '.members[] | select(.actor != $me) | "\($me) plays \(.actor)"'
