"""Image sources: the right pixels, or one line that names the file."""

import os
import struct
import subprocess
import sys
import time
import tracemalloc
import unicodedata
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from likely.data import decoding, describe, infer_schema, open_source
from likely.data.folders import Skipped
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
    opaque = GRAY.clip(1)
    alpha, two = np.dstack([RGB, opaque]), np.dstack([GRAY, opaque.T.reshape(5, 7)])
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
    _save(tmp_path / "c.png", np.dstack([RGB, np.full_like(GRAY, 255)]))
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
    "icon inside": (lambda t: Image.fromarray(RGB).save(t / "bad.png", format="ICO"), ["bad.png", "no image"]),
    "fractions": (lambda t: _save(t / "bad.tif", GRAY.astype(np.float32) / 255), ["bad.tif", "fractions", "16 bits"]),
    "32 bits": (lambda t: _save(t / "bad.tif", GRAY.astype(np.int32) * 10**6), ["bad.tif", "32 bits", "numpy.save"]),
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


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "bmp", "gif", "tif"])
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
        ["a.png is 5x7", "b.png is 7x5", "size=(5, 7)", "size=(5, 7)"],
    )
    _save(tmp_path / "modes/a.png", GRAY)
    _save(tmp_path / "modes/b.png", RGB)
    words = ["a.png is gray", "b.png is RGB", "channels=1", "channels=1"]
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
    _assert_refused(lambda: schema.to_model(later), ["(7, 5)", "5, 7", "size=(5, 7)", "channels=1"])


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


# What nobody was to see is never seen.

LOST = np.zeros((5, 7), bool)
LOST[1:3, 2:5] = True
HIDDEN = np.array([255, 0, 255], np.uint8)


def _with_hole(pixels, color):
    """Pixels, none of which is of this color but those of a hole, which all are."""
    pixels = np.where(pixels == color, pixels - 3, pixels)
    pixels[LOST] = color
    return pixels


