"""Models: import, rename, delete, export; who may do what (S1.2)."""

import shutil
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.webapp.registry.conftest import Run
from tests.workers.models.tiny import write_adapter, write_model
from webapp.accounts.models import User, Workspace
from webapp.core.errors import NotFound, UserError
from webapp.datasets.models import DatasetVersion
from webapp.jobs import paths
from webapp.jobs.models import Job, State
from webapp.jobs.services import clone_job
from webapp.registry import lineage, registering, services
from webapp.registry.inputs import model_input
from webapp.registry.models import Model, ModelKind, ModelState
from webapp.registry.registering import register_model


def refusal(**arguments: Any) -> UserError:
    with pytest.raises(UserError) as caught:
        services.import_model(**arguments)
    return caught.value


@pytest.fixture
def source(data_folder: Path) -> Path:
    return write_model(data_folder / "imports" / "little")


@pytest.mark.django_db(transaction=True)
def test_import_of_a_folder_makes_a_ready_model(alice: User, workspace: Workspace, source: Path, run_job: Run) -> None:
    (source / "README.md").write_text("---\nlicense: mit\nlanguage: [zh, en]\n---\n")
    row = services.import_model(user=alice, slug="academy", folder="little")
    assert (row.state, row.name) == (ModelState.BUILDING, "little")
    job = run_job(row.job)  # type: ignore[arg-type]
    assert job.state == State.DONE, (job.error_template, job.error_params)
    row.refresh_from_db()
    assert row.state == ModelState.READY
    assert (row.licence, row.languages, row.context_length) == ("mit", ["zh", "en"], 256)
    assert (Path(str(registering.settings.DATA_DIR)) / row.path / "model.safetensors").is_file()
    assert model_input(row).path is not None


@pytest.mark.django_db(transaction=True)
def test_failed_import_says_why_and_can_be_retried(alice: User, workspace: Workspace, source: Path, run_job: Run) -> None:
    weights = source / "model.safetensors"
    weights.rename(source / "pytorch_model.bin")
    row = services.import_model(user=alice, slug="academy", folder="little")
    job = run_job(row.job)  # type: ignore[arg-type]
    row.refresh_from_db()
    assert (job.state, row.state, row.error["code"]) == (State.FAILED, ModelState.FAILED, "model.pickle_refused")
    (source / "pytorch_model.bin").rename(weights)
    clone = run_job(clone_job(user=alice, job_id=job.pk))
    row.refresh_from_db()
    assert (clone.state, row.state) == (State.DONE, ModelState.READY)
    again = run_job(clone_job(user=alice, job_id=job.pk))
    assert again.state == State.DONE
    assert set(Model.objects.values_list("name", flat=True)) == {"little", "little 2"}


@pytest.mark.parametrize("folder", ["../../etc", "/etc", "little/../..", "nothing", "", "~", "\0"])
def test_import_takes_no_folder_outside_the_allowed_ones(alice: User, workspace: Workspace, source: Path, folder: str) -> None:
    if folder == "\0":
        folder = "lit\0tle"
    assert refusal(user=alice, slug="academy", folder=folder).code in {"model.folder_not_allowed", "model.no_source"}
    assert not Model.objects.exists()


def test_import_follows_no_link_out(alice: User, workspace: Workspace, source: Path, tmp_path: Path) -> None:
    outside = write_model(tmp_path / "outside")
    (source.parent / "link").symlink_to(outside)
    assert refusal(user=alice, slug="academy", folder="link").code == "model.folder_not_allowed"


def test_import_takes_folders_that_the_operator_allows(alice: User, workspace: Workspace, tmp_path: Path, settings: Any) -> None:
    write_model(tmp_path / "shelf" / "big")
    settings.MODEL_FOLDERS = [str(tmp_path / "shelf")]
    assert str(tmp_path / "shelf" / "big") in services.importable_folders()
    assert services.import_model(user=alice, slug="academy", folder=str(tmp_path / "shelf" / "big")).name == "big"


def test_import_once_per_idempotency_key(alice: User, workspace: Workspace, source: Path) -> None:
    first = services.import_model(user=alice, slug="academy", folder="little", idempotency_key="k")
    assert services.import_model(user=alice, slug="academy", folder="little", idempotency_key="k") == first
    assert Job.objects.count() == 1


