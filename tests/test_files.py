"""Writing is whole or not at all, at every moment and under every error."""

import errno
import itertools
import os
import resource
import stat
from pathlib import Path

import pytest

from likely.errors import UserError
from likely.files import create, new_directory, recover, standing, write_file
from tests.faults import CHANGES, dies_at, failing_at, intercepted

OLD, NEW = b"old" * 100, b"new" * 1000
ERRORS = (errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EIO)


def contents(directory: Path) -> dict[str, bytes]:
    return {entry.name: entry.read_bytes() for entry in directory.iterdir()}


def fill(path: Path, data: bytes) -> None:
    with new_directory(path, overwrite=True) as directory:
        create(directory / "a", data)
        create(directory / "b", data)


def whole(data: bytes) -> dict[str, bytes]:
    return {"a": data, "b": data}


def test_write_file_makes_parents_and_follows_the_umask(tmp_path):
    path = tmp_path / "x" / "y" / "file"
    before = os.umask(0o027)
    try:
        write_file(path, NEW)
    finally:
        os.umask(before)
    assert path.read_bytes() == NEW
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    write_file(path, b"")
    assert contents(path.parent) == {"file": b""}


@pytest.mark.parametrize("old", [None, OLD])
def test_write_file_killed_anywhere_leaves_the_old_or_the_new(tmp_path, old):
    seen = set()
    for k in itertools.count(1):
        path = tmp_path / str(k) / "file"
        path.parent.mkdir()
        if old is not None:
            path.write_bytes(old)
        died = dies_at(k, lambda path=path: write_file(path, NEW))
        found = path.read_bytes() if path.exists() else None
        seen.add(found)
        assert found in (old, NEW)
        if not died:
            break
    assert k == 5  # write, fsync, replace, fsync; then nothing is left to kill
    assert found == NEW
    assert seen == {old, NEW}


@pytest.mark.parametrize("code", ERRORS)
def test_write_file_says_what_mends_an_error_and_leaves_nothing_behind(tmp_path, code):
    path = tmp_path / "file"
    for k in range(1, 5):
        path.write_bytes(OLD)
        names = ("open", *CHANGES)
        with failing_at(k, OSError(code, os.strerror(code)), names), pytest.raises(UserError) as caught:
            write_file(path, NEW)
        message = str(caught.value)
        assert str(path) in message
        assert os.strerror(code) in message
        assert "choose another place" in message
        assert "\n" not in message
        assert contents(tmp_path) == {"file": OLD}


def test_write_file_is_in_order_and_durable(tmp_path):
    """All writes, fsync of the file, rename, fsync of the directory: else a power failure leaves zeros."""
    log, names = [], {}

    def act(name, real, args):
        result = real(*args)
        if name == "open":
            names[result] = "directory" if os.path.isdir(args[0]) else "file"
        else:
            log.append(f"{name} {names[args[0]]}" if name in ("write", "fsync") else name)
        return result

    with intercepted(act, ("open", *CHANGES)):
        write_file(tmp_path / "file", NEW)
    assert log == ["write file", "fsync file", "replace", "fsync directory"]


def test_short_writes_are_continued(tmp_path):
    with intercepted(lambda _, real, args: real(args[0], args[1][:7]), ("write",)):
        write_file(tmp_path / "file", NEW)
    assert (tmp_path / "file").read_bytes() == NEW


