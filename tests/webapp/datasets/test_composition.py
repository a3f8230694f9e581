"""All data of a workspace: its make-up, datasets by what is in them, and one search over all records."""

import pytest
from django.test import Client
from django.urls import reverse

from tests.webapp.datasets.test_records import varied
from tests.webapp.datasets.test_versions import conversation
from webapp.accounts.models import User, Workspace
from webapp.datasets import composition, services
from webapp.datasets.models import Dataset
from workers.spec.record import Facets, Record


@pytest.fixture
def library(alice: User, workspace: Workspace) -> dict[str, Dataset]:
    """Three datasets; «Shop» has an older version that no longer counts."""
    law = [Record(id=str(n), text=f"条款 {n}", facets=Facets(language="zh", domain="law", source="web")) for n in range(5)]
    contents = {"Shop": varied(40), "Law": law, "Chat": [conversation("1", "可以退货吗？", "可以。")]}
    made = {}
    for name, records in contents.items():
        made[name] = services.create_dataset(user=alice, slug=workspace.slug, name=name, description=f"about {name}")
        if name == "Shop":
            services.create_version_from_records(user=alice, dataset_id=made[name].pk, records=law, origin="older")
        services.create_version_from_records(user=alice, dataset_id=made[name].pk, records=records, origin="a test")
    return made


def names(client: Client, workspace: Workspace, query: str) -> list[str]:
    answer = client.get(f"/api/v1/workspaces/{workspace.slug}/datasets?{query}")
    assert answer.status_code == 200, answer.content
    return [item["name"] for item in answer.json()["items"]]


def test_datasets_are_found_by_what_is_in_them(alice_client: Client, workspace: Workspace, library: dict[str, Dataset]) -> None:
    """S6.7: facets of the records, size, number and day of the newest version, name and description."""
    assert names(alice_client, workspace, "domain=law") == ["Law"]
    assert names(alice_client, workspace, "domain=law&domain=retail") == ["Law", "Shop"]
    assert names(alice_client, workspace, "domain=(none)") == ["Chat"]
    assert names(alice_client, workspace, "language=zh&kind=conversation&state=answered") == ["Chat"]
    assert names(alice_client, workspace, "count_min=5&bytes_max=100000") == ["Law", "Shop"]
    assert names(alice_client, workspace, "date_min=2020-01-01&date_max=2020-12-31") == []
    assert names(alice_client, workspace, "search=about+shop&date_min=2020-01-01") == ["Shop"]
    assert alice_client.get(f"/api/v1/workspaces/{workspace.slug}/datasets?count_min=few").status_code == 422


def test_composition_sums_the_newest_versions(
    alice_client: Client, charlie_client: Client, workspace: Workspace, library: dict[str, Dataset]
) -> None:
    """S6.1: counts and bytes per modality, domain, language and source."""
    facets = alice_client.get(f"/api/v1/workspaces/{workspace.slug}/composition").json()["facets"]
    assert facets["modality"]["text"][0] == 46
    assert {value: counts[0] for value, counts in facets["domain"].items()} == {"retail": 40, "law": 5, "": 1}
    url = reverse("dataset_composition", args=[workspace.slug])
    drawn = alice_client.get(url).json()
    assert {trace["name"] for trace in drawn["data"]} >= {"retail", "law", "none given"}
    assert sum(trace["x"][0] for trace in drawn["data"] if trace["y"] == ["Domain"]) == pytest.approx(100)
    assert "bytes" in alice_client.get(url + "?by=bytes").json()["layout"]["xaxis"]["title"]["text"]
    assert charlie_client.get(url).status_code == 404
    assert charlie_client.get(f"/api/v1/workspaces/{workspace.slug}/composition").status_code == 404


def test_all_records_are_searched_at_once(
    alice_client: Client, charlie_client: Client, workspace: Workspace, library: dict[str, Dataset]
) -> None:
    url = f"/api/v1/workspaces/{workspace.slug}/records"
    found = alice_client.get(f"{url}?q=退货").json()
    assert [(hit["name"], len(hit["records"]), hit["more"]) for hit in found["items"]] == [
        ("Chat v1", 1, False),
        ("Shop v2", 3, True),
    ]
    assert (found["searched"], found["next_cursor"]) == (3, None)
    assert [hit["name"] for hit in alice_client.get(f"{url}?q=退货&kind=conversation").json()["items"]] == ["Chat v1"]
    first = alice_client.get(f"{url}?language=zh&limit=1").json()
    second = alice_client.get(f"{url}?language=zh&limit=1&cursor={first['next_cursor']}").json()
    assert [hit["name"] for hit in (*first["items"], *second["items"])] == ["Chat v1", "Law v1"]
    assert charlie_client.get(url).status_code == 404
    page = reverse("record_search", args=[workspace.slug])
    text = alice_client.get(f"{page}?q=退货").content.decode()
    assert text.count("<mark>退货</mark>") == 4
    assert alice_client.get(page).status_code == 200
    assert charlie_client.get(page).status_code == 404


def test_search_ends_a_page_when_its_time_is_up(
    alice_client: Client, workspace: Workspace, library: dict[str, Dataset], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(composition, "SEARCH_SECONDS", 0)
    url = f"/api/v1/workspaces/{workspace.slug}/records?q=条款"
    first = alice_client.get(url).json()
    assert (first["items"], first["searched"]) == ([], 1)
    second = alice_client.get(f"{url}&cursor={first['next_cursor']}").json()
    assert [hit["name"] for hit in second["items"]] == ["Law v1"]


def test_list_page_filters_and_shows_the_make_up(alice_client: Client, workspace: Workspace, library: dict[str, Dataset]) -> None:
    url = reverse("datasets", args=[workspace.slug])
    text = alice_client.get(url).content.decode()
    assert reverse("dataset_composition", args=[workspace.slug]) in text
    assert reverse("record_search", args=[workspace.slug]) in text
    filtered = alice_client.get(f"{url}?domain=law").content.decode()
    assert "about Law" in filtered
    assert "about Shop" not in filtered
