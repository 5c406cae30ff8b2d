"""A form with one file, as a body that is read while it is sent: a video never stands in memory whole."""

import os
import secrets
from typing import BinaryIO

from urllib3.fields import RequestField


class FileForm:
    """What requests takes as `data`: its length is known, and it is read once."""

    def __init__(self, fields: dict[str, str], name: str, filename: str, mime_type: str, file: BinaryIO):
        boundary = secrets.token_hex(16)
        self.content_type = f"multipart/form-data; boundary={boundary}"
        texts = "".join(f"--{boundary}\r\n{_headers(key, None, None)}{value}\r\n" for key, value in fields.items())
        self._before = f"{texts}--{boundary}\r\n{_headers(name, filename, mime_type)}".encode()
        self._after = f"\r\n--{boundary}--\r\n".encode()
        self._file = file
        self._length = len(self._before) + os.fstat(file.fileno()).st_size + len(self._after)

    def __len__(self) -> int:
        return self._length

    def __iter__(self):
        return iter(lambda: self.read(65536), b"")

    def read(self, size: int = -1) -> bytes:
        if self._before:
            before, self._before = self._before, b""
            return before
        data = self._file.read(size)
        if not data:
            data, self._after = self._after, b""
        return data


def _headers(name: str, filename: str | None, mime_type: str | None) -> str:
    field = RequestField(name, b"", filename=filename)
    field.make_multipart(content_type=mime_type)
    return field.render_headers()
