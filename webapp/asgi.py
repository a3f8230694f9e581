"""ASGI entry: HTTP to Django, WebSockets to Channels behind the origin check and the session."""

import os

from channels.routing import ProtocolTypeRouter, URLRouter
from channels.security.websocket import AllowedHostsOriginValidator

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "webapp.settings")

from webapp.core.handler import application as thread_application

django_application = thread_application()

from channels.auth import AuthMiddlewareStack  # noqa: E402  (needs the app registry)

from webapp.routing import websocket_urlpatterns  # noqa: E402
from webapp.serving.gateway_asgi import with_gateway  # noqa: E402

application = ProtocolTypeRouter(
    {
        "http": with_gateway(django_application),
        "websocket": AllowedHostsOriginValidator(AuthMiddlewareStack(URLRouter(websocket_urlpatterns))),
    }
)
