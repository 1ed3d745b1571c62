"""Locks exclude others as long as their process lives, and no longer; what is being written is never swept away."""

import functools
import os
import signal
import threading
import time

import numpy as np
import pytest

from likely import files
from likely.data import infer_schema, open_source
from likely.errors import UserError
from likely.files import create, new_directory, sweep, write_file
from likely.locks import Held, claim, in_turn
from likely.persistence import load, save
from likely.registry import Spec

SCHEMA = infer_schema(open_source(np.random.default_rng(0).normal(size=(40, 6))))


def in_child(work):
    """The exit code of a child that does `work`."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    try:
        os._exit(int(bool(work())))
    finally:
        os._exit(99)


def is_free(path):
    try:
        claim(path).release()
    except Held:
        return False
    return True


def test_a_lock_excludes_threads_and_processes_until_it_is_released(tmp_path):
    path = tmp_path / "lock"
    lock = claim(path)
    assert not is_free(path)
    assert in_child(lambda: is_free(path)) == 0
    with pytest.raises(Held, match=f"process {os.getpid()} on "):
        claim(path)
    lock.release()
    lock.release()
    assert not path.exists()
    assert in_child(lambda: is_free(path)) == 1


def test_a_child_that_outlives_its_parent_holds_nothing(tmp_path):
    path = tmp_path / "lock"
    (read, write), (over, end) = os.pipe(), os.pipe()
    parent = os.fork()
    if not parent:
        lock = claim(path)
        child = os.fork()
        if not child:
            lock.release()  # which is not the child's: it removes nothing
            os.close(end)
            os.read(over, 1)  # until the test is over
            os._exit(0)
        os.write(write, b"%d\n" % child)
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(parent, 0)
    os.read(read, 20)
    assert path.exists()
    assert is_free(path)
    for descriptor in (read, write, over, end):
        os.close(descriptor)


def test_a_lock_whose_file_was_removed_meanwhile_is_taken_anew(tmp_path, monkeypatch):
    """Who had it removes it between another's opening and locking: two would else have it at once."""
    path = tmp_path / "lock"
    first, opened = claim(path), os.open

    def open_and_lose(name, *args):
        descriptor = opened(name, *args)
        monkeypatch.undo()
        first.release()
        return descriptor

    monkeypatch.setattr(os, "open", open_and_lose)
    second = claim(path)
    assert not is_free(path)
    second.release()


def test_turns_are_taken_one_after_another(tmp_path):
    seen = []

    def work(name):
        with in_turn(tmp_path):
            seen.append(name)
            time.sleep(0.02)
            seen.append(name)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen[::2] == seen[1::2]
    assert sorted(seen[::2]) == [0, 1, 2, 3]


def test_a_turn_is_not_waited_for_forever(tmp_path, monkeypatch):
    monkeypatch.setattr("likely.locks.PATIENCE", 0.05)
    with in_turn(tmp_path), in_turn(tmp_path):
        pass


def test_what_is_being_written_is_not_swept_away_and_what_was_left_is(tmp_path, monkeypatch):
    left = tmp_path / ".state.tmp-1-ab"
    left.write_bytes(b"half")
    replace, swept = os.replace, []

    def replace_later(*args):
        swept.append(in_child(lambda: sweep(tmp_path)))
        sweep(tmp_path)
        return replace(*args)

    monkeypatch.setattr(os, "replace", replace_later)
    write_file(tmp_path / "state", b"whole")
    assert swept == [0]
    assert (tmp_path / "state").read_bytes() == b"whole"
    assert not left.exists()


def test_a_file_that_is_swept_before_it_is_marked_is_begun_anew(tmp_path, monkeypatch):
    mark, times = files.mark_live, []

    def swept_first(descriptor):
        if not times:
            sweep(tmp_path)
        times.append(descriptor)
        return mark(descriptor)

    monkeypatch.setattr(files, "mark_live", swept_first)
    write_file(tmp_path / "state", b"whole")
    assert len(times) == 2
    assert (tmp_path / "state").read_bytes() == b"whole"


