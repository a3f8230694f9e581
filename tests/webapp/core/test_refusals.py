"""What a reader sees when Django itself refuses a request: our page in their language, never a bare one."""

import pytest
from django.core.exceptions import PermissionDenied
from django.test import Client, RequestFactory
from django.urls import get_resolver

from webapp.accounts.models import User, Workspace

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(("language", "sentence"), [("en", "reload it and try once more"), ("zh-hans", "请刷新后再试")])
def test_a_form_of_an_old_tab_says_what_to_do(alice: User, workspace: Workspace, language: str, sentence: str) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(alice)
    client.cookies["shuyuan_language"] = language
    answer = client.post("/w/academy/training/new/sft/", {})
    assert answer.status_code == 403
    shown = answer.content.decode()
    assert sentence in shown
    assert "stylesheet" in shown
    assert "CSRF" not in shown
    error = client.post("/w/academy/training/new/sft/", {}, headers={"accept": "application/json"}).json()["error"]
    assert error["code"] == "request.stale_form"


def test_what_django_refuses_is_told_on_a_page_of_ours(rf: RequestFactory, alice: User) -> None:
    request = rf.get("/")
    request.user = alice
    answer = get_resolver().resolve_error_handler(403)(request, exception=PermissionDenied("secret reason"))
    assert answer.status_code == 403
    assert "This is not allowed here." in answer.content.decode()
    assert "secret reason" not in answer.content.decode()


@pytest.mark.parametrize(("language", "sentence"), [("en", "open the form instead"), ("zh-hans", "请打开表单")])
def test_an_address_for_forms_opened_by_hand_says_so(alice_client: Client, language: str, sentence: str) -> None:
    alice_client.cookies["shuyuan_language"] = language
    answer = alice_client.get("/workspaces/new/")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    assert sentence in answer.content.decode()
    refused = alice_client.get("/workspaces/new/", headers={"accept": "application/json"}).json()
    assert refused["error"]["code"] == "request.method"


@pytest.mark.parametrize(
    ("came_from", "back"),
    [
        ("http://testserver/w/academy/models/?kind=base", "/w/academy/models/%3Fkind%3Dbase"),
        ("https://elsewhere.example/w/academy/", "/"),
        ("", "/"),
    ],
)
def test_who_logs_in_after_sending_a_form_lands_on_the_page_of_the_form(workspace: Workspace, came_from: str, back: str) -> None:
    """Not on the address that only takes forms, and never on another site."""
    answer = Client().post("/w/academy/models/starter/", headers={"referer": came_from} if came_from else {})
    assert (answer.status_code, answer.headers["location"]) == (302, f"/login/?next={back}")
