import pytest

from likely.cli.options import as_pairs, as_rate, as_seconds, as_size
from likely.errors import UserError
from likely.fitted import DEFAULT_FALSE_ALARM_RATE


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("60s", 60), ("5m", 300), ("5min", 300), ("1.5h", 5400), (None, None)]
)
def test_seconds(text, seconds):
    assert as_seconds(text) == seconds


@pytest.mark.parametrize(("text", "size"), [("64x48", (64, 48)), ("64X48", (64, 48)), ("6×4", (6, 4)), (None, None)])
def test_size(text, size):
    assert as_size(text) == size


def test_pairs():
    assert as_pairs(["a=1", "b=x=y", 'c={"d": 2}']) == {"a": "1", "b": "x=y", "c": '{"d": 2}'}
    assert as_pairs(None) == {}


def test_a_rate_is_as_given_else_that_of_the_fit_else_the_default():
    assert as_rate(0.2, {"false_alarm_rate": 0.1}) == 0.2
    assert as_rate(None, {"false_alarm_rate": 0.1}) == 0.1
    assert as_rate(None, {}) == DEFAULT_FALSE_ALARM_RATE


def test_help_names_the_default_rate(likely):
    assert f"{DEFAULT_FALSE_ALARM_RATE:g}, or what fit" in " ".join(likely("score", "--help").out.split())


@pytest.mark.parametrize(
    ("read", "text", "mend"),
    [
        (as_seconds, "5 days", "60s"),
        (as_seconds, "-5", "60s"),
        (as_size, "64", "64x64"),
        (as_size, "ax3", "64x64"),
        (as_pairs, ["z_size"], "--set z_size=16"),
        (as_pairs, ["=3"], "--set z_size=16"),
    ],
)
def test_what_cannot_be_read_is_refused_with_an_example(read, text, mend):
    with pytest.raises(UserError, match=mend):
        read(text)


@pytest.mark.parametrize("rate", [0, 1, -0.1, 3, float("nan")])
def test_a_rate_is_a_share(rate):
    with pytest.raises(UserError, match="between 0 and 1"):
        as_rate(rate, {})
