"""Prompts and answers as tokens or text: through the model's chat template, or as plain question and answer for base models."""

from collections.abc import Sequence

from workers.data.templates import ChatTemplate
from workers.evaluate.questions import Question
from workers.spec.record import Message

PLAIN_STOPS = ("\nQ:", "\n\n")
"""Where a base model's plain answer ends."""

_TAIL = 6


def plain_prompt(messages: Sequence[Message]) -> str:
    """`Q: …` and `A: …` in turn, after what the system says."""
    pieces = []
    for message in messages:
        if message.role == "system":
            pieces.append(f"{message.content}\n\n")
        elif message.role == "assistant":
            pieces.append(f"A: {message.content}\n\n")
        else:
            pieces.append(f"Q: {message.content}\n")
    return "".join(pieces) + "A:"


class Prompter:
    """Encodes the questions of one examination for one model."""

    def __init__(self, template: ChatTemplate, chat: bool) -> None:
        self.template = template
        self.chat = chat and not template.is_default
        self._answers: dict[tuple[str, tuple[int, ...]], tuple[int, ...]] = {}

    def text(self, question: Question) -> str:
        if self.chat:
            return self.template.render(question.messages, question.tools, add_generation_prompt=True)
        return plain_prompt(question.messages)

    def prompt(self, question: Question) -> list[int]:
        """Tokens that the model is asked with; plain text gets the beginning that the tokenizer itself puts before texts."""
        if self.chat:
            return self.template.encode_prompt(question.messages, question.tools)
        return self._plain_ids(self.text(question))

    def _plain_ids(self, text: str) -> list[int]:
        return list(self.template.tokenizer.encode(text, add_special_tokens=True).ids)

    def answer(self, question: Question, prompt: Sequence[int], answer: str) -> tuple[int, ...]:
        """Tokens of an answer after the prompt, with what ends it, so that «card» is not a part of «card_arrival».

        An answer's tokens depend on nothing but the prompt's last ones, so they are worked out once for each ending.
        """
        key = (answer, tuple(prompt[-_TAIL:]))
        if key not in self._answers:
            self._answers[key] = self._answer_after(question, prompt, answer)
        return self._answers[key]

    def _answer_after(self, question: Question, prompt: Sequence[int], answer: str) -> tuple[int, ...]:
        if self.chat:
            whole = self.template.encode([*question.messages, Message(role="assistant", content=answer)], question.tools)
            last = max((index + 1 for index, trained in enumerate(whole.train_mask) if trained), default=len(whole.token_ids))
            ids = whole.token_ids[:last]
        else:
            ids = self._without_closing(self._plain_ids(f"{self.text(question)} {answer}\n"))
        if ids[: len(prompt)] == list(prompt) and len(ids) > len(prompt):
            return tuple(ids[len(prompt) :])
        # The prompt's last tokens would join the answer's first ones, or a finished answer is shown after another beginning
        # than the one that serving asks with: the answer is scored after the tokens that are really asked with.
        end = self.template.end_of_turn_id if self.chat else None
        bare = self.template.encode_text(answer if self.chat else f" {answer}\n")
        return (*bare, end) if end is not None else tuple(bare)

    def _without_closing(self, ids: list[int]) -> list[int]:
        """Some tokenizers put an end token behind every text."""
        return ids[:-1] if ids and ids[-1] == self.template.eos_token_id else ids
