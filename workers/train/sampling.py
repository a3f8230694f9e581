"""Short greedy answers during training, so that a user sees the model change."""

from typing import Any

import torch
from transformers import PreTrainedModel

from workers.data.templates import ChatTemplate
from workers.train import attention
from workers.train.network import Network

NEW_TOKENS = 48


def answer(network: Network, template: ChatTemplate, prompt: str) -> str:
    ids = template.encode_prompt([{"role": "user", "content": prompt}])
    with network.evaluating():
        new = _greedy(network, ids, set(template.stop_token_ids))
    return template.decode(new)


def _greedy(network: Network, ids: list[int], stops: set[int]) -> list[int]:
    core: PreTrainedModel = network.core
    core.config._attn_implementation = attention.NAME if network.packed else "sdpa"
    fed, cache, written = torch.tensor([ids], device=network.device), None, list[int]()
    with torch.autocast(network.device.type, torch.bfloat16, enabled=network.precision == "bfloat16"):
        while len(written) < NEW_TOKENS:
            output: Any = core(input_ids=fed, past_key_values=cache, use_cache=True, logits_to_keep=1)
            token = int(output.logits[0, -1].argmax())
            if token in stops:
                break
            written.append(token)
            fed, cache = torch.tensor([[token]], device=network.device), output.past_key_values
    return written
