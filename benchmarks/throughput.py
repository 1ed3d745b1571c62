"""Training and scoring through likely against a bare PyTorch loop with the same arithmetic.

The network is pythae's benchmark: an MLP 784-512-16-512-784 on MNIST. The two loops alternate in one process, and
the figure is the median of the paired ratios; peak memory is that of processes of their own.
"""

import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.data import mnist, parser, say
from likely.data.feed import TensorFeed
from likely.data.split import Split
from likely.likelihoods import Bernoulli
from likely.models import VAE
from likely.networks import MLP
from likely.training import TrainConfig, train

N_STEPS = 600
N_PAIRS = 5
N_SCORED = 10_000


class BareVAE(nn.Module):
    """What one would write by hand: no library, no checks, no validation."""

    def __init__(self, n: int = 784, hidden: int = 512, z_size: int = 16) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(n, hidden), nn.SiLU(), nn.Linear(hidden, 2 * z_size))
        self.decoder = nn.Sequential(nn.Linear(z_size, hidden), nn.SiLU(), nn.Linear(hidden, n))

    def forward(self, x: Tensor) -> Tensor:
        """Minus the bound of each row."""
        loc, log_scale = self.encoder(x).float().chunk(2, dim=1)
        z = loc + log_scale.exp() * torch.randn_like(loc)
        logits = self.decoder(z).float()
        distortion = F.binary_cross_entropy_with_logits(logits, x, reduction="none").sum(1)
        return distortion + 0.5 * (loc.square() + (2 * log_scale).exp() - 1 - 2 * log_scale).sum(1)


def bits(folder: Path | None) -> Tensor:
    """Binarized MNIST, (60000, 784) float32."""
    return (torch.from_numpy(mnist(folder)["x_train"]).flatten(1) > 127).float()


def bare_training(model: nn.Module, x: Tensor, batch_size: int, precision: str, n_steps: int = N_STEPS) -> float:
    """Seconds of some steps of the bare loop."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
    order = torch.randperm(len(x))
    start = time.perf_counter()
    for step in range(n_steps):
        first = step * batch_size % (len(x) - batch_size)
        rows = x[order[first : first + batch_size]]
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
            loss = model(rows).mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
    return time.perf_counter() - start


def our_model() -> VAE:
    """The same network as a VAE of the library."""
    return VAE((784,), 16, network=MLP((512,)), likelihood=Bernoulli())


def our_training(x: Tensor, batch_size: int, precision: str) -> float:
    """Seconds of N_STEPS steps through `train`, validation rows and all."""
    epochs = N_STEPS * batch_size / len(x)
    config = TrainConfig(epochs=epochs, batch_size=batch_size, precision=precision, learning_rate=1e-3)  # type: ignore[arg-type]
    ids = np.arange(len(x))
    split = Split(ids, ids[:1000], ids[:0], ids[:0])
    feed, model = TensorFeed(x), our_model()
    start = time.perf_counter()
    train(model, feed, config, split=split)
    return time.perf_counter() - start


def paired(ours: Callable[[], float], bare: Callable[[], float], n_pairs: int = N_PAIRS) -> dict[str, float]:
    """The median of bare / ours over alternating runs, and its range."""
    ours(), bare()
    ratios = []
    for i in range(n_pairs):
        first, second = (ours, bare) if i % 2 else (bare, ours)
        a, b = first(), second()
        ratios.append(a / b if first is bare else b / a)
    return {"ratio": statistics.median(ratios), "lowest": min(ratios), "highest": max(ratios)}


def scoring(x: Tensor, n_samples: int) -> dict[str, float]:
    """`Fitted.surprise` of rows as the caller has them against the bare arithmetic of the same bound."""
    from likely.data import infer_schema, open_source
    from likely.fitted import Fitted
    from likely.registry import Spec

    rows = x[:N_SCORED].numpy()
    source = open_source(rows)
    model = our_model().eval()
    fitted = Fitted(model, Spec("vae"), infer_schema(source))

    def ours() -> float:
        start = time.perf_counter()
        fitted.surprise(rows, n_samples=n_samples)
        return time.perf_counter() - start

    @torch.inference_mode()
    def bare() -> float:
        start = time.perf_counter()
        noise = torch.randn(n_samples, 1, 16)
        for piece in torch.from_numpy(rows).split(1024):
            loc, log_scale = model.codec.encode(piece).chunk(2, dim=1)
            z = loc + log_scale.exp() * noise
            logits = model.codec.decoder(z)
            log_px = -F.binary_cross_entropy_with_logits(
                logits, piece.expand(n_samples, *piece.shape), reduction="none"
            ).sum(2)
            (log_px + 0.5 * (noise.square() - z.square() + 2 * log_scale).sum(2)).logsumexp(0)
        return time.perf_counter() - start

    return paired(ours, bare)


def pythae_training(x: Tensor, batch_size: int) -> float:
    """Seconds per N_STEPS steps of pythae's trainer on the same network."""
    import tempfile

    from pythae.models import VAE as PythaeVAE
    from pythae.models import VAEConfig
    from pythae.models.base.base_utils import ModelOutput
    from pythae.models.nn import BaseDecoder, BaseEncoder
    from pythae.pipelines import TrainingPipeline
    from pythae.trainers import BaseTrainerConfig

    class Encoder(BaseEncoder):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Sequential(nn.Linear(784, 512), nn.SiLU())
            self.loc, self.scale = nn.Linear(512, 16), nn.Linear(512, 16)

        def forward(self, x: Tensor) -> ModelOutput:
            h = self.body(x)
            return ModelOutput(embedding=self.loc(h), log_covariance=self.scale(h))

    class Decoder(BaseDecoder):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Sequential(nn.Linear(16, 512), nn.SiLU(), nn.Linear(512, 784), nn.Sigmoid())

        def forward(self, z: Tensor) -> ModelOutput:
            return ModelOutput(reconstruction=self.body(z))

    config = VAEConfig(input_dim=(784,), latent_dim=16, reconstruction_loss="bce")
    model = PythaeVAE(config, encoder=Encoder(), decoder=Decoder())
    n = N_STEPS * batch_size
    rows = x[torch.arange(n) % len(x)]
    with tempfile.TemporaryDirectory() as folder:
        settings = BaseTrainerConfig(
            output_dir=folder, num_epochs=1, learning_rate=1e-3, per_device_train_batch_size=batch_size, no_cuda=True
        )
        start = time.perf_counter()
        TrainingPipeline(training_config=settings, model=model)(rows)
        return time.perf_counter() - start


