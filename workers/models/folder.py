"""What a model folder is: its kind, size, shape and digests, or the one sentence that says why it cannot be used. No torch."""

import fnmatch
import hashlib
import importlib.util
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from workers.data.template_files import read_json
from workers.data.templates import load_template
from workers.models.safetensors_header import Header, read_header
from workers.spec.errors import UserError

FolderKind = Literal["model", "adapter", "tokenizer"]
KEPT_PATTERNS = ("*.safetensors", "*.json", "*.txt", "*.model", "*.jinja", "README.md", "LICENSE*")
PICKLES = (".bin", ".pt", ".pth", ".pkl", ".ckpt", ".pickle")
CONVERTED = ("internlm2",)
"""Types that transformers has not and that are imported as another one."""
CONTEXT_KEYS = ("max_position_embeddings", "n_positions", "max_sequence_length", "seq_length", "n_ctx")
CARD_LIMIT = 200_000
BUFFER = 1 << 22


@dataclass(frozen=True)
class ModelFacts:
    """What the card shows of a folder. `files`: [{"name", "bytes"}] in the order of their names."""

    kind: FolderKind
    architecture: str = ""
    model_type: str = ""
    parameters: int = 0
    context_length: int = 0
    vocabulary: int = 0
    dtype: str = ""
    weights_sha256: str = ""
    template_hash: str = ""
    bytes: int = 0
    languages: list[str] = field(default_factory=list)
    licence: str = ""
    base_name: str = ""
    files: list[dict[str, Any]] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def check_folder(folder: Path) -> FolderKind:
    """Which kind of folder this is. UserError for what is missing, damaged, a pickle, or needs code of its own."""
    if not folder.is_dir():
        raise UserError("model.no_folder", "There is no folder {folder}; check the path.", folder=folder.name)
    names = sorted(path.name for path in folder.iterdir() if path.is_file())
    if "adapter_config.json" in names:
        _check_adapter(folder)
        return "adapter"
    weights = [name for name in names if name.endswith(".safetensors")]
    if "config.json" not in names:
        if "tokenizer.json" in names and not weights and not _pickles(names):
            return "tokenizer"
        raise UserError(
            "model.no_config",
            "The model folder {folder} has no config.json; import a model in Hugging Face format.",
            folder=folder.name,
        )
    check_config(folder, read_json(folder / "config.json"))
    check_weight_names(folder.name, names)
    _check_shards(folder, weights)
    for name in weights:
        read_header(folder / name)
    return "model"


def is_kept(name: str) -> bool:
    """Whether a file of this name belongs to a model that the product takes: weights as safetensors, and texts."""
    return any(fnmatch.fnmatch(name, pattern) for pattern in KEPT_PATTERNS)


def check_weight_names(folder: str, names: Iterable[str]) -> None:
    """Refuse a list of files without safetensors; where there are pickles instead, say why they are not taken."""
    names = sorted(names)
    if any(name.endswith(".safetensors") for name in names):
        return
    if pickles := _pickles(names):
        raise UserError(
            "model.pickle_refused",
            "The weights of {folder} are in {file}, a Python pickle that could run code; convert them to safetensors first.",
            folder=folder,
            file=pickles[0],
        )
    raise UserError("model.no_weights", "The model folder {folder} has no .safetensors file.", folder=folder)


def check_config(folder: Path, config: dict[str, Any]) -> None:
    """A config whose architecture lives in code beside the weights is refused unless transformers has it by itself."""
    if not config.get("model_type"):
        raise UserError(
            "model.no_type",
            "The config.json of {folder} names no model_type, so its architecture is unknown; "
            "import a language model in Hugging Face format.",
            folder=folder.name,
        )
    architectures = config.get("architectures")
    listed = architectures is None or (isinstance(architectures, list) and all(isinstance(name, str) for name in architectures))
    if not isinstance(config["model_type"], str) or not listed:
        raise UserError(
            "model.odd_config",
            "The config.json of {folder} says something else than names in model_type or architectures; "
            "copy or download the model again.",
            folder=folder.name,
        )
    needs_code = config.get("auto_map") and config["model_type"] not in CONVERTED
    if needs_code and not is_known_type(str(config["model_type"])):
        raise UserError(
            "model.remote_code",
            "The model {folder} ({type}) needs Python code of its own (auto_map in config.json), and code from model folders "
            "is never run; choose a model whose architecture transformers has.",
            folder=folder.name,
            type=config["model_type"],
        )


