"""Exact test likelihoods on the fixed binarization of MNIST: 50,000 images, chosen on 10,000 others, 10,000 to test.

Published, nats: FVSBN 97.45; NADE 88.33; MADE of one hidden layer 88.40, of two and 32 masks 86.64 (Germain et al.,
2015); an ensemble of 128 orders of a NADE of two layers 85.10 (Uria et al., 2014); Diagonal BiLSTM of one layer 80.75,
of seven 79.20, Row LSTM of twelve 80.54, PixelCNN 81.30 (van den Oord et al., 2016).

The cases "diagonal-gpu" and "gated-gpu" are recipes for a GPU: --seconds 1800 --device cuda.
"""

import torch
from torch import Tensor

from benchmarks.data import Curve, add_training, binarized_mnist, parser, say, training
from likely.contract import ExactDensity
from likely.likelihoods import Bernoulli
from likely.registry import Spec
from likely.training import train

CASES = {
    "fvsbn": Spec("fvsbn"),
    "nade": Spec("nade", hidden=500, dropout=0.3),
    "made": Spec("made", hidden=(4000,), dropout=0.3),
    "made-4-orders": Spec("made", hidden=(4000,), n_orders=4, shared=False, dropout=0.3),
    "made-orders": Spec("made", hidden=(1500, 1500), n_orders=32, dropout=0.0),
    "diagonal": Spec("pixel_rnn", channels=32, layers=1),
    "row": Spec("row-lstm", channels=32, layers=4),
    "diagonal-gpu": Spec("pixel_rnn", channels=32, layers=7),
    "pixel_cnn": Spec("pixel_cnn", channels=32, blocks=8),
    "gated": Spec("gated_pixel_cnn", channels=32, layers=6),
    "gated-gpu": Spec("gated_pixel_cnn", channels=128, layers=10, dropout=0.1),
}
"""Models by the name of the case."""

SETTINGS: dict[str, dict[str, float]] = {
    # A rate of 0.01 is the best of a minute, and ruins masked networks and gates alike in a longer run.
    "fvsbn": {"learning_rate": 0.01, "batch_size": 100},
    "nade": {"learning_rate": 3e-3, "batch_size": 100},
    # It overfits: no more than some fifteen epochs, and weights drawn to zero.
    "made": {"learning_rate": 3e-3, "batch_size": 100, "weight_decay": 0.1, "epochs": 10},
    # As many steps of as many rows for each order.
    "made-4-orders": {"learning_rate": 3e-3, "batch_size": 400, "weight_decay": 0.1, "epochs": 40},
    "made-orders": {"learning_rate": 3e-3, "batch_size": 100},
    "diagonal": {"learning_rate": 3e-3, "batch_size": 16},
    "row": {"learning_rate": 3e-3, "batch_size": 32},
    "diagonal-gpu": {"learning_rate": 5e-3, "batch_size": 128},
    "pixel_cnn": {"learning_rate": 3e-3, "batch_size": 32},
    "gated": {"learning_rate": 3e-3, "batch_size": 32},
    "gated-gpu": {"learning_rate": 2e-3, "batch_size": 128},
}
"""What a case is trained with, beside the length."""

SECONDS = 2700.0
ROWS_AT_ONCE = 1000


def main() -> None:
    """One case, one line."""
    arguments = parser(__doc__)
    arguments.add_argument("case", choices=CASES)
    add_training(arguments, f"of training; by default {SECONDS:g}, or epochs that the case has")
    given = arguments.parse_args()
    config = training(given, SETTINGS[given.case], SECONDS)
    learned, test, split = binarized_mnist(given.data)
    with torch.random.fork_rng():
        torch.manual_seed(given.seed)
        model = CASES[given.case].build(x_shape=(1, 28, 28), likelihood=Bernoulli())
    history = train(model, learned, config, split=split, on_progress=Curve())
    assert isinstance(model, ExactDensity)
    nats = nll(model, test)
    say(
        benchmark="exact_likelihoods",
        case=given.case,
        spec=str(CASES[given.case]),
        seconds=round(history.seconds),
        steps=history.total_steps,
        best_step=history.best_step,
        precision=history.precision,
        validation_nats=round(min(row["validation"] for row in history.rows), 3),
        test_nats=round(float(nats.mean()), 3),
        standard_error=round(float(nats.std()) / len(nats) ** 0.5, 3),
    )


@torch.inference_mode()
def nll(model: ExactDensity, rows: Tensor) -> Tensor:
    """-log p of each row, (n,) nats."""
    device = next(model.parameters()).device
    return -torch.cat([model.log_prob(part.to(device)).cpu() for part in rows.split(ROWS_AT_ONCE)]).double()


if __name__ == "__main__":
    main()
