"""What a target is."""

import logging
from collections.abc import Iterator


class Finding(Exception):
    """Something that must not be, and is no exception of the code's own. Its words are without the input, for it is known by them."""


class Logged(logging.Handler):
    """The exception that was logged last: what a last guard caught."""

    last: BaseException | None = None

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info and record.exc_info[1] is not None:
            self.last = record.exc_info[1]


class Target:
    """`json`: behind `prefix` bytes of choices the input is JSON, and is changed as such."""

    json = False
    prefix = 0

    def seeds(self) -> Iterator[bytes]:
        raise NotImplementedError

    def run(self, data: bytes) -> None:
        raise NotImplementedError
