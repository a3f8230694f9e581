"""N3: tokens that are learnt and tokens that are served are compared, recorded, and a difference stops the job."""

from pathlib import Path

import pytest

from tests.workers.data.families import FAMILIES
from tests.workers.data.tiny import byte_level_tokenizer, write_folder
from workers.data.templates import ChatTemplate, load_template
from workers.data.token_identity import fingerprint, prove, require_same, tokenizer_folder
from workers.spec.errors import UserError

TALK = [
    {"role": "user", "content": "Hello"},
    {"role": "assistant", "content": "Good day."},
    {"role": "user", "content": "And now?"},
    {"role": "assistant", "content": "Now it is noon."},
]


def built(folder: Path, change: tuple[str, str] = ("", "")) -> ChatTemplate:
    family = FAMILIES["chatml"]
    template = family.template.replace(*change) if change[0] else family.template
    return load_template(write_folder(folder, byte_level_tokenizer(family.special), template, **family.names))


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_is_asked_as_it_was_taught(name: str, tmp_path: Path) -> None:
    template = load_template(FAMILIES[name].build(tmp_path))
    found = prove(template, [(TALK, None), (TALK[:2], None), (TALK[:1], None)])
    assert found["conversations"] == 2, "one has no answer"
    assert found["tokens"] == sum(len(template.encode_prompt(TALK[:count])) for count in (1, 3))
    assert found["template_hash"] == template.hash
    assert found["fingerprint"] == fingerprint(template)
    require_same(template, name="x", template_hash=found["template_hash"], fingerprint_then=found["fingerprint"])


def test_answers_opened_in_two_ways_are_refused_with_both(tmp_path: Path) -> None:
    template = built(tmp_path, ("assistant\n", "assistant\n\n"))
    with pytest.raises(UserError, match="opens answers in two ways") as told:
        prove(template, [(TALK, None)])
    assert told.value.code == "template.trained_not_served"
    assert told.value.params["learnt"] != told.value.params["asked"]


def test_a_changed_template_is_not_served(tmp_path: Path) -> None:
    before, after = built(tmp_path / "a"), built(tmp_path / "b", ("assistant\n", "assistant: "))
    assert fingerprint(before) != fingerprint(after)
    with pytest.raises(UserError, match="not the one that was recorded"):
        require_same(after, name="Shop", template_hash=before.hash)
    with pytest.raises(UserError, match="other tokens than this version"):
        require_same(after, name="Shop", template_hash=after.hash, fingerprint_then=fingerprint(before))


def test_an_adapter_s_own_tokenizer_counts(tmp_path: Path) -> None:
    base, adapter = tmp_path / "base", tmp_path / "adapter"
    adapter.mkdir()
    assert tokenizer_folder(base, None) == base
    assert tokenizer_folder(base, adapter) == base
    (adapter / "tokenizer.json").write_text("{}")
    assert tokenizer_folder(base, adapter) == adapter
