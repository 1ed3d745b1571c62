"""Restoring a person's own files: images of any size, tables with gaps, arrays; and nothing half-written."""

import csv
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

import likely as library
from likely.cli.outputs import picture
from likely.corruptions import Erasing
from likely.networks import FullResolution
from tests.cli.conftest import Likely


def photograph(h: int, w: int, seed: int = 0, channels: int = 3) -> np.ndarray:
    """(h, w, channels) uint8: soft stripes."""
    y, x = np.mgrid[:h, :w]
    waves = [np.sin(x / 5 + i + seed) + np.cos(y / 7 + 2 * i) for i in range(channels)]
    return np.round(127 + 60 * np.stack(waves, -1)).astype(np.uint8)


def write(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).save(path)


def fitted(data: str, **arguments: object) -> library.Fitted:
    config = library.TrainConfig(epochs=3, seed=0)
    return library.fit("denoising_autoencoder", data, train=config, calibrate="none", **arguments)


@pytest.fixture(scope="session")
def _fitted_photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photographs")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for i in range(60):
            write(folder / f"train/{i:02}.png", photograph(16, 16, i))
        write(folder / "mine/a.png", photograph(40, 27))
        write(folder / "mine/여름/b.jpg", photograph(16, 16, 1))
        write(folder / "mine/여름/c.bmp", photograph(9, 50, 2, channels=1))
        network = FullResolution(channels=4, blocks=1)
        for channels, name in ((3, "rgb"), (1, "gray")):
            fitted("train", network=network, channels=channels).save(name)
    return folder


@pytest.fixture
def photographs(_fitted_photographs: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(_fitted_photographs)
    return _fitted_photographs


@pytest.fixture(scope="session")
def _fitted_gaps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gaps")
    generator = np.random.default_rng(0)
    a = generator.normal(10, 3, 300)
    lines = [f"{x:.4f},{2 * x + e:.4f},7,{'예' if x > 10 else '아니오'}" for x, e in zip(a, a / 50, strict=True)]
    (folder / "표.csv").write_text("\n".join(["키,b,언제나,병", *lines]) + "\n", "utf-8")
    np.save(folder / "rows.npy", np.stack([a, 2 * a], 1))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        fitted("표.csv", corruption=Erasing(), label="병").save("table")
        fitted("rows.npy", corruption=Erasing()).save("array")
    return folder


@pytest.fixture
def gaps(_fitted_gaps: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(_fitted_gaps)
    return _fitted_gaps


def there(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_a_folder_of_images_of_any_size_comes_back_under_its_own_names(photographs, likely: Likely, tmp_path):
    answer = likely("restore", "rgb", "mine", "-o", tmp_path / "out")
    assert answer.code == 0, answer.err
    assert "3 restored images are in" in answer.out
    assert "GaussianNoise" in answer.out
    assert there(tmp_path) == ["out/a.png", "out/여름/b.png", "out/여름/c.png"]
    for name, size in (("a.png", (27, 40)), ("여름/b.png", (16, 16)), ("여름/c.png", (50, 9))):
        restored = Image.open(tmp_path / "out" / name)
        assert (restored.size, restored.mode) == (size, "RGB")
    model = library.load("rgb")
    again = np.asarray(model.restore(photograph(40, 27)[None].astype(float)))[0]
    assert picture(again, model.schema) == (tmp_path / "out/a.png").read_bytes()


def test_a_gray_model_makes_gray_of_color(photographs, likely: Likely, tmp_path):
    assert likely("restore", "gray", "mine", "-o", tmp_path / "out").code == 0
    restored = Image.open(tmp_path / "out/a.png")
    assert (restored.size, restored.mode) == ((27, 40), "L")
    original = np.asarray(Image.open("mine/a.png").convert("L"), float)
    assert np.abs(np.asarray(restored, float) - original).mean() < 20


def test_one_image_is_one_file(photographs, likely: Likely, tmp_path):
    answer = likely("restore", "rgb", "mine/a.png", "-o", tmp_path / "one.png")
    assert answer.code == 0, answer.err
    assert "1 restored image is in" in answer.out
    assert Image.open(tmp_path / "one.png").size == (27, 40)
    assert there(tmp_path) == ["one.png"]


def test_transparent_pixels_are_filled_in_and_all_others_stay(photographs, likely: Likely, tmp_path):
    pixels = np.concatenate([photograph(40, 27), np.full((40, 27, 1), 255, np.uint8)], 2)
    pixels[10:14, 5:9] = 0
    write(tmp_path / "in/a.png", pixels)
    assert likely("restore", "rgb", tmp_path / "in", "-o", tmp_path / "out").code == 0
    restored = np.asarray(Image.open(tmp_path / "out/a.png"))
    lost = pixels[..., 3] == 0
    np.testing.assert_array_equal(restored[~lost], pixels[..., :3][~lost])
    assert restored.shape == (40, 27, 3)


def test_what_is_partly_transparent_stays_so_with_profile_and_resolution(photographs, likely: Likely, tmp_path):
    alpha = np.full((40, 27, 1), 255, np.uint8)
    alpha[20:] = 100
    alpha[10:14, 5:9] = 0
    image = Image.fromarray(np.concatenate([photograph(40, 27), alpha], 2))
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    (tmp_path / "in").mkdir()
    image.save(tmp_path / "in/a.png", icc_profile=profile, dpi=(300, 300))
    assert likely("restore", "rgb", tmp_path / "in", "-o", tmp_path / "out").code == 0
    restored = Image.open(tmp_path / "out/a.png")
    assert restored.info["icc_profile"] == profile
    assert restored.info["dpi"] == pytest.approx((300, 300), abs=0.1)
    pixels, there = np.asarray(restored), alpha[..., 0] > 0
    np.testing.assert_array_equal(pixels[there], np.asarray(image)[there])
    assert (pixels[~there, 3] == 255).all()
    assert likely("restore", "gray", tmp_path / "in", "-o", tmp_path / "gray").code == 0
    gray = Image.open(tmp_path / "gray/a.png")
    assert gray.mode == "LA"
    assert "icc_profile" not in gray.info, "the profile is one of RGB"


@pytest.mark.parametrize("kind", ["key", "gif"])
def test_a_color_that_is_transparent_is_filled_in(kind, photographs, likely: Likely, tmp_path):
    pixels = photograph(40, 27, channels=1)[..., 0].clip(0, 250)
    pixels[10:14, 5:9] = 255
    image = Image.fromarray(pixels) if kind == "gif" else Image.fromarray(np.dstack([pixels] * 3))
    name = "a.gif" if kind == "gif" else "a.png"
    (tmp_path / "in").mkdir()
    image.save(tmp_path / "in" / name, transparency=255 if kind == "gif" else (255, 255, 255))
    answer = likely("restore", "rgb", tmp_path / "in", "-o", tmp_path / "out")
    assert answer.code == 0, answer.err
    restored, lost = np.asarray(Image.open(tmp_path / "out/a.png")), pixels == 255
    assert restored.shape == (40, 27, 3)
    np.testing.assert_array_equal(restored[~lost], np.dstack([pixels] * 3)[~lost])
    assert restored[lost].max() < 250


def test_sixteen_bits_stay_sixteen(photographs, likely: Likely, tmp_path):
    wide = photograph(40, 27, channels=1)[..., 0].astype(np.uint16) * 257 + 5
    (tmp_path / "in").mkdir()
    Image.fromarray(wide).save(tmp_path / "in/a.png")
    answer = likely("restore", "gray", tmp_path / "in", "-o", tmp_path / "out", "--operator", "Erasing")
    assert answer.code == 0, answer.err
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "out/a.png")), wide)
    told = likely("restore", "gray", tmp_path / "in/a.png", "-o", tmp_path / "b.jpg")
    assert "holds 8 of the 16 bits" in told.err
    assert np.asarray(Image.open(tmp_path / "b.jpg")).dtype == np.uint8


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif", ".bmp"])
def test_one_image_is_written_as_its_name_says(suffix, photographs, likely: Likely, tmp_path):
    out = tmp_path / f"one{suffix}"
    assert likely("restore", "rgb", "mine/a.png", "-o", out, "--operator", "Erasing").code == 0
    found = np.asarray(Image.open(out)).astype(int)
    assert np.abs(found - photograph(40, 27)).max() <= (8 if suffix == ".jpg" else 0)


