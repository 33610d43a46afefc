"""Settings: read from flags and the environment, and invalid values named."""

import os
from pathlib import Path

import pytest
from pydantic import ValidationError

from service.__main__ import main
from service.settings import Settings, format_errors

VALUES = {
    "host": "0.0.0.0",  # noqa: S104 - a value
    "port": "9000",
    "workers": "3",
    "models_store": "elsewhere",
    "store_cache": "cache",
    "store_cache_bytes": "1000000",
    "backend": "torchscript",
    "model_backends": '{"mnist": "torchscript"}',
    "device": "cuda",
    "model_devices": '{"mnist": "cuda"}',
    "default_model": "mnist",
    "versions": "5",
    "skip_broken_models": "true",
    "watch_seconds": "0.5",
    "threads": "2",
    "max_queue": "7",
    "request_seconds": "2.5",
    "max_body_bytes": "1000",
    "load_seconds": "20",
    "max_client_connections": "8",
    "run_seconds": "5",
    "memory_bytes": "6000",
    "max_pending_bytes": "5000",
    "max_json_bytes": "900",
    "max_json_values": "800",
    "max_images": "10",
    "max_pixels": "1000000",
    "max_samples": "20",
    "api_keys": "ci infer " + "0" * 64,
    "api_keys_file": "keys",
    "repository_control": "true",
    "cors_origins": '["https://a.example"]',
    "image_formats": '["webp", "tiff"]',
    "root_path": "/ml/digits",
    "forwarded_allow_ips": '["127.0.0.1", "10.0.0.0/8"]',
    "header_seconds": "1.5",
    "body_seconds": "60",
    "drain_seconds": "0",
    "log_level": "debug",
    "log_format": "text",
    "otlp_endpoint": "http://127.0.0.1:4318",
}
INVALID = [
    ("port", "abc"),
    ("image_formats", '["svg"]'),
    ("root_path", "ml"),
    ("root_path", "/ml/"),
    ("forwarded_allow_ips", '["proxy"]'),
    ("forwarded_allow_ips", '["10.0.0.1/8"]'),
    ("port", "65536"),
    ("port", "-1"),
    ("workers", "0"),
    ("workers", "100000"),
    ("backend", "tensorflow"),
    ("versions", "0"),
    ("skip_broken_models", "perhaps"),
    ("watch_seconds", "-1"),
    ("threads", "-1"),
    ("threads", "100000"),
    ("max_queue", "0"),
    ("request_seconds", "0"),
    ("max_body_bytes", "32MB"),
    ("load_seconds", "-1"),
    ("max_client_connections", "-1"),
    ("run_seconds", "inf"),
    ("memory_bytes", "-1"),
    ("max_pending_bytes", "-1"),
    ("max_json_bytes", "8MB"),
    ("max_json_values", "-1"),
    ("max_images", "1.5"),
    ("max_samples", "1"),
    ("header_seconds", "0"),
    ("body_seconds", "-1"),
    ("body_seconds", "inf"),
    ("request_seconds", "nan"),
    ("drain_seconds", "-1"),
    ("cors_origins", '["a.example/x"]'),
    ("api_keys", "ci infer"),
    ("log_level", "loud"),
    ("log_format", "xml"),
    ("otlp_endpoint", "collector:4318"),
    ("model_backends", '{"mnist": "tensorflow"}'),
]


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("LATENTD_")]:
        monkeypatch.delenv(name)


def test_every_setting_is_tested() -> None:
    """A new setting must be added to these tests."""
    assert VALUES.keys() == Settings.model_fields.keys()


