"""Array sources: what is read, in which order, and what is refused in which words."""

import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from likely.data import open_source
from likely.errors import DataError


def test_importing_the_package_loads_nothing_heavy():
    heavy = ["torch", "pyarrow", "PIL", "sklearn", "narwhals", "numpy"]
    code = f"import likely.data, sys; print([name for name in {heavy} if name in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


def test_read_hands_out_any_rows_in_any_order_and_views_of_consecutive_ones():
    array = np.random.default_rng(0).normal(size=(50, 3))
    source = open_source(array)
    ids = np.array([4, 4, 0, 49, 7])
    np.testing.assert_array_equal(source.read(ids), array[ids])
    np.testing.assert_array_equal(source.read(np.array([5])), array[5:6])
    np.testing.assert_array_equal(source.read(np.array([5, 4, 3])), array[[5, 4, 3]])
    assert source.read(np.arange(10, 20)).base is not None
    assert source.read(np.array([], dtype=int)).shape == (0, 3)
    with pytest.raises(IndexError):
        source.read(np.arange(45, 55))


def test_blocks_cover_all_rows_once():
    array = np.arange(40_000.0).reshape(-1, 2)
    blocks = list(open_source(array).blocks())
    assert len(blocks) > 1
    np.testing.assert_array_equal(np.concatenate([rows for _, rows in blocks]), array)
    np.testing.assert_array_equal(np.concatenate([ids for ids, _ in blocks]), np.arange(20_000))


def test_digits_are_those_of_scikit_learn():
    source = open_source("digits")
    data = load_digits()
    rows = source.read(np.arange(len(source)))
    assert rows.dtype == np.uint8
    np.testing.assert_array_equal(rows, data.images)
    np.testing.assert_array_equal(source.labels, data.target)


def test_a_source_is_returned_as_it_is():
    source = open_source("digits")
    assert open_source(source) is source


@pytest.mark.parametrize(
    ("given", "dtype"),
    [
        (np.ones((2, 2), np.float16), "float32"),
        (np.ones((2, 2), np.longdouble), "float64"),
        (np.ones((2, 2), ">f4"), "float32"),
        (torch.ones(2, 2, dtype=torch.bfloat16, requires_grad=True), "float32"),
        (torch.ones(2, 2, dtype=torch.uint8), "uint8"),
    ],
)
def test_odd_types_become_plain_ones(given, dtype):
    source = open_source(given)
    rows = source.read(np.arange(2))
    assert rows.dtype == np.dtype(dtype)
    assert rows.dtype.isnative
    assert (rows == 1).all()


def test_npz_with_parts_is_one_id_space(tmp_path):
    rng = np.random.default_rng(0)
    parts = {"x_train": 7, "x_valid": 3, "x_test": 2}
    arrays = {name: rng.integers(0, 256, (n, 4, 4), dtype=np.uint8) for name, n in parts.items()}
    labels = {"y" + name[1:]: rng.integers(0, 10, n) for name, n in parts.items()}
    np.savez(tmp_path / "a.npz", **labels, **arrays)
    source = open_source(tmp_path / "a.npz")
    np.testing.assert_array_equal(source.parts["validation"], [7, 8, 9])
    np.testing.assert_array_equal(source.parts["test"], [10, 11])
    np.testing.assert_array_equal(source.read(source.parts["test"]), arrays["x_test"])
    np.testing.assert_array_equal(source.labels[source.parts["validation"]], labels["y_valid"])
    assert source.place(11) == "row 1 of x_test"


def test_npz_without_labels_for_every_part_has_none(tmp_path):
    np.savez(tmp_path / "a.npz", x_train=np.ones((3, 2)), x_test=np.ones((2, 2)), y_train=np.ones(3))
    assert open_source(tmp_path / "a.npz").labels is None


def test_npz_as_adbench_has_it_and_label_by_name(tmp_path):
    np.savez(tmp_path / "a.npz", X=np.eye(3), y=np.array([0, 1, 0]), other=np.array([[5.0], [6], [7]]))
    np.testing.assert_array_equal(open_source(tmp_path / "a.npz").labels, [0, 1, 0])
    np.testing.assert_array_equal(open_source(tmp_path / "a.npz", label="other").labels, [5, 6, 7])


def test_digest_tells_content_apart(tmp_path):
    array = np.random.default_rng(0).normal(size=(5, 3))
    other = array.copy()
    other[4, 2] = np.nextafter(other[4, 2], 9)
    np.savez(tmp_path / "a.npz", X=array, y=np.zeros(5))
    np.savez(tmp_path / "b.npz", X=array, y=np.ones(5))
    digests = [open_source(data).digest() for data in (array, other, tmp_path / "a.npz", tmp_path / "b.npz")]
    assert len(set(digests)) == 4
    assert open_source(array.copy(order="F")).digest() == digests[0]


class Bomb:
    def __reduce__(self):
        return (print, ("the pickle ran",))


def _write(path, content):
    path.write_bytes(content)
    return path


