"""Reward models: one number for an answer, learnt from pairs so that the chosen one gets more (Bradley–Terry)."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForSequenceClassification, PreTrainedModel
from transformers.models.auto.modeling_auto import MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING

from workers.program import Program
from workers.spec.errors import UserError
from workers.spec.train import RewardSpec
from workers.train import models, preference_losses, recipe
from workers.train.inputs import template_folder
from workers.train.loop import Loop
from workers.train.network import Network
from workers.train.objective import Figures, shown
from workers.train.output import publish_folder
from workers.train.packing import Documents
from workers.train.pairs import Pairs, both, encode_pairs
from workers.train.policy_job import PolicyJob
from workers.train.preference import fitting, pair_recipe, report
from workers.train.session import Session, run_job

FIRST_SPREAD = 0.02
"""Standard deviation of the head's first weights."""


def run(program: Program) -> Mapping[str, Any]:
    spec = RewardSpec.model_validate(program.run.spec)
    return run_job(RewardJob(Session(program, spec), spec))


class RewardJob(PolicyJob):
    """The steps of one run, in order: `prepare`, `loop`, `save`."""

    spec: RewardSpec

    def prepare(self) -> None:
        core = self.open()
        if type(core.config) not in MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING:
            raise UserError(
                "reward.unsupported",
                "{architecture} has no form with a reward in transformers; choose a base of another family.",
                architecture=type(core).__name__,
            )
        self.network = self.policy.prepare(core)
        add_head(core, self.spec.seed)
        self.program.phase("tokenising")
        found = encode_pairs(self.program, self.template, self.records(), self.dropped, self.spec.system_prompt)
        pairs = Pairs(Documents.of([tokens for pair in found for tokens in pair]))
        pairs = fitting(self, pairs, models.context_length(core))
        self.pairs, self.aside = pairs.split(self.spec.held_out_fraction, self.spec.seed)
        report(self.program, self.pairs, self.aside, self.dropped)

    @property
    def longest(self) -> int:
        return int(self.pairs.documents.lengths.max())

    def loop(self) -> Loop:
        rate = recipe.choose_learning_rate(self.spec.optimisation, self.choices["parameters"], self.choices["method"])
        return Loop(
            session=self.session,
            objective=Rewards(self.network, (self.pairs, self.aside), self.spec.centre, self.template.decode),
            recipe=pair_recipe(self, rate),
            choices=self.choices,
        )

    def save(self, loop: Loop) -> dict[str, Any]:
        """A sequence classification model with one class, as every other program reads it. A LoRA is added in."""
        self.program.phase("saving")
        folder = self.program.run.output_dir / "model"
        with self.session.writing(self.network.core) as writes:
            if writes:
                core = self.policy.adapted.merge_and_unload() if self.policy.adapted is not None else self.network.core
                made = as_classifier(core, self.template.pad_token_id)
                dtype = models.stored_dtype(self.policy.folder)
                with publish_folder(folder) as temporary:
                    models.save_model(
                        made, temporary, source=template_folder(self.policy.base), template=self.template, dtype=dtype
                    )
                self.program.artifact("model", folder)
        return self.session.result(
            loop,
            method="reward",
            folder=folder,
            template=self.template,
            examples=len(self.pairs),
            held_out_examples=len(self.aside),
            dropped=dict(self.dropped.counts),
        )


def add_head(core: PreTrainedModel, seed: int) -> None:
    """A linear layer from the last token's state to the reward, beside the model's own layers."""
    size = core.config.get_text_config().hidden_size
    generator = torch.Generator().manual_seed(seed)
    head = torch.nn.Linear(size, 1, bias=False)
    head.weight.data = torch.randn(1, size, generator=generator) * FIRST_SPREAD
    core.add_module("score", head.to(core.device))


def as_classifier(core: PreTrainedModel, pad_token_id: int) -> PreTrainedModel:
    config = core.config
    config.num_labels, config.pad_token_id = 1, pad_token_id
    made: PreTrainedModel = AutoModelForSequenceClassification.from_config(config)
    made.base_model.load_state_dict(core.base_model.state_dict())
    made.get_submodule("score").weight.data = core.get_submodule("score").weight.detach().float().cpu()  # type: ignore[union-attr]
    return made


class Rewards:
    """The objective: a unit is a pair."""

    def __init__(self, network: Network, pairs: tuple[Pairs, Pairs], centre: float, decode: Callable[[list[int]], str]) -> None:
        self.network, self.centre, self._decode = network, centre, decode
        self.pairs, self.aside = pairs
        self.lengths, self.held_out = self.pairs.lengths, self.aside.lengths
        self.weights = np.ones(len(self.pairs))

    def sizes(self, chosen: np.ndarray) -> np.ndarray:
        return self.pairs.documents.lengths[both(chosen)]

    def supervised(self, chosen: np.ndarray) -> int:
        return 2 * len(chosen)

    def names(self, held_out: bool) -> Sequence[str]:
        return ("accuracy", "margin")

    def show(self, unit: int) -> str:
        return shown(self.pairs.documents, 2 * unit, self._decode)

    def begin(self, step: int, chosen: np.ndarray) -> None:
        return

    def learn(self, units: np.ndarray, scale: float) -> Figures:
        documents = self.pairs.documents.select(both(units))
        with self.network.differentiating(documents):
            losses, figures = self._measure(documents)
            (losses.sum() * scale).backward()
        return figures

    def look(self, units: np.ndarray) -> tuple[Figures, float]:
        return self._measure(self.aside.documents.select(both(units)))[1], float(len(units))

    def _measure(self, documents: Documents) -> tuple[torch.Tensor, Figures]:
        head = self.network.core.get_submodule("score")
        rewards = head(self.network.last_states(documents)).float().view(-1, 2)
        losses = preference_losses.bradley_terry(rewards[:, 0], rewards[:, 1], centre=self.centre)
        leads = (rewards[:, 0] - rewards[:, 1]).detach()
        values = {"loss": losses.detach().sum(), "accuracy": (leads > 0).sum(), "margin": leads.sum()}
        return losses, Figures({name: float(value) for name, value in values.items()})
