"""Images that cannot be read, or are unlike those of fit, are rows that the model has no answer for."""

import numpy as np
import pytest
from PIL import Image

import likely
from likely.cli.outputs import write_pictures
from likely.cli.targets import Target
from likely.errors import DataError

RNG = np.random.default_rng(0)


def save(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fit")
    for i in range(150):
        save(folder / f"{i:03}.png", RNG.integers(50, 200, (6, 6), dtype=np.uint8))
    return likely.fit("ppca", folder, z_size=2, calibrate="held-out")


@pytest.fixture
def later(tmp_path):
    """a and f are as at fit; b is broken, c of another size, d in color, e of 16 bits."""
    gray = RNG.integers(50, 200, (6, 6), dtype=np.uint8)
    save(tmp_path / "a.png", gray)
    (tmp_path / "b.png").write_bytes(b"")
    save(tmp_path / "c.png", gray[:4])
    save(tmp_path / "d.png", np.dstack([gray] * 3))
    save(tmp_path / "e.png", gray.astype(np.uint16) * 257)
    save(tmp_path / "f.png", gray)
    return tmp_path


def test_their_rows_are_scored_as_novel_and_say_why(fitted, later):
    scores = fitted.score(later)
    lost = np.array([False, True, True, True, True, False])
    np.testing.assert_array_equal(np.isinf(scores.surprise), lost)
    np.testing.assert_array_equal(scores.is_novel, lost)
    assert np.unique(scores.p_value[lost]).tolist() == [fitted.calibration.p_value(np.array([np.inf]))[0]]
    words = ["", "is no image", "is 4x6, expected 6x6, as at fit; make all one size with size=(6, 6)"]
    words += [
        "is RGB, expected gray, as at fit; read all alike with channels=1",
        "is gray with 16 bits, expected gray",
        "",
    ]
    for word, reason in zip(words, scores.reason, strict=True):
        assert reason.startswith(word)
        assert bool(word) == bool(reason)
    np.testing.assert_array_equal(scores.surprise[~lost], fitted.score(later / "a.png").surprise.repeat(2))


def test_they_have_no_code_and_are_named(fitted, later):
    with pytest.warns(
        UserWarning, match=r"4 rows are NaN, for they cannot be read: b.png, is no image; .*; and 1 more"
    ):
        codes = fitted.encode(later)
    np.testing.assert_array_equal(np.isnan(codes).all(1), [False, True, True, True, True, False])
    with pytest.warns(UserWarning, match="4 rows are NaN"):
        again = fitted.reconstruct(later)
    assert np.isfinite(again[[0, 5]]).all()


@pytest.mark.filterwarnings("ignore:4 rows are NaN")
def test_a_row_without_an_answer_is_no_picture(fitted, later, tmp_path):
    target = Target(str(tmp_path / "out"))
    write_pictures(target, fitted.reconstruct(later), fitted.schema, {"place": list("abcdef")})
    assert sorted(each.name for each in (tmp_path / "out").iterdir()) == ["0000.png", "0005.png", "index.csv"]
    assert (tmp_path / "out/index.csv").read_text("utf-8-sig").split() == ["file,place", "0000.png,a", "0005.png,f"]


def test_strict_refuses_and_names_all(fitted, later):
    with pytest.raises(DataError) as caught:
        fitted.score(later, strict=True)
    for word in ("b.png", "c.png", "d.png", "e.png"):
        assert word in str(caught.value)
    assert "a.png" not in str(caught.value)


def test_a_folder_of_another_size_altogether_is_scored_and_told(fitted, tmp_path):
    for i in range(3):
        save(tmp_path / f"{i}.png", RNG.integers(0, 255, (9, 9), dtype=np.uint8))
    scores = fitted.score(tmp_path)
    assert np.isinf(scores.surprise).all()
    assert "size=(6, 6)" in scores.reason[0]


def test_a_broken_image_that_patches_were_to_be_cut_from(tmp_path):
    for i in range(8):
        save(tmp_path / f"{i}.png", RNG.integers(0, 255, (20, 20), dtype=np.uint8))
    fitted = likely.fit("ppca", tmp_path, z_size=2, patch=10)
    content = (tmp_path / "3.png").read_bytes()
    (tmp_path / "3.png").write_bytes(content[:-60])
    patches = likely.data.open_source(tmp_path, patch=10)
    scores = fitted.score(patches)
    broken = np.array([patches.place(i).startswith("3.png") for i in range(len(patches))])
    np.testing.assert_array_equal(np.isinf(scores.surprise), broken)
    assert "3.png is damaged" in scores.reason[broken][0]
    with pytest.raises(DataError, match=r"^3.png is damaged"):
        patches.read(np.arange(len(patches)))
