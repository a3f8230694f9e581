"""Short greedy answers during training, so that a user sees the model change."""

from collections.abc import Callable, Sequence
from itertools import takewhile
from typing import TYPE_CHECKING, Any

import torch
from transformers import PreTrainedModel

from workers.data.records import read_records
from workers.data.templates import ChatTemplate
from workers.spec.train import Sampled
from workers.train import attention, models
from workers.train.inputs import datasets_of
from workers.train.network import Network
from workers.train.watched import watched

if TYPE_CHECKING:
    from workers.train.session import Session

NEW_TOKENS = 48


def shown(template: ChatTemplate, tokens: Sequence[int]) -> str:
    """The beginning of an answer as text, without what ends it; «…» says that it would go on."""
    stops = set(template.stop_token_ids)
    said = list(takewhile(lambda token: token not in stops, tokens[:NEW_TOKENS]))
    return template.decode(said) + ("…" if len(said) == NEW_TOKENS else "")


def looker(session: "Session", network: Network, template: ChatTemplate, spec: Sampled) -> Callable[[int], None]:
    """What a loop calls at each look: greedy answers to the questions of the spec as they are now."""
    questions = watched(
        template,
        spec.sample_prompts,
        (record for item in datasets_of(session.program.run) for record in read_records(item.path)),
        instruction=getattr(spec, "instruction", None),
        system_prompt=getattr(spec, "system_prompt", None),
        longest=models.context_length(network.core) - NEW_TOKENS,
    )
    stops = set(template.stop_token_ids)

    def look(step: int) -> None:
        for question in questions:
            session.team.check_stop_alone(session.program)
            [tokens] = draw(network, question.asked, stops, count=1, most=NEW_TOKENS, temperature=0.0, seed=0)
            said, expected = shown(template, tokens), shown(template, question.expected)
            session.program.sample("answer", step=step, prompt=question.prompt, text=said, expected=expected)

    return look


def draw(
    network: Network, prompt: list[int], stops: set[int], *, count: int, most: int, temperature: float, seed: int
) -> list[list[int]]:
    """`count` answers to one prompt, drawn together; a temperature of 0 takes the likeliest token. Each ends with the first
    of `stops` or after `most` tokens."""
    core: PreTrainedModel = network.core
    generator = torch.Generator().manual_seed(seed)
    written = torch.empty(count, 0, dtype=torch.long)
    ended, cache = torch.zeros(count, dtype=torch.bool), None
    endings = torch.tensor(sorted(stops))
    with network.evaluating(), torch.autocast(network.device.type, torch.bfloat16, enabled=network.precision == "bfloat16"):
        core.config._attn_implementation = attention.NAME if network.packed else "sdpa"
        fed = torch.tensor([prompt] * count)
        while written.shape[1] < most and not bool(ended.all()):
            output: Any = core(input_ids=fed.to(network.device), past_key_values=cache, use_cache=True, logits_to_keep=1)
            fed, cache = _next(output.logits[:, -1].float().cpu(), temperature, generator), output.past_key_values
            written = torch.cat([written, fed], 1)
            ended |= torch.isin(fed[:, 0], endings)
    return [_up_to_end(row, stops) for row in written.tolist()]


def _next(logits: torch.Tensor, temperature: float, generator: torch.Generator) -> torch.Tensor:
    if temperature == 0:
        return logits.argmax(1, keepdim=True)
    return torch.multinomial(torch.softmax(logits / temperature, 1), 1, generator=generator)


def _up_to_end(row: list[int], stops: set[int]) -> list[int]:
    end = next((place for place, token in enumerate(row) if token in stops), len(row) - 1)
    return row[: end + 1]