def test_a_real_limit_on_file_size_is_one_line(tmp_path):
    """The system itself writes short first, and only then refuses."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(UserError, match="File too large; files there may not be so large"):
            write_file(tmp_path / "file", NEW)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert contents(tmp_path) == {}


def test_an_interrupt_leaves_nothing_behind(tmp_path):
    for k in range(1, 4):
        with failing_at(k, KeyboardInterrupt()), pytest.raises(KeyboardInterrupt):
            write_file(tmp_path / "file", NEW)
        assert contents(tmp_path) == {}


def test_a_place_that_cannot_be_is_one_line(tmp_path):
    (tmp_path / "file").write_bytes(OLD)
    with pytest.raises(UserError, match="something above it is a file"):
        write_file(tmp_path / "file" / "below", NEW)
    with pytest.raises(UserError, match="a shorter name"):
        write_file(tmp_path / ("x" * 300), NEW)
    with pytest.raises(UserError, match="is not a directory"), new_directory(tmp_path / "file"):
        pass
    (tmp_path / "link").symlink_to(tmp_path)
    with pytest.raises(UserError, match="is not a directory"), new_directory(tmp_path / "link"):
        pass
    assert (tmp_path / "file").read_bytes() == OLD


def test_new_directory_comes_whole_or_not_at_all(tmp_path):
    path = tmp_path / "above" / "model"

    def fails():
        with new_directory(path) as directory:
            create(directory / "a", OLD)
            assert not path.exists()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fails()
    assert contents(tmp_path / "above") == {}
    fill(path, OLD)
    assert contents(path) == whole(OLD)
    with pytest.raises(UserError, match="not empty: choose another place, or pass overwrite=True"), new_directory(path):
        pass
    fill(path, NEW)
    assert contents(path) == whole(NEW)
    assert [entry.name for entry in path.parent.iterdir()] == ["model"]


def test_new_directory_takes_the_place_of_an_empty_one(tmp_path):
    (tmp_path / "model").mkdir()
    with new_directory(tmp_path / "model") as directory:
        create(directory / "a", NEW)
    assert contents(tmp_path / "model") == {"a": NEW}


@pytest.mark.parametrize("old", [False, True])
def test_new_directory_killed_anywhere_leaves_the_old_or_the_new_and_the_next_one_tidies_up(tmp_path, old):
    seen = []
    for k in itertools.count(1):
        path = tmp_path / str(k) / "model"
        path.parent.mkdir()
        if old:
            fill(path, OLD)
        died = dies_at(k, lambda path=path: fill(path, NEW))
        found = contents(standing(path)) if standing(path).exists() else None
        seen.append(found)
        assert found in ((whole(OLD) if old else None), whole(NEW))
        fill(path, OLD)
        assert contents(path) == whole(OLD)
        assert not [entry for entry in path.parent.iterdir() if entry.name.endswith("old")]
        if not died:
            break
    assert found == whole(NEW)
    assert seen[0] != seen[-1]
    assert seen == sorted(seen, key=lambda found: found == whole(NEW)), "once the new one stands, it stays"
    assert k > 10


@pytest.mark.parametrize("code", ERRORS)
def test_new_directory_survives_an_error_anywhere(tmp_path, code):
    for k in itertools.count(1):
        path = tmp_path / str(k) / "model"
        fill(path, OLD)
        message = ""
        try:
            with failing_at(k, OSError(code, os.strerror(code))):
                fill(path, NEW)
        except UserError as error:
            message = str(error)
        assert contents(path) in (whole(OLD), whole(NEW)), "in its place again, as nobody was killed"
        assert not [entry for entry in path.parent.iterdir() if ".tmp-" in entry.name]
        if message:
            assert str(path) in message
            assert os.strerror(code) in message
        else:
            assert contents(path) == whole(NEW)
        if not message and k > 30:
            break


def test_new_directory_is_in_order_and_durable(tmp_path):
    log, names = [], {}

    def act(name, real, args):
        result = real(*args)
        if name == "open":
            names[result] = Path(args[0]).name.partition(".tmp-")[0]
        elif name in ("fsync", "rename"):
            log.append(f"fsync {names[args[0]]}" if name == "fsync" else f"rename to {Path(args[1]).name}")
        return result

    path = tmp_path / "model"
    fill(path, OLD)
    with intercepted(act, ("open", "fsync", "rename")):
        fill(path, NEW)
    at = {entry: max(i for i, seen in enumerate(log) if seen == entry) for entry in log}
    moved = at["rename to model"]
    assert max(at["fsync a"], at["fsync b"], at["fsync .model"], at["rename to .model.likely-old"]) < moved
    assert at[f"fsync {tmp_path.name}"] > moved


def test_recover_puts_back_what_was_set_aside(tmp_path):
    path, aside = tmp_path / "model", tmp_path / ".model.likely-old"
    fill(path, OLD)
    path.rename(aside)
    assert standing(path) == aside
    recover(path)
    assert contents(path) == whole(OLD)
    assert standing(path) == path
    recover(path)
    aside.mkdir()
    recover(path)
    assert not aside.exists()
    assert contents(path) == whole(OLD)


def test_the_directory_one_stands_in_is_refused_in_one_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"^\. cannot be written"), new_directory("."):
        pass
    assert contents(tmp_path) == {}
    assert standing(".") == Path()
    assert [entry.name for entry in tmp_path.parent.glob(f".{tmp_path.name}*")] == []
