"""Prints the events that Bugsink has stored, as one JSON list."""

import json
import os
import sqlite3

database = sqlite3.connect(f"file:{os.environ['BUGSINK_STATE']}/db.sqlite3?mode=ro", uri=True)
rows = database.execute("SELECT data FROM events_event ORDER BY digested_at")
print(json.dumps([json.loads(data) for (data,) in rows]))
