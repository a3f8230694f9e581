"""Settings of the tests: the product's own, with a private data folder, an in-memory channel layer and no broker."""

import os
import tempfile

os.environ["SHUYUAN_DATA"] = tempfile.mkdtemp(prefix="shuyuan-tests-")
os.environ.setdefault("SHUYUAN_SECRET_KEY", "only-for-tests-" + "0" * 40)

from webapp.settings import *  # noqa: F403
from webapp.settings import CELERY, DATA_DIR, DATABASES

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}
CELERY = {**CELERY, "broker_url": "memory://", "broker_transport_options": {}}
WHITENOISE_AUTOREFRESH = True
WHITENOISE_USE_FINDERS = False

DATABASES["default"]["TEST"] = {"NAME": str(DATA_DIR / "tests.sqlite3")} if "sqlite" in DATABASES["default"]["ENGINE"] else {}
