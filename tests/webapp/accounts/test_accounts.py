"""Accounts: invitations, roles, API keys, one-time links."""

import re
from pathlib import Path

import pytest
from django.test import Client
from django.utils import translation

from webapp import accounts
from webapp.accounts import services
from webapp.accounts.access import access_workspace
from webapp.accounts.models import ApiKey, Membership, Role, User, Workspace
from webapp.accounts.wording import audit_words
from webapp.core.errors import NotFound, UserError


def test_stranger_does_not_learn_that_a_workspace_exists(workspace: Workspace, charlie: User) -> None:
    with pytest.raises(NotFound):
        access_workspace(charlie, workspace.slug)


def test_role_too_low_is_told_in_one_sentence(workspace: Workspace, bob: User) -> None:
    with pytest.raises(UserError) as caught:
        access_workspace(bob, workspace.slug, role=Role.MANAGER)
    assert caught.value.status == 403
    assert "ask an owner of “Academy”" in caught.value.message


def test_invitation_lets_one_person_join_once(workspace: Workspace, alice: User, charlie: User) -> None:
    _invitation, token = services.create_invitation(user=alice, workspace_id=workspace.pk, role=Role.REVIEWER)
    services.accept_invitation(user=charlie, token=token)
    assert Membership.objects.get(user=charlie, workspace=workspace).role == Role.REVIEWER
    with pytest.raises(UserError):
        services.open_invitation(token)


def test_sign_up_is_closed_without_an_invitation(workspace: Workspace, alice: User) -> None:
    assert Client().get("/sign-up/").status_code == 404
    _invitation, token = services.create_invitation(user=alice, workspace_id=workspace.pk, role=Role.ANNOTATOR)
    answer = Client().post(f"/invitation/{token}/", {"username": "dora", "password": "a-long-password-1"})
    assert answer.status_code == 302
    assert Membership.objects.get(user__username="dora").role == Role.ANNOTATOR


def test_weak_password_is_refused_and_the_invitation_stays_open(workspace: Workspace, alice: User) -> None:
    _invitation, token = services.create_invitation(user=alice, workspace_id=workspace.pk, role=Role.ANNOTATOR)
    answer = Client().post(f"/invitation/{token}/", {"username": "dora", "password": "12345678"})
    assert answer.status_code == 200
    assert not User.objects.filter(username="dora").exists()
    services.open_invitation(token)


def test_nobody_invites_above_the_own_role(workspace: Workspace, bob: User) -> None:
    Membership.objects.filter(user=bob).update(role=Role.MANAGER)
    with pytest.raises(UserError):
        services.create_invitation(user=bob, workspace_id=workspace.pk, role=Role.OWNER)


def test_last_owner_stays(workspace: Workspace, alice: User) -> None:
    with pytest.raises(UserError) as caught:
        services.change_role(user=alice, workspace_id=workspace.pk, member_id=alice.pk, role=Role.VIEWER)
    assert caught.value.code == "member.last_owner"


def test_key_works_once_shown_and_keeps_only_a_hash(workspace: Workspace, alice: User) -> None:
    key, text = services.create_key(user=alice, name="script", scopes=["read"])
    assert text not in str(ApiKey.objects.filter(pk=key.pk).values())
    headers = {"authorization": f"Bearer {text}"}
    assert Client().get("/api/v1/workspaces", headers=headers).json()["items"][0]["slug"] == workspace.slug
    assert Client().post("/api/v1/workspaces", {"name": "x"}, "application/json", headers=headers).status_code == 401
    services.revoke_key(user=alice, key_id=key.pk)
    assert Client().get("/api/v1/workspaces", headers=headers).status_code == 401


def test_key_of_one_workspace_does_not_open_another(workspace: Workspace, alice: User) -> None:
    other = services.create_workspace(user=alice, name="Other")
    _key, text = services.create_key(user=alice, name="script", scopes=["all"], workspace=workspace)
    headers = {"authorization": f"Bearer {text}"}
    assert Client().get(f"/api/v1/workspaces/{workspace.slug}", headers=headers).status_code == 200
    assert Client().get(f"/api/v1/workspaces/{other.slug}", headers=headers).status_code == 404


def test_login_link_works_once(alice: User, workspace: Workspace) -> None:
    token = services.create_login_link(user=alice)
    client = Client()
    assert client.get(f"/login/{token}/").url == "/"
    assert client.get("/", follow=True).status_code == 200
    assert Client().get(f"/login/{token}/").status_code == 404


def test_settings_page_makes_a_key_and_shows_it_once(alice_client: Client, workspace: Workspace) -> None:
    page = alice_client.post(f"/w/{workspace.slug}/settings/keys/", {"name": "k", "scopes": ["read"]}).content.decode()
    assert "sy_" in page
    assert alice_client.get(f"/w/{workspace.slug}/settings/").status_code == 200


def test_first_admin_is_made_once(db: None) -> None:
    first, created = services.ensure_admin()
    again, created_again = services.ensure_admin()
    assert (created, created_again, first.pk) == (True, False, again.pk)


CODES = re.compile(r'action="([a-z_.]+)"|_told\(.*"([a-z_.]+)"\)')
AREAS = ("core", "accounts", "jobs", "datasets", "labeling", "registry", "serving", "chat", "evals", "projects")


def test_audit_page_says_words_and_not_codes(alice_client: Client, alice: User, workspace: Workspace) -> None:
    services.create_invitation(user=alice, workspace_id=workspace.pk, role=Role.MANAGER)
    services.record_audit(actor=alice, workspace=workspace, action="dataset.create", subject="Questions")
    services.record_audit(actor=alice, workspace=workspace, action="job.submit", subject="job 7 (sft): First try")
    services.record_audit(actor=alice, workspace=workspace, action="alien.deed", subject="x")
    page = alice_client.get(f"/w/{workspace.slug}/settings/").content.decode()
    assert "created the dataset <strong" in page
    assert "<code>dataset.create" not in page
    assert re.search(r"started the job <strong[^>]*>#7 First try</strong>", page)
    assert "alien.deed <strong" in page
    alice_client.cookies["shuyuan_language"] = "zh-hans"
    page = alice_client.get(f"/w/{workspace.slug}/settings/").content.decode()
    assert "创建了数据集" in page
    assert re.search(r"创建了邀请，角色： <strong[^>]*>管理", page)


def test_every_audited_action_has_words_in_both_languages() -> None:
    """A code that the page would show as it is fails here."""
    root = Path(accounts.__file__).parent.parent
    sources = [path.read_text(encoding="utf-8") for area in AREAS for path in (root / area).rglob("*.py")]
    codes = {code for source in sources for found in CODES.findall(source) for code in found if "." in code}
    assert {"deployment.start", "job.submit"} <= codes
    for code in codes | {"job.cancel", "job.pause"}:
        assert audit_words(code) != code
        with translation.override("zh-hans"):
            assert not re.search("[a-z]{2}", audit_words(code)), code
