"""The network of a flow: its steps, and what it is before training."""

import pytest
import torch

from training.networks.flow import Flow, make_time_features
from training.recipe.schema import FlowRecipe


def make_flow(classes: int = 2, **changes: object) -> Flow:
    """Return an untrained flow of latents with mean 5 and standard deviation 2."""
    recipe = FlowRecipe.model_validate({"width": 8, "blocks": 2, **changes})
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Flow(5 + 2 * torch.randn(500, 3), classes, recipe).eval()


def make_rows(flow: Flow, count: int = 7) -> torch.Tensor:
    """Return inputs of the flow."""
    rng = torch.Generator().manual_seed(1)
    return torch.randn(count, flow.latent_size + flow.classes, generator=rng)


@pytest.mark.parametrize("classes", [0, 2])
def test_latents_have_the_units_of_the_training_latents(classes: int) -> None:
    """The output is the integral, with mean and scale restored."""
    flow = make_flow(classes)
    rows = make_rows(flow)

    latents = flow(rows).detach()

    assert latents.shape == (7, 3)
    assert torch.allclose(flow.standardise(latents), flow.integrate(rows), atol=1e-5)


def test_the_integral_follows_the_velocity() -> None:
    """Two Euler steps start at the times 0 and 1/2."""
    flow = make_flow(steps=2)
    points, conditions = flow.split(make_rows(flow))

    for time in (0.0, 0.5):
        features = make_time_features(torch.tensor([[time]]))
        points = points + flow.velocity(points, conditions, features) / 2

    assert torch.allclose(flow.integrate(make_rows(flow)), points, atol=1e-6)


def test_a_constant_dimension_is_not_scaled() -> None:
    """A latent dimension without variance does not give NaN."""
    latents = torch.randn(50, 3, generator=torch.Generator().manual_seed(0))
    latents[:, 1] = 4

    flow = Flow(latents, 0, FlowRecipe(width=8, blocks=1))

    assert flow.scale[1] == 1
    assert torch.isfinite(flow(torch.randn(5, 3))).all()
