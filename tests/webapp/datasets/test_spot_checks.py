"""S6.4: random records judged by people; the sampled precision with its interval; a history that is only added to."""

from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from hypothesis import given
from hypothesis import strategies as st

from tests.webapp.datasets.uploading import post
from webapp.accounts.models import User, Workspace
from webapp.datasets import services
from webapp.datasets.models import DatasetVersion, SpotCheck, SpotJudgement
from webapp.datasets.processing import spot_checks
from webapp.datasets.processing.intervals import exact, interval, wilson
from workers.spec.record import Record


@pytest.fixture
def version(alice: User, workspace: Workspace) -> DatasetVersion:
    dataset = services.create_dataset(user=alice, slug=workspace.slug, name="Questions")
    records = [Record(id=f"r{index}", text=f"text number {index}") for index in range(80)]
    return services.create_version_from_records(user=alice, dataset_id=dataset.pk, records=records, origin="a test")


@pytest.fixture
def check(alice: User, version: DatasetVersion) -> SpotCheck:
    return spot_checks.start_spot_check(user=alice, version_id=version.pk, size=10, seed=3)


def test_same_seed_draws_the_same_records(alice: User, version: DatasetVersion, check: SpotCheck) -> None:
    again = spot_checks.start_spot_check(user=alice, version_id=version.pk, size=10, seed=3)
    other = spot_checks.start_spot_check(user=alice, version_id=version.pk, size=10, seed=4)
    assert again.positions == check.positions
    assert other.positions != check.positions
    assert len(set(check.positions)) == 10
    everything = spot_checks.start_spot_check(user=alice, version_id=version.pk, size=5000)
    assert sorted(everything.positions) == list(range(80))


def test_annotator_judges_the_queue_to_its_end(bob_client: Client, check: SpotCheck) -> None:
    """The figures follow every judgement; saying something else later counts instead, and the history keeps both."""
    url = f"/api/v1/spot-checks/{check.pk}"
    seen = []
    for number in range(10):
        asked = bob_client.get(f"{url}/next").json()
        assert asked["record"]["id"] == f"r{asked['position']}"
        seen.append(asked["position"])
        body = {"position": asked["position"], "good": number >= 2, "reason": "wrong" if number < 2 else ""}
        stands = post(bob_client, f"{url}/judgements", body)
        assert stands["judged"] == number + 1
    assert sorted(seen) == sorted(check.positions)
    assert bob_client.get(f"{url}/next").json() == {"position": None, "record": None}
    assert (stands["good"], stands["precision"], stands["reasons"]) == (8, 0.8, {"wrong": 2})
    assert stands["low"] < 0.8 < stands["high"]
    changed = post(bob_client, f"{url}/judgements", {"position": seen[0], "good": True})
    assert (changed["judged"], changed["good"]) == (10, 9)
    history = bob_client.get(f"{url}/judgements?limit=3").json()
    assert [item["position"] for item in history["items"]] == [seen[0], seen[9], seen[8]]
    assert SpotJudgement.objects.count() == 11
    listed = bob_client.get(f"/api/v1/versions/{check.version_id}/spot-checks").json()["items"]
    assert [item["good"] for item in listed] == [9]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"good": False}, "spot.no_reason"),
        ({"good": False, "reason": "x"}, "spot.no_reason"),
        ({"position": 99}, "spot.not_drawn"),
    ],
)
def test_wrong_judgements_are_refused(bob_client: Client, check: SpotCheck, body: dict[str, Any], code: str) -> None:
    whole = {"position": check.positions[0], "good": True, **body}
    assert post(bob_client, f"/api/v1/spot-checks/{check.pk}/judgements", whole, status=422)["error"]["code"] == code
    assert not SpotJudgement.objects.exists()


@pytest.mark.parametrize("size", [0, -1, 5001])
def test_size_has_limits(alice_client: Client, version: DatasetVersion, size: int) -> None:
    post(alice_client, f"/api/v1/versions/{version.pk}/spot-checks", {"size": size}, status=422)


def test_everything_judged_leaves_no_doubt(alice: User, workspace: Workspace) -> None:
    dataset = services.create_dataset(user=alice, slug=workspace.slug, name="Few")
    records = [Record(id=f"r{index}", text=f"text {index}") for index in range(4)]
    few = services.create_version_from_records(user=alice, dataset_id=dataset.pk, records=records, origin="a test")
    whole = spot_checks.start_spot_check(user=alice, version_id=few.pk, size=4)
    for position in whole.positions:
        spot_checks.judge(user=alice, check_id=whole.pk, position=position, good=position > 0, reason="poor")
    stands = spot_checks.standing(whole)
    assert (stands.low, stands.precision, stands.high) == (0.75, 0.75, 0.75)


