"""How a dataset is best asked, seen from its first records, so that a suite takes two clicks (S9.6)."""

import itertools
from collections import Counter

from webapp.core.errors import UserError
from webapp.datasets.files import version_path
from webapp.datasets.models import DatasetVersion
from workers.data.records import read_records
from workers.spec.evaluate import SuiteConfig
from workers.spec.record import Record

LOOKED_AT = 200
CONFIGS = {
    "choices": {"method": "multiple_choice"},
    "label": {"method": "multiple_choice"},
    "preference": {"method": "multiple_choice"},
    "tool_call": {"method": "generation", "metric": "tool_call"},
    "answer": {"method": "generation", "metric": "exact"},
}


def guess_config(version: DatasetVersion) -> SuiteConfig:
    """The method that fits most of the first records; UserError when none can be asked."""
    records = list(itertools.islice(read_records(version_path(version)), LOOKED_AT))
    forms = Counter(filter(None, map(form_of, records)))
    if not forms:
        raise UserError(
            "suite.unusable_dataset",
            "“{name}” cannot be asked: a question needs a text with a label, choices with an answer, or a conversation that "
            "ends with the assistant's answer; its first record has only {fields}.",
            name=str(version),
            fields=", ".join(sorted(records[0].model_dump(exclude_none=True, exclude_defaults=True))) if records else "–",
        )
    return SuiteConfig.model_validate(CONFIGS[forms.most_common(1)[0][0]])


def form_of(record: Record) -> str | None:
    """What kind of question a record is."""
    if record.choices and record.answer is not None and record.text:
        return "choices"
    if record.chosen and record.rejected and record.messages:
        return "preference"
    answers = [message for message in record.messages or [] if message.role == "assistant"]
    if any(message.tool_calls for message in answers):
        return "tool_call"
    if answers and record.messages and record.messages[-1].content.strip():
        return "answer"
    return "label" if record.text and record.label is not None else None
