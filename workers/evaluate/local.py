"""The examined model when it is a folder: weights in memory, its context, and the head that turns states into logits."""

from pathlib import Path

import torch
from transformers import PreTrainedModel

from workers.data.templates import ChatTemplate, load_template
from workers.data.token_identity import require_same, tokenizer_folder
from workers.spec.errors import UserError
from workers.spec.run import ModelInput
from workers.train.adapters import merge_adapter
from workers.train.models import context_length, load_model, match_vocabulary, stored_dtype


class LocalModel:
    """A causal language model for inference, in float32 on a CPU."""

    def __init__(self, model: PreTrainedModel, template: ChatTemplate, device: str) -> None:
        model.train(False)
        self.model: PreTrainedModel = model.requires_grad_(False).to(torch.device(device))  # type: ignore[arg-type]
        self.template = template
        self.device = device
        self.context = context_length(model)

    def log_probs(self, states: torch.Tensor) -> torch.Tensor:
        """Log-probabilities of the next token at given states [n, hidden], in float32."""
        head: torch.nn.Module = self.model.get_output_embeddings()  # type: ignore[no-untyped-call]
        return torch.log_softmax(head(states).float(), dim=-1)

    def trimmed(self, prompt: list[int], room: int) -> list[int]:
        """The prompt's end, if all of it with `room` more tokens is longer than the context."""
        keep = max(self.context - room, 1)
        return prompt if len(prompt) <= keep else prompt[-keep:]


def load_local(given: ModelInput, device: str) -> LocalModel:
    """Open a model folder, or a LoRA folder added to its base. The adapter's own tokenizer counts when it has one."""
    folder = given.path
    if folder is None or not folder.is_dir():
        raise UserError("model.missing", "The files of the model {name} are gone; import it again.", name=given.name)
    adapter: Path | None = given.adapter_path
    template = load_template(tokenizer_folder(folder, adapter))
    require_same(template, name=given.name, template_hash=given.template_hash, fingerprint_then=given.fingerprint)
    dtype = torch.float32 if device == "cpu" else stored_dtype(folder)
    model: PreTrainedModel = load_model(folder).to(dtype)  # type: ignore[arg-type]
    if adapter is not None:
        model = merge_adapter(model, adapter)
    match_vocabulary(model, template)
    return LocalModel(model, template, device)
