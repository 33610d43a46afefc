"""The script and the output of wrk."""

import pytest

from benchmarks.harness.http_load import Request
from benchmarks.harness.wrk import parse_output, write_script

GOOD = """Running 10s test @ http://127.0.0.1:8000/v1/classify
  1 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency    15.11ms    2.03ms  41.11ms   94.62%
    Req/Sec     4.25k   160.02     4.47k    92.00%
  42315 requests in 10.01s, 40.11MB read
Requests/sec:   4227.41
Transfer/sec:      4.01MB
"""


def test_rate_is_parsed() -> None:
    """The rate is read from the output; without error lines the count is 0."""
    throughput = parse_output(GOOD)

    assert (throughput.rate, throughput.errors) == (4227.41, 0)


def test_errors_are_counted() -> None:
    """Error statuses and socket errors are added up."""
    throughput = parse_output(
        f"{GOOD}  Socket errors: connect 0, read 2, write 0, timeout 3\n"
        "  Non-2xx or 3xx responses: 7\n"
    )

    assert throughput.errors == 12


def test_missing_rate_is_an_error() -> None:
    """The error contains the output of wrk."""
    with pytest.raises(RuntimeError, match="unable to connect"):
        parse_output("unable to connect to 127.0.0.1:1 Connection refused")


def test_every_byte_of_a_body_is_escaped() -> None:
    """Quotes, newlines and backslashes in a file cannot end the Lua string."""
    script = write_script(Request("png", "/", b'\x89P"\n\\', "image/png"))

    assert 'wrk.body = "\\137\\080\\034\\010\\092"' in script
    assert 'wrk.headers["Content-Type"] = "image/png"' in script