def test_names_are_one_per_workspace(alice: User, workspace: Workspace, tiny: Model, source: Path) -> None:
    assert refusal(user=alice, slug="academy", folder="little", name="Tiny").code == "model.name_taken"
    assert refusal(user=alice, slug="academy", folder="little", name="x" * 121).code == "model.long_name"
    assert registering.free_name(workspace, "Tiny") == "Tiny 2"


def test_annotators_and_strangers_may_not_import(bob: User, charlie: User, workspace: Workspace, source: Path) -> None:
    assert refusal(user=bob, slug="academy", folder="little").code == "access.role_too_low"
    with pytest.raises(NotFound):
        services.import_model(user=charlie, slug="academy", folder="little")


def test_register_model_repeats_without_a_second_row(workspace: Workspace, alice: User, tmp_path: Path, tiny: Model) -> None:
    job = Job.objects.create(workspace=workspace, kind="sft", name="run", spec={}, spec_hash="")
    folder = write_model(tmp_path / "out")
    known: dict[str, Any] = {"workspace": workspace, "name": "Tuned", "kind": ModelKind.TUNED, "base": tiny, "job": job}
    half = Model.objects.create(workspace=workspace, name="Tuned", family="", kind=ModelKind.TUNED, job=job, base=tiny)
    first = register_model(folder=folder, **known)
    shutil.rmtree(folder)
    assert first == half
    assert first.family == tiny.family
    assert (Path(str(registering.settings.DATA_DIR)) / first.path / "config.json").is_file()


def test_sampling_of_a_folder_is_on_the_card_and_passes_to_descendants(workspace: Workspace, alice: User, tmp_path: Path) -> None:
    folder = write_model(tmp_path / "out")
    made: dict[str, Any] = {"workspace": workspace, "folder": folder, "created_by": alice}
    (folder / "generation_config.json").write_text('{"do_sample": true, "temperature": 0.6, "top_p": 7}')
    assert "generation" not in register_model(name="Odd", kind=ModelKind.BASE, **made).card
    (folder / "generation_config.json").write_text('{"do_sample": true, "temperature": 0.6, "top_k": 20}')
    base = register_model(name="Base", kind=ModelKind.BASE, **made)
    assert base.card["generation"] == {"temperature": 0.6}
    (folder / "generation_config.json").write_text('{"do_sample": false, "temperature": 0.6}')
    assert register_model(name="Greedy", kind=ModelKind.BASE, **made).card["generation"] == {"temperature": 0.0}
    (folder / "generation_config.json").unlink()
    assert register_model(name="Child", kind=ModelKind.TUNED, base=base, **made).card["generation"] == {"temperature": 0.6}


def test_update_and_delete(alice: User, tiny: Model) -> None:
    changed = services.update_model(user=alice, model_id=tiny.pk, name=" New  name ", languages=["zh", " "], licence="MIT")
    assert (changed.name, changed.languages, changed.licence) == ("New name", ["zh"], "MIT")
    folder = Path(str(registering.settings.DATA_DIR)) / tiny.path
    assert folder.is_dir()
    services.delete_model(user=alice, model_id=tiny.pk)
    assert not folder.exists()
    assert not Model.objects.exists()


def test_a_used_model_is_protected(alice: User, workspace: Workspace, tiny: Model, tmp_path: Path) -> None:
    adapter = register_model(
        workspace=workspace, name="Lora", kind=ModelKind.ADAPTER, folder=write_adapter(tmp_path / "lora"), base=tiny
    )
    with pytest.raises(UserError, match="Lora") as caught:
        services.delete_model(user=alice, model_id=tiny.pk)
    assert (caught.value.code, caught.value.status) == ("model.in_use", 409)
    job = Job.objects.create(workspace=workspace, kind="sft", name="Night run", spec={"base_model": adapter.pk}, spec_hash="")
    with pytest.raises(UserError, match="Night run"):
        services.delete_model(user=alice, model_id=adapter.pk)
    job.delete()
    services.delete_model(user=alice, model_id=adapter.pk)
    services.delete_model(user=alice, model_id=tiny.pk)


def test_adapter_input_names_base_and_adapter(workspace: Workspace, tiny: Model, tmp_path: Path) -> None:
    adapter = register_model(
        workspace=workspace, name="Lora", kind=ModelKind.ADAPTER, folder=write_adapter(tmp_path / "lora"), base=tiny
    )
    given = model_input(adapter)
    assert given.path == Path(str(registering.settings.DATA_DIR)) / tiny.path
    assert given.adapter_path == Path(str(registering.settings.DATA_DIR)) / adapter.path
    assert (adapter.architecture, adapter.context_length) == (tiny.architecture, tiny.context_length)


