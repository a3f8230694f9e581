"""The sentence about an answer that does not fit its question."""

from typing import Any

from webapp.core.errors import UserError
from webapp.labeling.questions.fields import Question


class AnswerError(UserError):
    """`field` in the sentence is the question as people read it."""

    def __init__(self, code: str, template: str, *, field: Question, **params: Any) -> None:
        super().__init__(f"label.{code}", template, status=422, field=field.label or field.name, **params)
