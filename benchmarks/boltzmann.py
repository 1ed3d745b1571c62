"""Boltzmann machines on the fixed binarization of MNIST: test log-likelihood with the error bar of its constant.

Published, nats: an RBM of 500 hidden units by 25 steps of contrastive divergence 86.34, a DBN of 500 and 2,000 over it
84.55 or more (a bound), both with the constant by annealed importance sampling (Salakhutdinov & Murray, 2008; Murray &
Salakhutdinov, 2009).

The constant is in mean estimated too low, so that log-likelihoods are in mean too high; how many chains count
(effective_samples) says how far the error bar can be trusted. The network's figure is a bound with such a constant. Its
lowest machine is the RBM of the same run: both figures come out.
"""

import dataclasses

import torch
from torch import Tensor

from benchmarks.data import add_training, binarized_mnist, parser, say, training
from likely.contract import AnnealedEnergy
from likely.models import DBN, RBM
from likely.rng import restart, seeded
from likely.tasks.partition import log_partition
from likely.training import train

SETTINGS = {
    # At a rate of 0.01 the chains lose their machine: 93 nats after 24 epochs, 98 after 100.
    "rbm": {"learning_rate": 2e-3, "batch_size": 100, "epochs": 60},
    "dbn": {"learning_rate": 2e-3, "batch_size": 100, "epochs": 30},
}
"""By case; epochs per machine."""

N_CHAINS = 200
N_TEMPERATURES = 20_000
ROWS_AT_ONCE = 1000
N_DRAWS = 20
"""Of the hidden units of a test row, for the network's bound."""


def main() -> None:
    """One case, one line per model."""
    arguments = parser(__doc__)
    arguments.add_argument("case", choices=SETTINGS)
    add_training(arguments, "of training, per machine; by default epochs that the case has")
    arguments.add_argument("--hidden", type=int, default=500)
    arguments.add_argument("--top", type=int, default=2000, help="units of the highest layer of a network")
    arguments.add_argument("--chains", type=int, default=N_CHAINS, help="annealed, for the constant")
    arguments.add_argument("--temperatures", type=int, default=N_TEMPERATURES)
    given = arguments.parse_args()
    config = training(given, SETTINGS[given.case])
    if given.case == "dbn" and config.time_limit:
        config = dataclasses.replace(config, time_limit=2 * config.time_limit)
    learned, test, split = binarized_mnist(given.data)
    with seeded(given.seed):
        rbm = RBM((1, 28, 28), given.hidden)
        dbn = DBN((1, 28, 28), (given.hidden, given.top), n_draws=N_DRAWS)
    model = rbm if given.case == "rbm" else dbn
    history = train(model, learned, config, split=split)
    spent = {"seconds": round(history.seconds), "steps": history.total_steps, "precision": history.precision}
    if given.case == "dbn":
        rbm.to(next(dbn.parameters()).device).eval().layer.load_state_dict(dbn.layers[0].state_dict())
        tell("rbm of dbn", rbm, learned[split.validation], test, given.chains, given.temperatures)
    tell(given.case, model, learned[split.validation], test, given.chains, given.temperatures, **spent)


def tell(
    case: str,
    model: AnnealedEnergy,
    held_out: Tensor,
    test: Tensor,
    n_chains: int,
    n_temperatures: int,
    **spent: int | str,
) -> None:
    """One line: minus the log-likelihood of test rows, with its error bar."""
    constant = log_partition(model, n_chains=n_chains, n_temperatures=n_temperatures)
    nats = energies(model, test) + constant.value
    say(
        benchmark="boltzmann",
        case=case,
        **spent,
        validation_nats=round(float((energies(model, held_out) + constant.value).mean()), 3),
        test_nats=round(float(nats.mean()), 3),
        error_of_rows=round(float(nats.std()) / len(nats) ** 0.5, 3),
        log_partition=round(constant.value, 3),
        error_of_log_partition=round(constant.error, 3),
        effective_samples=round(constant.effective_samples, 1),
        n_chains=constant.n_chains,
        n_temperatures=constant.n_temperatures,
    )


@torch.inference_mode()
def energies(model: AnnealedEnergy, rows: Tensor) -> Tensor:
    """(n,) nats, float64; rows share the noise where an energy is random."""
    device = next(model.parameters()).device
    with seeded("energies"):
        pieces = []
        for part in rows.split(ROWS_AT_ONCE):
            restart("energies")
            pieces.append(model.energy(part.to(device)).cpu().double())
    return torch.cat(pieces)


if __name__ == "__main__":
    main()
