"""The order of the data: a pure function of the seed and the epoch, so that a run can begin at any batch."""

from collections.abc import Iterator

import numpy as np

from likely.rng import permutation


def ids_by_batch(train_ids: np.ndarray, batch_size: int, seed: int, first: int) -> Iterator[np.ndarray]:
    """Ids of batch `first`, `first` + 1, ... without end, each of full size.

    Epochs follow each other without a gap, each a permutation of its own, so every row is seen once an epoch.
    """
    n = len(train_ids)
    epoch, offset = divmod(first * batch_size, n)
    rest = train_ids[permutation(n, seed, "order", epoch)][offset:]
    while True:
        while len(rest) < batch_size:
            epoch += 1
            rest = np.concatenate([rest, train_ids[permutation(n, seed, "order", epoch)]])
        yield rest[:batch_size]
        rest = rest[batch_size:]
