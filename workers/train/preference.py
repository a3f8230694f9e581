"""Preference training: DPO, ORPO, SimPO on pairs of answers, KTO on single answers that were good or bad.

The reference's log-probabilities are computed once before the first step, when the model still is its own reference; no
second model is kept.
"""

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from workers.data import token_identity
from workers.program import Program
from workers.spec.errors import UserError
from workers.spec.train import PreferenceSpec
from workers.train import examples, models, preference_losses, recipe
from workers.train.examples import Dropped
from workers.train.loop import Loop
from workers.train.network import Network
from workers.train.objective import Figures, micro_batches, shown
from workers.train.packing import Documents
from workers.train.pairs import Pairs, both, conversation, encode_pairs, encode_verdicts, pair_up
from workers.train.policy_job import PolicyJob
from workers.train.sampling import looker
from workers.train.session import Session, run_job

UNITS_PER_STEP = 16
PREVIEWED = 3
PROVEN = 16
"""Conversations whose tokens are compared with those that serving asks with."""
WITH_REFERENCE = ("dpo", "kto")
BETAS = {"dpo": 0.1, "orpo": 0.1, "kto": 0.1, "simpo": 2.0}
SLOWER = {"dpo": 0.1, "kto": 0.1, "simpo": 0.1, "orpo": 0.3}
"""Share of the learning rate of fine-tuning: a preference is a nudge."""


def run(program: Program) -> Mapping[str, Any]:
    spec = PreferenceSpec.model_validate(program.run.spec)
    return run_job(PreferenceJob(Session(program, spec), spec))


class PreferenceJob(PolicyJob):
    """The steps of one run, in order: `prepare`, `loop`, `save`."""

    spec: PreferenceSpec

    def prepare(self) -> None:
        core = self.open()
        self.network = self.policy.prepare(core)
        self.program.phase("tokenising")
        self.prove_identity(self._first_conversations())
        pairs = fitting(self, self._encode(), models.context_length(core))
        for index in range(min(PREVIEWED, len(pairs.documents))):
            document = pairs.documents.select(np.array([index]))
            tokens = (document.tokens.tolist(), document.learnt.tolist())
            self.program.sample("rendered", spans=examples.spans(self.template, tokens))
        self.pairs, self.aside = pairs.split(self.spec.held_out_fraction, self.spec.seed)
        report(self.program, self.pairs, self.aside, self.dropped)

    def _first_conversations(self) -> list[token_identity.Conversation]:
        first = itertools.islice((record for record in self.records() if record.messages), PROVEN)
        return [(conversation(record, record.chosen or [], self.spec.system_prompt), record.tools) for record in first]

    def _encode(self) -> Pairs:
        given = (self.program, self.template, self.records(), self.dropped, self.spec.system_prompt)
        if self.spec.loss == "kto":
            return pair_up(encode_verdicts(*given), self.spec.seed)
        return Pairs(Documents.of([tokens for pair in encode_pairs(*given) for tokens in pair]))

    @property
    def longest(self) -> int:
        return int(self.pairs.documents.lengths.max())

    def loop(self) -> Loop:
        made = self._recipe()
        references = (None, None)
        if self.spec.loss in WITH_REFERENCE:
            self.program.phase("comparing")
            limit = made.micro_batch_tokens
            references = (
                reference_of(self.session, self.network, self.pairs, limit, "reference"),
                reference_of(self.session, self.network, self.aside, limit, "reference_held_out"),
            )
        objective = Preferences(self.session, self.network, self.spec, (self.pairs, self.aside), references, self.template.decode)
        return Loop(
            session=self.session,
            objective=objective,
            recipe=made,
            choices=self.choices,
            look=looker(self.session, self.network, self.template, self.spec),
        )

    def _recipe(self) -> recipe.Recipe:
        given = self.spec.optimisation
        rate = recipe.choose_learning_rate(given, self.choices["parameters"], self.choices["method"])
        if given.learning_rate is None:
            rate *= SLOWER[self.spec.loss]
        return pair_recipe(self, rate)

    def save(self, loop: Loop) -> dict[str, Any]:
        return self.finish(loop, self.spec.loss, len(self.pairs), len(self.aside))


