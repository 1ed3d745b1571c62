"""Restoring: tiles that leave no seams, a person's own units, and noise that is really gone."""

import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

import likely
from likely.contract import ClosedFormFitted, Operator, Restorer, Shape
from likely.corruptions import (
    Corruption,
    Downsampling,
    Erasing,
    GaussianNoise,
    Grayscale,
    SaltAndPepper,
    ZeroMasking,
    finish,
    start,
)
from likely.data import Schema, infer_schema, open_source
from likely.errors import DataError, Unsupported, UserError
from likely.fitted import Fitted
from likely.networks import MLP
from likely.registry import Spec
from likely.tasks.restoration import restore

Change = Callable[[torch.Tensor], torch.Tensor]


class Proposing(ClosedFormFitted, Restorer):
    """Restores by a function that is known, in place of what a network learned."""

    def __init__(self, x_shape: Shape, change: Change, corruption: Corruption | None = None) -> None:
        super().__init__(x_shape)
        self.change, self.corruption = change, corruption
        self.register_buffer("precision", torch.zeros((), dtype=torch.float64))

    def _solve(self, batches):
        return

    def _restore(self, y: torch.Tensor, operator: Operator, condition: torch.Tensor | None) -> torch.Tensor:
        begun = start(y, operator)
        self._check("y", begun, self.x_shape, condition)
        return finish(self.change(begun), y, operator)


def same(x: torch.Tensor) -> torch.Tensor:
    return x


def local_mean(x: torch.Tensor) -> torch.Tensor:
    """Of 3 x 3 pixels, blind beyond the borders of what it is given, as networks are."""
    return F.avg_pool2d(x, 3, stride=1, padding=1)


