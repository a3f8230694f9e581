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
