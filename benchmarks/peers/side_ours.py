"""This project's own program as one side, with the settings that it chooses itself where the task fixes none."""

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))
import numpy as np
from turns import Turns, task


class InOrder:
    """Stands for the loop's own plan: the same conversations in the same steps as on the other sides."""

    def __init__(self, batch: int) -> None:
        self._batch = batch

    def units_of(self, step: int) -> np.ndarray:
        return np.arange(self._batch * step, self._batch * (step + 1))


def open_job(given: dict[str, Any]) -> Any:
    from workers.program import Program
    from workers.spec.run import RunFile
    from workers.spec.train import SftSpec
    from workers.train.machine import set_manners

    run = run_file(given, RunFile)
    set_manners(run)  # before torch is imported
    from workers.train.session import Session
    from workers.train.sft import SftJob

    class Job(SftJob):
        def _examine_base(self, network: Any, first: Any) -> list[int]:
            """No other side would train the embeddings of tokens that the base never learnt, so this one does not either."""
            super()._examine_base(network, first)
            return []

    settings = SftSpec.model_validate(run.spec)
    return Job(Session(Program(run), settings), settings)


def run_file(given: dict[str, Any], kind: Any) -> Any:
    """What a worker would give the program."""
    optimisation = {"tokens_per_step": given["tokens_per_step"], "learning_rate": given["rate"]}
    optimisation |= {"schedule": "constant", "warmup_fraction": 0.0, **given["settings"]}
    spec = {"name": "bench", "base_model": 1, "datasets": [1], "epochs": 1, "held_out_fraction": 0}
    spec |= {"method": given["method"], "lora": {"rank": given["rank"], "alpha": given["alpha"]}, "optimisation": optimisation}
    files, facts = Path(given["files"]), {"id": 1, "name": "bench"}
    inputs = {
        "dataset": {**facts, "kind": "dataset", "path": str(files / "train.jsonl"), "sha256": "0", "count": 1},
        "base_model": {**facts, "kind": "model", "path": str(files / "base")},
    }
    places = {"run_dir": given["out"], "output_dir": given["out"] + "/out", "threads": given["threads"]}
    return kind.model_validate({"job": 1, "kind": "sft", "spec": spec, "inputs": inputs, **places})


def main() -> None:
    from peft import set_peft_model_state_dict
    from safetensors.torch import load_file
    from turns import facts

    given, turns = task(), Turns()
    job = open_job(given)
    job.prepare()
    if given["method"] != "full":
        state = load_file(Path(given["files"]) / "adapter" / "adapter_model.safetensors")
        set_peft_model_state_dict(job.policy.adapted, state)
    job.session.shape(job.network, job.choices, job.longest)
    loop = job.loop()
    loop.plan = InOrder(given["batch"])
    turns.say(**facts(job.network.core), precision=job.network.precision)
    for step in range(given["steps"]):
        tokens, learnt = loop.count.tokens, loop.count.supervised_tokens
        turns.wait()
        loop.step()
        tokens, learnt = loop.count.tokens - tokens, loop.count.supervised_tokens - learnt
        turns.done(tokens=tokens, processed=tokens, learnt=learnt, loss=loop.count.final_loss, step=step)
    job.save(loop)
    turns.say(saved=str(Path(given["out"]) / "out" / ("model" if given["method"] == "full" else "adapter")))


if __name__ == "__main__":
    main()
