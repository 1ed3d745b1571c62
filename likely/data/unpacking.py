"""Packed files, unpacked in memory up to a limit: a small file can unpack to more than a machine holds."""

import gzip
import zlib
from pathlib import Path

from likely.errors import DataError

MAX_BYTES = 2**31
"""What unpacks to more is refused."""
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