def peak_memory(which: str, folder: Path | None) -> float:
    """MiB at most of a process of its own that trains."""
    call = [sys.executable, "-m", "benchmarks.throughput", "--only", which]
    if folder is not None:
        call += ["--data", str(folder)]
    return float(subprocess.run(call, check=True, capture_output=True, text=True).stdout.split()[-1])


def has_pythae() -> bool:
    """Whether the benchmark-only extra is installed."""
    import importlib.util

    return importlib.util.find_spec("pythae") is not None


def main() -> None:
    """Every case."""
    arguments = parser(__doc__)
    arguments.add_argument("--only", choices=("ours", "bare"), help="train once and print the peak memory in MiB")
    given = arguments.parse_args()
    x = bits(given.data)
    if given.only:
        if given.only == "ours":
            our_training(x, 512, "float32")
        else:
            bare_training(BareVAE(), x, 512, "float32")
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
        return
    for batch_size in (100, 512):
        for precision in ("float32", "bfloat16"):
            case = {"case": "training against a bare loop", "batch_size": batch_size, "precision": precision}
            ratio = paired(
                lambda b=batch_size, p=precision: our_training(x, b, p),  # type: ignore[misc]
                lambda b=batch_size, p=precision: bare_training(BareVAE(), x, b, p),  # type: ignore[misc]
            )
            say(**case, **ratio, rows_per_second=round(N_STEPS * batch_size / our_training(x, batch_size, precision)))
            if has_pythae():
                against = paired(
                    lambda b=batch_size, p=precision: our_training(x, b, p),  # type: ignore[misc]
                    lambda b=batch_size: pythae_training(x, b),  # type: ignore[misc]
                )
                say(**{**case, "case": "training against pythae (float32)"}, **against)
    for n_samples in (1, 16):
        say(case="scoring 10,000 rows against the bare arithmetic", n_samples=n_samples, **scoring(x, n_samples))
    memory = {which: peak_memory(which, given.data) for which in ("ours", "bare")}
    say(case="peak memory against a bare loop", **memory, ratio=memory["ours"] / memory["bare"])


if __name__ == "__main__":
    main()
