"""One thread for small tests, and the seeds of every test its own."""

import importlib

import pytest
import torch

ROUGHLY = {
    "likely.assess.bench": {"N_SAMPLES": 60, "MAX_ROWS": 200},
    "likely.assess.density": {"ANNEALING_STEPS": 100},
    "likely.assess.features": {"N_SEEN": 1000},
    "likely.assess.latent": {"N_CHECKED": 4, "N_SAMPLES": 50, "N_ONE_SAMPLE": 8},
    "likely.assess.restoration": {"N_RESTORED": 20},
    "likely.tasks.noise": {"N_ROWS": 10, "MAX_LOOKS": 1},
    "likely.variational.refinement": {"N_STEPS": 5},
}
"""What figures are made of where it does not matter how near the truth they come."""


@pytest.fixture(autouse=True)
def _small_and_seeded():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(threads)


def with_rough_figures(patch: pytest.MonkeyPatch) -> None:
    """Figures of an evaluation from few rows, draws and steps: for tests of what is done with them."""
    for module, values in ROUGHLY.items():
        for name, value in values.items():
            patch.setattr(importlib.import_module(module), name, value)
    latent = importlib.import_module("likely.assess.latent")
    patch.setattr(latent, "ANNEALING", latent.Annealing(n_chains=4, n_temperatures=20))


@pytest.fixture
def roughly(monkeypatch):
    """As `with_rough_figures`, during a test."""
    with_rough_figures(monkeypatch)
