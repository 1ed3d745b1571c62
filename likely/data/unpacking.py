"""Files that are decoded by others: what they unpack to has a limit, and what goes wrong is told in our words."""

import contextlib
import gzip
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

from likely.errors import DataError, UserError

MAX_BYTES = 2**31
"""What unpacks to more is refused."""

MAX_TIMES = 100
MIN_BYTES = 2**30
"""An archive that says what it unpacks to may say 1 GiB, or where it is large itself 100 times as much as it is;
zlib alone reaches 1,000 times."""
_BLOCK_BYTES = 2**22


def unpacked(path: Path, name: str, limit: int = MAX_BYTES) -> bytes:
    """What a .gz file holds.

    Raises:
        DataError: if it cannot be read, is damaged, or unpacks to more than `limit` bytes.
    """
    blocks, size = [], 0
    try:
        with gzip.open(path, "rb") as file:
            while block := file.read(_BLOCK_BYTES):
                blocks.append(block)
                size += len(block)
                if size > limit:
                    found = f"{name} unpacks to more than {limit / 2**20:,.0f} MiB"
                    raise DataError(f"{found}; unpack it yourself (gunzip -k {name}) and give that file, or split it")
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{name} is damaged or no gzip file ({error}); pack it again") from None
    except OSError as error:
        raise DataError(f"{name} cannot be read: {error.strerror}") from None
    return b"".join(blocks)


@contextlib.contextmanager
def decoding(name: str, told: Callable[[Exception], DataError]) -> Iterator[None]:
    """Inside, whatever a decoder raises becomes what `told` makes of it; our own errors stay as they are."""
    try:
        yield
    except UserError:
        raise
    except MemoryError:
        raise DataError(f"{name} holds more than the memory does; split it into smaller files") from None
    except Exception as error:  # decoders of foreign bytes raise whatever they like
        raise told(error) from None


def check_unpacked(name: str, n_packed: int, n_unpacked: int) -> None:
    """Raises DataError if a file of so many bytes would unpack to more than is allowed."""
    limit = max(MIN_BYTES, MAX_TIMES * n_packed)
    if n_unpacked > limit:
        raise DataError(
            f"{name} has {n_packed:,} bytes and would unpack to {n_unpacked:,}; expected at most {limit:,}, the "
            f"larger of 1 GiB and {MAX_TIMES} times the file. It may be a decompression bomb: if you trust it, "
            "save it without compression, or in parts"
        )
