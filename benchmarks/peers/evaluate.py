"""The loss of every side's result on the same held-out conversations, by one program and in f32."""

import json
import sys
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))


def rounded_to_four_bits(model: Any) -> None:
    """Give the blocks' linear layers the values that nf4 with double quantisation leaves of them, as every QLoRA side does."""
    from workers.train.quantise import load_library

    library = load_library().functional
    for name, layer in model.named_modules():
        if isinstance(layer, torch.nn.Linear) and name != "lm_head":
            small, state = library.quantize_4bit(layer.weight.data, quant_type="nf4", compress_statistics=True)
            layer.weight.data = library.dequantize_4bit(small, state).float()


def open_result(files: Path, saved: str, method: str) -> Any:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    whole = method == "full" and saved
    model = AutoModelForCausalLM.from_pretrained(saved if whole else files / "base", dtype=torch.float32, local_files_only=True)
    if method == "qlora":
        rounded_to_four_bits(model)
    if method != "full" and saved:
        model = PeftModel.from_pretrained(model, saved).merge_and_unload()
    return model.eval()


def loss_of(model: Any, encoded: list[Any]) -> float:
    """Mean over all answers' tokens; each conversation alone, through the model's own forward pass."""
    total, count = 0.0, 0
    for item in encoded:
        ids, mask = torch.tensor([item.token_ids]), torch.tensor(item.train_mask[1:])
        with torch.no_grad():
            hidden = model.base_model(input_ids=ids, use_cache=False).last_hidden_state[0, :-1][mask]
            wanted = ids[0, 1:][mask]
            total += float(torch.nn.functional.cross_entropy(model.lm_head(hidden).float(), wanted, reduction="sum"))
        count += len(wanted)
    return total / count


def main() -> None:
    from workers.data.templates import load_template

    files, method, results = Path(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3])
    torch.set_num_threads(int(sys.argv[4]))
    template = load_template(files / "base")
    rows = [json.loads(line) for line in (files / "held_out.jsonl").read_text(encoding="utf-8").splitlines()]
    encoded = [template.encode(row["messages"]) for row in rows]
    found = {name: loss_of(open_result(files, saved, method), encoded) for name, saved in {"base": "", **results}.items()}
    print(json.dumps({name: round(loss, 4) for name, loss in found.items()}))


if __name__ == "__main__":
    main()
