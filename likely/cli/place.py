"""Where a fit writes to, and what stands there already."""

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from likely.cli.screen import say
from likely.errors import UserError, quoted, quoted_path
from likely.locks import Held, Lock, claim

EVALUATION = ("metrics.json", "README.md", "report.html")
"""The files of a fitted directory that its evaluation ends with."""


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

    @property
    def finished(self) -> bool:
        """Whether a model stands there."""
        return (self.path / "manifest.json").exists()

    @property
    def trained(self) -> bool:
        """Whether the model that --resume asks for stands there, and only its evaluation is left."""
        return self.resume and not self.overwrite and self.finished

    def settled(self) -> bool:
        """Whether there is nothing to do, which is said; refuses a place that is taken, before anything is trained."""
        if not self.path.name:
            raise UserError(f"--out {self.typed} is no place for a model: choose another directory")
        if self.resume and self.finished and not (self.overwrite and self.unfinished):
            if self._evaluated or self.overwrite:
                say(f"{self.typed} is finished: there is nothing to resume")
                return True
            return False
        self._check_taken()
        return False

    def begin(self) -> None:
        """Once the place is held: refuses to lose an unfinished run, and says where there is none to resume."""
        if self.unfinished and not self.resume and not self.overwrite:
            mends = "add --resume to continue it, or --overwrite to start afresh"
            raise UserError(f"{self.typed}.partial holds an unfinished run: {mends}")
        if self.trained:
            say(f"{self.typed} is trained: what is left is to evaluate it")
        elif self.resume and not self.unfinished:
            say(f"There is no unfinished run in {self.typed}.partial: starting afresh")

    @property
    def _evaluated(self) -> bool:
        return all((self.path / name).exists() for name in EVALUATION)

    def _check_taken(self) -> None:
        if not os.path.lexists(self.path) or (self.path.is_dir() and not any(self.path.iterdir())):
            return
        if not self.finished:
            raise UserError(f"--out {self.typed} is there and is no fitted directory: choose another place")
        if not self.overwrite:
            raise UserError(f"{self.typed} is there already: add --overwrite to replace it, or choose another --out")
        from likely.persistence.directory import check_ours

        check_ours(self.path)

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Makes DIR.partial and locks it, so that what cannot end well is refused before an hour of training.

        Raises:
            UserError: if nothing can be written there, or another process writes there.
        """
        try:
            lock = self._locked()
        except OSError as error:
            reason = f"nothing can be written there ({error.strerror})"
            raise UserError(f"--out {self.typed}: {reason}; choose another place") from error
        except Held as holder:
            who = f" ({holder})" if str(holder) else ""
            mend = "wait until it is done, stop it, or choose another --out"
            raise UserError(f"--out {self.typed}: another `likely fit` writes there now{who}: {mend}") from None
        try:
            yield
        finally:
            lock.release()
            with contextlib.suppress(OSError):
                self.partial.rmdir()  # where it is empty

    def _locked(self) -> Lock:
        from likely.files import make_directory

        while True:
            make_directory(self.partial)
            try:
                return claim(self.partial / "lock")
            except FileNotFoundError:  # the run that was there has just removed it
                continue

    def interrupted(self, args: Sequence[str]) -> str:
        """What to say when a run was stopped."""
        command = _command(args)
        if self.finished and not self.overwrite:
            return self.interrupted_later(args)
        if not self.unfinished:
            return f"interrupted, and nothing was written; begin again with: {command}"
        return f"interrupted; the run is kept in {self.typed}.partial, resume it with: {_resumed(args)}"

    def interrupted_later(self, args: Sequence[str]) -> str:
        """What to say when the model was there already."""
        args = [each for each in args if each != "--overwrite"]
        return f"interrupted; {self.kept} Or do all that is left with: {_resumed(args)}"

    @property
    def kept(self) -> str:
        """That the model is there, and how to evaluate it."""
        where = quoted_path(self.typed)
        return f"the model is whole in {self.typed}; judge it with likely evaluate {where} and likely report {where}."


def _resumed(args: Sequence[str]) -> str:
    return _command([*args, *([] if "--resume" in args else ["--resume"])])


def _command(args: Sequence[str]) -> str:
    return " ".join(["likely", *map(quoted, args)])
