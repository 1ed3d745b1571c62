"""Where a fit writes to, and what stands there already."""

import contextlib
import os
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from likely.errors import UserError


@dataclass(frozen=True)
class Place:
    """Where a fitted directory goes, and where the state of its run lies until it is done."""

    path: Path
    typed: str
    overwrite: bool = False
    resume: bool = False

    @property
    def partial(self) -> Path:
        """DIR.partial."""
        return self.path.with_name(self.path.name + ".partial")

    @property
    def unfinished(self) -> bool:
        """Whether the state of a run lies there."""
        return (self.partial / "checkpoint.safetensors").exists()

    def settled(self) -> bool:
        """Whether there is nothing to do, which is said; refuses a place that is taken, before anything is trained."""
        if not self.path.name:
            raise UserError(f"--out {self.typed} is no place for a model: choose another directory")
        finished = (self.path / "manifest.json").exists()
        if self.resume and finished and not (self.overwrite and self.unfinished):
            print(f"{self.typed} is finished: there is nothing to resume")
            return True
        self._check_taken(finished)
        if self.unfinished and not self.resume and not self.overwrite:
            mends = "add --resume to continue it, or --overwrite to start afresh"
            raise UserError(f"{self.typed}.partial holds an unfinished run: {mends}")
        if self.resume and not self.unfinished:
            print(f"There is no unfinished run in {self.typed}.partial: starting afresh")
        return False

    def _check_taken(self, finished: bool) -> None:
        if not os.path.lexists(self.path) or (self.path.is_dir() and not any(self.path.iterdir())):
            return
        if not finished:
            raise UserError(f"--out {self.typed} is there and is no fitted directory: choose another place")
        if not self.overwrite:
            raise UserError(f"{self.typed} is there already: add --overwrite to replace it, or choose another --out")
        from likely.persistence.directory import check_ours

        check_ours(self.path)

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Makes DIR.partial, so that a place where nothing can be written is refused before an hour of training."""
        from likely.files import make_directory

        try:
            make_directory(self.partial)
        except OSError as error:
            reason = f"nothing can be written there ({error.strerror})"
            raise UserError(f"--out {self.typed}: {reason}; choose another place") from error
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                self.partial.rmdir()  # where it is empty

    def interrupted(self, args: Sequence[str]) -> str:
        """What to say when a run was stopped."""
        command = shlex.join(["likely", *args])
        if not self.unfinished:
            return f"interrupted, and nothing was written; begin again with: {command}"
        again = command if "--resume" in args else f"{command} --resume"
        return f"interrupted; the run is kept in {self.typed}.partial, resume it with: {again}"