@pytest.mark.parametrize("language", ["en", "zh-hans"])
def test_pages_are_worked_by_digits(
    alice_client: Client, bob_client: Client, version: DatasetVersion, check: SpotCheck, language: str
) -> None:
    """Every verdict is a button with a digit; posting one leads to the next record; the list and the history show it."""
    bob_client.cookies["shuyuan_language"] = language
    url = f"/w/academy/data/spot-checks/{check.pk}/"
    page = bob_client.get(url)
    html = page.content.decode()
    assert all(f'data-shortcut="{digit}"' in html for digit in range(1, 9))
    assert ("wrong label or answer" if language == "en" else "标签或答案有误") in html
    position = page.context["position"]
    answer = bob_client.post(url, {"position": position, "verdict": "bad:wrong", "note": "a = b"})
    assert (answer.status_code, answer["Location"]) == (302, url)
    following = bob_client.get(url)
    assert following.context["position"] != position
    assert ("95 % interval: 0.0 %" if language == "en" else "95% 区间：0.0 %") in following.content.decode()
    assert bob_client.get(f"{url}?position={position}").context["position"] == position
    assert "a = b" in bob_client.get(f"{url}history/").content.decode()
    assert bob_client.get(url, headers={"HX-Request": "true"}).content.decode().count("<html") == 0
    listed = f"/w/academy/data/versions/{version.pk}/spot-checks/"
    shown = bob_client.get(listed).content.decode()
    assert url in shown
    assert ("People judge" in shown) is (language == "en")
    assert bob_client.post(listed, {"size": 5}).status_code == 403
    assert alice_client.post(listed, {"size": 5, "seed": 1}).status_code == 302
    assert listed in alice_client.get(f"/w/academy/data/versions/{version.pk}/").content.decode()


def test_strangers_see_nothing(charlie_client: Client, check: SpotCheck) -> None:
    for end in (f"spot-checks/{check.pk}", f"spot-checks/{check.pk}/next", f"spot-checks/{check.pk}/judgements"):
        assert charlie_client.get(f"/api/v1/{end}").status_code == 404
    body = {"position": check.positions[0], "good": True}
    post(charlie_client, f"/api/v1/spot-checks/{check.pk}/judgements", body, status=404)
    post(charlie_client, f"/api/v1/versions/{check.version_id}/spot-checks", {}, status=404)
    assert charlie_client.get(f"/w/academy/data/spot-checks/{check.pk}/").status_code == 404


def test_version_that_was_checked_can_be_deleted(alice_client: Client, check: SpotCheck) -> None:
    assert alice_client.delete(f"/api/v1/versions/{check.version_id}").status_code == 204
    assert not SpotCheck.objects.exists()


def test_list_costs_the_same_with_many_checks(alice: User, alice_client: Client, version: DatasetVersion) -> None:
    url = f"/w/academy/data/versions/{version.pk}/spot-checks/"
    costs = []
    for number in (1, 12):
        for seed in range(number):
            spot_checks.start_spot_check(user=alice, version_id=version.pk, size=5, seed=seed)
        alice_client.get(url)
        with CaptureQueriesContext(connection) as queries:
            alice_client.get(url)
        costs.append(len(queries))
    assert costs[0] == costs[1]


def test_intervals_match_published_values() -> None:
    """Wilson: Newcombe 1998, table I (81 of 263). Clopper-Pearson: 0 of 10 and 5 of 10 in any table."""
    assert [round(value, 4) for value in wilson(81, 263)] == [0.2553, 0.3662]
    assert [round(value, 4) for value in exact(0, 10)] == [0.0, 0.3085]
    assert [round(value, 4) for value in exact(5, 10)] == [0.1871, 0.8129]
    assert interval(0, 0) == (0.0, 1.0)


@given(st.integers(1, 300).flatmap(lambda judged: st.tuples(st.integers(0, judged), st.just(judged))))
def test_interval_holds_the_share(counts: tuple[int, int]) -> None:
    good, judged = counts
    low, high = interval(good, judged)
    assert 0 <= low <= good / judged + 1e-9
    assert good / judged - 1e-9 <= high <= 1
