import io
import time

import pytest

from likely.cli import screen


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.26, "0.3 s"), (8.4, "8 s"), (99, "99 s"), (150, "2 min"), (9000, "2.5 h")]
)
def test_duration(seconds, text):
    assert screen.duration(seconds) == text


def test_tables_are_aligned_wrap_below_themselves_and_end_without_blanks(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    screen.facts([("키", "short"), ("longer", "word " * 20)])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "  키      short"  # two columns wide
    assert lines[1].startswith("  longer  word word")
    assert all(line.startswith("          word") for line in lines[2:])
    assert all(line == line.rstrip() and len(line) <= 40 for line in lines)


def test_names_are_no_markup_and_no_commands_to_the_terminal(capsys):
    screen.facts([("[bold]x[/bold]", "\x1b[31mred :smile:")])
    assert capsys.readouterr().out == "  [bold]x[/bold]  \\x1b[31mred :smile:\n"


def test_progress_where_there_is_no_terminal_is_a_line_now_and_then(capsys, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    with screen.progress("reading") as bar:
        for done in range(101):
            bar.update(done, 100, "note")
            now[0] += 0.12
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "reading: 9 of 100, 11 s left, note"
    assert 2 <= len(lines) <= 4


def test_what_has_no_known_length_is_told_at_once(capsys):
    with screen.progress("drawing") as bar:
        bar.update(0, None)
    assert capsys.readouterr().err == "drawing\n"


def test_progress_on_a_terminal_is_drawn(monkeypatch):
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    with screen.progress("training") as bar:
        bar.update(5, 10, "train 3.2", left=7)
        time.sleep(0.3)
    assert "training" in terminal.getvalue()
    assert "7 s left, train 3.2" in terminal.getvalue()
