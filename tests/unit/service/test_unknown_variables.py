"""Environment variables that look like settings and are none."""

from service.settings import find_unknown_variables


def test_unknown_variables_are_found() -> None:
    """Misspelt settings are found; those of Kubernetes and of training are not."""
    names = ["LATENTD_PRT", "LATENTD_PORT", "LATENTD_PORT_8000_TCP", "LATENTD_SERVICE_HOST"]

    assert find_unknown_variables([*names, "LATENTD_DATA", "PATH"]) == ["LATENTD_PRT"]
