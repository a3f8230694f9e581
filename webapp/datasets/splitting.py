"""Which records of a version are held out: seeded, the same on every machine, with equal records on the same side."""

import hashlib
from collections import defaultdict

from webapp.core.errors import UserError
from webapp.datasets.models import DatasetVersion, RecordRow


def choose(version: DatasetVersion, *, fraction: float, seed: int, stratify: bool) -> set[int]:
    """Positions of the held-out records.

    Distinct contents are ordered by a hash of seed and content and the first `fraction` of them taken, with `stratify`
    within each label; copies of a record follow it. Both sides get at least one record, or it is an error.
    """
    if not 0 < fraction < 1:
        raise UserError(
            "dataset.bad_fraction", "The held-out part must be more than 0 % and less than 100 %; choose one between.", status=422
        )
    groups: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    rows = RecordRow.objects.filter(version=version).order_by("position")
    for position, digest, label in rows.values_list("position", "digest", "label").iterator(chunk_size=10_000):
        groups[label if stratify else ""][digest].append(position)
    chosen: set[int] = set()
    carried = 0.0
    for label in sorted(groups):
        contents = groups[label]
        # What rounding takes from one label is given to the next, so that the whole has the wanted size.
        exact = fraction * len(contents) + carried
        take = min(round(exact), len(contents))
        carried = exact - take
        for digest in sorted(contents, key=lambda digest: _order(seed, digest))[:take]:
            chosen.update(contents[digest])
    if not chosen or len(chosen) == version.count:
        raise UserError(
            "dataset.split_too_small",
            "{count} records cannot be split at {percent} %: one side would be empty; choose another share.",
            status=422,
            count=version.count,
            percent=round(100 * fraction, 1),
        )
    return chosen


def _order(seed: int, digest: str) -> bytes:
    return hashlib.sha256(f"{seed}:{digest}".encode()).digest()
