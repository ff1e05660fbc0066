"""Errors as answers: every one of them is `application/problem+json` (RFC 9457), none shows a stack trace.

    {"type": "about:blank", "title": "Unprocessable Content", "status": 422, "detail": "...",
     "instance": "/order-service/u/orders", "code": "INVALID_REQUEST", "traceId": "...",
     "errors": [{"field": "quantity", "detail": "must be greater than 0"}]}

`code` is for programs, `detail` for people, `traceId` finds the request in the logs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import Request

from syncline.kit.errors import Unavailable

log = structlog.get_logger(__name__)

MEDIA_TYPE = "application/problem+json"


class Problem(Exception):
    """Raise it anywhere in a request to end the request with this answer."""

    def __init__(
        self, status: int, code: str, detail: str, *, headers: Mapping[str, str] | None = None, **members: Any
    ) -> None:
        """`members` are added to the body beside RFC 9457's own."""
        super().__init__(f"{status} {code}: {detail}")
        self.status = status
        self.code = code
        self.detail = detail
        self.headers = dict(headers or {})
        self.members = members


def install(app: FastAPI) -> None:
    """Turn everything that goes wrong in `app` into problem answers."""
    app.add_exception_handler(Problem, _problem)
    app.add_exception_handler(Unavailable, _unavailable)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _unexpected)


def respond(request: Request, problem: Problem) -> JSONResponse:
    """The answer to `request` that tells `problem`."""
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": _TITLES.get(problem.status) or HTTPStatus(problem.status).phrase,
        "status": problem.status,
        "detail": problem.detail,
        "instance": request.url.path,
        "code": problem.code,
        "traceId": getattr(request.state, "trace_id", None),
        **problem.members,
    }
    return JSONResponse(body, problem.status, problem.headers, MEDIA_TYPE)


# Names as RFC 9110 has them; Python's are older in some versions.
_TITLES: Mapping[int, str] = {413: "Content Too Large", 422: "Unprocessable Content"}


async def _problem(request: Request, exc: Exception) -> JSONResponse:
    assert isinstance(exc, Problem)
    return respond(request, exc)


async def _unavailable(request: Request, exc: Exception) -> JSONResponse:
    assert isinstance(exc, Unavailable)
    log.warning("unavailable", reason=str(exc))
    return respond(request, Problem(exc.status, exc.code, exc.public, headers={"Retry-After": "1"}))


async def _invalid(request: Request, exc: Exception) -> JSONResponse:
    assert isinstance(exc, RequestValidationError)
    errors = exc.errors()
    if errors[0]["type"] == "json_invalid":
        position = errors[0]["loc"][-1]
        detail = f"the body is no JSON: {errors[0]['ctx']['error']} at character {position}"
        return respond(request, Problem(400, "MALFORMED_JSON", detail))
    if isinstance(exc.body, bytes) and any(error["loc"] == ("body",) for error in errors):
        detail = "send the body as application/json, and say so in the header Content-Type"
        return respond(request, Problem(415, "UNSUPPORTED_MEDIA_TYPE", detail))
    listed = _fields(errors)
    detail = "; ".join(f"{error['field'] or 'the body'} {error['detail']}" for error in listed)
    return respond(request, Problem(422, "INVALID_REQUEST", detail, errors=listed))


def _fields(errors: Sequence[Any]) -> list[dict[str, str]]:
    """Which field is wrong and why; the values stay out, for they may be secret or unprintable."""
    return [
        {
            "field": ".".join(str(part) for part in error["loc"][1:]),
            "detail": _SAID_SHORTER.get(error["type"]) or _lower(error["msg"].removeprefix("Value error, ")),
        }
        for error in errors
    ]


_SAID_SHORTER: Mapping[str, str] = {
    "missing": "is missing",
    "extra_forbidden": "is no member of the request",
    "model_attributes_type": "must be a JSON object",
    "string_pattern_mismatch": "has a form that is not allowed",
}


def _lower(text: str) -> str:
    text = text.removeprefix("Input ")
    return text[:1].lower() + text[1:]


async def _http(request: Request, exc: Exception) -> JSONResponse:
    """What the framework refuses by itself: unknown path, wrong method, unreadable body."""
    assert isinstance(exc, HTTPException)
    status = exc.status_code
    code, detail = _FRAMEWORK.get(status, (HTTPStatus(status).name, str(exc.detail)))
    detail = detail.format(method=request.method, path=request.url.path)
    return respond(request, Problem(status, code, detail, headers=exc.headers))


_FRAMEWORK: Mapping[int, tuple[str, str]] = {
    400: ("MALFORMED_REQUEST", "the body cannot be read"),
    404: ("NOT_FOUND", "there is nothing at {path}"),
    405: ("METHOD_NOT_ALLOWED", "{method} is not possible at {path}"),
    413: ("CONTENT_TOO_LARGE", "the body is larger than this service takes"),
}


async def _unexpected(request: Request, exc: Exception) -> JSONResponse:
    """Called beside the server's own log line, which holds the stack trace."""
    detail = "something went wrong on our side; the log knows more under this traceId"
    return respond(request, Problem(500, "INTERNAL_ERROR", detail))
