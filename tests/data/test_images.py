"""Image sources: the right pixels, or one line that names the file."""

import os
import struct
import subprocess
import sys
import tracemalloc
import unicodedata
import zlib

import numpy as np
import pytest
from PIL import Image

from likely.data import infer_schema, open_source
from likely.errors import DataError

RNG = np.random.default_rng(0)
GRAY = RNG.integers(0, 256, (5, 7), dtype=np.uint8)
RGB = RNG.integers(0, 256, (5, 7, 3), dtype=np.uint8)


def _save(path, pixels, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    (pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)).save(path, **options)


def _only(path, **options):
    return open_source(path, **options).read(np.array([0]))[0]


@pytest.mark.parametrize("suffix", ["png", "bmp", "PNG"])
@pytest.mark.parametrize("pixels", [GRAY, RGB], ids=["gray", "RGB"])
def test_lossless_formats_give_the_exact_pixels(pixels, suffix, tmp_path):
    _save(tmp_path / f"a.{suffix}", pixels)
    np.testing.assert_array_equal(_only(tmp_path), pixels)
    np.testing.assert_array_equal(_only(tmp_path / f"a.{suffix}"), pixels)


def test_webp_and_jpeg_are_read(tmp_path):
    _save(tmp_path / "a.webp", RGB, lossless=True)
    np.testing.assert_array_equal(_only(tmp_path / "a.webp"), RGB)
    flat = np.full((16, 16), 100, np.uint8)
    _save(tmp_path / "b.jpg", flat)
    assert np.abs(_only(tmp_path / "b.jpg").astype(int) - 100).max() <= 2


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation_is_applied(orientation, tmp_path):
    stored = GRAY
    upright = {
        1: stored, 2: stored[:, ::-1], 3: stored[::-1, ::-1], 4: stored[::-1],
        5: stored.T, 6: np.rot90(stored, -1), 7: stored[::-1, ::-1].T, 8: np.rot90(stored),
    }[orientation]  # fmt: skip
    exif = Image.Exif()
    exif[0x0112] = orientation
    _save(tmp_path / "a.png", stored, exif=exif)
    np.testing.assert_array_equal(_only(tmp_path), upright)


