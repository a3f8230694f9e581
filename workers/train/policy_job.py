"""What runs over a policy (preferences, rewards, reinforcement) do alike: open the base, read the records, save the result."""

from collections.abc import Sequence
from typing import Any

from transformers import PreTrainedModel

from workers.data import token_identity
from workers.data.records import read_records
from workers.data.templates import ChatTemplate
from workers.spec.record import Record
from workers.train.examples import Dropped
from workers.train.inputs import datasets_of, open_template
from workers.train.loop import Loop
from workers.train.network import Network
from workers.train.policy import Policy
from workers.train.session import Session


class PolicyJob:
    """A method brings its own `prepare` (which begins with `open`), `longest` and `loop`."""

    template: ChatTemplate
    network: Network

    def __init__(self, session: Session, spec: Any) -> None:
        self.session, self.spec, self.program = session, spec, session.program
        self.dropped = Dropped()
        self.choices: dict[str, Any] = {}
        self.identity: dict[str, Any] = {}

    def open(self) -> PreTrainedModel:
        """The base model; sets `template`, `policy` and `choices`."""
        self.program.phase("loading")
        self.template = open_template(self.program.run.model("base_model"))
        self.policy = Policy(self.session, self.spec.lora, self.template)
        core = self.policy.open_base()
        self.choices = self.policy.choose(core)
        return core

    def records(self) -> list[Record]:
        return [record for item in datasets_of(self.program.run) for record in read_records(item.path)]

    def prove_identity(self, conversations: Sequence[token_identity.Conversation]) -> None:
        """Answers are learnt after the very tokens that serving asks with, or the run stops (N3)."""
        self.identity = token_identity.prove(self.template, conversations)
        self.program.sample("identity", **self.identity)

    def finish(self, loop: Loop, objective: str, examples: int, held_out: int) -> dict[str, Any]:
        """Save the policy; `objective` names what was learnt."""
        self.program.phase("saving")
        folder = self.policy.save()
        return self.session.result(
            loop,
            method=self.choices["method"],
            folder=folder,
            template=self.template,
            objective=objective,
            examples=examples,
            held_out_examples=held_out,
            dropped=dict(self.dropped.counts),
            **({"token_identity": self.identity} if self.identity else {}),
        )
