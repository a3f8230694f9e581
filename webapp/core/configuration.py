"""What settings.py derives from the environment: databases, Redis addresses, the secret key, loopback socket paths."""

import hashlib
import os
import secrets
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

from django.core.exceptions import ImproperlyConfigured

from webapp.core import environment

SOCKET_PATH_LIMIT = 100
"""Unix socket addresses hold at most 108 bytes on Linux (104 on macOS)."""


def database(url: str, data: Path) -> dict[str, Any]:
    """SQLite in the data folder, or PostgreSQL by URL (postgres://user:password@host:port/name)."""
    if not url:
        return {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": data / "shuyuan.sqlite3",
            "OPTIONS": {
                "timeout": 20,
                "transaction_mode": "IMMEDIATE",
                "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
            },
        }
    parts = urlparse(url)
    if parts.scheme not in {"postgres", "postgresql"}:
        raise ImproperlyConfigured(f"DATABASE_URL starts with {parts.scheme}://; use postgres://user:password@host:port/name.")
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": parts.path.lstrip("/"),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": unquote(parts.hostname or ""),
        "PORT": parts.port or "",
        # Every request has a thread of its own under ASGI: a connection that outlived it would never be used again.
        "CONN_MAX_AGE": 0,
    }


def redis_socket(data: Path) -> Path:
    """Where the embedded Redis listens: in the data folder, or, when that path is too long, in a private temporary folder."""
    path = data / "run" / "redis.sock"
    if len(str(path)) <= SOCKET_PATH_LIMIT:
        return path
    name = hashlib.sha256(str(data).encode()).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"shuyuan-{os.getuid()}-{name}" / "redis.sock"


def celery_broker(redis_url: str) -> str:
    """Celery spells a Redis socket differently: unix:///path → redis+socket:///path."""
    return "redis+socket://" + redis_url.removeprefix("unix://") if redis_url.startswith("unix://") else redis_url


def secret_key(data: Path) -> str:
    """SHUYUAN_SECRET_KEY (or its _FILE), else a key made once and kept in the data folder, readable by its owner alone."""
    if given := environment.text("SHUYUAN_SECRET_KEY"):
        return given
    path = data / "secret.key"
    try:
        return path.read_text(encoding="ascii")
    except FileNotFoundError:
        return _make_secret_key(path)


def _make_secret_key(path: Path) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".secret.{os.getpid()}")
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(secrets.token_urlsafe(48))
    try:
        os.link(temporary, path)
    except FileExistsError:
        pass
    finally:
        temporary.unlink()
    return path.read_text(encoding="ascii")
