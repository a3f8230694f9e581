"""A run's settings as a Python config of XTuner 0.1 and 0.2, which `xtuner train FILE` takes.

What was decided stands at the top, as in XTuner's own configs; the calls below only use those names. What XTuner has no
counterpart for is listed in the comment.
"""

from typing import Any

from webapp.core.errors import UserError
from webapp.jobs.models import Job
from webapp.registry.card import template_text
from webapp.registry.models import Model
from webapp.registry.training.recipe_sharing import datasets_of, folder_name, left_out, origin_of
from webapp.registry.training.runs import settings_of

LOSSES = {"dpo": "DPO", "orpo": "ORPO"}
TEXTS = ("sft", "pretrain")
OPTIMISERS = {
    "adamw": ("torch.optim", "AdamW"),
    "adamw_8bit": ("bitsandbytes.optim", "PagedAdamW8bit"),
    "adafactor": ("transformers", "Adafactor"),
}
WRITTEN = {
    "name", "base_model", "datasets", "method", "loss", "beta", "max_length", "sequence_length", "epochs", "seed",
    "sample_prompts", "system_prompt", "lora.rank", "lora.alpha", "lora.dropout", "lora.targets", "lora.variant",
    "optimisation.learning_rate", "optimisation.warmup_fraction", "optimisation.schedule", "optimisation.weight_decay",
    "optimisation.clip_norm", "optimisation.tokens_per_step", "optimisation.precision", "optimisation.optimizer",
    "optimisation.gradient_checkpointing", "optimisation.compile", "saving.every_steps", "saving.keep",
    "saving.evaluate_every_steps",
}  # fmt: skip
ADVICE = {
    "held_out_fraction": "keep some of the rows in a file of their own",
    "parallel.processes": "start with NPROC_PER_NODE, and divide accumulative_counts by it",
    "parallel.shard": "start with --deepspeed deepspeed_zero2 or deepspeed_zero3",
    "parallel.sequence": "set sequence_parallel_size, and SequenceParallelSampler as the sampler",
    "optimisation.micro_batch_tokens": "a pass holds one packed row",
}
WARM_UP = (
    "dict(type=LinearLR, start_factor=1e-5, by_epoch=True, begin=0, end=warmup_ratio * max_epochs, convert_to_iter_based=True)"
)
FALLS = {
    "cosine": "dict(type=CosineAnnealingLR, eta_min=0.0, {rest})",
    "linear": "dict(type=LinearLR, start_factor=1.0, end_factor=0.0, {rest})",
    "constant": "",
}
REST = "by_epoch=True, begin=warmup_ratio * max_epochs, end=max_epochs, convert_to_iter_based=True"


def can_be_written(job: Job) -> bool:
    """XTuner tunes what there is already: from scratch, KTO, SimPO and rewards without a token of their own are not in it."""
    if job.kind == "preference":
        return job.spec.get("loss", "dpo") in LOSSES
    return job.kind == "sft" or (job.kind == "pretrain" and job.spec.get("base_model") is not None)


def xtuner_file(job: Job) -> str:
    """The run's settings; numbers that the program chose are written out."""
    if not can_be_written(job):
        raise UserError(
            "recipe.no_xtuner_counterpart",
            "XTuner has no such kind of run; fine-tuning, DPO, ORPO and continued pre-training can be written.",
            status=409,
        )
    return _Config(job).text()