def pair_recipe(job: Any, rate: float) -> recipe.Recipe:
    """The numbers of a loop over `job.pairs`."""
    spec, lengths = job.spec, job.pairs.lengths
    total = int(lengths.sum())
    per_step = recipe.choose_tokens_per_step(spec.optimisation, total, float(lengths.mean()), UNITS_PER_STEP)
    epochs = spec.epochs or min(3.0, recipe.choose_epochs(len(lengths)))
    job.choices["epochs"] = epochs
    return recipe.make_recipe(
        spec.optimisation,
        total_steps=max(1, round(epochs * total / per_step)),
        tokens_per_step=per_step,
        learning_rate=rate,
        core=job.network.core,
        device=job.session.device,
        time_budget_seconds=spec.time_budget_seconds,
        seed=spec.seed,
    )


def fitting(job: PolicyJob, pairs: Pairs, context: int) -> Pairs:
    """Leave out, count and show the units of which one answer is too long."""
    asked, dropped = job.spec.max_length, job.dropped
    limit = min(asked or context, context)
    fits = (pairs.documents.lengths.reshape(-1, 2) <= limit).all(1)
    for unit in np.flatnonzero(~fits):
        dropped.add(f"longer than {limit} tokens", shown(pairs.documents, 2 * int(unit), job.template.decode))
    dropped.report(job.program)
    if not fits.any():
        raise UserError(
            "sft.all_too_long",
            "All {count} records are longer than {limit} tokens; shorten them or choose a model with a longer context.",
            count=len(pairs),
            limit=limit,
        )
    return pairs.select(np.flatnonzero(fits))


def report(program: Program, pairs: Pairs, aside: Pairs, dropped: Dropped) -> None:
    program.sample(
        "dataset",
        examples=len(pairs),
        held_out=len(aside),
        tokens=int(pairs.lengths.sum()),
        supervised_tokens=int(pairs.documents.supervised().sum()),
        max_length=int(pairs.documents.lengths.max()),
        dropped=dict(dropped.counts),
    )


def reference_of(session: Session, network: Network, pairs: Pairs, limit: int, name: str) -> np.ndarray:
    """Log-probability of every answer before the first step; kept on disk for later attempts."""
    path = session.home / f"{name}.npy"
    if session.checkpoint is not None and path.is_file():
        kept = np.load(path)
        if len(kept) == len(pairs.documents):
            return kept
    team, found = session.team, np.zeros(len(pairs.documents))
    parts = team.share(np.arange(len(pairs)), pairs.lengths)
    rounds = max(len(micro_batches(part, pairs.lengths, limit)) for part in parts)
    with network.evaluating():
        for units in micro_batches(parts[team.rank], pairs.lengths, limit, rounds):
            team.check_stop_alone(session.program)
            places = both(units if len(units) else np.zeros(1, dtype=np.int64))
            values = network.answer_log_probs(pairs.documents, places)[0]
            if len(units):
                found[places] = values.float().cpu().numpy()
    found = np.array(team.sum(found.tolist()))
    if team.first:
        np.save(path, found)
    return found


