"""Exit statuses and error lines of the commands."""

import importlib.util
from pathlib import Path

import pytest

from training import __main__, pipeline
from training.commands.evaluate import evaluate
from training.commands.export import export
from training.commands.report import report
from training.commands.reproduce import reproduce
from training.commands.train import train


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["no-such-recipe"], "'no-such-recipe' is neither an existing folder nor a recipe"),
        ([], "Expected a folder of images, or a recipe"),
        (["digits", "--set", "vae.betta=1"], "vae.betta: unknown key"),
        (["digits", "--epochs", "0"], "autoencoder.epochs"),
    ],
)
def test_an_invalid_recipe_gives_status_2_and_one_line(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The line names the invalid value."""
    status = train(words)

    lines = capsys.readouterr().err.splitlines()
    assert status == 2
    assert len(lines) == 1
    assert message in lines[0]


def test_a_missing_data_set_gives_status_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A missing folder is not a usage error."""
    words = ["--dataset", str(tmp_path / "missing"), "--runs", str(tmp_path / "runs")]

    status = train(words)

    assert status == 1
    assert "neither a built-in data set nor a file or folder" in capsys.readouterr().err


def test_an_unknown_flag_gives_status_2(capsys: pytest.CaptureFixture[str]) -> None:
    """Argparse prints the usage."""
    with pytest.raises(SystemExit) as caught:
        train(["--colour"])

    assert caught.value.code == 2
    assert "usage: latentd train" in capsys.readouterr().err


def test_an_interrupt_gives_status_130(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ctrl-C prints how to resume, without a traceback."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(pipeline, "fit_run", interrupt)

    status = train(["digits", "--runs", str(tmp_path)])

    assert status == 130
    assert "repeat the command to resume" in capsys.readouterr().err


@pytest.mark.parametrize("command", [evaluate, export, report])
def test_a_missing_run_gives_status_1(
    command: object, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The error names the run."""
    assert callable(command)

    status = command(["missing", "--runs", str(tmp_path)])

    assert status == 1
    assert "missing is not a run folder" in capsys.readouterr().err


def test_reproduce_requires_a_checkout(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An installed wheel lacks `training.reproduction`; the command says so in one line."""
    monkeypatch.setattr(
        "training.commands.reproduce.find_spec",
        lambda name: None if name == "training.reproduction" else importlib.util.find_spec(name),
    )

    status = reproduce(["A1"])

    lines = capsys.readouterr().err.splitlines()
    assert status == 1
    assert lines == [
        "latentd: `latentd reproduce` is not installed; run it in a checkout of the project"
    ]


def test_the_package_runs_as_a_module(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`python -m training COMMAND` is the same as `latentd COMMAND`."""
    monkeypatch.setattr("sys.argv", ["training", "train", "no-such-recipe"])

    assert __main__.main() == 2
    assert "neither an existing folder nor a recipe" in capsys.readouterr().err
