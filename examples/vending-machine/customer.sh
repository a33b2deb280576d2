#!/usr/bin/env bash
# The customer: inserts a coin, then takes chocolate.
set -euo pipefail
url=${SYNCNET_URL:-http://localhost:8000}

curl -sS --fail-with-body "$url/event?event=coin&actor=CUST"
curl -sS --fail-with-body "$url/event?event=choc&actor=CUST"