def _npy(tmp_path):
    np.save(tmp_path / "whole.npy", np.arange(100.0).reshape(50, 2))
    return (tmp_path / "whole.npy").read_bytes()


CORPUS = {
    "objects": (lambda t: np.array([[1, "a"]], dtype=object), ["type object", "astype(float)"]),
    "text": (lambda t: np.array([["a", "b"]]), ["expected numbers"]),
    "dates": (lambda t: np.zeros((2, 2), "M8[s]"), ["datetime64"]),
    "complex": (lambda t: np.ones((2, 2), complex), ["complex", ".real"]),
    "one axis": (lambda t: np.ones(5), ["(5,)", "reshape(-1, 1)"]),
    "no feature": (lambda t: np.ones((5, 0)), ["(5, 0)"]),
    "masked": (lambda t: np.ma.masked_array(np.ones((2, 2)), mask=True), ["masked", "filled(numpy.nan)"]),
    "no path": (lambda t: "", ["empty path"]),
    "NUL in the path": (lambda t: "a\0.npy", ["a\\x00.npy"]),
    "endless path": (lambda t: "x" * 5000, ["too long"]),
    "a pipe": (lambda t: os.mkfifo(t / "a.npy") or t / "a.npy", ["a.npy", "no regular file"]),
    "a list": (lambda t: [[1, 2]], ["list", "numpy.asarray"]),
    "nothing": (lambda t: None, ["NoneType"]),
    "no file": (lambda t: t / "nothing.npy", ["nothing.npy", "no file"]),
    "misspelt": (
        lambda t: _write(t / "right.npy", b"").with_name("rihgt.npy"),
        ["rihgt.npy", "did you mean right.npy"],
    ),
    "misspelt name": (lambda t: "digit", ["did you mean digits"]),
    "unknown kind": (lambda t: _write(t / "a.docx", b"x"), ["a.docx", ".csv"]),
    "pickle by name": (lambda t: _write(t / "a.pkl", b"x"), ["a.pkl", "pickle", "numpy.savez"]),
    "pickle as npy": (lambda t: _write(t / "a.npy", pickle.dumps(Bomb())), ["a.npy", "pickle"]),
    "empty npy": (lambda t: _write(t / "a.npy", b""), ["a.npy", "damaged"]),
    "cut npy": (lambda t: _write(t / "a.npy", _npy(t)[:400]), ["a.npy", "damaged"]),
    "no zip": (lambda t: _write(t / "a.npz", b"PK\x03\x04 nonsense"), ["a.npz", "damaged"]),
    "npy named npz": (lambda t: _write(t / "a.npz", _npy(t)), ["a.npz", "rename it to a.npy"]),
}


@pytest.mark.parametrize("name", CORPUS)
def test_refused_in_one_line_that_names_place_and_mend(name, tmp_path, capsys):
    make, words = CORPUS[name]
    _assert_refused(lambda: open_source(make(tmp_path)), words)
    assert "the pickle ran" not in capsys.readouterr().out


NPZ_CORPUS = {
    "two arrays": ({"a": np.ones((2, 2)), "b": np.ones((2, 2))}, ["a (2, 2)", "b (2, 2)", "x_train"]),
    "labels too short": ({"X": np.ones((3, 2)), "y": np.ones(2)}, ["labels", "(2,)", "(3,)"]),
    "labels of fractions": ({"X": np.ones((3, 2)), "y": np.array([0, 0.5, 1])}, ["0.5", "row 1"]),
    "parts of two shapes": ({"x_train": np.ones((3, 2)), "x_test": np.ones((3, 5))}, ["x_test", "x_train", "(5,)"]),
    "objects": ({"X": np.array([[Bomb()]])}, ["pickle"]),
}


@pytest.mark.parametrize("name", NPZ_CORPUS)
def test_npz_refused(name, tmp_path, capsys):
    arrays, words = NPZ_CORPUS[name]
    np.savez(tmp_path / "a.npz", **arrays)
    _assert_refused(lambda: open_source(tmp_path / "a.npz"), ["a.npz", *words])
    assert "the pickle ran" not in capsys.readouterr().out


def test_every_cut_of_an_npz_is_refused_or_reads_whole(tmp_path):
    np.savez_compressed(tmp_path / "whole.npz", X=np.random.default_rng(0).normal(size=(30, 4)))
    content = (tmp_path / "whole.npz").read_bytes()
    for length in range(0, len(content) - 1, max(1, len(content) // 40)):
        _assert_refused(lambda n=length: open_source(_write(tmp_path / "cut.npz", content[:n])), ["cut.npz"])


@pytest.mark.parametrize("options", [{"label": "y"}, {"drop": ["a"]}, {"size": (4, 4)}, {"channels": 1}])
def test_options_that_do_not_apply_are_refused(options):
    _assert_refused(lambda: open_source(np.ones((2, 2)), **options), [next(iter(options)), "an array"])


def _assert_refused(act, words):
    with pytest.raises(DataError) as caught:
        act()
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message
