"""What there is no time for is left out and named; nothing else is disturbed."""

import signal
import threading
import time

import pytest

import likely
from likely.assess import assess
from likely.assess.budget import Budget, TimeIsUp, stopped_at
from likely.data import open_source
from likely.training import TrainConfig

LONG_AGO = 0.0


def for_a_while():
    until = time.monotonic() + 2
    while time.monotonic() < until:
        try:
            time.sleep(0.001)
        except Exception:  # which time is none of
            continue


def test_what_is_under_way_when_time_is_over_is_left_out():
    budget = Budget(time.monotonic() + 0.05)
    assert budget.part("quick", lambda: 1, 0) == 1
    assert budget.part("slow", for_a_while, 0) == 0
    assert budget.part("late", lambda: 1, 0) == 0
    assert budget.left_out == ["slow", "late"]


def test_without_a_limit_nothing_is_left_out():
    budget = Budget()
    assert budget.part("any", lambda: 1, 0) == 1
    assert not budget.left_out


def test_an_alarm_of_somebody_else_is_as_it_was():
    def own(number, frame):
        raise AssertionError

    before = signal.signal(signal.SIGALRM, own)
    try:
        with stopped_at(time.monotonic() + 60):
            assert signal.getsignal(signal.SIGALRM) is not own
        assert signal.getsignal(signal.SIGALRM) is own
        assert signal.getitimer(signal.ITIMER_REAL)[0] == 0
    finally:
        signal.signal(signal.SIGALRM, before)


def test_a_thread_that_gets_no_alarm_is_stopped_at_the_start_of_a_part():
    found = []

    def work():
        budget = Budget(time.monotonic() + 60)
        found.append(budget.part("first", lambda: 1, 0))
        budget.until = LONG_AGO
        found.append(budget.part("second", lambda: 1, 0))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [1, 0]


def test_an_evaluation_says_what_it_left_out():
    fitted = likely.fit("pca", "digits", z_size=2, calibrate="none")
    late = assess(fitted, open_source("digits"), until=LONG_AGO)
    assert late.figures == ()
    assert "reconstruction" in late.left_out
    assert late.verdicts[-1].startswith("left out, for want of time: reconstruction, density")
    with pytest.raises(TimeIsUp), stopped_at(LONG_AGO):
        pass


def test_what_is_reserved_is_not_for_training():
    assert TrainConfig().training_seconds is None
    assert TrainConfig(time_limit=10).training_seconds == 10
    assert TrainConfig(time_limit=10, reserved=4).training_seconds == 6
    assert 0 < TrainConfig(time_limit=10, reserved=40).training_seconds < 1