def test_transparency_is_not_lost_without_a_word(photographs, likely: Likely, tmp_path):
    pixels = np.concatenate([photograph(40, 27), np.full((40, 27, 1), 100, np.uint8)], 2)
    write(tmp_path / "a.png", pixels)
    answer = likely("restore", "rgb", tmp_path / "a.png", "-o", tmp_path / "b.jpg")
    assert answer.code == 2
    assert "is partly transparent, which JPEG cannot hold; choose .png" in answer.err


def test_what_is_skipped_is_said_and_all_broken_images_are_named(photographs, likely: Likely, tmp_path):
    write(tmp_path / "in/a.png", photograph(16, 16))
    (tmp_path / "in/notes.svg").write_text("x")
    answer = likely("restore", "rgb", tmp_path / "in", "-o", tmp_path / "out")
    assert answer.code == 0
    assert "1 file skipped, which is hidden or no images: notes.svg" in answer.err
    for name in ("b.png", "d.jpg"):
        (tmp_path / "in" / name).write_bytes(b"x")
    answer = likely("restore", "rgb", tmp_path / "in", "-o", tmp_path / "again")
    assert answer.code == 2
    assert "2 images cannot be read: b.png is no image; d.jpg is no image" in answer.err


def test_an_operator_of_ones_own_choice(photographs, likely: Likely, tmp_path):
    answer = likely("restore", "rgb", "mine", "-o", tmp_path / "out", "--operator", "Downsampling(factor=2)")
    assert answer.code == 0, answer.err
    large = np.asarray(Image.open(tmp_path / "out/a.png"), float)
    assert large.shape == (80, 54, 3)
    small = large.reshape(40, 2, 27, 2, 3).mean((1, 3))
    assert np.abs(small - photograph(40, 27)).max() < 1
    assert likely("restore", "rgb", "mine", "-o", tmp_path / "color", "--operator", "Grayscale").code == 0
    assert np.asarray(Image.open(tmp_path / "color/a.png")).shape == (40, 27, 3)


