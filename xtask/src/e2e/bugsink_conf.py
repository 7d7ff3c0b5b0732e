"""Settings of the Bugsink that the end-to-end checks start: SQLite, loopback, and an answered 200 means stored."""

import os

from bugsink.settings.default import *  # noqa: F403

STATE = os.environ["BUGSINK_STATE"]

SECRET_KEY = "for-checks-on-loopback-only-" + "0123456789abcdef" * 3
DATABASES["default"]["NAME"] = f"{STATE}/db.sqlite3"  # noqa: F405
DATABASES["snappea"]["NAME"] = f"{STATE}/snappea.sqlite3"  # noqa: F405
TIME_ZONE = "UTC"
SNAPPEA = {"TASK_ALWAYS_EAGER": True}
EMAIL_BACKEND = "django.core.mail.backends.dummy.EmailBackend"
ALLOWED_HOSTS = ["127.0.0.1"]
BUGSINK = {
    "BASE_URL": os.environ["BUGSINK_URL"],
    "SINGLE_TEAM": True,
    "USER_REGISTRATION": "CB_NOBODY",
    "PHONEHOME": False,
    # Its own limits would hold up what the checks send within minutes.
    "MAX_EVENTS_PER_PROJECT_PER_5_MINUTES": 1_000_000,
    "MAX_EVENTS_PER_PROJECT_PER_HOUR": 1_000_000,
    "MAX_EVENTS_PER_5_MINUTES": 1_000_000,
    "MAX_EVENTS_PER_HOUR": 1_000_000,
    "INGEST_STORE_BASE_DIR": f"{STATE}/ingestion",
}
