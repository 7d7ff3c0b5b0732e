"""Sentry's own engine for personal data, from the package sentry-relay: one JSON object a line in, one out.

In: {"event": …, "pii": a piiConfig} or {"event": …, "defaults": true}.
Out: {"canonical": the event as Relay reads it, "scrubbed": what Relay makes of it} or {"error": why not}.
"""

import json
import sys

from sentry_relay.processing import convert_datascrubbing_config, pii_strip_event, validate_pii_config

DEFAULTS = {
    "scrubData": True,
    "scrubDefaults": True,
    "scrubIpAddresses": False,
    "sensitiveFields": [],
    "excludeFields": [],
}

for line in sys.stdin:
    query = json.loads(line)
    try:
        canonical = pii_strip_event({"applications": {}}, query["event"])
        if query.get("defaults"):
            pii = convert_datascrubbing_config(DEFAULTS)
        else:
            pii = query["pii"]
            validate_pii_config(json.dumps(pii))
        answer = {"canonical": canonical, "scrubbed": pii_strip_event(pii, canonical)}
    except Exception as error:
        answer = {"error": f"{type(error).__name__}: {error}"}
    print(json.dumps(answer), flush=True)