def test_two_files_of_one_name_are_both_there(photographs, likely: Likely, tmp_path):
    write(tmp_path / "in/a.png", photograph(16, 16))
    write(tmp_path / "in/a.bmp", photograph(16, 20))
    assert likely("restore", "rgb", tmp_path / "in", "-o", tmp_path / "out").code == 0
    assert there(tmp_path / "out") == ["a.bmp.png", "a.png.png"]


def test_a_broken_image_is_named_before_any_is_restored(photographs, likely: Likely, tmp_path):
    write(tmp_path / "in/a.png", photograph(16, 16))
    (tmp_path / "in/z.png").write_bytes((tmp_path / "in/a.png").read_bytes()[:100])
    answer = likely("restore", "rgb", tmp_path / "in", "-o", tmp_path / "out")
    assert answer.code == 2
    assert "z.png is damaged" in answer.line
    assert there(tmp_path) == ["in/a.png", "in/z.png"]


def test_nothing_is_left_of_a_folder_that_could_not_be_finished(photographs, likely: Likely, tmp_path, monkeypatch):
    def stopped(self, left, operator=None):
        if left.shape[1:3] == (16, 16):  # the second
            raise KeyboardInterrupt
        return np.zeros((1, 4, 4, 3))

    monkeypatch.setattr(library.Fitted, "restore", stopped)
    answer = likely("restore", "rgb", "mine", "-o", tmp_path / "out")
    assert answer.code == 130
    assert os.listdir(tmp_path) == []


def test_tables_come_back_without_gaps(gaps, likely: Likely, tmp_path):
    lines = (gaps / "표.csv").read_text("utf-8").splitlines()
    cells = lines[3].split(",")
    lines[3] = ",".join([cells[0], "", *cells[2:]])
    (tmp_path / "left.csv").write_text("\n".join(lines), "utf-8")
    answer = likely("restore", "table", tmp_path / "left.csv", "-o", tmp_path / "whole.csv")
    assert answer.code == 0, answer.err
    assert "300 restored rows" in answer.out
    found = list(csv.DictReader((tmp_path / "whole.csv").read_text("utf-8-sig").splitlines()))
    assert list(found[0]) == ["키", "b", "언제나", "병"]
    for i, line in enumerate(csv.DictReader(lines)):
        assert found[i]["키"] == line["키"]
    x, y = float(found[2]["키"]), float(found[2]["b"])
    assert abs(y - 2.02 * x) < 6  # b has a standard deviation of 6
    assert y != pytest.approx(float(np.load("rows.npy")[:, 1].mean()))


def test_arrays_come_back_without_gaps(gaps, likely: Likely, tmp_path):
    left = np.load("rows.npy")
    left[5, 0] = np.nan
    np.save(tmp_path / "left.npy", left)
    assert likely("restore", "array", tmp_path / "left.npy", "-o", tmp_path / "whole.npy").code == 0
    whole = np.load(tmp_path / "whole.npy")
    np.testing.assert_allclose(np.delete(whole, 10), np.delete(left, 10), rtol=1e-5)
    assert abs(whole[5, 0] - left[5, 1] / 2) < 3


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["rgb", "mine", "-o", "out.npy"], "folder of PNG files"),
        (["rgb", "mine/a.png", "-o", "out"], "written as .png"),
        (["rgb", "mine", "-o", "train"], "is there already"),
        (["rgb", "nowhere", "-o", "out"], "nowhere"),
        (["rgb", "nowhere.png", "-o", "out.png"], "nowhere.png"),
        (["rgb", "mine", "-o", "out", "--operator", "Nothing"], "--operator: it takes GaussianNoise or ZeroMasking"),
        (["rgb", "mine", "-o", "out", "--operator", "Downsampling(factor=1)"], "at least 2"),
        (["gray", "mine", "-o", "out", "--operator", "Grayscale"], "a.png: Grayscale is of images of 3 channels"),
        (["rgb", "mine", "-o", "out", "--operator", "Downsampling(factor=3)"], "a.png: found rows of shape"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(photographs, likely: Likely, arguments, words):
    before = there(photographs)
    answer = likely("restore", *arguments)
    assert answer.code == 2, answer.err
    assert words in answer.line
    assert there(photographs) == before


def test_a_model_that_does_not_restore_names_those_that_do(table, likely: Likely, tmp_path):
    answer = likely("restore", "모델", "표.csv", "-o", tmp_path / "x.csv")
    assert answer.code == 2
    assert "ppca cannot restore; models that can: denoising_autoencoder" in answer.line


def test_fit_says_how_to_restore(gaps, likely: Likely, tmp_path):
    arguments = ["--model", "denoising_autoencoder", "--epochs", "0.2", "--out", tmp_path / "model"]
    answer = likely("fit", "rows.npy", *arguments)
    assert answer.code == 0
    [command] = [line.split() for line in answer.out.splitlines() if line.strip().startswith("likely restore")]
    command[-1] = str(tmp_path / command[-1])
    assert likely(*command[1:]).code == 0
