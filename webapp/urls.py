"""All addresses: accounts and the gateway at the root, pages of a workspace below /w/<slug>/, the API below /api/v1/."""

from django.urls import URLPattern, URLResolver, include, path

from webapp.accounts.urls import urlpatterns as accounts
from webapp.api import api
from webapp.core.views import health, set_language

handler403 = "webapp.core.views.refused"
handler404 = "webapp.core.views.not_found"
handler500 = "webapp.core.views.crashed"

urlpatterns: list[URLPattern | URLResolver] = [
    path("healthz", health, name="health"),
    path("language/", set_language, name="set_language"),
    path("api/v1/", api.urls),
    path("", include(accounts)),
    path("", include("webapp.serving.gateway_urls")),
    path("", include("webapp.projects.root_urls")),
    path("w/<slug:slug>/", include("webapp.projects.urls")),
    path("w/<slug:slug>/jobs/", include("webapp.jobs.urls")),
    path("w/<slug:slug>/data/", include("webapp.datasets.urls")),
    path("w/<slug:slug>/data/", include("webapp.datasets.processing.urls")),
    path("w/<slug:slug>/labelling/", include("webapp.labeling.urls")),
    path("w/<slug:slug>/training/", include("webapp.registry.training.urls")),
    path("w/<slug:slug>/models/", include("webapp.registry.urls")),
    path("w/<slug:slug>/evaluation/", include("webapp.evals.urls")),
    path("w/<slug:slug>/deployment/", include("webapp.serving.urls")),
    path("w/<slug:slug>/chat/", include("webapp.chat.urls")),
]
