"""The model that a run trains: full, LoRA or QLoRA; what is frozen, in how many bits, and how the result is written."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel

from workers.data.templates import ChatTemplate
from workers.spec.errors import UserError
from workers.spec.train import Lora
from workers.train import models, pissa, recipe
from workers.train.adapters import add_lora, merge_adapter
from workers.train.figures import weights_of
from workers.train.inputs import model_folder, template_folder
from workers.train.network import Network
from workers.train.output import publish_folder
from workers.train.quantise import quantise_blocks
from workers.train.session import Session

ADAPTED = ("lora", "qlora")


class Policy:
    """`choices`: method, precision and unlearnt tokens, decided once and kept in checkpoints; `network`: ready to learn."""

    def __init__(self, session: Session, lora: Lora, template: ChatTemplate) -> None:
        self.session, self.lora, self.template = session, lora, template
        self.base = session.program.run.model("base_model")
        self.folder = model_folder(self.base)
        self.adapted: Any = None
        self.network: Network
        self.choices: dict[str, Any] = {}
        self._first: dict[str, torch.Tensor] = {}

    def open_base(self) -> PreTrainedModel:
        core = models.load_model(self.folder)
        if self.base.adapter_path is not None:
            core = merge_adapter(core, self.base.adapter_path)
        models.match_vocabulary(core, self.template)
        return core

    def choose(self, core: PreTrainedModel) -> dict[str, Any]:
        """What a first attempt decides and a later one finds in its checkpoint."""
        if self.session.checkpoint is not None:
            self.choices = self.session.checkpoint.state["choices"]
            return self.choices
        spec = self.session.spec
        parameters = sum(map(weights_of, core.parameters()))
        method = spec.method
        if method == "auto":
            method = "full" if parameters < recipe.FULL_BELOW else "lora"
        parallel = getattr(spec, "parallel", None)
        if method == "qlora" and parallel is not None and parallel.shard != "none":
            raise UserError(
                "train.qlora_not_shared",
                "Weights in 4 bits cannot be shared out among processes; choose LoRA, or “none” for sharing.",
            )
        size = core.config.get_text_config().hidden_size
        precision = recipe.choose_precision(spec.optimisation.precision, parameters, size, self.session.device)
        self.choices = {"method": method, "precision": precision, "parameters": parameters}
        return self.choices

    def prepare(self, core: PreTrainedModel, examine: Callable[[Network], list[int]] | None = None) -> Network:
        """Freeze, quantise and adapt. `examine(network)` looks at the base and names the tokens that it never learnt."""
        method, precision = self.choices["method"], self.choices["precision"]
        device = self.session.device
        half = torch.bfloat16 if precision == "bfloat16" else torch.float32
        # A frozen base may lie in bf16; weights that are learnt need the finer steps of f32.
        core = core.to(half if method in ADAPTED else torch.float32)
        splits = self.lora.variant == "pissa"
        if method == "qlora" and not splits:
            quantise_blocks(core, device, half)
        self.network = Network(core, device, precision)
        if "untrained_tokens" not in self.choices:
            self.choices["untrained_tokens"] = examine(self.network) if examine is not None else []
        if method in ADAPTED:
            self._adapt(core)
        if method == "qlora" and splits:
            quantise_blocks(core, device, half)
        core.train()
        return self.network

    def _adapt(self, core: PreTrainedModel) -> None:
        seed = self.session.spec.seed
        unlearnt = self.choices["untrained_tokens"]
        self.adapted = add_lora(core, self.lora, base_name=self.base.name, token_indices=unlearnt, seed=seed)
        if self.lora.variant == "pissa":
            place, write = self.session.home / "pissa.safetensors", self.session.team.first
            self._first = pissa.start(self.adapted, self.lora.rank, seed, place, write=write)

    def disabled(self) -> Any:
        """A block in which the model answers as the base did; only adapters can be put aside so."""
        return self.adapted.disable_adapter()

    @property
    def can_be_its_base(self) -> bool:
        """Whether the base can be had back by putting the adapter aside (PiSSA and trained tokens change more than that)."""
        return self.adapted is not None and self.lora.variant != "pissa" and not self.choices["untrained_tokens"]

    # Writing

    def save(self) -> Path:
        """The finished adapter or model below the run's output."""
        name = "adapter" if self.adapted is not None else "model"
        folder = self.session.program.run.output_dir / name
        with self.session.writing(self.network.core) as writes:
            if writes:
                with publish_folder(folder) as temporary:
                    self._write(temporary)
                self.session.program.artifact(name, folder)
        return folder

    def _write(self, folder: Path) -> None:
        if self.adapted is None:
            dtype = models.stored_dtype(self.folder)
            models.save_model(self.network.core, folder, source=template_folder(self.base), template=self.template, dtype=dtype)
            return
        self.adapted.save_pretrained(str(folder), save_embedding_layers=False)
        if self._first:
            pissa.subtract_start(folder, self._first)
        (folder / "README.md").unlink(missing_ok=True)
        models.copy_tokenizer(template_folder(self.base), folder)