def rows(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


SIZES = [(8, 8), (20, 31), (9, 8), (3, 40), (1, 1), (5, 2), (64, 17)]


# Tiles.


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("tile", [(8, 8), (7, 5), (1, 1), (2, 3), (16, 6)])
def test_tiles_of_what_stays_the_same_are_the_same(size, tile):
    y = rows(3, 2, *size)
    torch.testing.assert_close(restore(Proposing((2, *tile), same, GaussianNoise()), y), y)


@pytest.mark.parametrize("size", SIZES)
def test_tiles_leave_no_seams_and_borders_are_mirrors(size):
    """A restorer that looks one pixel around gives the same by tiles and at once, however blind at a tile's rim."""
    y = rows(2, 1, *size)
    h, w = size
    mirrored = y
    for axis, side in ((2, h), (3, w)):  # torch refuses to mirror a single line
        ids = [abs(i) if i < side else 2 * side - 2 - i for i in range(-1, side + 1)] if side > 1 else [0, 0, 0]
        mirrored = mirrored[:, :, ids] if axis == 2 else mirrored[:, :, :, ids]
    at_once = F.avg_pool2d(mirrored, 3, stride=1)
    torch.testing.assert_close(restore(Proposing((1, 16, 16), local_mean, GaussianNoise()), y)[:, :, :h, :w], at_once)


def test_a_signal_has_tiles_too():
    y = rows(3, 2, 50)
    torch.testing.assert_close(restore(Proposing((2, 9), same, GaussianNoise()), y), y)


def test_an_image_of_the_models_own_size_is_no_tile():
    y = rows(2, 1, 16, 16)
    torch.testing.assert_close(restore(Proposing((1, 16, 16), local_mean, GaussianNoise()), y), local_mean(y))


@pytest.mark.parametrize("corruption", [Erasing(0.4), Downsampling(2), Downsampling(4), Grayscale()], ids=str)
@pytest.mark.parametrize("size", [(24, 32), (8, 16), (40, 8)])
def test_what_tiles_make_of_y_could_have_become_y(corruption, size):
    x = rows(2, 3, *size)
    y = corruption.draw(x).apply(x)
    found = restore(Proposing((3, 8, 8), lambda x: x.tanh(), corruption), y)
    assert found.shape == x.shape
    again = corruption.behind(y, tuple(x.shape[1:])).apply(found)
    torch.testing.assert_close(again, y, equal_nan=True)


def test_rows_of_tiles_are_strangers():
    y = rows(4, 1, 21, 18)
    model = Proposing((1, 8, 8), local_mean, GaussianNoise())
    together = restore(model, y)
    for i in range(4):
        torch.testing.assert_close(restore(model, y[i : i + 1]), together[i : i + 1])


def test_tiles_do_not_depend_on_how_many_are_restored_at_once(monkeypatch):
    y, model = rows(2, 1, 40, 33), Proposing((1, 8, 8), local_mean, GaussianNoise())
    whole = restore(model, y)
    monkeypatch.setattr("likely.tasks.restoration.TILE_VALUES", 1)
    torch.testing.assert_close(restore(model, y), whole)


# What happened, where nobody says.


def test_what_is_missing_was_erased_and_nothing_else_of_other_rows():
    y = rows(3, 1, 6, 6)
    y[1, 0, 2, 3] = torch.nan
    found = restore(Proposing((1, 6, 6), lambda x: 0 * x + 7, GaussianNoise()), y)
    assert (found[[0, 2]] == 7).all()  # noise leaves nothing as it was
    lost = y[1].isnan()
    assert (found[1][lost] == 7).all()
    torch.testing.assert_close(found[1][~lost], y[1][~lost])


def test_what_was_learned_happened_where_nothing_is_missing():
    y = rows(2, 1, 3, 3)
    found = restore(Proposing((1, 6, 6), same, Downsampling(2)), y)
    torch.testing.assert_close(found, y.repeat_interleave(2, 2).repeat_interleave(2, 3))


def test_a_model_that_was_taught_no_operator_has_to_be_told():
    with pytest.raises(UserError, match="say what happened"):
        restore(Proposing((1, 6, 6), same), rows(2, 1, 6, 6))


@pytest.mark.parametrize(
    ("corruption", "shape", "words"),
    [
        (GaussianNoise(), (3, 6, 6), r"\(3, 6, 6\).*expected \(1, 8, 8\)"),
        (Grayscale(), (1, 8, 8), "Grayscale is of images of 3 channels"),
        (Downsampling(3), (1, 9, 9), "tiles of 8x8"),
    ],
)
def test_what_cannot_have_happened_is_refused(corruption, shape, words):
    with pytest.raises(DataError, match=words):
        restore(Proposing((1, 8, 8), same), rows(2, *shape), corruption)


def test_noise_leaves_nothing_out():
    y = rows(3, 1, 8, 8)
    y[2, 0, 0, 0] = torch.nan
    with pytest.raises(DataError, match="row 2 lacks values"):
        restore(Proposing((1, 8, 8), same), y, ZeroMasking())


# A person's own units.


def fitted_as(change: Change, data: object, corruption: Corruption | None = None) -> Fitted:
    """A model that restores by a known function, of this data."""
    schema = infer_schema(open_source(data))
    return Fitted(Proposing(schema.x_shape, change, corruption), Spec("denoising_autoencoder"), schema)


def images(*shape: int) -> np.ndarray:
    """uint8, of every level."""
    drawn = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    drawn.flat[:2] = 0, 255
    return drawn


@pytest.mark.parametrize("shape", [(9, 8, 8), (9, 8, 8, 3), (9, 3, 8, 8)])
def test_noise_comes_as_it_is_beyond_black_and_white(shape):
    y = images(*shape) + np.random.default_rng(1).normal(0, 90, shape)
    assert y.min() < 0
    assert y.max() > 255
    np.testing.assert_allclose(fitted_as(same, images(*shape), GaussianNoise()).restore(y), y, atol=1e-9)
    larger = np.tile(y, (1, *(2 if side == 8 else 1 for side in shape[1:])))
    np.testing.assert_allclose(fitted_as(same, images(*shape), GaussianNoise()).restore(larger), larger, atol=1e-9)


def test_units_are_those_of_the_model_inside():
    seen = []

    def look(x: torch.Tensor) -> torch.Tensor:
        seen.append(x)
        return 1 - x

    data = images(9, 8, 8)
    found = fitted_as(look, data, GaussianNoise()).restore(data.astype(float))
    np.testing.assert_allclose(seen[0].numpy()[:, 0], data / 255)
    np.testing.assert_allclose(found, 255.0 - data)


def test_real_images_are_standardized():
    data = np.random.default_rng(0).normal(100, 30, (50, 5, 5)).astype(np.float32)
    fitted = fitted_as(lambda x: 0 * x, data, GaussianNoise())
    np.testing.assert_allclose(fitted.restore(data[:3]), np.full((3, 5, 5), data.mean()), rtol=1e-4)


@pytest.mark.parametrize("shape", [(9, 8, 8, 3), (9, 3, 8, 8)])
def test_gray_images_may_come_without_channels(shape):
    fitted = fitted_as(same, images(*shape), Grayscale())
    gray = images(2, 8, 8).astype(float)
    found = fitted.restore(gray)
    axis = 3 if shape[-1] == 3 else 1
    assert found.shape == (2, *shape[1:])
    weights = np.array([0.299, 0.587, 0.114])
    np.testing.assert_allclose(np.tensordot(found, weights, (axis, 0)), gray, atol=1e-9)
    np.testing.assert_allclose(fitted.restore(np.expand_dims(gray, axis)), found)


def test_smaller_images_come_back_large():
    found = fitted_as(same, images(9, 8, 8), GaussianNoise()).restore(images(2, 3, 5).astype(float), Downsampling(2))
    assert found.shape == (2, 6, 10)
    np.testing.assert_allclose(found[:, ::2, ::2], images(2, 3, 5))


def test_an_operator_that_was_drawn_serves_its_own_rows(monkeypatch):
    monkeypatch.setattr("likely.fitted.CHUNK_VALUES", 3 * 64)
    data = images(9, 8, 8)
    fitted = fitted_as(lambda x: 0 * x, data, GaussianNoise())
    x = fitted.see(data).double()
    operator = ZeroMasking(0.5).draw(x)
    found = fitted.restore(operator.apply(x).numpy()[:, 0] * 255, operator)
    np.testing.assert_allclose(found, operator.apply(x).numpy()[:, 0] * 255)
    with pytest.raises(DataError, match="drawn for"):
        fitted.restore(np.zeros((9, 4, 4)), operator)


def table(n: int = 60) -> pd.DataFrame:
    generator = np.random.default_rng(0)
    a = generator.normal(10, 3, n)
    kinds = np.where(np.arange(n) % 3 == 0, "x", "y")
    return pd.DataFrame({"a": a, "b": 2 * a + generator.normal(0, 0.1, n), "always": 7.0, "kind": kinds})


def test_tables_keep_their_columns_and_what_is_known():
    fitted = fitted_as(lambda x: 0 * x, table(), GaussianNoise())
    left = table()
    left.loc[3, "a"] = np.nan
    left.loc[4, "kind"] = None
    left.loc[5, "always"] = 8.5
    found = fitted.restore(left)
    assert list(found) == list(table())
    np.testing.assert_array_equal(found["always"], left["always"])  # the model does not see it
    np.testing.assert_allclose(found.loc[3, "a"], table()["a"].mean())
    np.testing.assert_allclose(found.loc[[3, 4], "b"], table().loc[[3, 4], "b"])
    assert found.loc[3, "kind"] == table().loc[3, "kind"]
    assert found.loc[10, "a"] == pytest.approx(table()["a"].mean())  # nothing is missing here: it was noise


def test_features_without_names_may_be_missing():
    data = np.random.default_rng(0).normal(5, 2, (60, 3))
    left = data[:4].copy()
    left[1, 2] = np.nan
    found = fitted_as(lambda x: 0 * x, data, Erasing()).restore(left)
    np.testing.assert_allclose(found[1, 2], data[:, 2].mean())
    np.testing.assert_allclose(np.delete(found, 5), np.delete(left, 5))


@pytest.mark.parametrize(
    ("left", "words"),
    [
        (np.zeros((2, 8)), "height, width"),
        (np.zeros((2, 8, 8, 3)), "height, width"),
    ],
)
def test_what_is_no_image_is_refused(left, words):
    with pytest.raises(DataError, match=words):
        fitted_as(same, images(9, 8, 8), GaussianNoise()).restore(left)


def test_what_is_infinite_is_filled_in_and_said():
    left = images(2, 8, 8).astype(float)
    left[1, 2, 3] = np.inf
    fitted = fitted_as(lambda x: 0 * x, images(9, 8, 8), GaussianNoise())
    with pytest.warns(UserWarning, match=r"1 row holds .*takes it as missing: row 1, at .*found inf"):
        found = fitted.restore(left)
    assert np.isfinite(found).all()
    with pytest.raises(DataError, match=r"1 cell differs.*row 1.*found inf"):
        fitted.restore(left, strict=True)


def test_rows_that_lack_columns_are_refused():
    with pytest.raises(DataError, match='lacks column "b"'):
        fitted_as(same, table(), GaussianNoise()).restore(table().drop(columns="b"))
    with pytest.raises(DataError, match=r"expected an array of shape \(rows, 3\)"):
        fitted_as(same, np.random.default_rng(0).normal(size=(60, 3)), GaussianNoise()).restore(np.zeros((2, 4)))


def test_a_model_that_does_not_restore_names_those_that_do():
    fitted = likely.fit("pca", np.random.default_rng(0).normal(size=(60, 4)), z_size=2)
    with pytest.raises(Unsupported, match="denoising_autoencoder"):
        fitted.restore(np.zeros((1, 4)))


@pytest.mark.parametrize(("mode", "n_channels"), list(itertools.product(["L", "LA", "RGB", "RGBA"], [1, 3])))
def test_files_are_read_as_the_model_wants_them_and_transparent_is_missing(here: Path, mode: str, n_channels: int):
    shape = (9, 8, 8) if n_channels == 1 else (9, 8, 8, 3)
    pixels = images(8, 10, 4)
    pixels[..., 3] = np.where(pixels[..., 3] < 100, 0, 255)
    Image.fromarray(pixels, "RGBA").convert(mode).save(here / "a.png")
    seen = []

    def look(x: torch.Tensor) -> torch.Tensor:
        seen.append(x)
        return 0 * x - 1

    found = fitted_as(look, images(*shape), GaussianNoise()).restore(here / "a.png")
    assert found.shape == (1, 8, 10, *shape[3:])
    kept = np.asarray(Image.open(here / "a.png").convert("L" if n_channels == 1 else "RGB"), float)
    if "A" not in mode:
        assert (found < -250).all()
        assert len(seen) == 1
        return
    lost = pixels[..., 3] == 0
    np.testing.assert_allclose(found[0][lost], -255)
    np.testing.assert_allclose(found[0][~lost], kept[~lost], atol=0.51)  # Pillow rounds its gray


@pytest.fixture
def here(tmp_path: Path) -> Path:
    return tmp_path


# What it is for.


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, np.ndarray]:
    """Training and test images, 8-bit."""
    from sklearn.datasets import load_digits

    all_images = (load_digits().images * 255 / 16).astype(np.uint8)
    return all_images[:1400], all_images[1400:]