def test_an_adapter_with_a_tokenizer_of_its_own_keeps_it(workspace: Workspace, tiny: Model, tmp_path: Path) -> None:
    """N3: what it was trained with is what its jobs are told, not its base's."""
    folder = write_adapter(tmp_path / "lora")
    write_model(tmp_path / "other", vocabulary=290)
    shutil.copyfile(tmp_path / "other" / "tokenizer.json", folder / "tokenizer.json")
    own = register_model(workspace=workspace, name="Own", kind=ModelKind.ADAPTER, folder=folder, base=tiny)
    plain = write_adapter(tmp_path / "plain")
    bare = register_model(workspace=workspace, name="Bare", kind=ModelKind.ADAPTER, folder=plain, base=tiny)
    assert bare.template_hash == tiny.template_hash == model_input(bare).template_hash
    assert own.template_hash not in {"", tiny.template_hash}
    assert model_input(own).template_hash == own.template_hash


def test_the_base_of_an_imported_adapter_can_be_named(alice: User, workspace: Workspace, tiny: Model, tmp_path: Path) -> None:
    folder = write_adapter(tmp_path / "lora")
    adapter = register_model(workspace=workspace, name="Lora", kind=ModelKind.ADAPTER, folder=folder)
    with pytest.raises(UserError, match="lies on no full model"):
        model_input(adapter)
    adapter = services.update_model(user=alice, model_id=adapter.pk, base_id=tiny.pk)
    assert (adapter.base, adapter.context_length) == (tiny, tiny.context_length)
    assert model_input(adapter).adapter_path is not None
    with pytest.raises(UserError, match="Only the base of a LoRA adapter"):
        services.update_model(user=alice, model_id=tiny.pk, base_id=adapter.pk)


def test_lineage_goes_both_ways(workspace: Workspace, tiny: Model, conversations: DatasetVersion, tmp_path: Path) -> None:
    job = Job.objects.create(workspace=workspace, kind="sft", name="run", spec={}, spec_hash="")
    tuned = register_model(
        workspace=workspace,
        name="Tuned",
        kind=ModelKind.TUNED,
        folder=write_model(tmp_path / "out"),
        base=tiny,
        job=job,
        datasets=[conversations],
    )
    generations = lineage.ancestors(tuned)
    assert [[node.kind for node in generation] for generation in generations] == [["base", "dataset", "job"]]
    lineage.register_descendants("test", lambda model: [lineage.Node("deployment", f"of {model}", "/x", holds=True)])
    try:
        assert [node.name for node in lineage.descendants(tiny)] == ["Tuned", "of Tiny"]
        with pytest.raises(UserError, match="of Tuned"):
            lineage.require_unused(tuned)
    finally:
        lineage._hooks.pop("test")


@pytest.mark.django_db(transaction=True)
def test_export_makes_a_zip_with_the_card(alice: User, tiny: Model, run_job: Run) -> None:
    job = run_job(services.export_model(user=alice, model_id=tiny.pk))
    assert job.state == State.DONE, (job.error_template, job.error_params)
    assert job.result is not None
    with zipfile.ZipFile(paths.output_dir(job.pk) / job.result["file"]) as archive:
        assert "Tiny/model.safetensors" in archive.namelist()
        assert b'"weights_sha256"' in archive.read("Tiny/card.json")


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_merge_registers_a_full_model(alice: User, workspace: Workspace, tiny: Model, tmp_path: Path, run_job: Run) -> None:
    adapter = register_model(
        workspace=workspace, name="Lora", kind=ModelKind.ADAPTER, folder=write_adapter(tmp_path / "lora"), base=tiny
    )
    job = run_job(services.merge_model(user=alice, model_id=adapter.pk))
    assert job.state == State.DONE, (job.error_template, job.error_params)
    merged = Model.objects.get(job=job)
    assert (merged.kind, merged.base, merged.parameters) == (ModelKind.TUNED, adapter, tiny.parameters)
    with pytest.raises(UserError, match="which cannot be used here"):
        services.merge_model(user=alice, model_id=tiny.pk)
