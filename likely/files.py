"""Files and directories that are whole or not there, whenever the power fails.

The order is always the same: write, fsync the file, rename, fsync the directory. What is written first has a hidden
name beside its place, `.NAME.tmp-PID-...`, so that a rename is enough; while a directory is replaced the old one
stands beside it as `.NAME.likely-old`. Who replaces one directory does so in turn (`likely.locks`). Errors of the
system become one line that names the path and what mends it.
"""

import contextlib
import errno
import os
import secrets
import shutil
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from likely.errors import UserError, option
from likely.locks import close, in_turn, mark_live, remove_dead

MENDS = {
    errno.ENOSPC: "free some space there, or choose another place",
    errno.EDQUOT: "free some space there, or choose another place",
    errno.EFBIG: "files there may not be so large: choose another place",
    errno.EROFS: "nothing can be written there: choose another place",
    errno.EACCES: "you may not write there: change its permissions, or choose another place",
    errno.EPERM: "you may not write there: change its permissions, or choose another place",
    errno.ENOTDIR: "something above it is a file: choose another place",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.ENOTEMPTY: "something else wrote there meanwhile: run it again",
    errno.EIO: "the disk may be failing: choose another place",
}


def write_file(path: str | os.PathLike[str], data: bytes) -> None:
    """Writes a file that holds all of `data`, or leaves what was there before. Missing parents are made.

    Raises:
        UserError: if the system refuses; nothing is left behind then.
    """
    path = Path(path)
    temporary = _beside(path)
    with _in_one_line(path):
        make_directory(path.parent)
        try:
            descriptor = _new_live(temporary)
            try:
                _write(descriptor, data)
                os.replace(temporary, path)
            finally:
                close(descriptor)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    _confirm(path)


@contextlib.contextmanager
def new_file(
    path: str | os.PathLike[str], *, overwrite: bool = False, check: Callable[[], None] = lambda: None
) -> Iterator[BinaryIO]:
    """A file to fill: it comes to `path`, whole, when the block ends well, and vanishes when it does not.

    Args:
        path: where it goes.
        overwrite: whether a file that stands there is replaced. Else whatever comes there, even in the meantime,
            stays.
        check: asked before the file comes to its place; what it raises ends all.

    Yields:
        An open file on the same disk.

    Raises:
        UserError: if the system refuses, or a file stands at `path` that is not to be replaced.
    """
    path = Path(path)
    temporary = _beside(path)
    with _in_one_line(path):
        descriptor = _new_live(temporary)
        try:
            with open(descriptor, "wb", closefd=False) as file:
                yield file
            os.fsync(descriptor)
            check()
            if overwrite:
                os.replace(temporary, path)
            else:
                _put_in_free_place(temporary, path)
        finally:
            close(descriptor)
            temporary.unlink(missing_ok=True)
    _confirm(path)


def _put_in_free_place(temporary: Path, path: Path) -> None:
    """Gives a file its name, where nothing has that name: no rename can promise that, a link can."""
    try:
        try:
            os.link(temporary, path)
        except FileExistsError:
            raise
        except OSError:  # a disk without links
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
            os.replace(temporary, path)
    except FileExistsError:
        raise UserError(f"{path} is there already, and came meanwhile; choose another name") from None


@contextlib.contextmanager
def new_directory(path: str | os.PathLike[str], *, overwrite: bool = False) -> Iterator[Path]:
    """A directory to fill: it comes to `path`, whole, when the block ends well, and vanishes when it does not.

    Args:
        path: where it goes; missing parents are made.
        overwrite: whether a directory that stands there is replaced. At every moment the old one or the new one
            is whole, at its place or where `standing` finds it. The caller knows that the old one may be deleted.

    Yields:
        An empty directory on the same disk, to be filled with files (`create`).

    Raises:
        UserError: if the system refuses, or something that is not to be replaced stands at `path`.
    """
    path = Path(path)
    temporary = _beside(path)
    with _in_one_line(path):
        make_directory(path.parent)
        with in_turn(path.parent):
            recover(path)
            _check_place(path, overwrite)
        try:
            os.mkdir(temporary)
            yield temporary
            for entry in temporary.iterdir():
                sync(entry)
            sync(temporary)
            with in_turn(path.parent):
                _check_place(path, overwrite)  # somebody else may have been faster
                _set_in_place(temporary, path)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise


