"""S6.3: a version becomes a cleaner one through the real job; funnel, examples, groups, downloads, access, both languages."""

import io
import json
import zipfile
from typing import Any

import pytest
from django.test import Client

from tests.webapp.datasets.uploading import import_file, post
from tests.workers.data.processing.test_documents import LETTER, PAGE, docx, pdf
from webapp.accounts.models import User, Workspace
from webapp.core.errors import UserError
from webapp.datasets import files, services
from webapp.datasets.models import DatasetVersion, VersionState
from webapp.datasets.processing import services as processing
from webapp.datasets.processing import spot_checks
from webapp.jobs.leases import ensure_slots
from webapp.jobs.models import Job, State
from webapp.jobs.running import run_next
from workers.spec.processing import Stages
from workers.spec.record import Facets, Record

STORY = "The old bridge over the river was built by the town a hundred years ago, and it still carries people every day."


def records() -> list[Record]:
    texts = [f"Question number {index}: how do I move {index * 7} coins to my other account?" for index in range(20)]
    texts += [STORY, STORY, STORY.replace("hundred", "hundred or so"), "写信到 wang@example.com 或者打电话 13812345678 给我。"]
    texts += ["What is the capital city of the country that lies to the north of the great lake?", "@@@@ #### $$$$ " * 12]
    return [Record(id=f"r{index}", text=text, facets=Facets(language="en")) for index, text in enumerate(texts)]


@pytest.fixture
def version(alice: User, workspace: Workspace) -> DatasetVersion:
    dataset = services.create_dataset(user=alice, slug=workspace.slug, name="Questions")
    return services.create_version_from_records(user=alice, dataset_id=dataset.pk, records=records(), origin="a test")


@pytest.fixture
def examination(alice: User, workspace: Workspace) -> DatasetVersion:
    dataset = services.create_dataset(user=alice, slug=workspace.slug, name="Exam")
    question = "The capital city of the country that lies to the north of the great lake is called what?"
    record = Record(id="q1", text=question, label="x")
    return services.create_version_from_records(user=alice, dataset_id=dataset.pk, records=[record], origin="a test")


def settings(examination: DatasetVersion, **more: Any) -> dict[str, Any]:
    return {
        "deduplication": {"ngram": 3, "threshold": 0.7},
        "decontamination": {"on": True, "against": [examination.pk], "ngram": 10},
        **more,
    }


def run(client: Client, version: DatasetVersion, stages: dict[str, Any]) -> DatasetVersion:
    made = post(client, f"/api/v1/versions/{version.pk}/process", stages)
    ensure_slots()
    assert run_next("light")
    return DatasetVersion.objects.select_related("dataset", "job").get(pk=made["id"])


def lines(client: Client, address: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in b"".join(client.get(address)).splitlines()]


def test_version_becomes_a_cleaner_one(alice_client: Client, version: DatasetVersion, examination: DatasetVersion) -> None:
    """The whole chain: lineage, counts per stage, what was dropped, masked text, a quality facet; the source is untouched."""
    before = files.version_path(version).read_bytes()
    made = run(alice_client, version, settings(examination))
    assert (made.state, made.number, made.parent_id, made.count) == (VersionState.READY, 2, version.pk, 22)
    assert files.version_path(version).read_bytes() == before
    assert [stage["name"] for stage in made.recipe["funnel"]][:3] == ["extraction", "normalisation", "rules"]
    report = alice_client.get(f"/api/v1/versions/{made.pk}/processing").json()
    dropped = {stage["name"]: stage["reasons"] for stage in report["stages"] if stage["dropped"]}
    assert dropped == {
        "rules": {"symbols": 1},
        "deduplication": {"exact": 1, "near": 1},
        "decontamination": {"evaluation_example": 1},
    }
    assert report["done"] is True
    masked = made.records.get(key="r23").data
    assert masked["text"] == "写信到 [EMAIL] 或者打电话 [PHONE] 给我。"
    assert 0 < masked["facets"]["quality"] <= 1
    cluster = next(stage for stage in report["stages"] if stage["name"] == "deduplication")["clusters"][0]
    assert (cluster["size"], cluster["kept"]["id"]) == (3, "r20")
    rows = [
        json.loads(line) for line in b"".join(alice_client.get(f"/api/v1/versions/{made.pk}/processing/dropped")).splitlines()
    ]
    assert {row["record"]["id"] for row in rows} == {"r21", "r22", "r24", "r25"}
    one = b"".join(alice_client.get(f"/api/v1/versions/{made.pk}/processing/dropped?stage=rules"))
    assert [json.loads(line)["record"]["id"] for line in one.splitlines()] == ["r25"]


