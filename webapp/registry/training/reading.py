"""Reads the curves of a run as somebody experienced would: learnt by heart, too bold, too timid, not yet done, stopped early.

Each hint is a sentence with the figures that it rests on and, where it helps, the settings to try next.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import urlencode

from django.utils.translation import gettext

from webapp.jobs.models import Job, MetricPoint, State

Tone = Literal["good", "info", "warning"]
Curve = list[tuple[int, float]]
CURVES = ("loss", "held_out_loss", "learning_rate", "reward", "even_groups")
ENOUGH = 20
"""Points of a curve below which nothing is said about its shape."""
LOOKS = 4
"""Looks at the held-out loss below which nothing is said about them."""
WORTH = 0.01
"""Nats per token by which a held-out loss must differ for a word about it."""


@dataclass(frozen=True)
class Hint:
    """`settings`: what to change in the form (path → value as the form posts it); empty where nothing is to be changed."""

    code: str
    tone: Tone
    text: str
    settings: dict[str, str] = field(default_factory=dict)

    @property
    def query(self) -> str:
        return urlencode(self.settings)


def read_curves(job: Job) -> list[Hint]:
    """What the curves of this run say so far; warnings first."""
    curves: dict[str, Curve] = {name: [] for name in CURVES}
    points = MetricPoint.objects.filter(job=job, name__in=CURVES, value__isnull=False).order_by("step")
    for name, step, value in points.values_list("name", "step", "value"):
        curves[name].append((step, float(value or 0.0)))
    readers = (_reward,) if job.kind == "grpo" else (_exploded, _rising, _stuck, _by_heart, _unfinished, _too_alike, _unwatched)
    found = [hint for reader in readers if (hint := reader(job, curves)) is not None]
    found += _ended(job, curves, quiet=not found)
    return sorted(found, key=lambda hint: ("warning", "info", "good").index(hint.tone))


def _figure(value: float) -> str:
    return f"{value:.3g}"


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _window(curve: Curve) -> int:
    return max(3, len(curve) // 10)


def _trend(curve: Curve) -> list[float]:
    """Means over a tenth of the curve each, moved along it."""
    values, width = [value for _, value in curve], _window(curve)
    return [_mean(values[start : start + width]) for start in range(len(values) - width + 1)]


def _rate(curves: dict[str, Curve]) -> float | None:
    """The largest learning rate that was used."""
    return max((value for _, value in curves["learning_rate"]), default=None)


def _other_rate(curves: dict[str, Curve], factor: float, refused: float | None = None) -> dict[str, str]:
    """`refused`: the rate that the program complained of, where no step was made with one."""
    rate = _rate(curves) or refused
    return {} if rate is None else {"optimisation.learning_rate": f"{min(1.0, rate * factor):.2g}"}


def _exploded(job: Job, curves: dict[str, Curve]) -> Hint | None:
    """The run itself ended because its loss was no number."""
    if job.error_code != "train.loss_not_finite":
        return None
    text = gettext("The loss became infinite: the steps were far too large. Try a learning rate ten times smaller.")
    rate = str(job.error_params.get("rate", ""))
    return Hint("exploded", "warning", text, _other_rate(curves, 0.1, float(rate) if rate else None))


def _rising(job: Job, curves: dict[str, Curve]) -> Hint | None:
    """The training loss came down and went up again, or never came down."""
    curve = curves["loss"]
    if len(curve) < ENOUGH or job.error_code == "train.loss_not_finite":
        return None
    trend = _trend(curve)
    lowest, last, first = min(trend), trend[-1], curve[0][1]
    # The mean of the first steps would hide that the loss jumped at once, so the very first point counts, too.
    if last < 1.25 * min(lowest, first) or last - min(lowest, first) < 0.1:
        return None
    figures = {"last": _figure(last), "lowest": _figure(min(lowest, first))}
    if last > 2 * min(lowest, first):
        text = gettext(
            "The training loss is far higher now (%(last)s) than it was before (%(lowest)s): the learning rate is too large. "
            "Try a tenth of it."
        )
        return Hint("rising", "warning", text % figures, _other_rate(curves, 0.1))
    text = gettext(
        "The training loss is higher now (%(last)s) than it was before (%(lowest)s): the learning rate is probably too large. "
        "Try a third of it."
    )
    return Hint("rising", "warning", text % figures, _other_rate(curves, 1 / 3))


def _stuck(job: Job, curves: dict[str, Curve]) -> Hint | None:
    curve = curves["loss"]
    if len(curve) < ENOUGH or _rising(job, curves):
        return None
    width = _window(curve)
    first, lowest = _mean([value for _, value in curve[:width]]), min(_trend(curve))
    if first < 0.1 or first - lowest > 0.03 * first:
        return None
    text = gettext(
        "The training loss has hardly moved (%(first)s at first, %(lowest)s at best): the learning rate may be too small, or the "
        "model knew all this before. Try three times the rate."
    ) % {"first": _figure(first), "lowest": _figure(lowest)}
    return Hint("stuck", "warning", text, _other_rate(curves, 3))


def _best(curve: Curve) -> tuple[int, float]:
    return min(curve, key=lambda point: point[1])


def _by_heart(job: Job, curves: dict[str, Curve]) -> Hint | None:
    """The held-out loss rises from its lowest point while the training loss goes on falling."""
    held, curve = curves["held_out_loss"], curves["loss"]
    if len(held) < LOOKS or len(curve) < LOOKS:
        return None
    step, best = _best(held)
    last = held[-1][1]
    then = [value for at, value in curve if at <= step][-_window(curve) :]
    now = [value for _, value in curve[-_window(curve) :]]
    if last < 1.02 * best or last - best < WORTH or not then or _mean(now) >= _mean(then):
        return None
    text = gettext(
        "The held-out loss was lowest at step %(step)s (%(best)s) and is %(last)s now, while the training loss goes on falling: "
        "the model begins to learn its examples by heart."
    ) % {"step": step, "best": _figure(best), "last": _figure(last)}
    if (job.spec.get("saving") or {}).get("keep_best"):
        kept = gettext("The finished model is the one of step %(step)s.") if job.state == State.DONE else gettext(
            "The finished model will be the one of step %(step)s unless a better one comes."
        )  # fmt: skip
        return Hint("by_heart", "info", f"{text} {kept % {'step': step}}")
    advice = gettext("Keep the best weights and stop early, or give it more examples.")
    return Hint("by_heart", "warning", f"{text} {advice}", {"saving.keep_best": "on", "saving.early_stop": "3"})


def _unfinished(job: Job, curves: dict[str, Curve]) -> Hint | None:
    """Both losses were still falling when the run ended."""
    held = curves["held_out_loss"]
    if job.state != State.DONE or len(held) < LOOKS or _best(held)[0] < held[-2][0]:
        return None
    before, last = held[-3][1], held[-1][1]
    if before - last < max(0.05 * before, WORTH):
        return None
    text = gettext(
        "The held-out loss was still falling at the end (from %(before)s to %(last)s over the last looks): learning longer may "
        "bring more."
    ) % {"before": _figure(before), "last": _figure(last)}
    epochs = _resolved(job).get("epochs") or job.spec.get("epochs")
    more = {"epochs": f"{2 * float(epochs):g}"} if epochs and "epochs" in job.spec else {}
    return Hint("unfinished", "info", text, more)


def _too_alike(job: Job, curves: dict[str, Curve]) -> Hint | None:
    """Held-out examples that hold no surprise may be no examination."""
    held = curves["held_out_loss"]
    if job.state != State.DONE or job.kind != "sft" or len(held) < LOOKS or held[-1][1] >= WORTH or held[0][1] < 10 * WORTH:
        return None
    text = gettext(
        "The held-out examples are predicted almost without a mistake (loss %(last)s). If they are near copies of what was "
        "learnt, that says little about new questions: examine the model on others."
    )
    return Hint("too_alike", "info", text % {"last": _figure(held[-1][1])})


def _unwatched(job: Job, curves: dict[str, Curve]) -> Hint | None:
    if curves["held_out_loss"] or not curves["loss"] or "held_out_fraction" not in job.spec:
        return None
    if job.state != State.DONE and len(curves["loss"]) < LOOKS:
        return None  # it may not have come to its first look
    if float(job.spec["held_out_fraction"]) > 0:
        text = gettext(
            "Too few examples to hold some out, so nothing tells learning from memorising: from 20 on some are kept aside."
        )
        return Hint("unwatched", "info", text)
    text = gettext("Nothing is held out, so nothing tells learning from memorising.")
    return Hint("unwatched", "info", text, {"held_out_fraction": "0.05"})


def _reward(job: Job, curves: dict[str, Curve]) -> Hint | None:
    reward, even = curves["reward"], curves["even_groups"]
    if len(reward) < LOOKS:
        return None
    if max(value for _, value in reward) <= 0:
        text = gettext(
            "No answer has been right so far, so there is nothing to learn from: begin with a model that sometimes answers "
            "right, ask easier questions, or count an answer that contains the reference."
        )
        return Hint("never_right", "warning", text, {"temperature": "1.2", "answers": "16"})
    share = _mean([value for _, value in even[-_window(even) :]]) if even else 0.0
    if share < 0.8:
        return None
    text = gettext(
        "Lately all answers to a question got the same reward in %(share)s of the questions, and those teach nothing: "
        "more answers to each question or a higher temperature bring differences."
    ) % {"share": f"{share:.0%}"}
    return Hint("even", "info", text, {"temperature": "1.2", "answers": "16"})


def _resolved(job: Job) -> dict[str, Any]:
    return (job.result or {}).get("resolved") or {}


def _ended(job: Job, curves: dict[str, Curve], *, quiet: bool) -> Iterator[Hint]:
    """Stopped early; or, where no other hint was found (`quiet`), that all looks well."""
    if job.state != State.DONE:
        return
    held, looks = curves["held_out_loss"], (job.spec.get("saving") or {}).get("early_stop")
    steps, planned = (job.result or {}).get("steps"), _resolved(job).get("total_steps")
    if looks and steps and planned and steps < planned:
        text = gettext("Stopped early at step %(step)s of %(planned)s: %(looks)s looks in a row found no better held-out loss.")
        yield Hint("stopped_early", "info", text % {"step": steps, "planned": planned, "looks": looks})
    elif quiet and job.kind != "grpo" and len(held) >= LOOKS and held[-1][1] < held[0][1]:
        text = gettext("The held-out loss fell from %(first)s to %(last)s; nothing in the curves looks wrong.")
        yield Hint("well", "good", text % {"first": _figure(held[0][1]), "last": _figure(held[-1][1])})
