"""Patches: the pixels that are there, all of them, and one line that names the image where that cannot be."""

import numpy as np
import pytest
from PIL import Image

from likely import fit, load
from likely.data import describe, infer_schema, open_source, patches
from likely.data.feed import SourceFeed
from likely.data.split import split_rows
from likely.data.subset import Subset
from likely.errors import DataError
from likely.networks import MLP
from likely.reopening import open_like, reopen
from likely.training import TrainConfig

RNG = np.random.default_rng(0)
SIZES = [(9, 13), (8, 8), (30, 11), (16, 24)]


def folder(path, channels=(), names="abcd", sizes=SIZES):
    """Images of several sizes, by name."""
    images = {}
    for name, size in zip(names, sizes, strict=False):
        file = path / f"{name}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        images[f"{name}.png"] = RNG.integers(0, 256, (*size, *channels), dtype=np.uint8)
        Image.fromarray(images[f"{name}.png"]).save(file)
    return images


@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.parametrize("channels", [(), (3,)], ids=["gray", "RGB"])
@pytest.mark.parametrize("patch", [(8, 8), (5, 3), (1, 1), (8, 7)])
def test_a_patch_is_the_pixels_at_its_place_and_patches_cover_the_image(patch, channels, kept, tmp_path, monkeypatch):
    if not kept:
        monkeypatch.setattr(patches, "MAX_KEPT_BYTES", 100)
    images = folder(tmp_path, channels)
    source = open_source(tmp_path, patch=patch)
    assert source.in_memory is kept
    seen = {name: np.zeros(image.shape[:2], int) for name, image in images.items()}
    ids = RNG.permutation(len(source))
    for _ in range(2):
        rows = source.read(ids)
        assert rows.shape == (len(source), *patch, *channels)
        for id, row in zip(ids, rows, strict=True):
            name, corner = source.place(id).split(" at ")
            top, left = map(int, corner.split(","))
            np.testing.assert_array_equal(row, images[name][top : top + patch[0], left : left + patch[1]])
            seen[name][top : top + patch[0], left : left + patch[1]] += 1
    assert min(count.min() for count in seen.values()) >= 2
    assert source.read(np.arange(0)).shape == (0, *patch, *channels)


def test_patches_lie_half_over_each_other_and_the_last_is_flush(tmp_path):
    folder(tmp_path, names="a", sizes=[(20, 8)])
    source = open_source(tmp_path, patch=8)
    assert [source.place(i) for i in range(len(source))] == [f"a.png at {top},0" for top in (0, 4, 8, 12)]
    source = open_source(tmp_path, patch=(9, 8))
    assert [source.place(i) for i in range(len(source))] == [f"a.png at {top},0" for top in (0, 4, 8, 11)]
    assert len(open_source(tmp_path / "a.png", patch=(20, 8))) == 1


def test_a_group_is_an_image_and_no_split_cuts_it(tmp_path):
    folder(tmp_path)
    source = open_source(tmp_path, patch=4)
    names = np.array([source.place(i).split(" at ")[0] for i in range(len(source))])
    assert len(np.unique(source.groups)) == 4
    assert all(len(set(names[source.groups == group])) == 1 for group in np.unique(source.groups))
    split = split_rows(len(source), 0, groups=source.groups)
    assert [len(set(names[getattr(split, part)])) for part in split.sizes()] == [1, 1, 1, 1]
    some = np.array([3, 60, 5])
    np.testing.assert_array_equal(Subset(source, some).groups, source.groups[some])
    np.testing.assert_array_equal(SourceFeed(source, infer_schema(source)).groups, source.groups)
    description = describe(source, infer_schema(source))
    assert (description.groups, description.rows, description.row_shape) == (4, len(source), (4, 4))


def test_labels_and_official_parts_are_those_of_the_image(tmp_path):
    folder(tmp_path, names=["train/cat/a", "train/dog/b", "test/cat/c"])
    source = open_source(tmp_path, patch=4)
    for part in ("test",):
        assert {source.place(i).split("/")[0] for i in source.parts[part]} == {part}
    assert len(source.parts["test"]) == sum(source.place(i).startswith("test/") for i in range(len(source)))
    assert all(f"/{label}/" in source.place(i) for i, label in enumerate(source.labels))


