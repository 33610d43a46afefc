"""Responses to requests that the server rejects before the application gets them."""

from http import HTTPStatus

from service.http.problems import Kind, write_oip_error, write_problem


def write_rejection(kind: Kind, detail: str, request_id: str, *, is_oip: bool) -> bytes:
    """Return the bytes of a whole response, in the form that the application would give it.

    Args:
        kind: The status and type of the error.
        detail: A sentence on this request.
        request_id: The request's id.
        is_oip: Whether the path belongs to the Open Inference Protocol.
    """
    write = write_oip_error if is_oip else write_problem
    status, media_type, content = write(kind, detail, request_id)
    upgrade = "Upgrade: HTTP/1.1\r\n" if status == HTTPStatus.UPGRADE_REQUIRED else ""
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\n{upgrade}Connection: close\r\n"
        f"Content-Type: {media_type}\r\nContent-Length: {len(content)}\r\n"
        f"X-Content-Type-Options: nosniff\r\nX-Request-ID: {request_id}\r\n\r\n"
    )
    return head.encode("ascii") + content
