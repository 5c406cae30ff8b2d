"""Forms with large files: which addresses take them, and what is said of one that is larger still."""

from flask import Blueprint, request

from frontdesk.web import errors


def take(pages: Blueprint, endpoints: tuple[str, ...], *, upload_bytes: int, typed_bytes: int, too_large: str) -> None:
    """At these endpoints of `pages` alone. `typed_bytes`: of what is no file. Before access.protect(), which reads the form."""

    @pages.before_request
    def take_large_forms():
        if request.endpoint in endpoints:
            request.max_content_length, request.max_form_memory_size = upload_bytes, typed_bytes

    @pages.errorhandler(413)
    def refuse_larger_ones(error):
        return errors.shown(413, too_large)
