"""What is told of a model that was trained layer by layer."""

from likely.cli.learning import _layers_of
from likely.report import charts
from likely.report.contents import ReportData
from likely.report.sections import history
from likely.training import History

ROWS = [
    {"layer": 1, "step": 0, "epoch": 0.0, "seconds": 0.0, "validation": 8000.0},
    {"layer": 1, "step": 10, "epoch": 1.0, "seconds": 1.0, "train": 5000.0, "validation": 4000.0},
    {"layer": 2, "step": 0, "epoch": 0.0, "seconds": 1.0, "validation": 0.5},
    {"layer": 2, "step": 10, "epoch": 1.0, "seconds": 2.0, "train": 0.2, "validation": 0.25},
    {"step": 0, "epoch": 0.0, "seconds": 2.0, "validation": 3.0, "validation/distortion": 3.0},
    {"step": 20, "epoch": 2.0, "seconds": 4.0, "train": 2.5, "validation": 2.0, "validation/distortion": 2.0},
]


def shown(rows):
    return history(ReportData("A title", "autoencoder", {}, "today", "0.1.0", {}, history=rows, best_step=20))


def test_the_report_shows_the_whole_as_if_it_had_no_layers_and_the_layers_apart():
    with_layers, without = shown(ROWS), shown(ROWS[4:])
    assert with_layers["objective"] == without["objective"]
    assert (with_layers["steps"], with_layers["epochs"]) == ("20 steps", without["epochs"])
    assert without["layers"] is None
    assert all(f">layer {number}<" in with_layers["layers"] for number in (1, 2))


def test_layers_are_drawn_over_their_own_steps_as_shares_of_their_starts(monkeypatch):
    drawn = []
    monkeypatch.setattr(charts, "curves", lambda rows, names, unit, best: drawn.append((rows, names, unit)))
    shown(ROWS)
    rows, names, unit = drawn[-1]
    assert list(names) == ["layer 1", "layer 2"]
    assert unit == "% of the start"
    assert rows == [{"step": step, name: share} for name in names for step, share in ((0, 100.0), (10, 50.0))]


def test_the_terminal_tells_what_each_layer_gained():
    assert _layers_of(ROWS) == "each by itself first, its error 1: 8e+03 to 4e+03, 2: 0.5 to 0.25"
    assert _layers_of(ROWS[4:]) == ""


def test_a_history_with_layers_has_a_column_of_them():
    lines = History(ROWS).to_csv().splitlines()
    assert [line.split(",")[0] for line in lines] == ["layer", "1", "1", "2", "2", "", ""]
