"""Keys of endpoints, encrypted with a key derived from the secret key: a copy of the database alone gives none away."""

import base64
import hashlib
import hmac

from cryptography.fernet import Fernet, InvalidToken
from django.conf import settings

from webapp.core.errors import UserError

PURPOSE = b"shuyuan endpoint keys"


def _cipher() -> Fernet:
    derived = hmac.digest(settings.SECRET_KEY.encode(), PURPOSE, hashlib.sha256)
    return Fernet(base64.urlsafe_b64encode(derived))


def encrypt(text: str) -> str:
    return _cipher().encrypt(text.encode()).decode() if text else ""


def decrypt(token: str) -> str:
    if not token:
        return ""
    try:
        return _cipher().decrypt(token.encode()).decode()
    except InvalidToken as error:
        raise UserError(
            "endpoint.key_unreadable",
            "The stored key cannot be read, because the server's secret key has changed; enter the endpoint's key again.",
        ) from error
