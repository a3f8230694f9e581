"""Records under filters: the address is the state, members save views, an index that is gone is made again."""

import json
import shutil
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from webapp.accounts.models import User, Workspace
from webapp.datasets import indexes, services
from webapp.datasets.models import DatasetVersion, SavedView
from workers.spec.record import Facets, Record


def varied(count: int) -> list[Record]:
    return [
        Record(
            id=f"r{number}",
            text=f"Question {number} about 退货 " + "z" * (number % 50),
            label="card" if number % 2 else "cash",
            facets=Facets(language="zh", source=f"shop {number % 3}", quality=number % 10 / 10, domain="retail"),
            extra={"date": f"2026-02-{1 + number % 28:02d}"},
        )
        for number in range(count)
    ]


@pytest.fixture
def version(alice: User, workspace: Workspace) -> DatasetVersion:
    dataset = services.create_dataset(user=alice, slug=workspace.slug, name="Varied")
    return services.create_version_from_records(user=alice, dataset_id=dataset.pk, records=varied(200), origin="a test")


def test_conditions_combine_in_the_address(alice_client: Client, version: DatasetVersion) -> None:
    """S6.7: facets, numbers, dates and words at once."""
    query = (
        "?q=退货+question&label=card&source=shop+1&source=shop+2&quality_min=0.3&length_max=60&date_min=2026-02-05"
        "&date_max=2026-02-20&kind=classification&state=labelled&modality=text&domain=retail&media=no&sort=-length&limit=500"
    )
    found = alice_client.get(f"/api/v1/versions/{version.pk}/records{query}").json()
    expected = [
        record
        for number, record in enumerate(varied(200))
        if number % 2 and number % 3 and number % 10 >= 3 and 5 <= 1 + number % 28 <= 20 and len(record.text or "") <= 60
    ]
    assert {item["data"]["id"] for item in found["items"]} == {record.id for record in expected}
    lengths = [len(item["data"]["text"]) for item in found["items"]]
    assert lengths == sorted(lengths, reverse=True)
    assert found["total"] == len(expected)


@pytest.mark.parametrize("query", ["length_min=many", "date_min=yesterday", "quality_max=nan", "bytes_min=1e99"])
def test_conditions_that_cannot_be_are_told(alice_client: Client, version: DatasetVersion, query: str) -> None:
    answer = alice_client.get(f"/api/v1/versions/{version.pk}/records?{query}")
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "filter.bad_number")


def test_facets_count_what_else_could_be_chosen(alice_client: Client, version: DatasetVersion) -> None:
    url = f"/api/v1/versions/{version.pk}/facets"
    plain = alice_client.get(url).json()
    assert {value: numbers[0] for value, numbers in plain["facets"]["label"].items()} == {"cash": 100, "card": 100}
    assert plain["ranges"]["quality"] == [0, 0.9]
    narrowed = alice_client.get(f"{url}?source=shop+0&label=card").json()["facets"]
    assert {value: numbers[0] for value, numbers in narrowed["label"].items()} == {"card": 33, "cash": 34}
    assert set(narrowed["source"]) == {"shop 0", "shop 1", "shop 2"}


def test_last_page_is_one_step_away(alice_client: Client, version: DatasetVersion) -> None:
    url = f"/api/v1/versions/{version.pk}/records?limit=60"
    first = alice_client.get(url).json()
    last = alice_client.get(f"{url}&cursor={first['last_cursor']}").json()
    assert [item["position"] for item in last["items"]] == list(range(180, 200))
    before = alice_client.get(f"{url}&cursor={last['previous_cursor']}").json()
    assert [item["position"] for item in before["items"]] == list(range(120, 180))


def test_page_shows_conditions_counts_and_marked_words(
    alice_client: Client, workspace: Workspace, version: DatasetVersion
) -> None:
    url = reverse("dataset_version", args=[workspace.slug, version.pk])
    text = alice_client.get(f"{url}?label=card&quality_min=0.5").content.decode()
    assert "60 of 200 records" in text
    assert 'href="?quality_min=0.5"' in text, "a chip leads to the filter without its condition"
    assert 'value="card" checked' in text
    searched = alice_client.get(f"{url}?q=%E9%80%80%E8%B4%A7+<b>").content.decode()
    assert "No record fits." in searched
    assert "<b>" not in searched.split("<main", 1)[-1]
    assert "<mark>退货</mark>" in alice_client.get(f"{url}?q=%E9%80%80%E8%B4%A7").content.decode()


def test_missing_index_is_made_again(alice_client: Client, version: DatasetVersion) -> None:
    """N4: the folder was lost, or a newer program wants another format."""
    folder = indexes.index_folder(version.sha256)
    for damage in (lambda: shutil.rmtree(folder), lambda: (folder / "index.json").write_text(json.dumps({"format": 0}))):
        damage()
        indexes.open_folder.cache_clear()
        assert alice_client.get(f"/api/v1/versions/{version.pk}/records?label=card").json()["total"] == 100


