"""Exit statuses: one line for each kind of failure."""

from pathlib import Path

import pytest

from training import __main__ as commands


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["no-such-recipe"], "no recipe 'no-such-recipe'"),
        ([], "give a recipe, or --dataset"),
        (["digits", "--set", "vae.betta=1"], "vae.betta: no such key"),
        (["digits", "--epochs", "0"], "autoencoder.epochs"),
    ],
)
def test_a_wrong_recipe_is_status_2_and_one_line(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is trained, and the line names what is wrong."""
    status = commands.train(words)

    lines = capsys.readouterr().err.splitlines()
    assert status == 2
    assert len(lines) == 1
    assert message in lines[0]


def test_wrong_images_are_status_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder that is not there is no usage error: it may come."""
    words = ["--dataset", str(tmp_path / "gone"), "--runs", str(tmp_path / "runs")]

    status = commands.train(words)

    assert status == 1
    assert "no data set and no folder" in capsys.readouterr().err


def test_a_wrong_flag_is_status_2(capsys: pytest.CaptureFixture[str]) -> None:
    """Argparse prints the usage."""
    with pytest.raises(SystemExit) as caught:
        commands.train(["--colour"])

    assert caught.value.code == 2
    assert "usage: latentd train" in capsys.readouterr().err


def test_an_interrupt_says_how_to_go_on(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ctrl-C is status 130, as the shell has it, with no traceback."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(commands, "fit_run", interrupt)

    status = commands.train(["digits", "--runs", str(tmp_path)])

    assert status == 130
    assert "the same command goes on" in capsys.readouterr().err


@pytest.mark.parametrize("command", [commands.evaluate, commands.export])
def test_a_missing_run_is_status_1(
    command: object, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Evaluating or exporting nothing says what was looked for."""
    assert callable(command)

    status = command(["gone", "--runs", str(tmp_path)])

    assert status == 1
    assert "gone is no run folder" in capsys.readouterr().err


def test_the_package_runs_as_a_module(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`python -m training COMMAND` is the same as `latentd COMMAND`."""
    monkeypatch.setattr("sys.argv", ["training", "train", "no-such-recipe"])

    assert commands.main() == 2
    assert "no recipe" in capsys.readouterr().err
