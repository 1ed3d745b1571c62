"""Bounds on binarized MNIST, by 5,000 importance samples on the 10,000 test images; chosen on held-out rows.

Samples are drawn from the posterior as it was learned, as in the literature; where its weights are heavy-tailed, log p
is higher than the bound by more than `of_the_samples`.

Published, binarization drawn anew at each epoch: a VAE of 784-200-200-50 86.76 nats and with importance weights of 5
samples 85.54, after 3,280 epochs (Burda et al., 2016; a replication 87.75 and 85.46); a ladder VAE of five layers
81.74 (Sonderby et al., 2016). On the fixed binarization, a flow posterior 85.10 (Rezende & Mohamed, 2015), VampPrior
85.57 (Tomczak & Welling, 2018).
"""

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

import likely
from benchmarks.data import binarized_mnist, mnist, parser, say
from likely.contract import LatentDensity
from likely.data import open_source
from likely.likelihoods import Bernoulli
from likely.networks import MLP
from likely.registry import Spec
from likely.tasks.importance import importance_estimate, one_sample_bound
from likely.training import History, TrainConfig, train
from likely.variational import FlowPrior, ImportanceWeighted, InverseAutoregressive, VampPrior

PAPER = MLP((200, 200), activation="tanh")
WIDE = MLP((512, 512), activation="silu")
CASES = {
    "vae": Spec("vae", z_size=50, network=PAPER),
    "iwae": Spec("vae", z_size=50, network=PAPER, bound=ImportanceWeighted(5)),
    "flow": Spec("vae", z_size=40, network=WIDE, posterior=InverseAutoregressive(), prior=FlowPrior()),
    "vampprior": Spec("vae", z_size=40, network=WIDE, prior=VampPrior()),
    "vampprior-iw": Spec("vae", z_size=40, network=WIDE, prior=VampPrior(), bound=ImportanceWeighted(5)),
    "ladder": Spec("ladder_vae", z_sizes=(40, 20), network=WIDE),
}
"""Models by the name of the case."""

RECIPES = {
    "cpu": {"time_limit": 2400.0, "batch_size": 100, "learning_rate": 3e-3},
    "gpu": {"epochs": 2000.0, "batch_size": 256, "learning_rate": 2e-3, "device": "cuda"},
}
"""How each is trained, to the end of its schedule."""


class Trained(NamedTuple):
    """A model, test images as it takes them, and how it was trained."""

    model: LatentDensity
    test: Tensor
    history: History


def main() -> None:
    """One case, one line."""
    arguments = parser(__doc__)
    arguments.add_argument("case", choices=CASES)
    arguments.add_argument("--fixed", action="store_true", help="the fixed binarization, instead of drawing anew")
    arguments.add_argument("--recipe", choices=RECIPES, default="cpu")
    arguments.add_argument("--seconds", type=float, help="of training, instead of the recipe's length")
    arguments.add_argument("--epochs", type=float, help="likewise")
    arguments.add_argument("--dropout", type=float, help="of encoder and decoder, where bits are fixed")
    arguments.add_argument("--input-dropout", type=float, help="of what the encoder sees, likewise")
    arguments.add_argument("--learning-rate", type=float)
    arguments.add_argument("--batch-size", type=int)
    arguments.add_argument("--samples", type=int, default=5_000)
    arguments.add_argument("--rows", type=int, default=10_000, help="test images")
    arguments.add_argument("--seed", type=int, default=0)
    given = arguments.parse_args()
    settings = RECIPES[given.recipe] | ({"time_limit": given.seconds, "epochs": None} if given.seconds else {})
    settings |= {"epochs": given.epochs, "time_limit": None} if given.epochs else {}
    settings |= {"learning_rate": given.learning_rate} if given.learning_rate else {}
    settings |= {"batch_size": given.batch_size} if given.batch_size else {}
    config = TrainConfig(patience=None, precision="bfloat16", seed=given.seed, **settings)
    fit = fixed if given.fixed else drawn_anew
    spec = CASES[given.case]
    shares = {"dropout": given.dropout, "input_dropout": given.input_dropout}
    network = replace(spec.arguments["network"], **{name: share for name, share in shares.items() if share})
    spec = Spec(spec.name, **spec.arguments | {"network": network})
    model, test, history = fit(given.data, spec, config)
    device = next(model.parameters()).device
    test = test[: given.rows].to(device)
    estimate = importance_estimate(model, test, n_samples=given.samples, refine=False)
    one = one_sample_bound(model, test)
    say(
        benchmark="bounds",
        case=given.case,
        binarization="fixed" if given.fixed else "drawn anew",
        seconds=round(history.seconds),
        steps=history.total_steps,
        best_step=history.best_step,
        test_nats=round(-float(estimate.log_prob.mean()), 3),
        standard_error=round(float(estimate.log_prob.std()) / len(test) ** 0.5, 3),
        of_the_samples=round(estimate.mean_error, 3),
        heavy_tailed_rows=estimate.n_heavy,
        one_sample=round(float((one.distortion + one.rate).mean()), 3),
        rate=round(float(one.rate.mean()), 2),
        effective_samples=round(float(estimate.effective_samples.median()), 1),
    )


def drawn_anew(folder: Path | None, spec: Spec, config: TrainConfig) -> Trained:
    """Trained on 54,000 images whose bits are drawn at each step, chosen on 6,000; test bits drawn once."""
    data = mnist(folder)
    images = open_source(data["x_train"])
    fitted = likely.fit(spec, images, train=config, binarize=True, calibrate="none", test=0.0)
    gray = torch.from_numpy(data["x_test"]).unsqueeze(1) / 255
    test = torch.bernoulli(gray, generator=torch.Generator().manual_seed(0))
    return Trained(fitted.model, test, fitted.history)


def fixed(folder: Path | None, spec: Spec, config: TrainConfig) -> Trained:
    """Trained on the 50,000 images of the fixed binarization, chosen on its 10,000."""
    learned, test, split = binarized_mnist(folder)
    with torch.random.fork_rng():
        torch.manual_seed(config.seed)
        model = spec.build(x_shape=(1, 28, 28), likelihood=Bernoulli())
    return Trained(model, test, train(model, learned, config, split=split))


if __name__ == "__main__":
    main()
