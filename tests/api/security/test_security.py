"""Who may do what, and what browsers are told."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from service.http.api_keys import ADMIN, INFER, make_key
from service.settings import Settings
from tests.support.problem_checks import check_refusal
from tests.support.servers import exchange, run_service, wait_until

INFER_TEXT, INFER_KEY = make_key("ci", frozenset({INFER}))
ADMIN_TEXT, ADMIN_KEY = make_key("ops", frozenset({ADMIN}))
PAGES = ("/", "/docs", "/redoc", "/static/pages.js")


def bring(text: str) -> dict[str, str]:
    """Return the header that brings a key."""
    return {"Authorization": f"Bearer {text}"}


@pytest.fixture(scope="module")
def closed(store: Path) -> Iterator[httpx.Client]:
    """A client of a service with two keys, of which it brings none by itself."""
    lines = f"{INFER_KEY.to_line()};{ADMIN_KEY.to_line()}"
    with run_service(Settings(models_store=store, api_keys=lines)) as client:
        yield client


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/v2/health/live", "/v2/health/ready"])
def test_health_is_open(closed: httpx.Client, path: str) -> None:
    """Probes bring no key."""
    assert closed.get(path).status_code == 200


@pytest.mark.parametrize("path", PAGES)
def test_pages_are_open(closed: httpx.Client, path: str) -> None:
    """Pages that are the same everywhere need no key."""
    assert closed.get(path).status_code in {200, 307}


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH"])
@pytest.mark.parametrize(
    "path",
    ["/v1/sample", "/v1/models", "/metrics", "/openapi.json", "/nowhere", "/livez/"],
)
def test_everything_else_is_closed(closed: httpx.Client, method: str, path: str) -> None:
    """Whatever the method, and whether the path exists or not, a key is needed."""
    answer = closed.request(method, path)

    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="latentd"'
    if method != "HEAD":
        assert check_refusal(answer, 401)["detail"] == "no key was given"


@pytest.mark.parametrize("header", [bring(INFER_TEXT), {"X-API-Key": INFER_TEXT}])
def test_a_key_opens(closed: httpx.Client, header: dict[str, str]) -> None:
    """A key is taken from either header."""
    assert closed.post("/v1/sample", headers=header).status_code == 200
    assert closed.get("/openapi.json", headers=header).status_code == 200


@pytest.mark.parametrize(
    "header",
    [
        bring("latentd_wrong"),
        bring(INFER_TEXT[:-1]),
        bring(INFER_KEY.digest.hex()),
        {"Authorization": f"Basic {INFER_TEXT}"},
        {"Authorization": INFER_TEXT},
        {"X-API-Key": ""},
        {"X-API-Key": f"Bearer {INFER_TEXT}"},
    ],
)
def test_a_wrong_key(closed: httpx.Client, header: dict[str, str]) -> None:
    """A key that is not known is as good as none, its hash included."""
    answer = closed.post("/v1/sample", headers=header)

    check_refusal(answer, 401)
    assert answer.headers["WWW-Authenticate"]


def test_a_key_in_the_query_is_none(closed: httpx.Client) -> None:
    """Addresses end up in logs and histories, so that no key is taken from them."""
    check_refusal(closed.post(f"/v1/sample?api_key={INFER_TEXT}&X-API-Key={INFER_TEXT}"), 401)


@pytest.mark.parametrize(
    "headers",
    [
        [("Authorization", f"Bearer {INFER_TEXT}"), ("X-API-Key", INFER_TEXT)],
        [("X-API-Key", INFER_TEXT), ("X-API-Key", "other")],
    ],
)
def test_two_keys(closed: httpx.Client, headers: list[tuple[str, str]]) -> None:
    """Two headers are 400: two servers in a row could read one each."""
    check_refusal(closed.post("/v1/sample", headers=headers), 400)


@pytest.mark.parametrize("path", ["/v2/repository/index", "/v2/repository/models/x/load"])
def test_repository_control_needs_its_own_right(closed: httpx.Client, path: str) -> None:
    """A key for inference is 403 there, in the protocol's own form; an admin's passes."""
    refused = closed.post(path, headers=bring(INFER_TEXT))
    passed = closed.post(path, headers=bring(ADMIN_TEXT))

    assert (refused.status_code, [*refused.json()]) == (403, ["error"])
    assert passed.status_code not in {401, 403}


def test_the_admin_right_is_no_right_to_infer(closed: httpx.Client) -> None:
    """Rights are given one by one."""
    check_refusal(closed.post("/v1/sample", headers=bring(ADMIN_TEXT)), 403)


@pytest.mark.parametrize("text", [INFER_TEXT, ADMIN_TEXT], ids=[INFER, ADMIN])
def test_metrics_need_any_key(closed: httpx.Client, text: str) -> None:
    """A collector of metrics may have any key."""
    assert closed.get("/metrics", headers=bring(text)).status_code not in {401, 403}


@pytest.mark.parametrize(
    "start",
    [
        "POST /v1/sample HTTP/1.1\r\nHost: a/livez?x=",
        "POST /v1/sample?/livez HTTP/1.1\r\nHost: x",
        "POST @x/livez HTTP/1.1\r\nHost: x",
        "POST http://x/livez/../v1/sample HTTP/1.1\r\nHost: x",
        "GET //livez HTTP/1.1\r\nHost: x",
        "POST /livez/../v1/sample HTTP/1.1\r\nHost: x",
        "POST /livez%2f..%2fv1/sample HTTP/1.1\r\nHost: x",
        "POST /static/../v1/sample HTTP/1.1\r\nHost: x",
    ],
)
def test_tricks_with_the_address(closed: httpx.Client, start: str) -> None:
    """The path that the router sees decides, whatever else the request says."""
    answer = exchange(
        str(closed.base_url).rstrip("/"), start.encode() + b"\r\nContent-Length: 0\r\n\r\n"
    )

    assert int(answer.split(b" ", 2)[1]) in {400, 401, 404, 405}


def test_the_log_names_the_holder_and_no_key(
    closed: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    """A line of the log may say whose key it was; no key, right or wrong, is in any line."""
    caplog.set_level("DEBUG")
    closed.post("/v1/sample", headers=bring(INFER_TEXT))
    closed.post(f"/v1/sample?key={INFER_TEXT}", headers=bring(INFER_TEXT + "x"))
    closed.get("/last-one-of-this-test")
    wait_until(lambda: "last-one-of-this-test" in caplog.text)

    told = "\n".join(
        str(vars(record)) for record in caplog.records if not record.name.startswith("http")
    )
    assert "'key': 'ci'" in told
    assert INFER_TEXT not in told
    assert INFER_KEY.digest.hex() not in told


def test_the_document_says_that_keys_are_needed(closed: httpx.Client, client: httpx.Client) -> None:
    """With keys the OpenAPI document has both ways to bring one; without, none."""
    secured = closed.get("/openapi.json", headers=bring(INFER_TEXT)).json()
    schemes = secured["components"]["securitySchemes"]

    assert [scheme for need in secured["security"] for scheme in need] == [*schemes]
    assert {scheme["type"] for scheme in schemes.values()} == {"http", "apiKey"}
    assert "security" not in client.get("/openapi.json").json()


@pytest.mark.parametrize("path", ["/livez", "/docs", "/nowhere", "/static/pages.js"])
def test_browsers_are_told_to_be_careful(client: httpx.Client, path: str) -> None:
    """Every answer forbids guessing its type, framing it and telling where a click came from."""
    headers = client.get(path).headers

    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert "default-src 'none'" in headers["Content-Security-Policy"]


def test_pages_run_no_script_of_others(client: httpx.Client) -> None:
    """Scripts in a page's own text are refused, and no page has one."""
    page = client.get("/docs")

    assert "script-src 'self';" in page.headers["Content-Security-Policy"]
    assert page.text.count("<script") == page.text.count("<script src=")


