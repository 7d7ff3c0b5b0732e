"""Reports events by Sentry's SDK for Python: sdk.py DSN COUNT. Prints their ids, a line each."""

import sys
import uuid

import sentry_sdk

dsn, count = sys.argv[1], int(sys.argv[2])
sentry_sdk.init(dsn=dsn, default_integrations=False, transport_queue_size=10_000, keep_alive=True)
for number in range(count):
    event_id = uuid.uuid4().hex
    try:
        raise ValueError(f"python order {number} failed")
    except ValueError:
        event, hint = sentry_sdk.utils.event_from_exception(sys.exc_info())
        event["event_id"] = event_id
        sentry_sdk.capture_event(event, hint)
    print(event_id)
sentry_sdk.flush(timeout=60)