def test_index_goes_with_the_last_version_of_its_content(alice: User, version: DatasetVersion) -> None:
    again = services.create_version_from_records(
        user=alice, dataset_id=version.dataset_id, records=varied(200), origin="the same"
    )
    folder = indexes.index_folder(version.sha256)
    services.delete_version(user=alice, version_id=version.pk)
    assert folder.is_dir()
    services.delete_version(user=alice, version_id=again.pk)
    assert not folder.exists()


def test_views_are_saved_shared_and_deleted(
    alice_client: Client, bob_client: Client, charlie_client: Client, workspace: Workspace, version: DatasetVersion
) -> None:
    save = reverse("dataset_view_save", args=[workspace.slug, version.pk])
    page = reverse("dataset_version", args=[workspace.slug, version.pk])
    body = {"name": "Good cards", "query": "label=card&quality_min=0.5&cursor=x&colour=red", "shared": "on"}
    assert charlie_client.post(save, body).status_code == 404
    assert alice_client.post(save, body)["Location"] == f"{page}?label=card&quality_min=0.5"
    alice_client.post(save, {**body, "name": "Mine alone", "shared": ""})
    assert "Good cards" in bob_client.get(page).content.decode()
    assert "Mine alone" not in bob_client.get(page).content.decode()
    assert "Mine alone" in alice_client.get(page).content.decode()
    for broken in ({**body, "name": " "}, {**body, "query": "colour=red"}):
        assert alice_client.post(save, broken).status_code == 422
    view = SavedView.objects.get(name="Good cards")
    delete = reverse("dataset_view_delete", args=[workspace.slug, version.pk, view.pk])
    assert bob_client.post(delete).status_code == 404
    assert charlie_client.post(delete).status_code == 404
    assert alice_client.post(delete).status_code == 302
    assert not SavedView.objects.filter(name="Good cards").exists()


def test_views_have_an_api(alice_client: Client, bob_client: Client, charlie_client: Client, workspace: Workspace) -> None:
    url = f"/api/v1/workspaces/{workspace.slug}/record-views"
    made = alice_client.post(url, json.dumps({"name": "Long", "query": "length_min=100"}), "application/json")
    assert made.status_code == 201, made.content
    assert [item["name"] for item in bob_client.get(url).json()["items"]] == ["Long"]
    assert charlie_client.get(url).status_code == 404
    one = f"/api/v1/record-views/{made.json()['id']}"
    assert bob_client.delete(one).status_code == 404
    assert alice_client.delete(one).status_code == 204


def test_strangers_get_no_facets(bob_client: Client, charlie_client: Client, client: Client, version: DatasetVersion) -> None:
    url = f"/api/v1/versions/{version.pk}/facets"
    assert [somebody.get(url).status_code for somebody in (bob_client, charlie_client, client)] == [200, 404, 401]


def test_records_need_few_queries(alice_client: Client, version: DatasetVersion, django_assert_max_num_queries: Any) -> None:
    with django_assert_max_num_queries(6):
        alice_client.get(f"/api/v1/versions/{version.pk}/records?label=card&q=退货")


def test_index_of_an_older_format_is_replaced_while_building(alice: User, version: DatasetVersion) -> None:
    """The same content comes again after an update of the program."""
    folder = indexes.index_folder(version.sha256)
    (folder / "index.json").write_text(json.dumps({"format": 0}))
    indexes.open_folder.cache_clear()
    again = services.create_version_from_records(
        user=alice, dataset_id=version.dataset_id, records=varied(200), origin="the same"
    )
    assert again.stats["facets"] == version.stats["facets"]


def test_neighbours_of_a_record_are_those_of_the_filter(
    alice_client: Client, workspace: Workspace, version: DatasetVersion
) -> None:
    """Next leads to the next record that fits, in the order that was chosen."""

    def at(position: int, query: str) -> str:
        url = reverse("dataset_record", args=[workspace.slug, version.pk, position])
        return str(alice_client.get(f"{url}{query}").content.decode())

    def link(position: int, query: str) -> str:
        return f'href="{reverse("dataset_record", args=[workspace.slug, version.pk, position])}{query}"'

    query = "?q=退货&label=card&source=shop+1"
    encoded = "?q=%E9%80%80%E8%B4%A7&amp;source=shop+1&amp;label=card"
    text = at(7, query)
    assert link(1, encoded) in text
    assert link(13, encoded) in text
    assert "Record 2 of 34" in text
    longest_first = at(149, "?sort=-length")
    assert link(199, "?sort=-length") in longest_first
    assert "Record 1 of 200" in longest_first
    assert "Record 9 of 200" in at(8, query), "a record that the filter does not choose stands among all"