@pytest.mark.parametrize(
    ("path", "kept"), [("/v1/models", "no-store"), ("/static/pages.js", "no-cache")]
)
def test_answers_are_not_kept(client: httpx.Client, path: str, kept: str) -> None:
    """No cache keeps an answer; files of pages are asked for again by their tag."""
    assert client.get(path).headers["Cache-Control"] == kept


def test_other_origins_are_refused(client: httpx.Client) -> None:
    """Without a setting no other page's script may read an answer."""
    answer = client.get("/livez", headers={"Origin": "https://a.example"})

    assert not [name for name in answer.headers if name.startswith("access-control")]


def test_origins_that_are_set(store: Path) -> None:
    """An allowed origin may ask for leave without a key, and sees a refusal; another may not."""
    settings = Settings(
        models_store=store, api_keys=INFER_KEY.to_line(), cors_origins=["https://a.example"]
    )
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "X-API-Key"}
    with run_service(settings) as client:
        leave = client.options("/v1/sample", headers={"Origin": "https://a.example", **asked})
        refused = client.post("/v1/sample", headers={"Origin": "https://a.example"})
        foreign = client.options("/v1/sample", headers={"Origin": "https://b.example", **asked})

    assert leave.status_code == 200
    assert leave.headers["Access-Control-Allow-Origin"] == "https://a.example"
    assert refused.status_code == 401
    assert refused.headers["Access-Control-Allow-Origin"] == "https://a.example"
    assert "Access-Control-Allow-Credentials" not in leave.headers
    assert "Access-Control-Allow-Origin" not in foreign.headers
