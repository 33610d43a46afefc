"""Responses to requests that the server rejects before the application gets them."""

import secrets
from http import HTTPStatus
from typing import Any

from service.http.problems import CONTEXT, describe_status, write_oip_error, write_problem
from service.server.request_head import RejectedError


def find_request_id(state: dict[str, Any]) -> str:
    """Return the id that the application gave a request, or a new one."""
    context = state.get(CONTEXT)
    return secrets.token_hex(16) if context is None else str(context.request_id)


def write_rejection(error: RejectedError, request_id: str, *, is_oip: bool) -> bytes:
    """Return the bytes of a whole response, in the form that the application would give it.

    Args:
        error: The status, and a sentence on this request.
        request_id: The request's id.
        is_oip: Whether the path belongs to the Open Inference Protocol.
    """
    write = write_oip_error if is_oip else write_problem
    status, media_type, content = write(describe_status(error.status), error.detail, request_id)
    upgrade = "Upgrade: HTTP/1.1\r\n" if status == HTTPStatus.UPGRADE_REQUIRED else ""
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\n{upgrade}Connection: close\r\n"
        f"Content-Type: {media_type}\r\nContent-Length: {len(content)}\r\n"
        f"X-Content-Type-Options: nosniff\r\nX-Request-ID: {request_id}\r\n\r\n"
    )
    return head.encode("ascii") + content
