"""Supervised fine-tuning: the loss is on the assistant's tokens only. Full or LoRA; every knob may be left open."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from workers.data import token_identity
from workers.data.records import read_records
from workers.data.templates import ChatTemplate
from workers.program import Program
from workers.spec.errors import UserError
from workers.spec.record import Record
from workers.spec.run import DatasetInput, ModelInput
from workers.spec.train import SftSpec
from workers.train import examples, held_out, models, recipe, token_cache
from workers.train.examples import Dropped, Tokens, batches
from workers.train.hardest import hardest
from workers.train.inputs import datasets_of, model_folder, open_template
from workers.train.loop import Loop
from workers.train.network import Network
from workers.train.objective import Answers
from workers.train.packing import Documents
from workers.train.policy import Policy
from workers.train.sampling import looker
from workers.train.session import Session, run_job

EXAMPLES_PER_STEP = 32
PREVIEWED = 3
"""Examples shown with their mask before training."""
FIRST_LOOK = 16
"""Examples on which the base is examined before the rest is even tokenised."""
FIRST_LOOK_TOKENS = 2048


def run(program: Program) -> Mapping[str, Any]:
    spec = SftSpec.model_validate(program.run.spec)
    return run_job(SftJob(Session(program, spec), spec))


class SftJob:
    """The steps of one fine-tuning run, in order: `prepare`, `loop`, `save`."""

    def __init__(self, session: Session, spec: SftSpec) -> None:
        self.session, self.spec, self.program = session, spec, session.program
        self.base: ModelInput = self.program.run.model("base_model")
        self.folder = model_folder(self.base)
        self.dropped = Dropped()

    def prepare(self) -> None:
        self.program.phase("loading")
        self.template: ChatTemplate = open_template(self.base)
        how = {"instruction": self.spec.instruction, "system_prompt": self.spec.system_prompt}
        kept = token_cache.is_kept(self._datasets, self.template.hash, how)
        records = [] if kept else list(self._records())
        first = self._first_examples(self._records() if kept else records, how)
        self.policy = Policy(self.session, self.spec.lora, self.template)
        core = self.policy.open_base()
        self.choices = self.policy.choose(core)
        self.choices["instruction"] = how["instruction"]
        self.network = self.policy.prepare(core, lambda network: self._examine_base(network, first))
        self.program.phase("tokenising")

        def make() -> token_cache.Made:
            encoded = examples.encode_records(self.program, self.template, records or list(self._records()), self.dropped, **how)
            return Documents.of(encoded), self.dropped.as_dict()

        encoded, dropped = token_cache.tokenised(self._datasets, self.template.hash, how, make)
        self.dropped = Dropped.of(dropped)
        self._select(encoded, models.context_length(core))

    @property
    def _datasets(self) -> list[DatasetInput]:
        return datasets_of(self.program.run)

    def _records(self) -> Iterator[Record]:
        for item in self._datasets:
            yield from read_records(item.path)

    def _first_examples(self, records: Iterable[Record], how: dict[str, Any]) -> Documents:
        """Show the first examples with their mask, and check that an answer's end is learnt."""
        usable: list[Tokens] = []
        seen: list[Record] = []
        for batch in batches(records, FIRST_LOOK):
            seen += batch
            try:
                usable = examples.encode_records(self.program, self.template, batch, Dropped(), **how)
                break
            except UserError:
                continue
        if not usable:
            # Once more over everything, for an error that counts all reasons.
            examples.encode_records(self.program, self.template, seen, Dropped(), **how)
        self.identity = self._prove_identity(batch, how)
        for tokens in usable[:PREVIEWED]:
            self.program.sample("rendered", spans=examples.spans(self.template, tokens))
        stops = set(self.template.stop_token_ids)
        if not any(mask and token in stops for ids, masks in usable for token, mask in zip(ids, masks, strict=True)):
            self._warn(
                "sft.end_not_learnt",
                "No example teaches the token that ends an answer, so the model may never stop; check the chat template.",
            )
        return Documents.of(usable)

    def _prove_identity(self, records: Sequence[Record], how: dict[str, Any]) -> dict[str, Any]:
        """The first conversations are learnt after the very tokens that serving asks with, or the run stops (N3)."""
        found = ((examples.conversation_of(record, **how), record.tools) for record in records)
        identity = token_identity.prove(self.template, [(said, tools) for said, tools in found if not isinstance(said, str)])
        self.program.sample("identity", **identity)
        return identity

    def _warn(self, code: str, message: str, **details: Any) -> None:
        self.program.sample("warning", code=code, message=message, **details)

    # Choosing

    def _examine_base(self, network: Network, first: Documents) -> list[int]:
        """First point of the loss curve, and the template's special tokens that the base never learnt.

        The tokens that end answers decide: where the base finds them less likely than a token drawn at random, it never
        saw this template. Then all special tokens that it finds so unlikely are taken for unlearnt.
        """
        fits = np.flatnonzero(first.lengths <= models.context_length(network.core))
        fitting = fits[np.cumsum(first.lengths[fits]) <= FIRST_LOOK_TOKENS]
        if not len(fitting):
            return []
        ids, losses, learnt = network.token_losses(first, fitting)
        self.program.metric(0, loss=float(losses[learnt].mean()))
        chance = 0.9 * math.log(self.template.vocabulary_size)
        special = {token for token, facts in self.template.tokenizer.get_added_tokens_decoder().items() if facts.special}

        def unlikely(chosen: np.ndarray) -> list[int]:
            found = sorted(special & set(ids[chosen].tolist()))
            return [token for token in found if losses[chosen & (ids == token)].mean() > chance]

        unlearnt = unlikely(np.ones_like(learnt)) if unlikely(learnt) else []
        if unlearnt:
            names = [self.template.decode([token], skip_special_tokens=False) for token in unlearnt]
            self._warn(
                "sft.untrained_tokens",
                "The base model never learnt the chat template's tokens; training learns them from your data.",
                tokens=names,
            )
        return unlearnt

    def _select(self, encoded: Documents, context: int) -> None:
        """Leave out what is too long, set some aside, report what is there."""
        limit = self._max_length(encoded.lengths, context)
        for index in np.flatnonzero(encoded.lengths > limit):
            row = encoded.tokens[encoded.starts[index] : encoded.starts[index] + 400].tolist()
            self.dropped.add(f"longer than {limit} tokens", self.template.decode(row, skip_special_tokens=False))
        self.dropped.report(self.program)
        fits = np.flatnonzero(encoded.lengths <= limit)
        if not len(fits):
            raise UserError(
                "sft.all_too_long",
                "All {count} records are longer than {limit} tokens; shorten them or choose a model with a longer context.",
                count=len(encoded),
                limit=limit,
            )
        documents = encoded.select(fits)
        self.documents, self.aside = held_out.split(documents, self.spec.held_out_fraction, self.spec.seed)
        self.choices["max_length"] = limit
        self.program.sample(
            "dataset",
            examples=len(self.documents),
            held_out=len(self.aside),
            tokens=int(documents.lengths.sum()),
            supervised_tokens=int(documents.supervised().sum()),
            max_length=limit,
            dropped=dict(self.dropped.counts),
        )

    def _max_length(self, lengths: np.ndarray, context: int) -> int:
        """All records when they fit; far outliers (beyond 4 × the 99th percentile) would only cost memory."""
        if self.spec.max_length is not None:
            return min(self.spec.max_length, context)
        usual = 4 * float(np.percentile(lengths, 99))
        longest = int(lengths[lengths <= usual].max())
        return min(context, max(32, longest))

    # Training

    @property
    def longest(self) -> int:
        return int(self.documents.lengths.max())

    def loop(self) -> Loop:
        return Loop(
            session=self.session,
            objective=Answers(self.network, self.documents, self.aside, self.template.decode),
            recipe=self._recipe(),
            choices=self.choices,
            look=looker(self.session, self.network, self.template, self.spec),
        )

    def _recipe(self) -> recipe.Recipe:
        given, total = self.spec.optimisation, int(self.documents.lengths.sum())
        per_step = recipe.choose_tokens_per_step(given, total, float(self.documents.lengths.mean()), EXAMPLES_PER_STEP)
        epochs = self.spec.epochs or recipe.choose_epochs(len(self.documents))
        self.choices["epochs"] = epochs
        return recipe.make_recipe(
            given,
            total_steps=max(1, round(epochs * total / per_step)),
            tokens_per_step=per_step,
            learning_rate=recipe.choose_learning_rate(given, self.choices["parameters"], self.choices["method"]),
            core=self.network.core,
            device=self.session.device,
            time_budget_seconds=self.spec.time_budget_seconds,
            seed=self.spec.seed,
        )

    # Saving

    def save(self, loop: Loop) -> dict[str, Any]:
        self.program.phase("saving")
        if len(self.aside):
            rows = hardest(self.network, self.aside, self.template, loop.recipe.micro_batch_tokens)
            self.program.sample("hardest", rows=rows)
        folder = self.policy.save()
        return self.session.result(
            loop,
            method=self.choices["method"],
            folder=folder,
            template=self.template,
            examples=len(self.documents),
            held_out_examples=len(self.aside),
            dropped=dict(self.dropped.counts),
            instruction=self.choices["instruction"],
            token_identity=self.identity,
        )
