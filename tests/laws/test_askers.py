"""One answer whoever asks: threads beside each other, another device, another precision."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

import likely
from likely.contract import EstimatedDensity
from likely.networks import MLP
from likely.registry import MODELS, Spec
from likely.tasks import can_judge
from likely.training import TrainConfig
from tests.questions import answer, questions_of
from tests.training.kinds import KINDS, assert_same, run_of
from tests.zoo import ZOO

N_THREADS = 8
TABLE = np.random.default_rng(0).normal(size=(60, 4))
BITS, LEVELS = (np.random.default_rng(0).integers(0, n, (60, 4, 4)).astype(np.uint8) for n in (2, 8))
AS_FITTED = {
    "autoencoder": (Spec("stacked-denoising-autoencoder"), TABLE),
    "denoising_autoencoder": (Spec("denoising_autoencoder", network=MLP((16,), dropout=0.2)), TABLE),
    "dequantizing_flow": (Spec("dequantizing_flow"), LEVELS),
    "made": (Spec("made", dropout=0.2), TABLE),
    "vae": (Spec("vampprior-vae"), LEVELS),
    "rbm": (Spec("rbm"), BITS),
    **{name: (Spec(name), BITS) for name in ("pixel_rnn", "pixel_cnn", "gated_pixel_cnn")},
}
"""What is fitted to which rows, where a model as it is by default and a table would leave much out."""
N_ROWS = 6


@pytest.fixture(autouse=True)
def _few_steps(monkeypatch):
    """A posterior is fitted to each row that lacks values; what is asked here does not depend on how well."""
    monkeypatch.setattr("likely.variational.refinement.N_STEPS", 5)


@pytest.mark.parametrize("name", ZOO)
def test_a_model_answers_eight_threads_as_it_answers_one(name):
    model, x = ZOO[name].model(), ZOO[name].x()[:N_ROWS]
    questions = questions_of(model)
    alone = {question: answer(model, x, question) for question in questions}
    ready = threading.Barrier(N_THREADS)

    def ask(number: int) -> list[str]:
        """What this thread was answered otherwise; each thread asks two things, and others than its neighbor."""
        ready.wait()
        asked = [questions[(number + i) % len(questions)] for i in range(2)]
        return [question for question in asked if not equal(answer(model, x, question), alone[question])]

    before = torch.get_rng_state()
    with ThreadPoolExecutor(N_THREADS) as threads:
        assert list(threads.map(ask, range(N_THREADS))) == [[]] * N_THREADS
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("name", ZOO)
def test_a_copy_in_float32_answers_as_the_model_in_float64(name):
    model, x = ZOO[name].model(), ZOO[name].x()[:N_ROWS]
    questions = questions_of(model)
    precise = {question: answer(model, x, question) for question in questions}
    model.float()
    off = 2e-2 if isinstance(model, EstimatedDensity) else 1e-3  # as near as a solver of its own steps comes
    for question in questions:
        torch.testing.assert_close(
            answer(model, x.float(), question).double(), precise[question], rtol=off, atol=off, equal_nan=True
        )


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("name", ZOO)
def test_a_model_answers_on_a_gpu_as_on_a_cpu(name):
    model, x = ZOO[name].model(), ZOO[name].x()[:N_ROWS]
    questions = questions_of(model)
    on_cpu = {question: answer(model, x, question) for question in questions}
    model.cuda()
    for question in questions:
        torch.testing.assert_close(
            answer(model, x.cuda(), question), on_cpu[question], rtol=1e-6, atol=1e-6, equal_nan=True
        )


CONFIG = TrainConfig(epochs=1, batch_size=16, device="cpu")


def trained(kind: str) -> dict[str, torch.Tensor]:
    """The weights of a small model that was built and trained just now."""
    return dict(run_of(kind, CONFIG)[0].state_dict())


@pytest.mark.parametrize("kind", KINDS)
def test_two_trainings_at_once_end_as_each_alone_and_disturb_nobody(kind):
    alone, ready, done = trained(kind), threading.Barrier(3), threading.Event()

    def train_beside() -> dict[str, torch.Tensor]:
        ready.wait()
        return trained(kind)

    def draw_beside() -> torch.Tensor:
        """What somebody draws from torch's process-wide generator meanwhile."""
        torch.manual_seed(5)
        ready.wait()
        drawn = [torch.rand(3)]
        while not done.is_set() and len(drawn) < 10_000:
            drawn.append(torch.rand(3))
        return torch.cat(drawn)

    with ThreadPoolExecutor(3) as threads:
        by_others = threads.submit(draw_beside)
        trainings = [threads.submit(train_beside) for _ in range(2)]
        results = [training.result() for training in trainings]
        done.set()
        drawn = by_others.result()
    for result in results:
        assert_same(result, alone)
    torch.manual_seed(5)
    assert torch.equal(drawn, torch.cat([torch.rand(3) for _ in range(len(drawn) // 3)]))


BRIEFLY = TrainConfig(epochs=0.2, batch_size=16, seed=3, device="cpu")


@pytest.mark.parametrize("name", MODELS)
def test_two_fits_at_once_are_as_each_alone(name):
    """From rows to weights and from there to surprises, of every registered model."""
    spec, rows = AS_FITTED.get(name, (Spec(name), TABLE))

    def fitted() -> list[torch.Tensor]:
        found = likely.fit(spec, rows, train=BRIEFLY, calibrate="none")
        surprises = [torch.from_numpy(found.surprise(rows))] if can_judge(type(found.model)) else []
        return [*found.model.state_dict().values(), *surprises]

    alone, before = fitted(), torch.get_rng_state()
    with ThreadPoolExecutor(2) as threads:
        for result in (future.result() for future in [threads.submit(fitted) for _ in range(2)]):
            assert len(result) == len(alone)
            assert all(map(equal, result, alone))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize(("name", "rows"), [("vae", TABLE), ("flow", TABLE), ("flow", LEVELS), ("vae", LEVELS)])
def test_a_fitted_directory_answers_on_a_gpu_as_on_a_cpu(name, rows, tmp_path):
    likely.fit(name, rows, train=BRIEFLY).save(tmp_path / name)
    here, there = likely.load(tmp_path / name), likely.load(tmp_path / name, device="cuda")
    np.testing.assert_allclose(there.score(rows).surprise, here.score(rows).surprise, rtol=1e-3, atol=1e-3)
    # The rows that calibrate are among them: rounding decides which of two equal ones is the stranger.
    one = 1 / (len(here.calibration.surprises) + 1)
    np.testing.assert_allclose(there.score(rows).p_value, here.score(rows).p_value, atol=1.01 * one)
    drawn, same = np.asarray(there.sample(20), float), np.asarray(here.sample(20), float)
    np.testing.assert_allclose(drawn, same, rtol=1e-3, atol=1e-3)


def equal(a: torch.Tensor, b: torch.Tensor) -> bool:
    return torch.equal(a.nan_to_num(nan=1e99), b.nan_to_num(nan=1e99))
