"""API keys, security headers and CORS."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from service.http.api_keys import ADMIN, INFER, make_key
from service.settings import Settings
from tests.support.problem_checks import check_problem
from tests.support.servers import exchange, run_service, wait_until

INFER_TEXT, INFER_KEY = make_key("ci", frozenset({INFER}))
ADMIN_TEXT, ADMIN_KEY = make_key("ops", frozenset({ADMIN}))
PAGES = ("/", "/docs", "/redoc", "/static/pages.js")


def make_header(text: str) -> dict[str, str]:
    """Return the header with an API key."""
    return {"Authorization": f"Bearer {text}"}


@pytest.fixture(scope="module")
def keyed_client(store: Path) -> Iterator[httpx.Client]:
    """A client of a service with two API keys; it sends none by default."""
    lines = f"{INFER_KEY.to_line()};{ADMIN_KEY.to_line()}"
    with run_service(Settings(models_store=store, api_keys=lines)) as client:
        yield client


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/v2/health/live", "/v2/health/ready"])
def test_health_requires_no_key(keyed_client: httpx.Client, path: str) -> None:
    """Health routes require no API key."""
    assert keyed_client.get(path).status_code == 200


@pytest.mark.parametrize("path", PAGES)
def test_pages_require_no_key(keyed_client: httpx.Client, path: str) -> None:
    """Static pages require no API key."""
    assert keyed_client.get(path).status_code in {200, 307}


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH"])
@pytest.mark.parametrize(
    "path",
    ["/v1/sample", "/v1/models", "/metrics", "/openapi.json", "/nowhere", "/livez/"],
)
def test_all_other_paths_require_a_key(keyed_client: httpx.Client, method: str, path: str) -> None:
    """All other paths require a key with every method, even if the path does not exist."""
    response = keyed_client.request(method, path)

    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"] == 'Bearer realm="latentd"'
    if method != "HEAD":
        assert "requires an API key" in check_problem(response, 401)["detail"]


@pytest.mark.parametrize("header", [make_header(INFER_TEXT), {"X-API-Key": INFER_TEXT}])
def test_key_is_accepted_in_either_header(
    keyed_client: httpx.Client, header: dict[str, str]
) -> None:
    """A key is accepted in `Authorization` and in `X-API-Key`."""
    assert keyed_client.post("/v1/sample", headers=header).status_code == 200
    assert keyed_client.get("/openapi.json", headers=header).status_code == 200


@pytest.mark.parametrize(
    "header",
    [
        make_header("latentd_wrong"),
        make_header(INFER_TEXT[:-1]),
        make_header(INFER_KEY.digest.hex()),
        {"Authorization": f"Basic {INFER_TEXT}"},
        {"Authorization": INFER_TEXT},
        {"X-API-Key": ""},
        {"X-API-Key": f"Bearer {INFER_TEXT}"},
    ],
)
def test_unknown_key_is_rejected_with_401(
    keyed_client: httpx.Client, header: dict[str, str]
) -> None:
    """An unknown key, or the hash of a key, is rejected with 401."""
    response = keyed_client.post("/v1/sample", headers=header)

    check_problem(response, 401)
    assert response.headers["WWW-Authenticate"]


def test_key_in_the_query_is_ignored(keyed_client: httpx.Client) -> None:
    """A key in the query is ignored, since addresses end up in logs and browser histories."""
    check_problem(keyed_client.post(f"/v1/sample?api_key={INFER_TEXT}&X-API-Key={INFER_TEXT}"), 401)


@pytest.mark.parametrize(
    "headers",
    [
        [("Authorization", f"Bearer {INFER_TEXT}"), ("X-API-Key", INFER_TEXT)],
        [("X-API-Key", INFER_TEXT), ("X-API-Key", "other")],
    ],
)
def test_two_keys_are_rejected_with_400(
    keyed_client: httpx.Client, headers: list[tuple[str, str]]
) -> None:
    """Two key headers are rejected with 400, since a proxy could check the other one."""
    check_problem(keyed_client.post("/v1/sample", headers=headers), 400)


@pytest.mark.parametrize("path", ["/v2/repository/index", "/v2/repository/models/x/load"])
def test_repository_control_requires_the_admin_right(keyed_client: httpx.Client, path: str) -> None:
    """Repository control rejects a key for inference with 403 and accepts an admin key."""
    rejected = keyed_client.post(path, headers=make_header(INFER_TEXT))
    accepted = keyed_client.post(path, headers=make_header(ADMIN_TEXT))

    assert (rejected.status_code, [*rejected.json()]) == (403, ["error"])
    assert accepted.status_code not in {401, 403}


def test_admin_right_does_not_include_inference(keyed_client: httpx.Client) -> None:
    """A key with the admin right only is rejected with 403 for inference."""
    check_problem(keyed_client.post("/v1/sample", headers=make_header(ADMIN_TEXT)), 403)


@pytest.mark.parametrize("text", [INFER_TEXT, ADMIN_TEXT], ids=[INFER, ADMIN])
def test_metrics_accept_any_key(keyed_client: httpx.Client, text: str) -> None:
    """`/metrics` accepts a key with any right."""
    assert keyed_client.get("/metrics", headers=make_header(text)).status_code not in {401, 403}


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
def test_key_is_checked_for_the_routed_path(keyed_client: httpx.Client, start: str) -> None:
    """The key check uses the path that the router sees, for every form of the address."""
    response = exchange(
        str(keyed_client.base_url).rstrip("/"), start.encode() + b"\r\nContent-Length: 0\r\n\r\n"
    )

    assert int(response.split(b" ", 2)[1]) in {400, 401, 404, 405}


def test_log_contains_the_key_name_and_no_key(
    keyed_client: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    """The log contains the name of a key, and never a valid or invalid key."""
    caplog.set_level("DEBUG")
    keyed_client.post("/v1/sample", headers=make_header(INFER_TEXT))
    keyed_client.post(f"/v1/sample?key={INFER_TEXT}", headers=make_header(INFER_TEXT + "x"))
    keyed_client.get("/last-one-of-this-test")
    wait_until(lambda: "last-one-of-this-test" in caplog.text)

    log_text = "\n".join(
        str(vars(record)) for record in caplog.records if not record.name.startswith("http")
    )
    assert "'key': 'ci'" in log_text
    assert INFER_TEXT not in log_text
    assert INFER_KEY.digest.hex() not in log_text


def test_openapi_document_has_the_key_schemes(
    keyed_client: httpx.Client, client: httpx.Client
) -> None:
    """The OpenAPI document has both security schemes if keys are set, and none otherwise."""
    secured = keyed_client.get("/openapi.json", headers=make_header(INFER_TEXT)).json()
    schemes = secured["components"]["securitySchemes"]

    assert [scheme for need in secured["security"] for scheme in need] == [*schemes]
    assert {scheme["type"] for scheme in schemes.values()} == {"http", "apiKey"}
    assert "security" not in client.get("/openapi.json").json()


@pytest.mark.parametrize("path", ["/livez", "/docs", "/nowhere", "/static/pages.js"])
def test_responses_have_security_headers(client: httpx.Client, path: str) -> None:
    """Every response forbids content sniffing, framing and referrers."""
    headers = client.get(path).headers

    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert "default-src 'none'" in headers["Content-Security-Policy"]


def test_pages_have_no_inline_scripts(client: httpx.Client) -> None:
    """The policy forbids inline scripts, and no page contains one."""
    page = client.get("/docs")

    assert "script-src 'self';" in page.headers["Content-Security-Policy"]
    assert page.text.count("<script") == page.text.count("<script src=")


@pytest.mark.parametrize(
    ("path", "cache_control"), [("/v1/models", "no-store"), ("/static/pages.js", "no-cache")]
)
def test_cache_control_of_responses_and_pages(
    client: httpx.Client, path: str, cache_control: str
) -> None:
    """API responses are not cached; static files are revalidated by their ETag."""
    assert client.get(path).headers["Cache-Control"] == cache_control


def test_other_origins_have_no_access_by_default(client: httpx.Client) -> None:
    """Without configured origins, no response has CORS headers."""
    response = client.get("/livez", headers={"Origin": "https://a.example"})

    assert not [name for name in response.headers if name.startswith("access-control")]


def test_configured_origin_has_access(store: Path) -> None:
    """A configured origin passes the preflight without a key and can read errors; others cannot."""
    settings = Settings(
        models_store=store, api_keys=INFER_KEY.to_line(), cors_origins=["https://a.example"]
    )
    preflight = {
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "X-API-Key",
    }
    with run_service(settings) as client:
        allowed = client.options("/v1/sample", headers={"Origin": "https://a.example", **preflight})
        rejected = client.post("/v1/sample", headers={"Origin": "https://a.example"})
        foreign = client.options("/v1/sample", headers={"Origin": "https://b.example", **preflight})

    assert allowed.status_code == 200
    assert allowed.headers["Access-Control-Allow-Origin"] == "https://a.example"
    assert rejected.status_code == 401
    assert rejected.headers["Access-Control-Allow-Origin"] == "https://a.example"
    assert "Access-Control-Allow-Credentials" not in allowed.headers
    assert "Access-Control-Allow-Origin" not in foreign.headers
