"""What every spec shares: strict fields and a content digest that names the configuration."""

import hashlib
import json

from pydantic import BaseModel, ConfigDict


class Spec(BaseModel):
    """An immutable, strict configuration. Unknown keys are refused; two equal specs have one digest."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    def digest(self) -> str:
        """SHA-256 (hex) of the canonical JSON of the spec, defaults included."""
        canonical = json.dumps(self.model_dump(mode="json"), sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()
