"""Tensors, sparse data and other holders of numbers: the right values, or what mends it."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import scipy.sparse
import torch

from likely.data import infer_schema, open_source
from likely.data.unseen import Unseen
from likely.errors import DataError

X = torch.arange(12.0).reshape(4, 3)
NESTED = [torch.ones(2), torch.ones(3)]
COMPLEX = torch.complex(X, X + 1)

KEPT = {
    "a view that is negated": (lambda: COMPLEX.conj().imag, -(X + 1)),
    "8 bits": (lambda: X.to(torch.float8_e4m3fn), X),
    "bfloat16": (lambda: X.bfloat16(), X),
    "a parameter": (lambda: torch.nn.Parameter(X), X),
}


@pytest.mark.parametrize("name", KEPT)
def test_tensors_of_plain_numbers(name):
    make, values = KEPT[name]
    np.testing.assert_array_equal(open_source(make()).read(np.arange(4)), values.numpy())


REFUSED = {
    "sparse": (lambda: X.to_sparse(), "sparse.*to_dense"),
    "compressed": (lambda: X.to_sparse_csr(), "sparse.*to_dense"),
    "quantized": (lambda: torch.quantize_per_tensor(X, 0.1, 0, torch.qint8), "quantized.*dequantize"),
    "meta": (lambda: X.to("meta"), "meta.*no values"),
    "nested": (lambda: torch.nested.nested_tensor(NESTED), "nested.*to_padded_tensor"),
    "jagged": (lambda: torch.nested.nested_tensor(NESTED, layout=torch.jagged), "nested.*to_padded_tensor"),
    "complex": (lambda: COMPLEX.conj(), "complex.*real"),
    "4 bits": (lambda: torch.zeros(4, 3, dtype=torch.uint8).view(torch.float4_e2m1fn_x2), "no array.*plain"),
    "a matrix of scipy": (lambda: scipy.sparse.csr_array(np.eye(3)), "sparse matrix.*toarray"),
    "a series": (lambda: pd.Series([1.0, 2.0]), "Series.*to_frame"),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_plain_numbers_is_refused_with_what_mends_it(name):
    make, words = REFUSED[name]
    with pytest.raises(DataError, match=words):
        open_source(make())


@pytest.mark.parametrize("kind", ["csr", "coo", "dia"])
def test_a_file_of_a_sparse_matrix(kind, tmp_path):
    scipy.sparse.save_npz(tmp_path / "a.npz", scipy.sparse.eye(4, format=kind))
    with pytest.raises(DataError, match=r"a\.npz holds a sparse matrix of scipy.*toarray"):
        open_source(tmp_path / "a.npz")


def test_sparse_columns_of_pandas_are_columns():
    frame = pd.DataFrame({"a": pd.arrays.SparseArray([0.0, 0.0, 2.0]), "b": ["x", "y", "z"]})
    assert open_source(frame).table.to_pydict() == {"a": [0.0, 0.0, 2.0], "b": ["x", "y", "z"]}


SAME = {
    "true and false": (["True", "False", "unknown"], [True, False]),
    "numbers of text": (["1.0", "0.0", "none"], [1, 0]),
    "numbers with a point": (["1", "0", "none"], [1.0, 0.0]),
    "categories that are numbers": (["1", "0", "none"], pd.Categorical([1, 0])),
}


@pytest.mark.parametrize("name", SAME)
def test_what_means_the_same_in_another_type_is_the_same(name):
    fit, later = SAME[name]
    schema = infer_schema(open_source(pa.table({"c": fit * 2, "x": np.arange(6.0)})))
    unseen = Unseen(2)
    rows = open_source(pd.DataFrame({"c": later, "x": [0.0, 1.0]})).table
    x = schema.to_model(rows, unseen=unseen)
    assert not unseen.rows.any()
    assert x.equal(schema.to_model(pa.table({"c": fit[:2], "x": [0.0, 1.0]})))
