"""Log in, log out, invitations at the root; settings below /w/<slug>/settings/."""

from django.contrib.auth.views import LoginView, LogoutView
from django.urls import path

from webapp.accounts import views
from webapp.accounts.forms import LogInForm

urlpatterns = [
    path("login/", LoginView.as_view(template_name="accounts/login.html", authentication_form=LogInForm), name="login"),
    path("login/<str:token>/", views.login_by_link, name="login_link"),
    path("logout/", LogoutView.as_view(), name="logout"),
    path("sign-up/", views.sign_up, name="sign_up"),
    path("invitation/<str:token>/", views.sign_up, name="invitation"),
    path("workspaces/new/", views.create_workspace, name="create_workspace"),
    path("w/<slug:slug>/settings/", views.workspace_settings, name="settings"),
    path("w/<slug:slug>/settings/invite/", views.invite, name="invite"),
    path("w/<slug:slug>/settings/members/<int:member_id>/", views.set_role, name="set_role"),
    path("w/<slug:slug>/settings/keys/", views.create_key, name="create_key"),
    path("w/<slug:slug>/settings/keys/<int:key_id>/revoke/", views.revoke_key, name="revoke_key"),
    path("w/<slug:slug>/settings/password/", views.set_password, name="set_password"),
]
