"""Static files: small on the wire, and asked for once. Pages themselves are not compressed: they hold tokens beside what others wrote."""

import gzip
from functools import lru_cache
from pathlib import Path

from flask import Response, request

LIFETIME_SECONDS = 365 * 24 * 3600
COMPRESSED = (".css", ".js", ".svg")


def finish(response: Response, folder: str) -> Response:
    """For answers of the static route. An address with a version (pages.py: asset) never changes its content."""
    if "v" in request.args:
        response.headers["Cache-Control"] = f"public, max-age={LIFETIME_SECONDS}, immutable"
    return compressed(response, Path(folder) / (request.view_args or {}).get("filename", ""))


def compressed(response: Response, path: Path) -> Response:
    """The answer with this file's content, made small where the browser takes that."""
    if response.status_code == 200 and path.suffix in COMPRESSED:
        response.vary.add("Accept-Encoding")
        if "gzip" in request.accept_encodings:
            response.direct_passthrough = False
            response.set_data(_compressed(path, path.stat().st_mtime_ns))
            response.content_encoding = "gzip"
            if etag := response.get_etag()[0]:
                response.set_etag(f"{etag}-gzip")
    return response


@lru_cache(maxsize=32)
def _compressed(path: Path, version: int) -> bytes:
    return gzip.compress(path.read_bytes(), 9)
