#!/usr/bin/env bash
# A runner at a start line for three. Usage: runner.sh ANNA|BEN|CLARA
#
# `expect` is a roster: the race starts when exactly these three are there, one of each. After the timeout the answer
# names the missing runners.
set -euo pipefail
url=${SYNCNET_URL:-http://localhost:8000}
name=${1:?usage: runner.sh ANNA|BEN|CLARA}

curl -sS --fail-with-body "$url/event?event=start&actor=$name&expect=ANNA,BEN,CLARA&timeout=${TIMEOUT:-60s}" >&2
echo "$name runs"
