"""Flows on MNIST: 50,000 images, chosen on 10,000 others, 10,000 to test; 256 levels, bits per dimension.

What is printed is the bound of one draw of noise in the bins for each test image, with its standard error over images:
in mean at least the bits that the flow needs. With uniform noise this is what papers print as bits per dimension.

Published, uniform noise: RealNVP 1.06, Glow 1.05, FFJORD 0.99 (Grathwohl et al., 2019, table 2).

The cases that end in "-gpu" are recipes for a GPU: --seconds 3600 --device cuda.
"""

import torch
from torch import Tensor

from benchmarks.data import Curve, add_training, mnist, parser, say, training
from likely.contract import BoundedDensity
from likely.data.split import Split
from likely.evaluation import bits_per_dim, mean_with_error
from likely.flows import Glow, RealNVP, VariationalDequantization
from likely.registry import Spec
from likely.training import train

CASES = {
    "realnvp": Spec("dequantizing_flow", design=RealNVP()),
    "glow": Spec("dequantizing_flow", design=Glow()),
    "glow-spline": Spec("dequantizing_flow", design=Glow(bins=8)),
    "realnvp-variational": Spec(
        "dequantizing_flow", design=RealNVP(), dequantization=VariationalDequantization(layers=4)
    ),
    "realnvp-gpu": Spec("dequantizing_flow", design=RealNVP(layers=8, hidden=(64, 64, 64), dropout=0.1)),
    "glow-gpu": Spec("dequantizing_flow", design=Glow(steps=24, width=256, blocks=2, dropout=0.1)),
    "realnvp-variational-gpu": Spec(
        "dequantizing_flow",
        design=RealNVP(layers=8, hidden=(64, 64, 64), dropout=0.1),
        dequantization=VariationalDequantization(layers=6, width=64, blocks=2),
    ),
}
"""Models by the name of the case."""

SETTINGS: dict[str, dict[str, float]] = {
    "realnvp-gpu": {"learning_rate": 1e-3, "batch_size": 128},
    "glow-gpu": {"learning_rate": 1e-3, "batch_size": 128},
    "realnvp-variational-gpu": {"learning_rate": 1e-3, "batch_size": 128},
}
"""What a case is trained with, beside the length."""

ON_TWO_CORES = {"learning_rate": 3e-3, "batch_size": 32}
"""What the others are."""

SECONDS = 3600.0
ROWS_AT_ONCE = 500


def main() -> None:
    """One case, one line."""
    arguments = parser(__doc__)
    arguments.add_argument("case", choices=CASES)
    add_training(arguments, f"of training; by default {SECONDS:g}")
    arguments.add_argument("--rows", type=int, default=10_000, help="test images")
    given = arguments.parse_args()
    config = training(given, SETTINGS.get(given.case, ON_TWO_CORES), SECONDS)
    images = mnist(given.data)
    learned, test = (torch.from_numpy(images[part]).unsqueeze(1).float() / 255 for part in ("x_train", "x_test"))
    with torch.random.fork_rng():
        torch.manual_seed(given.seed)
        model = CASES[given.case].build(x_shape=(1, 28, 28))
    history = train(model, learned, config, split=fixed_split(len(learned), given.seed), on_progress=Curve())
    assert isinstance(model, BoundedDensity)
    bits = mean_with_error(bits_per_dim(bounds(model, test[: given.rows], given.seed), 784))
    say(
        benchmark="image_flows",
        case=given.case,
        spec=str(CASES[given.case]),
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        seconds=round(history.seconds),
        steps=history.total_steps,
        best_step=history.best_step,
        batch_size=history.batch_size,
        learning_rate=config.learning_rate,
        precision=history.precision,
        validation_nats=round(min(row["validation"] for row in history.rows), 1),
        bits_per_dim=round(bits.mean, 4),
        standard_error=round(bits.error, 4),
    )


def fixed_split(n: int, seed: int) -> Split:
    """10,000 rows of the training part to choose by, the others to train on."""
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed)).numpy()
    return Split(order[10_000:], order[:10_000], order[:0], order[:0])


@torch.inference_mode()
def bounds(model: BoundedDensity, rows: Tensor, seed: int) -> Tensor:
    """The bound of log P of each row, (n,) nats, by noise of its own: errors of rows are independent."""
    device = next(model.parameters()).device
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        parts = [-model(part.to(device)).total.cpu() for part in rows.split(ROWS_AT_ONCE)]
    return torch.cat(parts).double()


if __name__ == "__main__":
    main()
