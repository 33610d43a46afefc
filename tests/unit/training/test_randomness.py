"""Seeds: one per purpose, and an unchanged global generator."""

import torch

from training.randomness import derive_seed, make_generator, seeded_globally

CPU = torch.device("cpu")


def test_each_purpose_has_its_own_seed() -> None:
    """The seed depends on the base seed and on each part of the purpose, and fits in 63 bits."""
    seeds = [
        derive_seed(0, "noise", 0),
        derive_seed(0, "noise", 1),
        derive_seed(0, "order", 0),
        derive_seed(1, "noise", 0),
    ]

    assert len(set(seeds)) == 4
    assert seeds[0] == derive_seed(0, "noise", 0)
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_a_generator_is_reproducible() -> None:
    """The same seed and purpose give the same numbers."""
    first, again = (torch.rand(2, generator=make_generator(CPU, 5, "x")) for _ in range(2))

    assert torch.equal(first, again)


def test_the_global_generator_is_restored() -> None:
    """It is seeded inside the context and continues from its earlier state afterwards."""
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)

    with seeded_globally(CPU, 5, "x"):
        first = torch.rand(1)
    with seeded_globally(CPU, 5, "x"):
        again = torch.rand(1)

    assert torch.equal(first, again)
    assert torch.equal(torch.rand(1), expected)