def trained(model: str, data: np.ndarray, **arguments: object) -> Fitted:
    config = likely.TrainConfig(epochs=12, seed=0)
    network = MLP((128,), linear_path=True)
    return likely.fit(model, data, train=config, network=network, z_size=24, calibrate="none", **arguments)


def distance(x: np.ndarray, y: np.ndarray) -> float:
    return float(np.square((x - y) / 255).mean())


@pytest.fixture(scope="module")
def plain(digits) -> Fitted:
    return trained("autoencoder", digits[0])


@pytest.mark.parametrize("corruption", [GaussianNoise(0.3), ZeroMasking(0.4), SaltAndPepper(0.3)], ids=str)
def test_noise_is_taken_away_and_better_than_by_a_plain_autoencoder(digits, plain, corruption):
    """The same network, trained the same, on the same noisy test images: what learned the noise leaves less of it.

    Without a corruption in training the two would be the same model: the second margin fails.
    """
    train, test = digits
    with torch.random.fork_rng():
        torch.manual_seed(1)
        x = torch.from_numpy(test / 255.0)[:, None]
        noisy = corruption.draw(x).apply(x)[:, 0].numpy() * 255
    restored = trained("denoising_autoencoder", train, corruption=corruption).restore(noisy)
    by_plain = plain.schema.to_rows(
        plain.model.reconstruct(torch.from_numpy(noisy[:, None] / 255).float()).detach(), draws=False
    )
    before, after, without = (distance(test, guess) for guess in (noisy, restored, by_plain))
    assert after < 0.5 * before
    assert after < 0.7 * without


def test_missing_values_come_back_better_than_the_mean_of_their_pixel(digits):
    train, test = digits
    fitted = trained("denoising_autoencoder", train, corruption=Erasing(0.4))
    left = test.astype(float)
    lost = np.random.default_rng(0).random(left.shape) < 0.4
    left[lost] = np.nan
    found = fitted.restore(left)
    np.testing.assert_allclose(found[~lost], test[~lost], atol=1e-3)
    by_mean = np.broadcast_to(train.mean(0), test.shape)
    assert distance(found[lost], test[lost]) < 0.8 * distance(by_mean[lost], test[lost])


def test_schema_is_not_loosened_for_other_questions(digits):
    """What restore takes as it is, reconstruct sees as the nearest whole values from 0 to 16."""
    fitted = fitted_as(same, digits[0], GaussianNoise())
    assert isinstance(fitted.schema, Schema)
    noisy = digits[1].astype(float) + 0.4
    np.testing.assert_array_equal(fitted.see(noisy), fitted.see(digits[1]))