def _crafted_png(pixels, depth, color_type, key):
    """A PNG whose transparency is one color; Pillow itself writes no such file of 2, 4 or 16 bits a channel."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    h, w = pixels.shape[:2]
    bits = ((pixels.reshape(h, -1, 1) >> np.arange(depth)[::-1]) & 1).reshape(h, -1).astype(np.uint8)
    lines = b"".join(b"\0" + line.tobytes() for line in np.packbits(bits, axis=1))
    header = struct.pack(">IIBBBBB", w, h, depth, color_type, 0, 0, 0)
    key = np.asarray(key, ">u2").tobytes()
    chunks = (chunk(b"IHDR", header), chunk(b"tRNS", key), chunk(b"IDAT", zlib.compress(lines)), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


@pytest.mark.parametrize("depth", [1, 2, 4, 8, 16])
def test_a_gray_that_is_transparent_becomes_alpha(depth, tmp_path):
    top = 2**depth - 1
    values = RNG.integers(0, top, (5, 7)).astype(np.int64)
    key = top // 2 + (depth == 1)
    values[values == key] -= 1
    values[LOST] = key
    (tmp_path / "a.png").write_bytes(_crafted_png(values, depth, 0, key))
    found = _only(tmp_path)
    np.testing.assert_array_equal(found[..., 1] == 0, LOST)
    scale = 1 if depth >= 8 else 255 // top
    np.testing.assert_array_equal(found[..., 0], np.where(LOST, 0, values * scale))
    assert found.dtype == (np.uint16 if depth == 16 else np.uint8)


@pytest.mark.parametrize("depth", [8, 16])
def test_a_color_that_is_transparent_becomes_alpha(depth, tmp_path):
    pixels = _with_hole(RGB, HIDDEN).astype(np.int64) * (257 if depth == 16 else 1)
    (tmp_path / "a.png").write_bytes(_crafted_png(pixels, depth, 2, pixels[LOST][0]))
    found = _only(tmp_path)
    np.testing.assert_array_equal(found[..., 3], np.where(LOST, 0, 255))
    np.testing.assert_array_equal(found[..., :3][~LOST], _with_hole(RGB, HIDDEN)[~LOST])
    assert not found[LOST].any()


def _hiding(kind, path, hidden):
    """An image with a hole whose color is never to be seen."""
    path.mkdir()
    color = np.array([hidden, 0, hidden], np.uint8)
    if kind == "color key":
        _save(path / "a.png", _with_hole(RGB // 2, color), transparency=tuple(color.tolist()))
    elif kind == "alpha":
        _save(path / "a.png", np.dstack([_with_hole(RGB // 2, color), np.where(LOST, 0, 255).astype(np.uint8)]))
    elif kind == "16 bits":
        wide = np.where(LOST, hidden * 257, (GRAY // 2).astype(np.int64) * 257)
        (path / "a.png").write_bytes(_crafted_png(wide, 16, 0, hidden * 257))
    else:
        pixels = Image.fromarray(np.where(LOST, hidden, GRAY // 2).astype(np.uint8))
        pixels.save(path / f"a.{kind}", transparency=hidden)


@pytest.mark.parametrize("size", [None, (50, 70), (3, 3)])
@pytest.mark.parametrize("channels", [None, 1, 3])
@pytest.mark.parametrize("kind", ["color key", "alpha", "16 bits", "gif"])
@pytest.mark.filterwarnings("ignore:a")
def test_a_hidden_color_shows_nowhere(kind, channels, size, tmp_path):
    """Whatever it is, and however its image is read, the pixels are the same; without alpha the hole is white."""
    _hiding(kind, tmp_path / "one", 255)
    _hiding(kind, tmp_path / "other", 200)
    found = _only(tmp_path / "one", channels=channels, size=size)
    np.testing.assert_array_equal(found, _only(tmp_path / "other", channels=channels, size=size))
    if size is None and channels is None:
        np.testing.assert_array_equal(found[..., -1] == 0, LOST)
        assert not found[LOST].any()
    elif size is None:
        assert (found[LOST] == 255).all()
        assert found[~LOST].max() < 255


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.filterwarnings("ignore:a.png has transparent")
def test_who_restores_is_told_what_is_transparent_whatever_the_channels(channels, tmp_path):
    _hiding("alpha", tmp_path / "in", 255)
    _save(tmp_path / "in/b.png", GRAY)
    source = open_source(tmp_path / "in", channels=channels)
    source.keep_alpha(channels)
    rows = source.read(np.arange(2))
    assert rows.shape == (2, 5, 7, channels + 1)
    np.testing.assert_array_equal(rows[0, ..., -1] == 0, LOST)
    assert not rows[0][LOST].any()
    assert (rows[1, ..., -1] == 255).all()


def test_what_is_not_read_as_it_stands_is_told_once(tmp_path):
    second = Image.fromarray(np.full((5, 7), 200, np.uint8))
    for name in ("a.tif", "b.tif", "c.tif"):
        Image.fromarray(GRAY).save(tmp_path / name, save_all=True, append_images=[second])
    with pytest.warns(UserWarning, match=r"a.tif holds several images .* the first is read") as told:
        source = open_source(tmp_path)
    schema = infer_schema(source)
    assert len(told) == 1
    assert (source.read(np.arange(3)) == GRAY).all()
    assert describe(source, schema).problems[-1].startswith("a.tif holds several")


@pytest.mark.parametrize("suffix", ["png", "webp"])
def test_of_what_moves_the_first_picture_is_read(suffix, tmp_path):
    first, second = (Image.fromarray(np.full((5, 7, 3), value, np.uint8)) for value in (10, 200))
    first.save(tmp_path / f"a.{suffix}", save_all=True, append_images=[second], lossless=True)
    with pytest.warns(UserWarning, match="holds several images"):
        assert (_only(tmp_path) == 10).all()


def test_color_of_16_bits_is_read_as_8_and_told(tmp_path):
    pixels = RGB.astype(np.int64) * 257
    (tmp_path / "a.png").write_bytes(_crafted_png(pixels, 16, 2, (1, 1, 1)))
    with pytest.warns(UserWarning, match=r"a.png has 16 bits a channel, of which 8 are read"):
        found = _only(tmp_path)
    np.testing.assert_array_equal(found[..., :3], RGB)


@pytest.mark.parametrize("suffix", [".jfif", ".jpe", ".JPEG", ".gif", ".tif", ".tiff"])
def test_other_endings_of_images_are_read(suffix, tmp_path):
    flat = Image.fromarray(np.full((16, 16), 100, np.uint8))
    flat.save(tmp_path / f"a{suffix}", format="JPEG" if suffix.lower().startswith(".j") else None)
    assert np.abs(_only(tmp_path).astype(int) - 100).max() <= 2


@pytest.mark.parametrize("suffix", ["tif", "webp", "jpg"])
def test_what_is_upright_is_not_turned_again(suffix, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    _save(tmp_path / f"a.{suffix}", np.full((20, 30, 3), 90, np.uint8), exif=exif)
    assert _only(tmp_path).shape == (30, 20, 3)
    assert open_source(tmp_path).heights_and_widths().tolist() == [[30, 20]]


def test_files_that_are_no_images_are_told(tmp_path):
    _save(tmp_path / "a.png", GRAY)
    (tmp_path / "notes.txt").write_text("x")
    with pytest.warns(Skipped, match=r"1 file skipped, which is hidden or no images: notes.txt"):
        open_source(tmp_path)


# All that is wrong is told at once.


def _odd_folder(path):
    for i in range(30):
        _save(path / f"{i:02}.png", GRAY)
    (path / "00.png").write_bytes(b"")
    (path / "07.png").write_text("no image")
    content = (path / "03.png").read_bytes()
    (path / "29.png").write_bytes(content[: len(content) // 2])
    return path


def test_all_broken_images_are_named_at_once(tmp_path):
    source = open_source(_odd_folder(tmp_path))
    words = ["3 images cannot be read", "00.png", "07.png", "29.png is damaged", "replace or remove it"]
    _assert_refused(lambda: source.read(np.arange(9)), words)
    _assert_refused(lambda: infer_schema(source), words)
    assert source.read(np.array([4])).shape == (1, 5, 7)


def test_all_images_of_other_sizes_are_counted_and_the_mend_is_said_once(tmp_path):
    for i in range(30):
        _save(tmp_path / f"{i:02}.png", GRAY if i < 10 else GRAY.T)
    with pytest.raises(DataError) as caught:
        infer_schema(open_source(tmp_path))
    message = str(caught.value)
    assert "20 images cannot be read: 10.png is 7x5, but 00.png is 5x7" in message
    assert message.endswith("; and 10 more; make all one size with size=(5, 7)")


def test_a_folder_of_broken_images_alone_is_refused_when_it_is_opened(tmp_path):
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(b"")
    _assert_refused(lambda: open_source(tmp_path), ["2 images", "a.png", "b.png"])


def test_read_some_reads_what_can_be_and_says_what_could_not(tmp_path):
    source = open_source(_odd_folder(tmp_path))
    _save(tmp_path / "05.png", RGB)
    _save(tmp_path / "06.png", GRAY.T)
    rows, wrong = source.read_some(np.arange(8), ((5, 7), np.dtype(np.uint8)))
    assert sorted(wrong) == [0, 5, 6, 7]
    assert "expected gray, as at fit; read all alike with channels=1" in wrong[5]
    assert wrong[6].startswith("is 7x5, expected 5x7, as at fit")
    np.testing.assert_array_equal(rows[[1, 2, 3, 4]], np.stack([GRAY] * 4))
    assert not rows[[0, 5, 6, 7]].any()
    _, all_wrong = source.read_some(np.arange(1, 5), ((9, 9), "uint8"))
    assert sorted(all_wrong) == [0, 1, 2, 3]
    _, narrow = source.read_some(np.array([1]), ((5, 7), "uint16"))
    assert "is gray, expected gray with 16 bits" in narrow[0]


# Memory has a bound.


def test_what_unpacks_to_too_much_is_refused_before_it_does(tmp_path, monkeypatch):
    monkeypatch.setattr(decoding, "MAX_BYTES", 1000)
    _save(tmp_path / "a.png", np.zeros((30, 30, 3), np.uint8))
    _assert_refused(lambda: open_source(tmp_path, size=(3, 3)), ["a.png unpacks to", "expected at most", "smaller"])


def test_a_large_jpeg_is_shrunk_while_it_is_read(tmp_path, monkeypatch):
    y = np.linspace(50, 200, 64).astype(np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6
    _save(tmp_path / "a.jpg", np.dstack([np.tile(y[:, None], (1, 96))] * 3), quality=95, exif=exif)
    whole = _only(tmp_path, size=(24, 16))
    monkeypatch.setattr(decoding, "MAX_BYTES", 64 * 96 * 3 // 2)
    _assert_refused(lambda: open_source(tmp_path), ["a.jpg", "size=(h, w)"])
    shrunk = _only(tmp_path, size=(24, 16))
    assert np.abs(whole.astype(int) - shrunk).max() < 8


def test_threads_wait_for_room(monkeypatch):
    monkeypatch.setattr(decoding, "MAX_BYTES", 100)
    room, most, used = decoding._Room(), [], []

    def take(n_bytes):
        with room.taken(n_bytes):
            used.append(n_bytes)
            most.append(sum(used))
            time.sleep(0.002)
            used.remove(n_bytes)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(take, [60, 30, 90, 5, 500, 60, 40, 10] * 4))
    assert max(total for total in most if total != 500) <= 100
    assert room.used == 0


def _assert_refused(act, words):
    with pytest.raises(DataError) as caught:
        act()
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message
