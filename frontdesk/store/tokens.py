"""Tokens for cookies and links: made here, and kept only as their hash. 256 random bits need no slow hash."""

import hashlib
import secrets


def new() -> str:
    return secrets.token_urlsafe(32)


def digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