def test_modes(tmp_path):
    alpha, two = np.dstack([RGB, GRAY]), np.dstack([GRAY, GRAY.T.reshape(5, 7)])
    cases = {
        "bits": (Image.fromarray(GRAY > 99), (GRAY > 99).astype(np.uint8) * 255),
        "alpha": (Image.fromarray(alpha), alpha),
        "gray_alpha": (Image.merge("LA", [Image.fromarray(two[..., 0]), Image.fromarray(two[..., 1])]), two),
        "palette": (Image.fromarray(GRAY // 64).convert("P"), np.repeat((GRAY // 64)[..., None], 3, 2)),
        "wide": (Image.fromarray(GRAY.astype(np.uint16) * 257), GRAY.astype(np.uint16) * 257),
    }  # fmt: skip
    for name, (image, expected) in cases.items():
        _save(tmp_path / name / "a.png", image)
        found = _only(tmp_path / name)
        assert found.dtype == expected.dtype, name
        np.testing.assert_array_equal(found, expected, err_msg=name)


def test_cmyk_becomes_rgb(tmp_path):
    _save(tmp_path / "a.jpg", Image.new("CMYK", (8, 8), (0, 0, 0, 0)))
    found = _only(tmp_path)
    assert found.shape == (8, 8, 3)
    assert found.min() >= 250


def test_channels_and_size(tmp_path):
    _save(tmp_path / "a.png", RGB)
    _save(tmp_path / "b.png", GRAY)
    _save(tmp_path / "c.png", np.dstack([RGB, GRAY]))
    _save(tmp_path / "d.png", GRAY.astype(np.uint16) * 257)
    ids = np.arange(4)
    gray = open_source(tmp_path, channels=1).read(ids)
    np.testing.assert_array_equal(gray[1], GRAY)
    np.testing.assert_array_equal(gray[3], GRAY)
    rgb = open_source(tmp_path, channels=3).read(ids)
    np.testing.assert_array_equal(rgb[0], RGB)
    np.testing.assert_array_equal(rgb[2], RGB)
    assert open_source(tmp_path, channels=3, size=(3, 9)).read(ids).shape == (4, 3, 9, 3)


def test_resizing_averages_instead_of_picking(tmp_path):
    stripes = np.tile(np.array([0, 255], np.uint8), (64, 32))
    _save(tmp_path / "a.png", stripes)
    small = _only(tmp_path, size=(8, 8))[2:-2, 2:-2]
    assert np.abs(small.astype(int) - 127).max() < 20
    _save(tmp_path / "b.png", stripes.astype(np.uint16) * 257)
    wide = _only(tmp_path / "b.png", size=(8, 8))[2:-2, 2:-2]
    assert wide.dtype == np.uint16
    assert np.abs(wide / 257 - 127).max() < 20


def test_sub_folders_are_labels_and_files_are_sorted(tmp_path):
    for name in ("dog/2.png", "cat/10.png", "cat/deep/1.png", "dog/1.png", "stray.png"):
        _save(tmp_path / name, GRAY)
    source = open_source(tmp_path)
    assert [source.place(i) for i in range(5)] == [
        "cat/10.png",
        "cat/deep/1.png",
        "dog/1.png",
        "dog/2.png",
        "stray.png",
    ]
    assert source.labels.tolist() == ["cat", "cat", "dog", "dog", "."]
    assert source.parts == {}


def test_train_and_test_are_parts_with_labels_below(tmp_path):
    for name in ("train/cat/1.png", "train/dog/2.png", "test/cat/3.png", "val/dog/4.png"):
        _save(tmp_path / name, GRAY)
    source = open_source(tmp_path)
    assert [source.place(i) for i in source.parts["test"]] == ["test/cat/3.png"]
    assert [source.place(i) for i in source.parts["validation"]] == ["val/dog/4.png"]
    assert source.labels.tolist() == ["cat", "cat", "dog", "dog"]


def test_a_folder_named_train_alone_is_a_label(tmp_path):
    _save(tmp_path / "train/1.png", GRAY)
    _save(tmp_path / "other/1.png", GRAY)
    assert open_source(tmp_path).parts == {}


def test_order_does_not_depend_on_how_names_are_composed(tmp_path):
    names = ["가.png", unicodedata.normalize("NFD", "나.png"), "다.png"]
    for name in names:
        _save(tmp_path / name, GRAY)
    source = open_source(tmp_path)
    assert [unicodedata.normalize("NFC", source.place(i)) for i in range(3)] == ["가.png", "나.png", "다.png"]


def test_other_files_are_skipped_and_counted(tmp_path):
    _save(tmp_path / "a.png", GRAY)
    _save(tmp_path / ".hidden.png", GRAY)
    (tmp_path / "notes.txt").write_text("x")
    source = open_source(tmp_path)
    assert len(source) == 1
    assert source.skipped == (".hidden.png", "notes.txt")


def test_link_loops_do_not_hang(tmp_path):
    _save(tmp_path / "a/1.png", GRAY)
    os.symlink(tmp_path, tmp_path / "a/loop")
    os.symlink("self", tmp_path / "self")
    assert len(open_source(tmp_path)) == 1


def test_an_odd_name_is_printable(tmp_path):
    _save(tmp_path / "a\nb.png", GRAY)
    assert open_source(tmp_path).place(0) == "a\\nb.png"


def _png(width, height):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    )


def _half(folder):
    _save(folder / "whole.png", RNG.integers(0, 256, (64, 64), dtype=np.uint8))
    content = (folder / "whole.png").read_bytes()
    (folder / "whole.png").unlink()
    return content[: len(content) // 2]


CORPUS = {
    "empty folder": (lambda t: None, ["no image", ".png"]),
    "only text": (lambda t: (t / "a.txt").write_text("x"), ["no image", "1 other"]),
    "cut in half": (lambda t: (t / "bad.png").write_bytes(_half(t)), ["bad.png", "cut short"]),
    "empty file": (lambda t: (t / "bad.png").write_bytes(b""), ["bad.png", "no image"]),
    "text inside": (lambda t: (t / "bad.jpg").write_text("hello"), ["bad.jpg", "no image"]),
    "gif inside": (lambda t: Image.fromarray(GRAY).save(t / "bad.png", format="GIF"), ["bad.png", "no image"]),
    "bomb": (lambda t: (t / "bad.png").write_bytes(_png(50_000, 50_000)), ["bad.png", "bomb", "100 megapixels"]),
    "below Pillow's limit": (lambda t: (t / "bad.png").write_bytes(_png(12_000, 12_000)), ["bad.png", "bomb"]),
    "no pixel": (lambda t: (t / "bad.png").write_bytes(_png(0, 5)), ["bad.png"]),
    "folder": (lambda t: (t / "cats" / "bad.png").mkdir(parents=True), ["cats/bad.png", "is a folder", "rename"]),
    "broken link": (lambda t: os.symlink("nowhere", t / "bad.png"), ["bad.png", "broken link"]),
    "link to itself": (lambda t: os.symlink("bad.png", t / "bad.png"), ["bad.png", "broken link"]),
    "pipe": (lambda t: os.mkfifo(t / "bad.png"), ["bad.png", "no regular file"]),
}


@pytest.mark.parametrize("name", CORPUS)
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_refused_in_one_line_that_names_the_file(name, tmp_path):
    make, words = CORPUS[name]
    make(tmp_path)
    _assert_refused(lambda: open_source(tmp_path), words)


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "bmp"])
def test_every_cut_is_refused_or_read(suffix, tmp_path):
    # Decoders may tell a file that lacks its last bytes from a whole one or not; they never fail in other words.
    _save(tmp_path / f"whole.{suffix}", RNG.integers(0, 256, (24, 24, 3), dtype=np.uint8))
    content = (tmp_path / f"whole.{suffix}").read_bytes()
    refused = 0
    for sixteenth in range(16):
        (tmp_path / f"cut.{suffix}").write_bytes(content[: len(content) * sixteenth // 16])
        try:
            assert _only(tmp_path / f"cut.{suffix}").shape == (24, 24, 3)
        except DataError as error:
            refused += f"cut.{suffix}" in str(error)
    assert refused >= 14


def test_a_later_damaged_file_is_named_when_it_is_read(tmp_path):
    _save(tmp_path / "a.png", GRAY)
    (tmp_path / "b.png").write_bytes(b"")
    _assert_refused(lambda: open_source(tmp_path).read(np.arange(2)), ["b.png"])


def test_mixed_sizes_and_modes_name_two_files_and_the_option(tmp_path):
    _save(tmp_path / "sizes/a.png", GRAY)
    _save(tmp_path / "sizes/b.png", GRAY.T)
    _assert_refused(
        lambda: infer_schema(open_source(tmp_path / "sizes")),
        ["a.png is 5x7", "b.png is 7x5", "--size 5x7", "size=(5, 7)"],
    )
    _save(tmp_path / "modes/a.png", GRAY)
    _save(tmp_path / "modes/b.png", RGB)
    words = ["a.png is gray", "b.png is RGB", "--channels 1", "channels=1"]
    _assert_refused(lambda: infer_schema(open_source(tmp_path / "modes")), words)


@pytest.mark.parametrize("options", [{"size": (0, 5)}, {"size": (5,)}, {"channels": 2}, {"label": "x"}])
def test_options_that_make_no_sense(options, tmp_path):
    _save(tmp_path / "a.png", GRAY)
    _assert_refused(lambda: open_source(tmp_path, **options), [next(iter(options))])


def test_an_own_pixel_cap(tmp_path):
    _save(tmp_path / "a.png", GRAY)
    _assert_refused(lambda: open_source(tmp_path, max_pixels=34), ["a.png"])
    assert len(open_source(tmp_path, max_pixels=35)) == 1


def test_later_images_of_another_size_are_refused_with_the_mend(tmp_path):
    for name in ("a", "b"):
        _save(tmp_path / f"fit/{name}.png", RNG.integers(0, 256, (5, 7), dtype=np.uint8))
    _save(tmp_path / "later/a.png", GRAY.T)
    schema = infer_schema(open_source(tmp_path / "fit"))
    later = open_source(tmp_path / "later").read(np.array([0]))
    _assert_refused(lambda: schema.to_model(later), ["(7, 5)", "5, 7", "--size 5x7", "--channels 1"])


def test_rows_are_decoded_in_the_order_of_ids(tmp_path):
    for i in range(40):
        _save(tmp_path / f"{i:02}.png", np.full((3, 3), i, np.uint8))
    source = open_source(tmp_path)
    assert not source.in_memory
    ids = np.random.default_rng(0).permutation(40)
    np.testing.assert_array_equal(source.read(ids)[:, 0, 0], ids)
    assert source.read(ids[:0]).shape == (0, 3, 3)


FORKED = """
import os, sys, time
import numpy as np
from likely.data import open_source

source, ids = open_source(sys.argv[1]), np.arange(40)
rows = source.read(ids)
child = os.fork()
if not child:
    os._exit(0 if (source.read(ids) == rows).all() else 1)
for _ in range(300):
    done, status = os.waitpid(child, os.WNOHANG)
    if done:
        sys.exit(os.waitstatus_to_exitcode(status))
    time.sleep(0.05)
os.kill(child, 9)
sys.exit("the child hangs")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_that_was_forked_reads_images_as_its_parent_did(tmp_path):
    for i in range(40):
        _save(tmp_path / f"{i:02}.png", np.full((3, 3), i, np.uint8))
    subprocess.run([sys.executable, "-c", FORKED, tmp_path], check=True, timeout=90)


def test_a_pass_takes_constant_memory(tmp_path):
    image = RNG.integers(0, 256, (600, 600, 3), dtype=np.uint8)
    _save(tmp_path / "0.bmp", image)
    for i in range(1, 60):
        os.link(tmp_path / "0.bmp", tmp_path / f"{i}.bmp")
    source = open_source(tmp_path)
    tracemalloc.start()
    infer_schema(source)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20 * image.nbytes


def test_digest_follows_names_and_changes(tmp_path):
    _save(tmp_path / "a.png", GRAY)
    first = open_source(tmp_path).digest()
    assert open_source(tmp_path).digest() == first
    assert open_source(tmp_path, channels=3).digest() != first
    os.utime(tmp_path / "a.png", ns=(5, 5))
    assert open_source(tmp_path).digest() != first


def test_wide_gray_is_a_unit_interval_and_comes_back(tmp_path):
    rows = RNG.integers(0, 65_536, (2, 5, 7), dtype=np.uint16)
    for i, row in enumerate(rows):
        _save(tmp_path / f"{i}.png", row)
    source = open_source(tmp_path)
    schema = infer_schema(source)
    assert (schema.domain, schema.low, schema.high, schema.dtype) == ("unit", 0, 65_535, "uint16")
    back = schema.to_rows(schema.to_model(source.read(np.arange(2))), draws=True)
    np.testing.assert_array_equal(back, rows)


def _assert_refused(act, words):
    with pytest.raises(DataError) as caught:
        act()
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message
