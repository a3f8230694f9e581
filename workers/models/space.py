"""Room on the disk, asked before a long copy begins."""

import shutil
from pathlib import Path

from workers.spec.errors import UserError

RESERVE = 64 << 20
"""Bytes that stay free on the disk."""


def require_space(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed + RESERVE:
        raise UserError(
            "model.no_space",
            "The model needs {needed} MB and the disk has {free} MB left; free some space and press Retry.",
            needed=(needed + RESERVE) >> 20,
            free=free >> 20,
        )