def is_known_type(model_type: str) -> bool:
    """Whether the installed transformers has the architecture; looked up in its files, because importing it loads torch."""
    spec = importlib.util.find_spec("transformers")
    if spec is None or spec.origin is None or not model_type.replace("-", "").replace("_", "").isalnum():
        return False
    return (Path(spec.origin).parent / "models" / model_type.replace("-", "_")).is_dir()


def _pickles(names: Iterable[str]) -> list[str]:
    return [name for name in names if name.lower().endswith(PICKLES) and name != "training_args.bin"]


def _check_adapter(folder: Path) -> None:
    if not (folder / "adapter_model.safetensors").is_file():
        raise UserError(
            "model.adapter_not_safetensors",
            "The adapter folder {folder} has no adapter_model.safetensors.",
            folder=folder.name,
        )
    read_header(folder / "adapter_model.safetensors")


def _check_shards(folder: Path, weights: list[str]) -> None:
    index = read_json(folder / "model.safetensors.index.json").get("weight_map")
    if not isinstance(index, dict):
        return
    missing = sorted({str(name) for name in index.values()} - set(weights))
    if missing:
        raise UserError(
            "model.missing_shard",
            "{file} is missing from {folder} ({count} of the weight files are); copy or download the model again.",
            file=missing[0],
            folder=folder.name,
            count=len(missing),
        )


def inspect(folder: Path) -> ModelFacts:
    """Check a folder and read its facts; every weight byte is read once, for the digest."""
    kind = check_folder(folder)
    template = load_template(folder) if kind != "adapter" or (folder / "tokenizer.json").is_file() else None
    config = read_json(folder / "config.json")
    text = config["text_config"] if isinstance(config.get("text_config"), dict) else config
    headers = [read_header(path) for path in sorted(folder.glob("*.safetensors"))]
    card = read_card(folder)
    return ModelFacts(
        kind=kind,
        architecture=next(iter(config.get("architectures") or []), ""),
        model_type=str(config.get("model_type", "")),
        parameters=sum(header.parameters for header in headers),
        context_length=next((int(text[key]) for key in CONTEXT_KEYS if isinstance(text.get(key), int)), 0),
        vocabulary=template.vocabulary_size if template else 0,
        dtype=_main_dtype(headers),
        weights_sha256=folder_digest(folder, "tokenizer.json" if kind == "tokenizer" else "*.safetensors"),
        template_hash=template.hash if template else "",
        bytes=sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()),
        languages=card["languages"],
        licence=card["licence"],
        base_name=str(read_json(folder / "adapter_config.json").get("base_model_name_or_path") or ""),
        files=list_files(folder),
    )


def list_files(folder: Path) -> list[dict[str, Any]]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return [{"name": path.relative_to(folder).as_posix(), "bytes": path.stat().st_size} for path in files]


def _main_dtype(headers: list[Header]) -> str:
    counts: dict[str, int] = {}
    for header in headers:
        for dtype, shape in header.tensors.values():
            size = 1
            for part in shape:
                size *= part
            counts[dtype] = counts.get(dtype, 0) + size
    return max(counts, key=lambda dtype: counts[dtype]) if counts else ""


def file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def folder_digest(folder: Path, pattern: str) -> str:
    """SHA-256 over the digests of the files that match, in the order of their names; of the file itself if it is one."""
    digests = [file_digest(path) for path in sorted(folder.glob(pattern))]
    return digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()


def read_card(folder: Path) -> dict[str, Any]:
    """Licence and languages from the head of README.md, where hubs keep them."""
    found: dict[str, Any] = {"licence": "", "languages": []}
    path = folder / "README.md"
    if not path.is_file() or path.stat().st_size > CARD_LIMIT:
        return found
    head = path.read_text(encoding="utf-8", errors="replace").split("---", 2)
    if len(head) < 3 or head[0].strip():
        return found
    import yaml

    try:
        facts = yaml.safe_load(head[1])
    except yaml.YAMLError:
        return found
    if not isinstance(facts, dict):
        return found
    languages = facts.get("language") or []
    found["licence"] = str(facts.get("license_name") or facts.get("license") or "")[:60]
    found["languages"] = [str(item)[:16] for item in (languages if isinstance(languages, list) else [languages])][:100]
    return found
