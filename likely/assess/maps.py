"""Codes of the same rows: by the model, by PCA of the same size, and by what a person wants them held against."""

import functools
import math
from collections.abc import Sequence

import numpy as np

from likely.assess.bench import Bench
from likely.contract import Encoder
from likely.data import Source
from likely.data.subset import some_rows
from likely.errors import UserError
from likely.evaluation import EMBEDDINGS, Embedding, embed_tsne

MIN_ROWS = 12
"""Of fewer rows there is no map to speak of."""

MAX_PAIRED_ROWS = 2_000
MAX_PRODUCTS = 4_000_000_000
"""Every pair of rows is looked at: at most so many rows, and so many products of values."""

MAX_EXACT_ROWS = 1_000
"""Beyond three dimensions t-SNE is slow: a quarter of a minute for so many rows."""

MAX_SIZE = 64
"""Isomap, LLE and t-SNE make no larger codes: they are slow then, and no maps."""


def checked_names(names: Sequence[str], fitted_name: str, *, has_code: bool) -> tuple[str, ...]:
    """Names of embeddings, each once.

    Raises:
        UserError: if a name is none of them, or the model has no code to hold against them.
    """
    for name in names:
        if name not in EMBEDDINGS:
            raise UserError(f"{name!r} is nothing to compare with: choose of {', '.join(EMBEDDINGS)}")
    if names and not has_code:
        raise UserError(f"{fitted_name} has no code, so there is nothing to compare with {', '.join(names)}")
    return tuple(dict.fromkeys(names))


class Maps:
    """Codes by row of a table; whatever takes long is done once, and only if somebody asks."""

    def __init__(self, bench: Bench, compare: Sequence[str] = ()) -> None:
        self.bench = bench
        self.compare = checked_names(compare, bench.name, has_code=isinstance(bench.model, Encoder))
        if self.compare and min(len(self.rows), len(self.learned)) < MIN_ROWS:
            found = f"{len(self.rows)} test rows and {len(self.learned)} to learn from"
            raise UserError(f"maps are compared on at least {MIN_ROWS} rows of either kind; there are {found}")

    @property
    def size(self) -> int:
        """Dimensions of what is compared on request: as many as the code has, up to a point."""
        return max(1, min(self.bench.z_size, MAX_SIZE, len(self.rows) - 2, len(self.learned) - 2))

    def title(self, name: str) -> str:
        """A row's name: "t-SNE (16)"."""
        return f"{EMBEDDINGS[name]} ({self.size})"

    @functools.cached_property
    def rows(self) -> Source:
        """The test rows that are mapped."""
        exact = "tsne" in self.compare and self.bench.z_size > 3
        return self.paired(self.bench.some_test, MAX_EXACT_ROWS if exact else MAX_PAIRED_ROWS)

    @functools.cached_property
    def learned(self) -> Source:
        """The rows that Isomap and LLE learn from: training rows, or the test rows where there are none."""
        return self.rows if self.bench.some_train is None else self.paired(self.bench.some_train, MAX_PAIRED_ROWS)

    def paired(self, source: Source, most: int, products: int = MAX_PRODUCTS) -> Source:
        """As many rows of a source as can be looked at pair by pair, drawn at random."""
        width = max(1, self.bench.schema.n_values, self.bench.z_size)
        return some_rows(source, min(most, max(3, math.isqrt(products // width))))

    def raw(self, source: Source) -> np.ndarray:
        """Rows as the model sees them, flat: (n, d) float64; what is missing is 0, the mean of a column."""
        seen = np.nan_to_num(self.bench.seen(source))
        return seen.reshape(len(seen), -1)

    @functools.cached_property
    def raw_rows(self) -> np.ndarray:
        """`rows` as the model sees them."""
        return self.raw(self.rows)

    @functools.cached_property
    def raw_learned(self) -> np.ndarray:
        """`learned` as the model sees them."""
        return self.raw(self.learned)

    def own(self, source: Source) -> dict[str, np.ndarray]:
        """Codes of the model and of PCA, flat: (n, size)."""
        codes = self.bench.beside("pca", lambda fitted: np.asarray(fitted.encode(source), np.float64))
        return {row: z.reshape(len(z), -1) for row, z in codes.items()}

    @functools.cached_property
    def own_codes(self) -> dict[str, np.ndarray]:
        """Codes of `rows` by the model and by PCA."""
        return self.own(self.rows)

    @functools.cached_property
    def codes(self) -> dict[str, np.ndarray]:
        """Codes of `rows`, of the model first."""
        found = self.own_codes | {row: embed(self.raw_rows) for row, embed in self.embeddings.items()}
        return found | self.tsne

    @functools.cached_property
    def embeddings(self) -> dict[str, Embedding]:
        """What was asked for and takes new rows."""
        return {
            self.title(name): Embedding(name, self.raw_learned, self.size) for name in self.compare if name != "tsne"
        }

    @functools.cached_property
    def tsne(self) -> dict[str, np.ndarray]:
        """Codes of `rows` by t-SNE, where that was asked for."""
        return {self.title("tsne"): embed_tsne(self.raw_rows, self.size)} if "tsne" in self.compare else {}

    def notes(self) -> str:
        """What a reader has to know of the codes that were asked for."""
        kept = [name for name in self.compare if name != "tsne"]
        there = "training" if self.bench.some_train is not None else "test"
        sentences = []
        if kept:
            names = " and ".join(EMBEDDINGS[name] for name in kept)
            verb = "learns" if len(kept) == 1 else "learn"
            sentences.append(f"{names} {verb} from {len(self.learned):,} {there} rows.")
        if "tsne" in self.compare:
            sentences.append("t-SNE has no map for new rows: it is made of the test rows themselves.")
            if self.size > 3:
                sentences.append("It is meant for two or three dimensions.")
        if self.compare and self.size < self.bench.z_size:
            sentences.append(f"The code has {self.bench.z_size:,} values, they have {self.size}.")
        return " ".join(sentences)
