"""Tokens at rest: Fernet (AES-128-CBC and HMAC) with a key derived from SECRET_KEY by HKDF. The only place that encrypts."""

import base64
from functools import lru_cache

from frontdesk.errors import FrontdeskError
from frontdesk.settings import Settings


class CannotDecrypt(FrontdeskError):
    """What is stored was encrypted under another SECRET_KEY."""

    def __init__(self):
        super().__init__("the stored token does not open with this SECRET_KEY; store the token again")


def encrypt(settings: Settings, secret: str) -> str:
    return _fernet(settings.secret_key).encrypt(secret.encode()).decode()


def decrypt(settings: Settings, encrypted: str) -> str:
    from cryptography.fernet import InvalidToken

    try:
        return _fernet(settings.secret_key).decrypt(encrypted.encode()).decode()
    except InvalidToken:
        raise CannotDecrypt from None


@lru_cache(maxsize=4)
def _fernet(secret_key: str):
    # imported on first use: the web processes never need it
    from cryptography.fernet import Fernet
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    key = HKDF(SHA256(), 32, salt=None, info=b"frontdesk tokens at rest").derive(secret_key.encode())
    return Fernet(base64.urlsafe_b64encode(key))
