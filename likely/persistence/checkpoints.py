"""The state of a run in one file, replaced as a whole and sealed against damage."""

import hashlib
import json
import os
import re
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
from torch import Tensor

from likely.errors import ModelFileError
from likely.files import sweep, write_file
from likely.persistence.reading import Directory, parse_json
from likely.persistence.weights import apart, read_header

NAME = "checkpoint.safetensors"
MAX_BYTES = 2**37
MAX_HEADER = 100_000_000  # as safetensors has it
SEAL = re.compile(rb'"sha256":"([0-9a-f]{64})"')
NO_SEAL = b"0" * 64


class Checkpoints:
    """Where a run keeps its state: in a directory of its own, one file, always whole.

    Args:
        directory: of the run; made by the first `save`, removed by `clear`.
    """

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        self.directory = Path(directory)

    def save(self, tensors: dict[str, Tensor], state: dict[str, Any]) -> None:
        """Replaces what was kept. Raises UserError if the system refuses; what was kept then stays.

        Args:
            tensors: by name, of any type that safetensors knows.
            state: anything that JSON can say, NaN and infinity too: a run may have met them.
        """
        metadata = {"state": json.dumps(state), "sha256": NO_SEAL.decode()}
        sweep(self.directory)
        write_file(self.directory / NAME, _sealed(safetensors.torch.save(apart(tensors), metadata)))

    def load(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """What was kept last, or None if nothing was.

        Raises:
            ModelFileError: if the file is damaged, or no file of ours.
        """
        if not os.path.lexists(self.directory / NAME):
            return None
        with Directory(self.directory) as directory:
            data = directory.read(NAME, MAX_BYTES)
        try:
            return _unsealed(data)
        except (ModelFileError, safetensors.SafetensorError) as error:
            raise ModelFileError(
                f"{self.directory / NAME} is damaged ({error}): start afresh, without --resume"
            ) from error

    def clear(self) -> None:
        """Removes the directory, if it holds nothing but what `save` wrote."""
        (self.directory / NAME).unlink(missing_ok=True)
        sweep(self.directory)
        if self.directory.is_dir() and not any(self.directory.iterdir()):
            self.directory.rmdir()


def _sealed(data: bytes) -> bytes:
    """Puts the hash of everything, taken while zeros stand in its place, where the zeros stand."""
    return _with_seal(data, hashlib.sha256(data).hexdigest().encode())


def _unsealed(data: bytes) -> tuple[dict[str, Tensor], dict[str, Any]]:
    metadata = read_header(data, MAX_HEADER).get("__metadata__", {})
    seal = metadata.get("sha256", "").encode("utf-8", "replace")
    if not SEAL.search(data) or hashlib.sha256(_with_seal(data, NO_SEAL)).hexdigest().encode() != seal:
        raise ModelFileError("its content is not what was written")
    state = parse_json(metadata.get("state", "").encode("utf-8", "replace"), finite=False)
    return safetensors.torch.load(data), state


def _with_seal(data: bytes, seal: bytes) -> bytes:
    # Quotes in names and values are escaped in JSON, so the first match is the seal's own place.
    return SEAL.sub(b'"sha256":"' + seal + b'"', data, count=1)