def test_who_is_slower_to_make_a_directory_does_not_replace_it(tmp_path):
    """It was not there when both began, and neither was told to overwrite."""
    path = tmp_path / "model"

    def slower():
        with new_directory(path) as directory:
            create(directory / "a", b"slow")
            with new_directory(path) as faster:
                create(faster / "a", b"fast")

    with pytest.raises(UserError, match="is there already and not empty"):
        slower()
    assert (path / "a").read_bytes() == b"fast"
    assert [each.name for each in tmp_path.iterdir()] == ["model"]


def test_two_who_replace_one_directory_in_a_loop_both_succeed(tmp_path):
    path = tmp_path / "model"

    def replace_often(data):
        for _ in range(40):
            with new_directory(path, overwrite=True) as directory:
                create(directory / "a", data)
                create(directory / "b", data)
        return 1

    child = os.fork()
    if not child:
        try:
            os._exit(replace_often(b"child") - 1)
        finally:
            os._exit(99)
    replace_often(b"parent")
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert {each.read_bytes() for each in path.iterdir()} in ({b"child"}, {b"parent"})
    assert [each.name for each in tmp_path.iterdir()] == ["model"]


# Who loads while another replaces.


def little_model(value):
    """A fitted directory's content whose every part says which one it is."""
    model = Spec("pca", z_size=2).build(SCHEMA.x_shape)
    for tensor in model.state_dict().values():
        tensor.fill_(value)
    return {"model": model, "spec": Spec("pca", z_size=2), "schema": SCHEMA}


def keep(path, value):
    save(path, **little_model(value), calibration={"is": value}, info={"is": value}, overwrite=True)


def which(loaded):
    """The one that a model is, if it is whole."""
    weights = next(iter(loaded.model.state_dict().values()))
    [value] = {loaded.calibration["is"], loaded.info["is"], *weights.unique().tolist()}
    return value


def test_a_model_that_is_replaced_at_any_moment_of_a_load_is_the_old_or_the_new(tmp_path, monkeypatch):
    path, opened, statted = tmp_path / "model", os.open, os.stat
    found = set()
    for k in range(60):
        keep(path, 1)
        calls = 0

        def replaced(real, *args, k=k, **options):
            nonlocal calls
            calls += 1
            if calls == k:
                keep(path, 2)
            return real(*args, **options)

        with monkeypatch.context() as patch:
            patch.setattr(os, "open", functools.partial(replaced, opened))
            patch.setattr(os, "stat", functools.partial(replaced, statted))
            found.add(which(load(path)))
        if calls < k:
            break
    assert calls > 10
    assert found == {1, 2}


def test_loads_beside_a_writer_that_replaces_in_a_loop_all_succeed(tmp_path):
    path = tmp_path / "model"
    keep(path, 1)
    stop = tmp_path / "stop"
    child = os.fork()
    if not child:
        try:
            while not stop.exists():
                keep(path, 2)
                keep(path, 1)
            os._exit(0)
        finally:
            os._exit(99)
    try:
        found = [which(load(path)) for _ in range(60)]
    finally:
        stop.touch()
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code == 0
    assert set(found) <= {1, 2}


def test_a_directory_that_somebody_else_replaces_right_now_is_replaced(tmp_path, monkeypatch):
    path, listed = tmp_path / "model", os.listdir
    keep(path, 1)

    def moved_away(at):
        if at == path:
            raise FileNotFoundError(2, "No such file or directory", str(at))
        return listed(at)

    monkeypatch.setattr(os, "listdir", moved_away)
    keep(path, 2)
    assert which(load(path)) == 2


def a_file(path):
    write_file(path, b"new")


def a_directory(path):
    with new_directory(path, overwrite=True) as directory:
        create(directory / "a", b"new")


@pytest.mark.parametrize("makes", [a_file, a_directory])
def test_what_stands_is_not_said_not_to_be_written(makes, tmp_path, monkeypatch):
    path, sync = tmp_path / "above" / "it", files.sync
    for _ in range(2):

        def refuse_once_it_stands(at):
            if at == path.parent and path.exists() and not list(path.parent.glob(".*.tmp-*")):
                raise OSError(5, "Input/output error")
            sync(at)

        monkeypatch.setattr(files, "sync", refuse_once_it_stands)
        with pytest.warns(UserWarning, match=r"it is written, but may be lost .*: Input/output error"):
            makes(path)
        assert [each.name for each in path.parent.iterdir()] == ["it"]
