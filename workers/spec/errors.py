"""The error that a user sees: one sentence (what, where, what to do), a stable code, and parameters for its translation."""

from typing import Any


class UserError(Exception):
    """A mistake in the input or a missing means, told in one sentence.

    `template` is an English sentence with {named} parameters and is the key of its translation;
    `code` is stable and dotted (`dataset.empty_file`); `status` is the HTTP status when it reaches a browser.
    """

    def __init__(self, code: str, template: str, *, status: int = 400, **params: Any) -> None:
        self.code = code
        self.template = template
        self.status = status
        self.params = params
        super().__init__(self.message)

    @property
    def message(self) -> str:
        return self.template.format(**self.params) if self.params else self.template

    def payload(self) -> dict[str, Any]:
        """What an `error` event carries."""
        return {"code": self.code, "template": self.template, "params": self.params, "message": self.message}
