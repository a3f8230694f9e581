"""TRL's SFTTrainer as one side. What the task fixes is set; everything else is TRL's default or what `settings` says."""

from pathlib import Path
from typing import Any

from turns import Turns, task, watched


def adapter_of(given: dict[str, Any]) -> Any:
    from peft import LoraConfig

    if given["method"] == "full":
        return None
    return LoraConfig(r=given["rank"], lora_alpha=given["alpha"], target_modules="all-linear", task_type="CAUSAL_LM")


def main() -> None:
    import torch
    from datasets import Dataset
    from peft import set_peft_model_state_dict
    from safetensors.torch import load_file
    from transformers import BitsAndBytesConfig
    from trl import SFTConfig, SFTTrainer

    given, turns = task(), Turns()
    files = Path(given["files"])
    fixed = {
        "per_device_train_batch_size": given["batch"],
        "max_steps": given["steps"],
        "learning_rate": given["rate"],
        "lr_scheduler_type": "constant",
        "adam_beta2": given["beta2"],
        "assistant_only_loss": True,
        "shuffle_dataset": False,
        "train_sampling_strategy": "sequential",
    }
    quiet = {"output_dir": given["out"], "report_to": "none", "disable_tqdm": True, "save_strategy": "no", "use_cpu": True}
    four_bits = None
    if given["method"] == "qlora":
        four_bits = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=torch.bfloat16,
        )
    trainer = SFTTrainer(
        model=str(files / "base"),
        args=SFTConfig(**{**fixed, **quiet, **given["settings"]}),
        train_dataset=Dataset.from_json(str(files / "train.jsonl"), cache_dir=given["cache"]),
        peft_config=adapter_of(given),
        quantization_config=four_bits,
        callbacks=[watched(SFTTrainer, turns, given["steps"])],
    )
    if given["method"] != "full":
        set_peft_model_state_dict(trainer.model, load_file(files / "adapter" / "adapter_model.safetensors"))
    trainer.train()
    trainer.save_model(given["out"])
    turns.say(saved=given["out"])


if __name__ == "__main__":
    main()
