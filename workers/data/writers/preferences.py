"""Preferences and verdicts as TRL reads them, and answers to rank."""

from collections.abc import Iterator

from workers.data.formats.base import Loss
from workers.data.preferences import preference_levels, preference_pairs
from workers.data.writers.base import Counts, Row, left_out, tags
from workers.data.writers.conversations import content_of, media_columns, openai_turns
from workers.spec.record import Record


def _beside(record: Record) -> Row:
    """What stands beside the turns, and a label if it has one."""
    label: Row = {} if record.label is None else {"label": record.label}
    return {**({"tools": record.tools} if record.tools else {}), **label, **media_columns(record)}


def preference_rows(record: Record) -> Iterator[Row]:
    for pair in preference_pairs(record):
        answers = {"chosen": openai_turns(pair.chosen or []), "rejected": openai_turns(pair.rejected or [])}
        yield {"prompt": openai_turns(pair.messages or []), **answers, **_beside(pair), **tags(pair, "annotations")}


def implicit_rows(record: Record) -> Iterator[Row]:
    """Whole conversations; the turns that both begin with are the prompt."""
    for pair in preference_pairs(record):
        prompt, chosen, rejected = (openai_turns(turns or []) for turns in (pair.messages, pair.chosen, pair.rejected))
        if prompt and chosen[:1] != rejected[:1]:
            yield {"chosen": prompt + chosen, "rejected": prompt + rejected, **_beside(pair), **tags(pair, "annotations")}


def kto_rows(record: Record) -> Iterator[Row]:
    messages = record.messages or []
    if record.desirable is not None and len(messages) > 1 and messages[-1].role == "assistant":
        verdict: Row = {"label": record.desirable} if record.label is None else {"kto_tag": record.desirable}
        asked, answer = openai_turns(messages[:-1]), openai_turns(messages[-1:])
        yield {"prompt": asked, "completion": answer, **_beside(record), **verdict, **tags(record, "annotations")}
    elif record.chosen is not None and record.rejected is not None and messages:
        for name, told in (("chosen", record.chosen), ("rejected", record.rejected)):
            row = {"prompt": openai_turns(messages), "completion": openai_turns(told), **media_columns(record)}
            yield {**row, **tags(record), "id": f"{record.id}:{name}", "label": name == "chosen"}


def ranking_rows(record: Record) -> Iterator[Row]:
    if not record.responses or not record.messages:
        return
    content = content_of(record)
    row: Row = {"prompt": openai_turns(record.messages), "responses": content["responses"]}
    levels = preference_levels(content)
    if levels:
        row["ranking"] = levels
    yield {**row, **_beside(record), **tags(record, "annotations")}


def preference_losses(format: str, counts: Counts) -> Iterator[Loss]:
    pairs, ranked, verdicts = counts.field("chosen"), counts.feature("ranked"), counts.field("desirable")
    if format == "kto":
        told = counts.feature("verdicts")
        yield left_out("no_verdict", "{count} records say of no answer whether it is good, and are left out.",
                       counts.total - told - counts.feature("pairs_only"))  # fmt: skip
        yield Loss("split_pairs", "{count} preferences become a good and a bad answer each.", counts.feature("pairs_only"))
        return
    if format == "ranking":
        asked = counts.field("responses")
        yield left_out("no_responses", "{count} records have no answers to compare and are left out.", counts.total - asked)
        yield Loss("untold_label", "{count} conversations lose their label.", counts.feature("labelled_responses"))
        return
    yield left_out(
        "no_preference", "{count} records prefer no answer to another and are left out.", counts.total - pairs - ranked
    )
    yield Loss("ranking_pairs", "{count} rankings become one preference for every two answers that they tell apart.", ranked)
    yield Loss("verdicts", "{count} records lose the verdict on their answer.", min(verdicts, pairs))
    if format == "reward":
        yield left_out("no_prompt", "{count} preferences have no prompt, or answers that begin alike, and are left out.",
                       counts.feature("inseparable_pairs"))  # fmt: skip
