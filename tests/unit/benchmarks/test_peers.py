"""The peers' pinned packages, and the checks on what they answer."""

import json
import re
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from performance.answers import check_answer
from performance.contenders import pack_multipart, pack_tensor, read_plain, read_tensors
from performance.environments import PEERS, is_current, read_versions

PINS = sorted(PEERS.glob("*/requirements.txt"))
TRUTH = {"shirt": 0.25, "shoe": 0.75}


@pytest.mark.parametrize("file", PINS, ids=lambda file: file.parent.name)
def test_every_package_of_a_peer_is_pinned(file: Path) -> None:
    """A peer's packages are names with one version each, and no places of a machine."""
    lines = file.read_text().splitlines()

    assert lines
    assert [line for line in lines if not re.fullmatch(r"[\w.-]+==[\w.!+]+", line)] == []


def test_an_environment_is_as_good_as_its_pins(tmp_path: Path) -> None:
    """An environment is made again when its pins change."""
    pins = tmp_path / "requirements.txt"
    pins.write_text("a==1\n")
    made = tmp_path / "made"
    made.mkdir()
    assert not is_current(made, pins)

    (made / "requirements.txt").write_text("a==1\n")
    assert is_current(made, pins)

    pins.write_text("a==2\n")
    assert not is_current(made, pins)


def test_versions_are_read_from_an_environment() -> None:
    """Versions are those that are installed."""
    expected = f"numpy {version('numpy')}, pillow {version('pillow')}"

    assert read_versions(sys.executable, ("numpy", "pillow")) == expected


def test_a_right_answer_passes() -> None:
    """Probabilities may differ by what single precision differs."""
    body = json.dumps({"label": "shoe", "probabilities": [0.25001, 0.74999]})

    check_answer(body.encode(), read_plain(["shirt", "shoe"]), TRUTH)


@pytest.mark.parametrize(
    ("label", "probabilities", "words"),
    [("shirt", [0.25, 0.75], "answered shirt"), ("shoe", [0.26, 0.74], "wrong by 0.01")],
)
def test_a_wrong_answer_is_found(label: str, probabilities: list[float], words: str) -> None:
    """A wrong label or probability ends the measurement."""
    body = json.dumps({"label": label, "probabilities": probabilities})

    with pytest.raises(RuntimeError, match=words):
        check_answer(body.encode(), read_plain(["shirt", "shoe"]), TRUTH)


def test_answers_of_the_protocol_are_read() -> None:
    """Label and probabilities are found among the output tensors."""
    outputs = [
        {"name": "label", "data": ["shoe"]},
        {"name": "probabilities", "data": [0.25, 0.75]},
    ]

    assert read_tensors(["shirt", "shoe"])({"outputs": outputs}) == ("shoe", TRUTH)


def test_a_form_holds_the_file() -> None:
    """The form is one part with the file's bytes, and its boundary is in the content type."""
    body, content_type = pack_multipart("image", b"\x89PNG")
    boundary = content_type.partition("boundary=")[2].encode()

    assert body.count(boundary) == 2
    assert b"\r\n\r\n\x89PNG\r\n--" in body


def test_a_tensor_holds_the_file_in_base64() -> None:
    """The tensor says that its bytes are base64."""
    (tensor,) = json.loads(pack_tensor(b"\x89PNG"))["inputs"]

    assert (tensor["datatype"], tensor["data"]) == ("BYTES", ["iVBORw=="])
    assert tensor["parameters"] == {"content_type": "base64"}
