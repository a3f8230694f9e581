"""The API of this app, below /api/v1/."""

from ninja import Router

router = Router()
