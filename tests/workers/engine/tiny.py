"""Tiny random models in Hugging Face folders, and a real engine process around one."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

TOKEN = "engine-token"
TEXT = [
    "The quick brown fox jumps over the lazy dog. Please tell me when my parcel arrives, thank you very much!",
    "书院是学习的地方。你好，请问我的包裹什么时候到？非常感谢你的帮助！🙂🚀",
    '{"name": "look_up", "arguments": {"order": 12345}} true false null',
    "0123456789 abcdefghijklmnopqrstuvwxyz ABCDEFGHIJKLMNOPQRSTUVWXYZ",
]
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
FAMILIES = {"llama": "Llama", "mistral": "Mistral", "qwen2": "Qwen2", "qwen3": "Qwen3", "gpt2": "GPT2"}


def write_tokenizer(folder: Path, size: int = 400) -> int:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(TEXT * 3, trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|im_end|>", pad_token="<|endoftext|>")
    fast.chat_template = TEMPLATE
    fast.save_pretrained(folder)
    return len(fast)


def write_model(folder: Path, family: str = "llama", *, dtype: torch.dtype = torch.float16, **config: Any) -> Path:
    """A random model whose weights are exact in float16, with a vocabulary of bytes and a few words."""
    torch.manual_seed(0)
    vocabulary = write_tokenizer(folder)
    sizes = {"hidden_size": 64, "intermediate_size": 160, "num_hidden_layers": 2, "num_attention_heads": 4}
    settings = {
        **({} if family == "gpt2" else sizes | {"num_key_value_heads": 2, "max_position_embeddings": 256}),
        **{"vocab_size": vocabulary, "bos_token_id": 0, "eos_token_id": 2, "pad_token_id": 0, "initializer_range": 0.1},
        **config,
    }
    name = FAMILIES[family]
    model = getattr(transformers, f"{name}ForCausalLM" if family != "gpt2" else "GPT2LMHeadModel")(
        getattr(transformers, f"{name}Config")(**settings)
    )
    for parameter_name, parameter in model.named_parameters():
        if "norm" in parameter_name or parameter_name.endswith("bias"):
            parameter.data += 0.1 * torch.randn_like(parameter)
    transformers.logging.disable_progress_bar()
    model.to(dtype).save_pretrained(folder)
    return folder


def load_reference(folder: Path) -> Any:
    """The same weights in transformers, float32: what every engine is compared with."""
    transformers.logging.disable_progress_bar()
    return transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


def greedy(model: Any, prompt: list[int], count: int) -> list[int]:
    with torch.no_grad():
        output = model.generate(
            torch.tensor([prompt]),
            attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
            max_new_tokens=count,
            do_sample=False,
            eos_token_id=None,
            pad_token_id=0,
        )
    return output[0, len(prompt) :].tolist()


def token_logprobs(model: Any, tokens: list[int]) -> torch.Tensor:
    """Log-probability of each token but the first."""
    with torch.no_grad():
        logprobs = model(torch.tensor([tokens])).logits[0, :-1].log_softmax(-1)
    return logprobs.gather(1, torch.tensor(tokens[1:])[:, None])[:, 0]


def write_run(folder: Path, model: Path, **spec: Any) -> Path:
    run = {
        "deployment": 1,
        "served_name": "tiny",
        "model_path": str(model),
        "adapter_path": spec.pop("adapter_path", None),
        "cache_dir": str(folder / "cache"),
        "ready_file": str(folder / "ready.json"),
        "error_file": str(folder / "error.json"),
        "generation": spec.pop("generation", {}),
        "spec": {"model": 1, "threads": 1, "kv_cache_mb": 16, **spec},
    }
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "engine.json"
    path.write_text(json.dumps(run), encoding="utf-8")
    return path


class EngineProcess:
    """`python -m workers.engine` as the serving worker starts it."""

    def __init__(self, folder: Path, model: Path, environment: dict[str, str] | None = None, **spec: Any) -> None:
        self.folder = folder
        path = write_run(folder, model, **spec)
        with (folder / "log.txt").open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "workers.engine", str(path)],
                env={**os.environ, "SHUYUAN_ENGINE_TOKEN": TOKEN, **(environment or {})},
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def wait_ready(self, seconds: float = 60) -> "EngineProcess":
        deadline = time.monotonic() + seconds
        while not (self.folder / "ready.json").exists():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"not ready: {self.output()}")
            time.sleep(0.02)
        return self

    @property
    def ready(self) -> dict[str, Any]:
        content = json.loads((self.folder / "ready.json").read_text(encoding="utf-8"))
        assert isinstance(content, dict)
        return content

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.ready['port']}"

    def http(self) -> httpx.Client:
        return httpx.Client(base_url=self.address, headers={"Authorization": f"Bearer {TOKEN}"}, timeout=60)

    def output(self) -> str:
        return (self.folder / "log.txt").read_text(encoding="utf-8", errors="replace")

    def stop(self) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(40)