class Preferences:
    """The objective of all four losses; a unit is a pair, or for KTO an answer with its partner."""

    def __init__(
        self,
        session: Session,
        network: Network,
        spec: PreferenceSpec,
        pairs: tuple[Pairs, Pairs],
        references: tuple[np.ndarray | None, np.ndarray | None],
        decode: Callable[[list[int]], str],
    ) -> None:
        """`pairs` and `references` (log-probabilities by document): of what is learnt, and of what is held out."""
        self.session, self.network, self.spec, self._decode = session, network, spec, decode
        self.pairs, self.aside = pairs
        self.references = references
        self.beta = spec.beta or BETAS[spec.loss]
        self.lengths, self.held_out = self.pairs.lengths, self.aside.lengths
        self.weights = np.ones(len(self.pairs))
        self._supervised = self.pairs.documents.supervised().reshape(-1, 2)
        self._anchor = 0.0
        self._limit = int(self.lengths.max())

    def sizes(self, chosen: np.ndarray) -> np.ndarray:
        return self.pairs.documents.lengths[both(chosen)]

    def supervised(self, chosen: np.ndarray) -> int:
        counted = self._supervised[chosen]
        return int(counted[:, 0].sum() if self.spec.loss == "kto" else counted.sum())

    def names(self, held_out: bool) -> Sequence[str]:
        return ("accuracy", "margin")

    def show(self, unit: int) -> str:
        return shown(self.pairs.documents, 2 * unit, self._decode)

    # One step

    def begin(self, step: int, chosen: np.ndarray) -> None:
        if self.spec.loss == "kto":
            self._anchor = self._divergence(self.pairs, self.references[0], chosen)

    def _divergence(self, pairs: Pairs, reference: np.ndarray | None, units: np.ndarray) -> float:
        """KTO's estimate of the divergence from the reference, over the answers to other questions; never below 0."""
        assert reference is not None, "KTO has a reference"
        partners = pairs.documents.select(2 * units + 1)
        team, numbers = self.session.team, np.arange(len(units))
        parts = team.share(numbers, partners.lengths)
        rounds = max(len(micro_batches(part, partners.lengths, self._limit)) for part in parts)
        total = 0.0
        with self.network.evaluating():
            for some in micro_batches(parts[team.rank], partners.lengths, self._limit, rounds):
                values = self.network.answer_log_probs(partners, some if len(some) else numbers[:1])[0]
                if len(some):
                    total += float(values.sum()) - float(reference[2 * units[some] + 1].sum())
        return max(0.0, team.sum([total])[0] / len(units))

    def learn(self, units: np.ndarray, scale: float) -> Figures:
        documents = self._documents(self.pairs, units)
        with self.network.differentiating(documents):
            losses, figures = self._measure(documents, self.pairs, self.references[0], units, self._anchor)
            (losses.sum() * scale).backward()
        return figures

    def look(self, units: np.ndarray) -> tuple[Figures, float]:
        anchor = self._divergence_here(units) if self.spec.loss == "kto" else 0.0
        documents = self._documents(self.aside, units)
        return self._measure(documents, self.aside, self.references[1], units, anchor)[1], float(len(units))

    def _divergence_here(self, units: np.ndarray) -> float:
        reference = self.references[1]
        assert reference is not None, "KTO has a reference"
        values = self.network.answer_log_probs(self.aside.documents, 2 * units + 1)[0]
        return max(0.0, float(values.mean()) - float(reference[2 * units + 1].mean()))

    def _documents(self, pairs: Pairs, units: np.ndarray) -> Documents:
        return pairs.documents.select(2 * units if self.spec.loss == "kto" else both(units))

    # Losses

    def _measure(
        self, documents: Documents, pairs: Pairs, reference: np.ndarray | None, units: np.ndarray, anchor: float
    ) -> tuple[torch.Tensor, Figures]:
        """Loss of each unit, and the sums of all figures."""
        sums, counts = self.network.answer_log_probs(documents, np.arange(len(documents)))
        if self.spec.loss == "kto":
            losses, leads = self._single(sums, pairs, reference, units, anchor)
        else:
            losses, leads = self._paired(sums.view(-1, 2), counts.view(-1, 2), reference, units)
        leads = leads.detach()
        values = {"loss": losses.detach().sum(), "accuracy": (leads > 0).sum(), "margin": leads.sum()}
        return losses, Figures({name: float(value) for name, value in values.items()})

    def _single(
        self, sums: torch.Tensor, pairs: Pairs, reference: np.ndarray | None, units: np.ndarray, anchor: float
    ) -> tuple[torch.Tensor, torch.Tensor]:
        assert pairs.good is not None, "KTO has verdicts"
        assert reference is not None, "KTO has a reference"
        good = torch.from_numpy(pairs.good[units]).to(sums.device)
        ratio = sums - self._tensor(reference[2 * units], sums)
        weights = (self.spec.desirable_weight, self.spec.undesirable_weight)
        losses = preference_losses.kto(ratio, good, anchor, beta=self.beta, weights=weights)
        return losses, self.beta * torch.where(good, ratio - anchor, anchor - ratio)

    def _paired(
        self, sums: torch.Tensor, counts: torch.Tensor, reference: np.ndarray | None, units: np.ndarray
    ) -> tuple[torch.Tensor, torch.Tensor]:
        spec, means = self.spec, sums / counts
        if spec.loss == "orpo":
            losses = preference_losses.orpo(means[:, 0], means[:, 1], beta=self.beta)
            return losses, self.beta * (means[:, 0] - means[:, 1])
        if spec.loss == "simpo":
            losses = preference_losses.simpo(means[:, 0], means[:, 1], beta=self.beta, margin=spec.margin)
            leads = self.beta * (means[:, 0] - means[:, 1])
        else:
            assert reference is not None, "DPO has a reference"
            ratios = sums - self._tensor(reference[both(units)], sums).view(-1, 2)
            losses = preference_losses.dpo(ratios[:, 0], ratios[:, 1], beta=self.beta, smoothing=spec.label_smoothing)
            leads = self.beta * (ratios[:, 0] - ratios[:, 1])
        return losses - spec.sft_weight * means[:, 0], leads

    def _tensor(self, values: np.ndarray, like: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(values).to(like)
