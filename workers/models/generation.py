"""How a model wants to be sampled when nobody says otherwise: what the generation_config.json of its folder asks for."""

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from workers.data.template_files import read_json
from workers.spec.serve import GenerationDefaults


def read_generation(folder: Path) -> dict[str, Any]:
    """Temperature and top_p as far as the folder names them; `do_sample: false` means 0. What is odd counts as absent."""
    config = read_json(folder / "generation_config.json")
    found = {name: config[name] for name in GenerationDefaults.model_fields if config.get(name) is not None}
    if config.get("do_sample") is False:
        found = {"temperature": 0.0}
    try:
        return GenerationDefaults.model_validate(found).known()
    except ValidationError:
        return {}