@pytest.mark.parametrize("name", VALUES)
def test_setting_is_read_from_the_environment(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """LATENTD_<NAME> overrides the default."""
    monkeypatch.setenv(f"LATENTD_{name.upper()}", VALUES[name])

    assert getattr(Settings(), name) != Settings.model_fields[name].default


def test_a_url_as_models_store_stays_text(monkeypatch: pytest.MonkeyPatch) -> None:
    """A path would drop one of the slashes of s3://."""
    monkeypatch.setenv("LATENTD_MODELS_STORE", "s3://bucket/prefix")

    assert Settings().models_store == "s3://bucket/prefix"
    assert Settings(models_store="models").models_store == Path("models")


@pytest.mark.parametrize("name", VALUES)
def test_empty_variable_is_ignored(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """An empty variable, as Compose files leave them, gives the default."""
    monkeypatch.setenv(f"LATENTD_{name.upper()}", "")

    assert getattr(Settings(), name) == Settings.model_fields[name].default


@pytest.mark.parametrize("name", VALUES)
def test_every_setting_is_described(name: str) -> None:
    """Each setting has a description that ends with a full stop."""
    assert (Settings.model_fields[name].description or "").endswith(".")


@pytest.mark.parametrize(("name", "value"), INVALID)
def test_invalid_variable_stops_the_start(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, value: str
) -> None:
    """An invalid value in the environment exits with 2 and one line with setting and value."""
    monkeypatch.setenv(f"LATENTD_{name.upper()}", value)

    status = main(["serve"])

    (line,) = capsys.readouterr().err.splitlines()
    assert status == 2
    assert line.startswith(f"LATENTD_{name.upper()} (--{name.replace('_', '-')}): ")
    assert ", got " in line or name == "api_keys"  # keys are never shown


@pytest.mark.parametrize(
    ("name", "value"), [setting for setting in INVALID if setting[0] != "skip_broken_models"]
)
def test_invalid_flag_stops_the_start(
    capsys: pytest.CaptureFixture[str], name: str, value: str
) -> None:
    """An invalid value of a flag exits with 2 and names the setting."""
    flag = f"--{name.replace('_', '-')}={value}"

    status = main(["serve", flag])

    assert status == 2
    assert f"LATENTD_{name.upper()} (" in capsys.readouterr().err


def test_invalid_json_variable(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A dictionary that is not JSON exits with 2 and names the setting."""
    monkeypatch.setenv("LATENTD_MODEL_BACKENDS", "torchscript")

    assert main(["serve"]) == 2
    assert "model_backends" in capsys.readouterr().err.lower()


def test_unknown_flag(capsys: pytest.CaptureFixture[str]) -> None:
    """An unknown flag exits with 2 and is named."""
    with pytest.raises(SystemExit) as stopped:
        main(["serve", "--no-such-flag"])

    assert stopped.value.code == 2
    assert "--no-such-flag" in capsys.readouterr().err


def test_all_invalid_values_are_reported() -> None:
    """Each invalid setting has a line with its value."""
    with pytest.raises(ValidationError) as caught:
        Settings(port=-1, workers=0)

    lines = format_errors(caught.value).splitlines()
    assert [line.partition(" ")[0] for line in lines] == ["LATENTD_PORT", "LATENTD_WORKERS"]
    assert lines[0].endswith("got -1")


def test_repository_control_requires_one_worker(capsys: pytest.CaptureFixture[str]) -> None:
    """Several workers and repository control exclude each other: a load reaches one worker only."""
    assert main(["serve", "--workers", "2", "--repository-control"]) == 2

    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("LATENTD_REPOSITORY_CONTROL (--repository-control): ")
    assert "set workers to 1, or publish into the models store" in line


def test_help_lists_every_setting(capsys: pytest.CaptureFixture[str]) -> None:
    """`latentd serve --help` shows the flag of every setting."""
    with pytest.raises(SystemExit) as stopped:
        main(["serve", "--help"])

    output = capsys.readouterr().out
    assert stopped.value.code == 0
    assert all(f"--{name.replace('_', '-')}" in output for name in VALUES)


def test_an_address_of_kubernetes_is_no_port(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """LATENTD_PORT is ignored with a warning if it is the address of a Service."""
    monkeypatch.setenv("LATENTD_PORT", "tcp://10.96.14.7:80")

    assert Settings().port == 8000
    assert "tcp://10.96.14.7:80" in caplog.text
