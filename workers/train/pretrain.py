"""Pre-training, from scratch or continued: every token of every document is learnt."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from workers.data.records import read_records
from workers.data.templates import ChatTemplate
from workers.program import Program
from workers.spec.errors import UserError
from workers.spec.run import ModelInput
from workers.spec.train import Architecture, PretrainSpec
from workers.train import held_out, models, recipe
from workers.train.adapters import merge_adapter
from workers.train.examples import batches
from workers.train.inputs import datasets_of, model_folder, model_input, open_template, template_folder
from workers.train.loop import Loop
from workers.train.network import Network
from workers.train.objective import Answers
from workers.train.output import publish_folder
from workers.train.packing import Documents
from workers.train.session import Session, parameter_count, run_job
from workers.train.token_cache import tokenised

BATCH_OF_TEXTS = 1000
EXAMPLES_PER_STEP = 16
"""Documents of full length in one step, when the spec does not say."""
TOKENS_PER_PARAMETER = 20
"""Enough data for a model of a size (Hoffmann et al. 2022)."""
MOST_EPOCHS = 4
"""Repeating data more often than this teaches little (Muennighoff et al. 2023)."""


def run(program: Program) -> Mapping[str, Any]:
    spec = PretrainSpec.model_validate(program.run.spec)
    return run_job(PretrainJob(Session(program, spec), spec))


class PretrainJob:
    """The steps of one pre-training run, in order: `prepare`, `loop`, `save`."""

    def __init__(self, session: Session, spec: PretrainSpec) -> None:
        self.session, self.spec, self.program = session, spec, session.program
        self.base, self.origin = _source(self.program)
        self.source = template_folder(self.origin)

    def prepare(self) -> None:
        self.program.phase("loading")
        self.template = open_template(self.origin)
        self.program.phase("tokenising")
        settings = {"sequence_length": self.spec.sequence_length}
        datasets = datasets_of(self.program.run)
        documents, more = tokenised(
            datasets, self.template.hash, settings, lambda: _documents(self.program, self.spec, self.template)
        )
        self.cut = int(more["cut"])
        self.documents, self.aside = held_out.split(documents, self.spec.held_out_fraction, self.spec.seed)
        self.program.phase("loading")
        model = _model(self.program, self.spec, self.template, self.base)
        _check_length(self.spec.sequence_length, model)
        self.choices = _choices(self.session, model)
        self.network = Network(model, self.session.device, self.choices["precision"])

    @property
    def longest(self) -> int:
        return int(self.documents.lengths.max())

    def loop(self) -> Loop:
        return Loop(
            session=self.session,
            objective=Answers(self.network, self.documents, self.aside, self.template.decode),
            recipe=_recipe(self.spec, self.documents, self.network, continued=self.base is not None),
            choices=self.choices,
        )

    def save(self, loop: Loop) -> dict[str, Any]:
        self.program.phase("saving")
        folder = self.program.run.output_dir / "model"
        dtype = models.stored_dtype(self.base) if self.base is not None else torch.float32
        with self.session.writing(self.network.core) as writes:
            if writes:
                with publish_folder(folder) as temporary:
                    models.save_model(self.network.core, temporary, source=self.source, template=self.template, dtype=dtype)
                self.program.artifact("model", folder)
        return self.session.result(
            loop,
            method="pretrain",
            folder=folder,
            template=self.template,
            documents=len(self.documents),
            held_out_documents=len(self.aside),
            cut_documents=self.cut,
        )


def _source(program: Program) -> tuple[Path | None, ModelInput]:
    """(folder of the model to continue or None, the model that has the tokenizer)."""
    base, tokenizer = model_input(program.run, "base_model"), model_input(program.run, "tokenizer")
    if base is not None:
        return model_folder(base), base
    if tokenizer is None:
        raise UserError("pretrain.no_tokenizer", "Choose a tokenizer, or a base model to continue.")
    return None, tokenizer


def _model(program: Program, spec: PretrainSpec, template: ChatTemplate, base: Path | None) -> Any:
    if base is None:
        return models.new_llama(spec.architecture or Architecture(), template, spec.seed)
    model = models.load_model(base)
    given = model_input(program.run, "base_model")
    if given is not None and given.adapter_path is not None:
        model = merge_adapter(model, given.adapter_path)
    models.match_vocabulary(model, template)
    return model.to(torch.float32)


def _check_length(sequence: int, model: Any) -> None:
    """A model is never taught positions that it does not have."""
    context = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    if context is not None and sequence > context:
        raise UserError(
            "pretrain.longer_than_context",
            "Documents would be cut into pieces of {length} tokens, but the model sees only {context} at once; "
            "choose a sequence length of at most {context}.",
            length=sequence,
            context=context,
        )


def _choices(session: Session, model: Any) -> dict[str, Any]:
    if session.checkpoint is not None:
        return session.checkpoint.state["choices"]
    size = model.config.get_text_config().hidden_size
    given = session.spec.optimisation.precision
    return {"precision": recipe.choose_precision(given, parameter_count(model), size, session.device)}


def _recipe(spec: PretrainSpec, documents: Documents, network: Network, *, continued: bool) -> recipe.Recipe:
    given, total = spec.optimisation, int(documents.lengths.sum())
    parameters = parameter_count(network.core)
    per_step = recipe.choose_tokens_per_step(given, total, spec.sequence_length, EXAMPLES_PER_STEP)
    if spec.token_budget is not None:
        wanted: float = spec.token_budget
    elif spec.epochs is not None:
        wanted = spec.epochs * total
    else:
        wanted = total if continued else min(max(total, TOKENS_PER_PARAMETER * parameters), MOST_EPOCHS * total)
    rate = recipe.choose_learning_rate(given, parameters, "full")
    return recipe.make_recipe(
        given,
        total_steps=max(1, round(wanted / per_step)),
        tokens_per_step=per_step,
        learning_rate=rate if given.learning_rate is not None or not continued else rate / 3,
        core=network.core,
        device=network.device,
        time_budget_seconds=spec.time_budget_seconds,
        seed=spec.seed,
    )


def _documents(program: Program, spec: PretrainSpec, template: ChatTemplate) -> tuple[Documents, dict[str, Any]]:
    """All documents in pieces of at most the sequence length, and how many had to be cut."""
    cut = 0

    def pieces() -> Iterator[tuple[list[int], None]]:
        nonlocal cut
        for ids in _token_lists(program, template):
            cut += len(ids) > spec.sequence_length
            for start in range(0, len(ids), spec.sequence_length):
                piece = ids[start : start + spec.sequence_length]
                if len(piece) > 1:
                    yield piece, None

    documents = Documents.of(pieces())
    if not len(documents):
        raise UserError(
            "pretrain.no_text", "The datasets hold no text to learn; pre-training needs records with “text” or “messages”."
        )
    return documents, {"cut": cut}


def _token_lists(program: Program, template: ChatTemplate) -> Iterator[list[int]]:
    """Plain texts end with the end-of-text token; conversations are rendered by the chat template."""
    closing = [template.eos_token_id] if template.eos_token_id is not None else []
    total, done = sum(item.count for item in datasets_of(program.run)), 0
    for item in datasets_of(program.run):
        for records in batches(read_records(item.path), BATCH_OF_TEXTS):
            program.check_stop()
            plain = [record.text for record in records if record.text and not record.messages]
            # Special tokens that the tokenizer itself adds (a leading <s>) are what the base saw; keep them.
            for encoding in template.tokenizer.encode_batch_fast(plain, add_special_tokens=True):
                ids = list(encoding.ids)
                yield ids if closing and ids[-1:] == closing else ids + closing
            for record in records:
                if record.messages:
                    yield template.encode(record.messages, record.tools).token_ids + closing
            done += len(records)
            program.progress(done, max(total, done), unit="records")