@pytest.mark.parametrize("channels", [1, 3])
def test_gray_and_color_are_made_alike(channels, tmp_path):
    folder(tmp_path, names="ab")
    folder(tmp_path, (3,), names="xy")
    rows = open_source(tmp_path, patch=4, channels=channels).read(np.arange(20))
    assert rows.shape == (20, 4, 4) + (() if channels == 1 else (3,))
    source = open_source(tmp_path, patch=4)
    with pytest.raises(DataError, match=r"x.png is RGB, but a.png is gray; .*channels=1"):
        source.read(np.arange(len(source)))


def test_images_are_resized_before_they_are_cut(tmp_path):
    folder(tmp_path)
    source, whole = open_source(tmp_path, patch=4, size=(8, 12)), open_source(tmp_path, size=(8, 12))
    np.testing.assert_array_equal(source.read(np.array([0]))[0], whole.read(np.array([0]))[0, :4, :4])
    assert len(source) == 4 * 3 * 5


@pytest.mark.parametrize("suffix", ["png", "jpg"])
@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_sizes_are_those_of_the_upright_image(orientation, suffix, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(RNG.integers(0, 256, (20, 8), dtype=np.uint8)).save(tmp_path / f"a.{suffix}", exif=exif)
    source = open_source(tmp_path, patch=8)
    upright = open_source(tmp_path).read(np.array([0]))[0]
    assert len(source) == 4
    last = (slice(12, 20), slice(0, 8)) if orientation < 5 else (slice(0, 8), slice(12, 20))
    np.testing.assert_array_equal(source.read(np.array([3]))[0], upright[last])


def test_an_image_that_is_too_small_is_named_with_the_mend(tmp_path):
    folder(tmp_path)
    with pytest.raises(DataError, match=r"a.png is 9x13, smaller than a patch of 16x16 .*2 more.*patch=8x8"):
        open_source(tmp_path, patch=16)
    assert len(open_source(tmp_path, patch=(8, 8))) > 4


@pytest.mark.parametrize("patch", [0, -4, 2.5, (4,), (4, 4, 4), "64", True, (4, 0)])
def test_what_is_no_size_is_refused(patch, tmp_path):
    folder(tmp_path)
    with pytest.raises(DataError, match=r"found patch=.*--patch 64"):
        open_source(tmp_path, patch=patch)


def test_only_images_have_patches():
    with pytest.raises(DataError, match="the option patch does not apply to an array"):
        open_source(np.ones((3, 8, 8)), patch=4)


def test_a_damaged_or_changed_image_is_named(tmp_path):
    folder(tmp_path)
    source = open_source(tmp_path, patch=4)
    Image.fromarray(RNG.integers(0, 256, (12, 12), dtype=np.uint8)).save(tmp_path / "b.png")
    with pytest.raises(DataError, match=r"b.png is 12x12, but its head said 8x8"):
        source.read(np.arange(len(source)))
    (tmp_path / "c.png").write_bytes((tmp_path / "c.png").read_bytes()[:60])
    with pytest.raises(DataError, match=r"c.png is damaged"):
        open_source(tmp_path, patch=4).read(np.arange(len(source)))


def test_the_digest_is_of_images_and_patches(tmp_path):
    folder(tmp_path)
    first = open_source(tmp_path, patch=4).digest()
    assert open_source(tmp_path, patch=(4, 4)).digest() == first
    assert len({first, open_source(tmp_path, patch=5).digest(), open_source(tmp_path, channels=3).digest()}) == 3


def test_a_fit_opens_its_patches_again(tmp_path):
    folder(tmp_path / "images", names="abcdefgh", sizes=[(14, 17)] * 8)
    options = {"train": TrainConfig(epochs=1), "network": MLP((8,)), "z_size": 2}
    fitted = fit("autoencoder", str(tmp_path / "images"), patch=6, augment="quarter-turns", **options)
    fitted.save(tmp_path / "model")
    loaded = load(tmp_path / "model")
    info = loaded.info
    assert info["calibration"] == "held-out"
    source, split = reopen(info)
    assert source.patch == (6, 6)
    assert [part["type"] for part in info["data"]["options"]["augment"]] == ["QuarterTurns"]
    assert source.augmentation == ()
    assert info["split"] == split.sizes()
    assert not set(source.groups[split.train]) & set(source.groups[split.test])
    again = open_like(loaded, str(tmp_path / "images"))
    assert again.digest() == source.digest()
    assert open_like(loaded, str(tmp_path / "images"), whole=True).read(np.arange(1)).shape == (1, 14, 17)
    folder(tmp_path / "few", names="abc", sizes=[(14, 17)] * 3)
    with pytest.raises(DataError, match=r"found 3 images .*expected at least 4.*calibration.*add images"):
        fit("autoencoder", str(tmp_path / "few"), patch=6, **options)