def standing(path: str | os.PathLike[str]) -> Path:
    """Where the whole directory stands: at `path`, or aside if a replacement was cut off between its two renames."""
    path, aside = Path(path), _aside(Path(path))
    return aside if not os.path.lexists(path) and os.path.lexists(aside) else path


def recover(path: str | os.PathLike[str]) -> None:
    """Tidies up after a replacement that was cut off: puts the old directory back, or deletes it if the new one came.

    For those who write; those who read ask `standing` and change nothing.
    """
    path, aside = Path(path), _aside(Path(path))
    if not os.path.lexists(aside):
        return
    with _in_one_line(path):
        if os.path.lexists(path):
            shutil.rmtree(aside)
        else:
            os.rename(aside, path)
        sync(path.parent)


def create(path: Path, data: bytes) -> None:
    """Writes a new file and waits until the disk has it. For a name that nobody else reads yet."""
    descriptor = _new(path)
    try:
        _write(descriptor, data)
    finally:
        os.close(descriptor)


def make_directory(path: Path) -> None:
    """Makes a directory and its missing parents, and waits until the disk has them."""
    if path.is_dir():
        return
    make_directory(path.parent)
    with contextlib.suppress(FileExistsError):
        os.mkdir(path)
    sync(path.parent)


def sync(path: Path) -> None:
    """Waits until the disk has a file, or the names in a directory."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sweep(directory: Path) -> None:
    """Removes what writes that were killed left in a directory, and nothing that is being written."""
    for left in directory.glob(".*"):
        if is_temporary(left.name):
            remove_dead(left)


def _new(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)


def _new_live(path: Path) -> int:
    """A new file that no `sweep` takes for one that was left behind."""
    while not mark_live(descriptor := _new(path)):
        close(descriptor)
    return descriptor


def _write(descriptor: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(descriptor, left) :]
    os.fsync(descriptor)


def _confirm(path: Path) -> None:
    """Waits until the disk knows that something new stands at `path`; it stands there even if the disk refuses."""
    try:
        sync(path.parent)
    except OSError as error:
        reason = error.strerror or error
        warnings.warn(f"{path} is written, but may be lost if the power fails now: {reason}", stacklevel=2)


def _check_place(path: Path, overwrite: bool) -> None:
    if not os.path.lexists(path):
        return
    if path.is_symlink() or not path.is_dir():
        raise UserError(f"{path} is not a directory: choose another place")
    if not overwrite and any(path.iterdir()):
        mend = option("add --overwrite", "pass overwrite=True")
        raise UserError(f"{path} is there already and not empty: choose another place, or {mend}")


def _set_in_place(temporary: Path, path: Path) -> None:
    try:
        if path.exists():
            os.rename(path, _aside(path))
        os.rename(temporary, path)
    except BaseException:
        recover(path)
        raise
    # What is gained stands by now; a crash from here on leaves only the old one to be deleted.
    try:
        _confirm(path)
    finally:
        shutil.rmtree(_aside(path), ignore_errors=True)


def _beside(path: Path) -> Path:
    return _sibling(path, f"tmp-{os.getpid()}-{secrets.token_hex(4)}")


def _aside(path: Path) -> Path:
    return _sibling(path, "likely-old")


def _sibling(path: Path, ending: str) -> Path:
    whole = Path(os.path.abspath(path))  # "." has no name to put an ending on
    return whole.with_name(f".{whole.name}.{ending}") if whole.name else whole / f".{ending}"


def is_temporary(name: str) -> bool:
    """Whether a file of this name was left by a write that was killed."""
    return name.startswith(".") and ".tmp-" in name


@contextlib.contextmanager
def _in_one_line(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        mend = MENDS.get(error.errno or 0, "choose another place")
        raise UserError(f"{path} cannot be written: {error.strerror or error}; {mend}") from error
