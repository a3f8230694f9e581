"""The address of a file that a record names."""

from django.http import HttpResponseBase
from django.views.decorators.http import require_safe

from webapp.accounts.models import Workspace
from webapp.accounts.pages import workspace_page
from webapp.datasets import media
from webapp.datasets.record_views import version_in
from webapp.datasets.requests import MemberRequest


@require_safe
@workspace_page()
def version_media(request: MemberRequest, workspace: Workspace, version_id: int, sha256: str) -> HttpResponseBase:
    return media.serve(request, version_in(request, workspace, version_id), sha256)
