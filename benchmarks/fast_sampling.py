"""Drawing images pixel by pixel: from caches, against the network's own pass for each pixel at its fastest layout.

Both are given the same noise and must give the same images. The plain sampler of a large network would take an hour:
unless --full, it draws some pixels from within an image, and its time is taken per pixel. For NADE, time against the
number of values: drawing D values of H hidden units costs O(H D), so that the slope of log time is 1.
"""

import math
import time
from collections.abc import Callable

import torch
from torch import Tensor

from benchmarks.data import parser, say
from likely.chain_rule import ChainRuleModel
from likely.likelihoods import Bernoulli
from likely.models import NADE, GatedPixelCNN, PixelCNN
from likely.networks.causal import Anew

N_IMAGES, SIDE, REPEATS = 16, 28, 5
CASES: dict[str, Callable[[], ChainRuleModel]] = {
    "gated, 5 layers of 32 channels": lambda: gated(5, 32),
    "gated, 10 layers of 128 channels": lambda: gated(10, 128),
    "masked, 15 blocks of 16 channels": lambda: PixelCNN(
        (1, SIDE, SIDE), channels=16, blocks=15, likelihood=Bernoulli()
    ),
}
N_PLAIN_PIXELS = 20
N_VALUES = (1024, 2048, 4096, 8192)


def gated(layers: int, channels: int) -> GatedPixelCNN:
    """Over bits."""
    return GatedPixelCNN((1, SIDE, SIDE), channels=channels, layers=layers, likelihood=Bernoulli())


def seconds(ask: Callable[[], object], repeats: int) -> float:
    """The fastest of some runs."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        ask()
        times.append(time.perf_counter() - start)
    return min(times)


def plain(model: ChainRuleModel, known: Tensor, noise: Tensor, n_pixels: int | None) -> tuple[Tensor, float]:
    """The plain sampler's images, or as many of their pixels, and its seconds for all of them."""
    n_places = len(model.network.places)
    steps, observation = Anew(model.network, len(noise), None), model.observation
    wanted = range(n_places) if n_pixels is None else range(0, n_places, math.ceil(n_places / n_pixels))
    drawn, flat_noise = known.clone(), noise.flatten(1)
    start = time.perf_counter()
    for i, place in enumerate(model.network.places):
        if i in wanted:
            drawn.flatten(1)[:, place] = observation.draw(steps.raw(i), flat_noise[:, place])
        steps.put(i, drawn.flatten(1)[:, place])
    return drawn, (time.perf_counter() - start) * n_places / len(wanted)


@torch.inference_mode()
def sampling(name: str, *, full: bool) -> None:
    """One network: both samplers."""
    torch.manual_seed(0)
    model = CASES[name]().eval()
    nothing, noise = torch.full((N_IMAGES, *model.x_shape), torch.nan), torch.rand(N_IMAGES, *model.x_shape)
    images = model.complete(nothing, noise)
    cached = seconds(lambda: model.complete(nothing, noise), REPEATS)
    model.network(images)
    slowly, naive = plain(model, images, noise, None if full else N_PLAIN_PIXELS)
    say(
        case=f"drawing {N_IMAGES} images of {SIDE} x {SIDE}: {name}",
        cached_seconds=cached,
        naive_seconds=naive,
        naive="drawn in full" if full else f"{N_PLAIN_PIXELS} pixels, extrapolated",
        ratio=naive / cached,
        identical=bool(torch.equal(slowly, images)),
    )


@torch.inference_mode()
def nade() -> None:
    """Seconds against the number of values, and the slope of their logarithms."""
    times = []
    for n in N_VALUES:
        torch.manual_seed(0)
        model = NADE((n,), 500, likelihood=Bernoulli()).eval()
        nothing, noise = torch.full((N_IMAGES, n), torch.nan), torch.rand(N_IMAGES, n)
        model.complete(nothing, noise)
        times.append(seconds(lambda m=model, y=nothing, u=noise: m.complete(y, u), REPEATS))  # type: ignore[misc]
    x, y = torch.tensor(N_VALUES).double().log(), torch.tensor(times).double().log()
    slope = ((x - x.mean()) * (y - y.mean())).sum() / (x - x.mean()).square().sum()
    say(case="NADE: time against values", seconds=dict(zip(N_VALUES, times, strict=True)), slope=slope.item())


def main() -> None:
    """Every case."""
    arguments = parser(__doc__)
    arguments.add_argument("--full", action="store_true", help="the plain sampler of large networks in full (an hour)")
    arguments.add_argument("--only", choices=("pixels", "nade"), help="some of the cases")
    given = arguments.parse_args()
    if given.only != "nade":
        for i, name in enumerate(CASES):
            sampling(name, full=given.full or i == 0)
    if given.only != "pixels":
        nade()


if __name__ == "__main__":
    main()
