"""LLaMA-Factory as one side: `run_exp` with the settings of its own examples (bf16 among them) and what the task fixes."""

import json
import shutil
from pathlib import Path
from typing import Any

from turns import Turns, task, watched

TAGS = {"role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "assistant"}


def write_data(given: dict[str, Any], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(Path(given["files"]) / "train.jsonl", folder / "train.jsonl")
    facts = {"file_name": "train.jsonl", "formatting": "sharegpt", "columns": {"messages": "messages"}, "tags": TAGS}
    (folder / "dataset_info.json").write_text(json.dumps({"bench": facts}), encoding="utf-8")


def main() -> None:
    from llamafactory.data.formatter import StringFormatter
    from llamafactory.data.template import register_template
    from llamafactory.train.sft.trainer import CustomSeq2SeqTrainer
    from llamafactory.train.tuner import run_exp

    given, turns = task(), Turns()
    files, data = Path(given["files"]), Path(given["out"]).with_suffix(".data")
    write_data(given, data)
    # The tokens and the mask of the base's own chat template.
    register_template(
        name="bench",
        format_user=StringFormatter(slots=["<|im_start|>user\n{{content}}<|im_end|>\n<|im_start|>assistant\n"]),
        format_assistant=StringFormatter(slots=["{{content}}<|im_end|>"]),
    )
    arguments: dict[str, Any] = {
        "model_name_or_path": str(files / "base"),
        "stage": "sft",
        "do_train": True,
        "finetuning_type": "full" if given["method"] == "full" else "lora",
        "dataset": "bench",
        "dataset_dir": str(data),
        "template": "bench",
        "cutoff_len": 2048,
        "overwrite_cache": True,
        "output_dir": given["out"],
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "use_cpu": True,
        "bf16": True,
        "per_device_train_batch_size": given["batch"],
        "max_steps": given["steps"],
        "learning_rate": given["rate"],
        "lr_scheduler_type": "constant",
        "adam_beta2": given["beta2"],
        "disable_shuffling": True,
    }
    if given["method"] != "full":
        # Continued from the adapter that all sides begin with; rank, strength and layers are in its config.
        arguments |= {"lora_rank": given["rank"], "lora_alpha": given["alpha"], "lora_target": "all"}
        arguments["adapter_name_or_path"] = str(files / "adapter")
    if given["method"] == "qlora":
        arguments |= {"quantization_bit": 4, "quantization_method": "bnb"}
    run_exp({**arguments, **given["settings"]}, callbacks=[watched(CustomSeq2SeqTrainer, turns, given["steps"])])
    turns.say(saved=given["out"])


if __name__ == "__main__":
    main()
