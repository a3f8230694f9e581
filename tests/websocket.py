"""A WebSocket client for consumers in tests (Channels' own needs the Daphne server, which the product does not use)."""

import json
from typing import Any

from asgiref.testing import ApplicationCommunicator


class WebSocket:
    """connect() → accepted?; send and receive JSON; `close_code` after a refusal."""

    def __init__(self, application: Any, path: str, **scope: Any) -> None:
        full = {"type": "websocket", "path": path, "query_string": b"", "headers": [], "subprotocols": [], **scope}
        self._wire = ApplicationCommunicator(application, full)
        self.close_code: int | None = None

    async def connect(self) -> bool:
        await self._wire.send_input({"type": "websocket.connect"})
        answer = await self._wire.receive_output(60)
        if answer["type"] == "websocket.close":
            self.close_code = answer.get("code")
            return False
        return True

    async def send(self, message: Any) -> None:
        await self._wire.send_input({"type": "websocket.receive", "text": json.dumps(message)})

    async def receive(self, timeout: float = 60) -> Any:
        answer = await self._wire.receive_output(timeout)
        if answer["type"] == "websocket.close":
            self.close_code = answer.get("code")
            return None
        return json.loads(answer["text"])

    async def hears_nothing(self, timeout: float = 0.1) -> bool:
        return bool(await self._wire.receive_nothing(timeout))

    async def close(self) -> None:
        await self._wire.send_input({"type": "websocket.disconnect", "code": 1000})
        await self._wire.wait(60)