def test_same_settings_give_the_same_version(alice_client: Client, version: DatasetVersion, examination: DatasetVersion) -> None:
    first = run(alice_client, version, settings(examination))
    second = run(alice_client, version, settings(examination))
    assert (first.sha256, first.recipe["funnel"]) == (second.sha256, second.recipe["funnel"])
    answers = [alice_client.get(f"/api/v1/versions/{made.pk}/processing").json() for made in (first, second)]
    assert answers[0] == answers[1]


def test_job_run_again_makes_a_version_of_its_own(alice: User, alice_client: Client, version: DatasetVersion) -> None:
    made = run(alice_client, version, {"personal": {"on": False}})
    assert made.job
    post(alice_client, f"/api/v1/jobs/{made.job.pk}/clone", {}, status=201)
    assert run_next("light")
    again = DatasetVersion.objects.get(parent=version, number=3)
    assert (again.state, again.sha256) == (VersionState.READY, made.sha256)


def test_nothing_left_fails_with_the_stage_and_its_examples(alice_client: Client, version: DatasetVersion) -> None:
    made = run(alice_client, version, {"rules": {"minimum_characters": 100_000}})
    assert made.state == VersionState.FAILED
    assert "26" in made.error
    report = alice_client.get(f"/api/v1/versions/{made.pk}/processing").json()
    assert report["stages"][-1]["entered"] == 0
    page = alice_client.get(f"/w/academy/data/versions/{made.pk}/processing/").content.decode()
    assert "too short" in page


def test_stages_that_do_nothing_are_refused(alice: User, version: DatasetVersion, examination: DatasetVersion) -> None:
    off = {name: {"on": False} for name in Stages.model_fields}
    with pytest.raises(UserError, match="No stage is switched on"):
        processing.process_version(user=alice, version_id=version.pk, stages=Stages.model_validate(off))
    for against in (version.pk, 999):
        stages = Stages.model_validate({"decontamination": {"on": True, "against": [against]}})
        with pytest.raises(UserError, match="not a ready dataset version"):
            processing.process_version(user=alice, version_id=version.pk, stages=stages)
    assert not Job.objects.exists()


def test_preview_tells_what_each_stage_would_drop(
    alice_client: Client, version: DatasetVersion, examination: DatasetVersion
) -> None:
    answer = post(alice_client, f"/api/v1/versions/{version.pk}/process/preview", settings(examination), status=200)
    assert answer["sampled"] == 26
    assert {stage["name"]: stage["dropped"] for stage in answer["stages"] if stage["dropped"]} == {
        "rules": 1, "deduplication": 2, "decontamination": 1,
    }  # fmt: skip
    assert not Job.objects.exists()
    assert DatasetVersion.objects.count() == 2


