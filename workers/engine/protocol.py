"""The requests of the OpenAI API as pydantic models, and its error object.

Unknown fields are ignored, as the API does; known fields that cannot be honoured are refused, never dropped.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

MAX_CHOICES = 16
MAX_TOP_LOGPROBS = 20


class ApiError(Exception):
    """An answer other than success, in the API's own form."""

    def __init__(self, status: int, message: str, *, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"error": {"message": message, "type": _error_type(status), "param": param, "code": code}}


def _error_type(status: int) -> str:
    by_status = {401: "authentication_error", 404: "not_found_error", 429: "rate_limit_error"}
    return by_status.get(status, "invalid_request_error" if status < 500 else "server_error")


class Body(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class StreamOptions(Body):
    include_usage: bool = False


class ResponseFormat(Body):
    type: Literal["text", "json_object", "json_schema", "regex"]
    json_schema: dict[str, Any] | None = None
    regex: str | None = None


class FunctionSpec(Body):
    model_config = ConfigDict(extra="allow", frozen=True)
    name: str = Field(min_length=1)
    parameters: dict[str, Any] | None = None


class Tool(Body):
    model_config = ConfigDict(extra="allow", frozen=True)
    type: Literal["function"]
    function: FunctionSpec


class NamedFunction(Body):
    name: str


class NamedTool(Body):
    type: Literal["function"]
    function: NamedFunction


class SamplingFields(Body):
    """What both kinds of completion share. `top_k`, `min_p`, `repetition_penalty` and `ignore_eos` extend the API."""

    model: str | None = None
    n: int = Field(1, ge=1, le=MAX_CHOICES)
    stream: bool = False
    stream_options: StreamOptions | None = None
    stop: str | list[str] | None = None
    seed: int | None = None
    temperature: float = Field(1.0, ge=0, le=2)
    top_p: float = Field(1.0, gt=0, le=1)
    top_k: int = Field(0, ge=-1)
    min_p: float = Field(0.0, ge=0, lt=1)
    repetition_penalty: float = Field(1.0, gt=0, le=10)
    presence_penalty: float = Field(0.0, ge=-2, le=2)
    frequency_penalty: float = Field(0.0, ge=-2, le=2)
    logit_bias: dict[str, float] | None = None
    ignore_eos: bool = False

    @field_validator(
        "n", "stream", "temperature", "top_p", "top_k", "min_p", "repetition_penalty", "presence_penalty",
        "frequency_penalty", "ignore_eos", mode="before",
    )  # fmt: skip
    @classmethod
    def null_is_default(cls, value: Any, info: Any) -> Any:
        return cls.model_fields[info.field_name].default if value is None else value

    @property
    def stops(self) -> list[str]:
        return [self.stop] if isinstance(self.stop, str) else list(self.stop or [])


class ChatRequest(SamplingFields):
    messages: list[dict[str, Any]] = Field(min_length=1)
    max_tokens: int | None = Field(None, ge=1)
    max_completion_tokens: int | None = Field(None, ge=1)
    logprobs: bool | None = None
    top_logprobs: int | None = Field(None, ge=0, le=MAX_TOP_LOGPROBS)
    response_format: ResponseFormat | None = None
    tools: list[Tool] | None = None
    tool_choice: Literal["none", "auto", "required"] | NamedTool | None = None
    continue_final_message: bool = Field(False, description="Go on with the last message, which is the assistant's.")


TokenIds = Annotated[list[int], Field(min_length=1)]


class CompletionRequest(SamplingFields):
    prompt: str | TokenIds | Annotated[list[str], Field(min_length=1)] | Annotated[list[TokenIds], Field(min_length=1)]
    max_tokens: int = Field(16, ge=0)
    logprobs: int | None = Field(None, ge=0, le=MAX_TOP_LOGPROBS)
    echo: bool = False
    best_of: int | None = None

    @field_validator("max_tokens", mode="before")
    @classmethod
    def default_length(cls, value: Any) -> Any:
        return 16 if value is None else value

    @field_validator("echo", mode="before")
    @classmethod
    def default_echo(cls, value: Any) -> Any:
        return False if value is None else value


class TokenizeRequest(Body):
    model: str | None = None
    prompt: str | None = None
    messages: list[dict[str, Any]] | None = None
    tools: list[Tool] | None = None
    continue_final_message: bool = False


class DetokenizeRequest(Body):
    model: str | None = None
    tokens: list[int]


class Usage(BaseModel):
    """Tokens of a whole request. Stop tokens count as completion tokens; `cached` are prompt tokens not computed anew."""

    prompt: int = 0
    completion: int = 0
    cached: int = 0

    def body(self) -> dict[str, Any]:
        return {
            "prompt_tokens": self.prompt,
            "completion_tokens": self.completion,
            "total_tokens": self.prompt + self.completion,
            "prompt_tokens_details": {"cached_tokens": self.cached},
        }
