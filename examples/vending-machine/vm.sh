#!/usr/bin/env bash
# The vending machine: takes a coin, then gives chocolate.
set -euo pipefail
url=${SYNCNET_URL:-http://localhost:8000}

curl -sS --fail-with-body "$url/event?event=coin&actor=VM"
curl -sS --fail-with-body "$url/event?event=choc&actor=VM"