def test_documents_of_an_archive_become_text(alice_client: Client, workspace: Workspace) -> None:
    """S6.3: a ZIP of PDF, DOCX and HTML is imported as files; processing reads them, and the files stay with the records."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("papers/bridge.pdf", pdf("The bridge was built by the town"))
        archive.writestr("papers/letter.docx", docx(LETTER))
        archive.writestr("pages/bridge.html", PAGE)
        archive.writestr("pages/broken.pdf", b"%PDF-1.4 that is all")
        archive.writestr("pages/note.txt", "一条短笔记".encode("gb18030"))
    source = import_file(alice_client, workspace.slug, "documents.zip", buffer.getvalue(), name="Documents")
    assert (source.state, source.count) == (VersionState.READY, 5)
    preview = post(alice_client, f"/api/v1/versions/{source.pk}/process/preview", {}, status=200)
    assert preview["stages"][0]["changes"] == {"file": 4}
    made = run(alice_client, source, {})
    found = {row.key: row.data for row in made.records.all()}
    assert {key: data["text"].split("\n")[0] for key, data in found.items()} == {
        "papers/bridge.pdf": "The bridge was built by the town",
        "papers/letter.docx": "第一段 and more",
        "pages/bridge.html": "桥",
        "pages/note.txt": "一条短笔记",
    }
    assert found["papers/bridge.pdf"]["facets"]["source"] == "papers/bridge.pdf"
    kept = found["papers/bridge.pdf"]["media"][0]["sha256"]
    assert alice_client.get(f"/w/academy/data/versions/{made.pk}/media/{kept}").status_code == 200


def form_values(client: Client, version: DatasetVersion) -> dict[str, Any]:
    form = client.get(f"/w/academy/data/versions/{version.pk}/process/").context["form"]
    values = {name: form[name].value() for name in form.fields}
    return {name: value for name, value in values.items() if value is not None and value is not False and value != ""}


@pytest.mark.parametrize("language", ["en", "zh-hans"])
def test_pages_lead_from_the_version_to_the_report(
    alice_client: Client, version: DatasetVersion, examination: DatasetVersion, language: str
) -> None:
    """The form as it is suggested is sent; a click sent twice makes one job; the report shows funnel and examples."""
    alice_client.cookies["shuyuan_language"] = language
    values = {**form_values(alice_client, version), "key": "once"}
    preview = alice_client.post(f"/w/academy/data/versions/{version.pk}/process/preview/", values)
    assert preview.status_code == 200
    assert ("De-duplication" if language == "en" else "去重") in preview.content.decode()
    sent = [alice_client.post(f"/w/academy/data/versions/{version.pk}/process/", values) for _ in range(2)]
    assert {answer.status_code for answer in sent} == {302}
    assert sent[0]["Location"] == sent[1]["Location"]
    assert Job.objects.count() == 1
    assert alice_client.get(sent[0]["Location"]).status_code == 200
    ensure_slots()
    assert run_next("light")
    assert Job.objects.get().state == State.DONE
    page = alice_client.get(sent[0]["Location"]).content.decode()
    assert "wa•••" in page
    assert "[EMAIL]" in page
    assert "13812345678" not in page
    made = DatasetVersion.objects.get(parent=version)
    for name in ("funnel", "quality", "clusters"):
        figure = alice_client.get(f"/w/academy/data/versions/{made.pk}/processing/figures/{name}/").json()
        assert figure["data"], name
    assert alice_client.get(f"/w/academy/data/versions/{made.pk}/processing/figures/x/").status_code == 404
    assert f"/data/versions/{version.pk}/process/" in alice_client.get(f"/w/academy/data/versions/{version.pk}/").content.decode()
    assert "/processing/" in alice_client.get(f"/w/academy/data/versions/{made.pk}/").content.decode()


def test_wrong_settings_are_told_at_their_field(alice_client: Client, version: DatasetVersion) -> None:
    values = {**form_values(alice_client, version), "deduplication-threshold": "7", "rules-on": "on"}
    answer = alice_client.post(f"/w/academy/data/versions/{version.pk}/process/", values)
    assert answer.status_code == 200
    assert answer.context["form"].errors.keys() == {"deduplication-threshold"}
    assert not Job.objects.exists()


def test_suggestion_fits_the_data(alice: User, workspace: Workspace, alice_client: Client, version: DatasetVersion) -> None:
    """Short questions are judged mildly, long texts harder."""
    from webapp.datasets.processing.forms import suggested

    mild = suggested(version, [])
    dataset = services.create_dataset(user=alice, slug=workspace.slug, name="Books")
    long = [Record(id=str(index), text=f"{index} " + STORY * 20) for index in range(5)]
    hard = suggested(
        services.create_version_from_records(user=alice, dataset_id=dataset.pk, records=long, origin="x"), [version.pk]
    )
    assert (mild.rules.minimum_characters, mild.deduplication.ngram, mild.decontamination.on) == (1, 3, False)
    assert (hard.rules.minimum_characters, hard.deduplication.ngram, hard.decontamination.against) == (50, 5, [version.pk])


def test_suggestion_can_be_sent_back_and_settings_taken_up_again(alice_client: Client, version: DatasetVersion) -> None:
    offered = alice_client.get(f"/api/v1/versions/{version.pk}/process").json()
    offered["rules"]["minimum_characters"] = 33
    made = run(alice_client, version, offered)
    assert made.recipe["processed"]["rules"]["minimum_characters"] == 33
    for like, expected in ((made.pk, 33), (version.pk, 1), ("x", 1)):
        page = alice_client.get(f"/w/academy/data/versions/{version.pk}/process/?like={like}")
        assert page.context["form"]["rules-minimum_characters"].value() == expected


def test_strangers_and_annotators_are_kept_out(
    alice_client: Client, bob_client: Client, charlie_client: Client, version: DatasetVersion
) -> None:
    made = run(alice_client, version, {})
    pages = [f"/w/academy/data/versions/{made.pk}/{end}" for end in ("process/", "processing/", "processing/dropped/")]
    apis = [f"/api/v1/versions/{made.pk}/processing", f"/api/v1/versions/{made.pk}/processing/dropped"]
    for address in [*pages, *apis]:
        assert charlie_client.get(address).status_code == 404, address
    for end in ("process", "process/preview"):
        body = json.dumps({"personal": {"on": True}})
        address = f"/api/v1/versions/{version.pk}/{end}"
        assert charlie_client.post(address, body, "application/json").status_code == 404
        assert bob_client.post(address, body, "application/json").status_code == 403
    assert bob_client.get(pages[1]).status_code == 200


def test_versions_made_otherwise_have_no_report(alice_client: Client, version: DatasetVersion) -> None:
    assert alice_client.get(f"/api/v1/versions/{version.pk}/processing").status_code == 404
    assert alice_client.get(f"/w/academy/data/versions/{version.pk}/processing/dropped/").status_code == 404


def test_deleting_a_version_takes_its_report_along(alice_client: Client, version: DatasetVersion, data_folder: Any) -> None:
    made = run(alice_client, version, {})
    kept = data_folder / "datasets" / "processing" / str(made.pk)
    assert (kept / "dropped.jsonl").exists()
    assert alice_client.delete(f"/api/v1/versions/{made.pk}").status_code == 204
    assert not kept.exists()


def test_spot_check_shows_where_in_the_funnel_it_stands(
    alice: User, alice_client: Client, version: DatasetVersion, examination: DatasetVersion
) -> None:
    """S6.4: the sample before the pipeline is followed through the stages; each tells its precision with an interval."""
    before = spot_checks.start_spot_check(user=alice, version_id=version.pk, size=5000)
    for position in before.positions:
        spot_checks.judge(user=alice, check_id=before.pk, position=position, good=position % 2 == 0, reason="wrong")
    assert alice_client.get(f"/api/v1/versions/{version.pk}/spot-checks/funnel").json()["steps"] == []
    made = run(alice_client, version, settings(examination))
    found = alice_client.get(f"/api/v1/versions/{made.pk}/spot-checks/funnel").json()
    assert (found["processed_version"], found["source_version"]) == (made.pk, version.pk)
    assert [step["judged"] for step in found["steps"]] == [step["records"] for step in found["steps"]]
    assert found["steps"][0]["judged"] == version.count
    assert found["steps"][-1]["judged"] == made.count < version.count
    kept = {record["id"] for record in lines(alice_client, f"/api/v1/versions/{made.pk}/download")}
    good = sum(row.key in kept and row.position % 2 == 0 for row in version.records.all())
    last = found["steps"][-1]
    assert (last["good"], found["here"]["judged"]) == (good, 0)
    assert last["low"] < last["precision"] < last["high"]
    after = spot_checks.start_spot_check(user=alice, version_id=made.pk, size=3)
    spot_checks.judge(user=alice, check_id=after.pk, position=after.positions[0], good=True)
    for address in (f"/w/academy/data/versions/{made.pk}/spot-checks/", f"/w/academy/data/spot-checks/{after.pk}/"):
        page = alice_client.get(address).content.decode()
        assert f"/w/academy/data/versions/{made.pk}/processing/" in page
        assert f"/w/academy/data/versions/{version.pk}/spot-checks/" in page
        assert "1/1" in page
