"""Spec of a deployment: which engine serves which weights, and how large its cache may grow."""

from typing import Any, Literal

from pydantic import Field

from workers.spec.base import Spec

EngineName = Literal["auto", "openvino", "transformers", "lmdeploy"]
WeightFormat = Literal["auto", "f16", "q8_0", "q4_0"]


class GenerationDefaults(Spec):
    """How a model wants to be sampled where a request does not say; None: nothing special."""

    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, gt=0, le=1)

    def known(self) -> dict[str, Any]:
        return self.model_dump(exclude_none=True)


class ServeSpec(Spec):
    model: int
    engine: EngineName = "auto"
    weights: WeightFormat = "auto"
    context_length: int | None = Field(None, ge=64)
    max_concurrent: int = Field(32, ge=1, le=1024)
    kv_cache_mb: int = Field(256, ge=16)
    threads: int | None = Field(None, ge=1)


class EngineRun(Spec):
    """`engine.json`: all that `python -m workers.engine engine.json` is told. `token` guards the loopback port."""

    deployment: int
    served_name: str
    model_path: str
    adapter_path: str | None = None
    cache_dir: str
    host: str = "127.0.0.1"
    port: int = Field(0, description="0: any free port; the engine writes the port it took to `ready_file`")
    ready_file: str
    error_file: str = Field("", description="why it could not start, as UserError.payload()")
    token_env: str = "SHUYUAN_ENGINE_TOKEN"  # noqa: S105  (the name of a variable)
    spec: ServeSpec
    generation: GenerationDefaults = Field(default_factory=GenerationDefaults)
    template_hash: str = Field("", description="digest of tokenizer and chat template that the registry recorded")
    fingerprint: str = Field("", description="tokens of fixed conversations when the model was trained")