class _Config:
    def __init__(self, job: Job) -> None:
        self.job, self.values = job, settings_of(job)
        self.kind = job.kind
        self.loss = LOSSES[str(self.values.get("loss", "dpo"))] if job.kind == "preference" else ""
        method = str((job.result or {}).get("method") or self.values.get("method") or "full")
        self.bits, self.adapted = method == "qlora", method in {"lora", "qlora", "auto"}
        self.prompts = list(self.values.get("sample_prompts") or job.spec.get("sample_prompts") or [])
        self.schedule = str(self.values.get("optimisation.schedule", "cosine"))
        self.warms_up = self.values.get("optimisation.warmup_fraction", 0.03) > 0  # MMEngine refuses a stretch of nothing
        self.optimiser = OPTIMISERS[str(self.values.get("optimisation.optimizer", "adamw"))]
        self.half = self.values.get("optimisation.precision") != "float32"
        self.notes: list[str] = []
        self.asked = self._asked()

    def text(self) -> str:
        settings = self._settings()
        assigned = "\n".join(f"{name} = {value}" for name, value in settings.items())
        parts = (self._imports(), assigned, self._model(), self._data(), self._learning(), self._hooks())
        return "\n\n".join((self._head(), *(part for part in parts if part))) + "\n"

    # The top

    def _head(self) -> str:
        file = f"run-{self.job.pk}.py"
        rows = {"sft": "messages", "pretrain": "text", "preference": "prompt, chosen and rejected, each a list of messages"}
        lines = [
            f"{self.kind} run {self.job.pk}. Start: xtuner train {file}",
            f"Each of data_files has one JSON object a line, with {rows[self.kind]}.",
            *self.notes,
        ]
        written = WRITTEN | ({"optimisation.micro_batch_tokens"} if self.loss else set())
        if left := left_out(self.job, self.kind, written | ({"label_smoothing"} if self.loss == "DPO" else set())):
            lines.append("Without a counterpart in XTuner's file:")
            lines += [f"- {path}: {value}" + (f" ({ADVICE[path]})" if path in ADVICE else "") for path, value in left.items()]
        return "\n".join(f"# {line}" for line in lines)

    def _settings(self) -> dict[str, str]:
        values, job = self.values, self.job
        length = int(values.get("sequence_length") or values.get("max_length") or 2048)
        names = datasets_of(job)
        found: dict[str, Any] = {
            "pretrained_model_name_or_path": origin_of(job),
            "work_dir": f"./work_dirs/{folder_name(job)}",
            "use_varlen_attn": True,
            "data_files": [f"{name}.jsonl" for name in names],
            "max_length": length,
            **self._step(length),
            "dataloader_num_workers": 0,
            "max_epochs": values.get("epochs") or self._left_open("max_epochs", 1),
            "lr": values.get("optimisation.learning_rate") or self._left_open("lr", 2e-4 if self.adapted else 2e-5),
            "weight_decay": values.get("optimisation.weight_decay", 0.0),
            "max_norm": values.get("optimisation.clip_norm", 1.0),
            "warmup_ratio": values.get("optimisation.warmup_fraction", 0.03),
            "save_total_limit": values.get("saving.keep", 2),
            "seed": values.get("seed", 0),
        }
        if self.loss:
            found["loss_beta"] = values.get("beta") or 0.1
        if self.loss == "DPO":
            found |= {"dpo_loss_type": "sigmoid", "label_smoothing": values.get("label_smoothing", 0.0)}
        found |= self.asked
        written = {name: repr(value) for name, value in found.items()}
        if self.kind == "sft" or self.prompts:
            written["prompt_template"] = f"PROMPT_TEMPLATE.{self._template()}"
        return written | {"optim_type": self.optimiser[1]}

    def _asked(self) -> dict[str, Any]:
        """Settings that are written only where they were set."""
        values, found = self.values, dict[str, Any]()
        if steps := values.get("saving.every_steps"):
            found["save_steps"] = steps
        if steps := values.get("saving.evaluate_every_steps"):
            found["evaluation_freq"] = steps
        if self.prompts:
            found["evaluation_inputs"] = self.prompts
        if system := values.get("system_prompt"):
            found["SYSTEM"] = system
            self.notes.append("SYSTEM is used for the answers during the run; put it into the rows to train with it.")
        if values.get("optimisation.compile") == "on":
            found["compile"] = True
        return found

    def _step(self, length: int) -> dict[str, Any]:
        """Rows packed to `length` tokens (pairs: to those of a pass), and how many of them make a step."""
        step = int(self.values.get("optimisation.tokens_per_step") or 0)
        once = length
        if self.loss:
            once = max(int(self.values.get("optimisation.micro_batch_tokens") or 0), 2 * length)
        count = max(1, round(step / once)) if step else 16
        if not step:
            self._left_open("accumulative_counts", count)
        elif count * once != step:
            self.notes.append(f"A step has {count * once} tokens here; it had {step}.")
        packed = {"max_packed_length": once} if self.loss else {"pack_to_max_length": True}
        return {**packed, "batch_size": 1, "accumulative_counts": count}

    def _left_open(self, name: str, value: float) -> float:
        self.notes.append(f"{name} was left open; choose it.")
        return value

    def _template(self) -> str:
        model = Model.objects.filter(workspace=self.job.workspace_id, pk=self.job.spec.get("base_model")).first()
        found = template_text(model) if model is not None else {}
        if "<|im_start|>" in str(found.get("source", "")):
            return "internlm2_chat"  # ChatML
        self.notes.append("The model's own chat template has no name in XTuner; choose the prompt_template that is like it.")
        return "default"

    # The calls

    def _imports(self) -> str:
        module, name = self.optimiser
        lines = ["import torch"] if self.half and self.adapted else []
        lines += ["from datasets import load_dataset"] if self.kind in TEXTS else []
        wrapper = "AmpOptimWrapper" if self.half else "OptimWrapper"
        schedules = ["CosineAnnealingLR"] if self.schedule == "cosine" else []
        schedules += ["LinearLR"] if self.warms_up or self.schedule == "linear" else []
        lines += [
            "from mmengine.dataset import DefaultSampler",
            "from mmengine.hooks import CheckpointHook, DistSamplerSeedHook, IterTimerHook, LoggerHook, ParamSchedulerHook",
            f"from mmengine.optim import {', '.join([wrapper, *schedules])}",
        ]
        lines += ["from peft import LoraConfig"] if self.adapted else []
        lines.append(f"from {module} import {name}")
        hooks = "EvaluateChatHook, VarlenAttnArgsToMessageHubHook" if self.prompts else "VarlenAttnArgsToMessageHubHook"
        more = ", BitsAndBytesConfig" if self.bits else ""
        lines += [
            f"from transformers import AutoModelForCausalLM, AutoTokenizer{more}",
            *self._imports_of_data(),
            f"from xtuner.engine.hooks import {hooks}",
            "from xtuner.engine.runner import TrainLoop",
        ]
        return "\n".join(lines)

    def _imports_of_data(self) -> list[str]:
        if self.loss:
            lines = [
                "from xtuner.dataset.collate_fns.preference_collate_fn import preference_collate_fn",
                "from xtuner.dataset.preference_dataset import build_preference_dataset, load_jsonl_dataset",
                f"from xtuner.model.{self.loss.lower()} import {self.loss}",
            ]
        else:
            maps = "openai_map_fn, template_map_fn_factory" if self.kind == "sft" else "pretrain_map_fn"
            lines = [
                "from xtuner.dataset import process_hf_dataset",
                "from xtuner.dataset.collate_fns import default_collate_fn",
                f"from xtuner.dataset.map_fns import {maps}",
                "from xtuner.model import SupervisedFinetune",
            ]
        return lines + (["from xtuner.utils import PROMPT_TEMPLATE"] if self.kind == "sft" or self.prompts else [])

    def _model(self) -> str:
        dtype = "torch.bfloat16" if self.half else "'float32'"
        llm = ["type=AutoModelForCausalLM.from_pretrained", "pretrained_model_name_or_path=pretrained_model_name_or_path"]
        if self.adapted and self.half:
            llm.append(f"torch_dtype={dtype}")
        if self.bits:
            compute = f"bnb_4bit_compute_dtype={dtype}"
            llm.append(
                "quantization_config=dict(type=BitsAndBytesConfig, load_in_4bit=True, bnb_4bit_quant_type='nf4', "
                f"bnb_4bit_use_double_quant=True, {compute})"
            )
        given = [f"type={self.loss or 'SupervisedFinetune'}", "use_varlen_attn=use_varlen_attn", f"llm={_call(llm, 2)}"]
        given += ["beta=loss_beta"] if self.loss else []
        given += ["loss_type=dpo_loss_type", "label_smoothing=label_smoothing"] if self.loss == "DPO" else []
        given += [f"lora={_call(self._lora(), 2)}"] if self.adapted else []
        if (asked := self.values.get("optimisation.gradient_checkpointing")) in {"on", "off"}:
            given.append(f"use_activation_checkpointing={asked == 'on'}")
        tokenizer = ["type=AutoTokenizer.from_pretrained", llm[1], "padding_side='right'"]
        return f"tokenizer = {_call(tokenizer)}\n\nmodel = {_call(given)}"

    def _lora(self) -> list[str]:
        values = self.values
        rank = values.get("lora.rank", 16)
        found: dict[str, Any] = {
            "r": rank,
            "lora_alpha": values.get("lora.alpha") or 2 * rank,
            "lora_dropout": values.get("lora.dropout", 0.0),
            "bias": "none",
            "task_type": "CAUSAL_LM",
        }
        if targets := values.get("lora.targets"):
            found["target_modules"] = list(targets)
        more = {"rslora": ("use_rslora", True), "dora": ("use_dora", True), "pissa": ("init_lora_weights", "pissa")}
        if (variant := str(values.get("lora.variant"))) in more:
            found |= [more[variant]]
        return ["type=LoraConfig", *(f"{name}={value!r}" for name, value in found.items())]

    def _data(self) -> str:
        same = ["tokenizer=tokenizer", "max_length=max_length", "use_varlen_attn=use_varlen_attn", "shuffle_before_pack=True"]
        if self.loss:
            rows = [
                "type=build_preference_dataset",
                "dataset=dict(type=load_jsonl_dataset, data_files=data_files)",
                *same,
                "dataset_map_fn=None",
                "is_dpo=True",
                "is_reward=False",
                "max_packed_length=max_packed_length",
            ]
        else:
            sft = self.kind == "sft"
            template = "dict(type=template_map_fn_factory, template=prompt_template)" if sft else "None"
            rows = [
                "type=process_hf_dataset",
                "dataset=dict(type=load_dataset, path='json', data_files=data_files)",
                *same,
                f"dataset_map_fn={'openai_map_fn' if sft else 'pretrain_map_fn'}",
                f"template_map_fn={template}",
                "remove_unused_columns=True",
                "pack_to_max_length=pack_to_max_length",
            ]
        collate = "preference_collate_fn" if self.loss else "default_collate_fn"
        loader = [
            "batch_size=batch_size",
            "num_workers=dataloader_num_workers",
            "dataset=train_dataset",
            "sampler=dict(type=DefaultSampler, shuffle=True)",
            f"collate_fn=dict(type={collate}, use_varlen_attn=use_varlen_attn)",
        ]
        return f"train_dataset = {_call(rows)}\n\ntrain_dataloader = {_call(loader)}"

    def _learning(self) -> str:
        rates = "lr=lr, relative_step=False, scale_parameter=False" if self.optimiser[1] == "Adafactor" else "lr=lr"
        wrapper = [
            f"type={'AmpOptimWrapper' if self.half else 'OptimWrapper'}",
            f"optimizer=dict(type=optim_type, {rates}, weight_decay=weight_decay)",
            "clip_grad=dict(max_norm=max_norm, error_if_nonfinite=False)",
            "accumulative_counts=accumulative_counts",
        ]
        wrapper += ["loss_scale='dynamic'", "dtype='bfloat16'"] if self.half else []
        schedule = [part for part in (WARM_UP if self.warms_up else "", FALLS[self.schedule].format(rest=REST)) if part]
        lines = "".join(f"    {part},\n" for part in schedule)
        return (
            f"optim_wrapper = {_call(wrapper)}\n\nparam_scheduler = [\n{lines}]\n\n"
            "train_cfg = dict(type=TrainLoop, max_epochs=max_epochs)"
        )

    def _hooks(self) -> str:
        asked = self.asked
        hooks = ["dict(type=VarlenAttnArgsToMessageHubHook)"]
        if self.prompts:
            every = "evaluation_freq" if "evaluation_freq" in asked else "100"
            system = ", system=SYSTEM" if "SYSTEM" in asked else ""
            hooks.append(
                f"dict(type=EvaluateChatHook, tokenizer=tokenizer, every_n_iters={every}, "
                f"evaluation_inputs=evaluation_inputs, prompt_template=prompt_template{system})"
            )
        every = "save_steps" if "save_steps" in asked else "500"
        defaults = [
            "timer=dict(type=IterTimerHook)",
            "logger=dict(type=LoggerHook, log_metric_by_epoch=False, interval=10)",
            "param_scheduler=dict(type=ParamSchedulerHook)",
            f"checkpoint=dict(type=CheckpointHook, by_epoch=False, interval={every}, max_keep_ckpts=save_total_limit)",
            "sampler_seed=dict(type=DistSamplerSeedHook)",
        ]
        lines = "".join(f"    {hook},\n" for hook in hooks)
        return (
            f"custom_hooks = [\n{lines}]\n\ndefault_hooks = {_call(defaults)}\n\n"
            "randomness = dict(seed=seed, deterministic=False)\nlog_processor = dict(by_epoch=False)"
        )


def _call(arguments: list[str], depth: int = 1) -> str:
    """`dict(…)` with one argument a line."""
    inner, outer = "    " * depth, "    " * (depth - 1)
    return "dict(\n" + "".join(f"{inner}{argument},\n" for argument in arguments) + f"{outer})"
