import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import likely as library
from tests.cli.conftest import rows


@pytest.fixture
def copy(table, tmp_path):
    """A fitted directory to write to."""
    shutil.copytree(table / "모델", tmp_path / "m")
    return tmp_path / "m"


def test_evaluate_finds_the_rows_and_the_figures_of_the_fit_again(copy, likely):
    before = (copy / "metrics.json").read_bytes()
    (copy / "metrics.json").unlink()
    answer = likely("evaluate", copy)
    assert answer.code == 0
    assert (copy / "metrics.json").read_bytes() == before
    assert "60 test rows" in answer.out


def test_the_same_data_by_name_is_not_taken_for_new_rows(copy, likely, tmp_path):
    assert likely("evaluate", copy, "표.csv", "-o", tmp_path / "again.json").code == 0
    assert (tmp_path / "again.json").read_bytes() == (copy / "metrics.json").read_bytes()


def test_other_rows_are_all_test_rows_and_leave_the_directory_alone(copy, likely, tmp_path):
    new = rows(50) + 0.5
    (tmp_path / "new.csv").write_text("키,b,c,d,언제나\n" + "\n".join(f"{a},{b},{c},{d},7" for a, b, c, d in new))
    before = (copy / "metrics.json").read_bytes()
    answer = likely("evaluate", copy, tmp_path / "new.csv", "-o", tmp_path / "new.json")
    assert answer.code == 0
    figures = json.loads((tmp_path / "new.json").read_text())
    assert figures["n_test"] == 50
    by_name = {figure["name"]: figure for figure in figures["figures"]}
    source = library.open_source(tmp_path / "new.csv")
    assert by_name["log-likelihood"]["values"]["ppca"] == pytest.approx(library.load(copy).log_prob(source).mean())
    assert "column means" in by_name["log-likelihood"]["values"]  # from the rows that the model learned
    assert (copy / "metrics.json").read_bytes() == before


def test_data_that_has_changed_is_no_test(copy, table, likely, tmp_path, monkeypatch):
    lines = (table / "표.csv").read_text("utf-8").splitlines()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "표.csv").write_text("\n".join([lines[0], *reversed(lines[1:])]) + "\n", "utf-8")
    assert (tmp_path / "표.csv").stat().st_size == (table / "표.csv").stat().st_size  # that alone tells nothing
    answer = likely("evaluate", "m")
    assert answer.code == 2
    assert "has changed since the fit" in answer.line
    assert "likely evaluate m SOURCE" in answer.line


def test_data_that_is_not_where_it_was_is_one_line(copy, likely, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    answer = likely("report", "m")
    assert answer.code == 2
    assert "표.csv" in answer.line
    assert "SOURCE" in answer.line


def test_a_model_that_was_fitted_in_memory_says_that_it_needs_rows(here, likely):
    fitted = library.fit("pca", rows(), z_size=2)
    fitted.save("m")
    np.save("x.npy", rows())
    assert "does not say how to open the data" in likely("evaluate", "m").line
    answer = likely("evaluate", "m", "x.npy")
    assert answer.code == 0
    assert "60 test rows" in answer.out  # it is the data of the fit, and most of it is no test


def test_rows_that_a_model_learned_from_do_not_judge_it(here, likely):
    fitted = library.fit("pca", rows(), z_size=2)
    fitted.save("m")
    split, x = fitted.info["split"], rows()
    learned = split["train"] + split["validation"]
    np.save("longer.npy", np.concatenate([x, x[:1] + 9])[np.random.default_rng(0).permutation(len(x) + 1)])
    answer = likely("evaluate", "m", "longer.npy", "-o", "m.json")
    assert answer.code == 0
    told = f"{learned} of {len(x) + 1} rows are left out: the model learned from them"
    assert told in " ".join(answer.out.split())
    figures = json.loads(Path("m.json").read_text())
    assert figures["n_test"] == len(x) + 1 - learned
    assert told in figures["verdicts"]
    np.save("same.npy", x[fitted.learned_from(x)])
    answer = likely("evaluate", "m", "same.npy")
    assert answer.code == 2
    assert "learned from every row of same.npy" in answer.line
    assert likely("report", "m", "same.npy").code == 2


def test_the_report_is_drawn_again_from_what_is_kept(copy, likely, tmp_path):
    before = (copy / "report.html").read_text("utf-8")
    (copy / "report.html").unlink()
    assert likely("report", copy).code == 0
    again = (copy / "report.html").read_text("utf-8")
    assert len(again) == pytest.approx(len(before), rel=0.01)
    assert "<title>" in again
    assert likely("report", copy, "-o", tmp_path / "r.html").code == 0
    assert (tmp_path / "r.html").read_text("utf-8") == again


def test_the_report_has_the_course_of_training(digits, likely, tmp_path):
    whole = likely("report", "vae", "-o", tmp_path / "r.html")
    assert whole.code == 0
    shutil.copytree("vae", tmp_path / "m")
    (tmp_path / "m" / "history.csv").write_text("not,numbers\nat,all\n")
    assert likely("report", tmp_path / "m", "-o", tmp_path / "without.html").code == 0
    assert len((tmp_path / "without.html").read_text()) < len((tmp_path / "r.html").read_text())


def test_an_output_that_cannot_be_is_refused(table, likely):
    assert ".json" in likely("evaluate", "모델", "-o", "a.txt").line
    assert ".html" in likely("report", "모델", "-o", "a.pdf").line


def test_other_maps_stand_beside_the_code_on_request(copy, likely, tmp_path):
    answer = likely("evaluate", copy, "--compare", "isomap, LLE", "-o", tmp_path / "m.json")
    assert answer.code == 0
    by_name = {each["name"]: each for each in json.loads((tmp_path / "m.json").read_text())["figures"]}
    assert list(by_name["trustworthiness"]["values"]) == ["ppca", "PCA (2)", "Isomap (2)", "LLE (2)"]
    assert "LLE (2)" in by_name["nearest-neighbor accuracy"]["values"]
    assert "Isomap (2)" in answer.out
    assert likely("report", copy, "--compare", "lle", "-o", tmp_path / "r.html").code == 0
    page = (tmp_path / "r.html").read_text("utf-8")
    assert "<h3>LLE</h3>" in page
    assert "<h3>Isomap</h3>" not in page


@pytest.mark.parametrize("verb", ["evaluate", "report"])
def test_a_map_that_is_none_is_one_line(copy, likely, verb):
    before = {path.name: path.read_bytes() for path in copy.iterdir()}
    answer = likely(verb, copy, "--compare", "isomap,umap")
    assert answer.code == 2
    assert "'umap' is nothing to compare with: choose of isomap, lle, tsne" in answer.err.splitlines()[-1]
    assert {path.name: path.read_bytes() for path in copy.iterdir()} == before


def test_distances_over_more_and_more_dimensions_are_told(copy, likely):
    out = likely("evaluate", copy).out
    table = out[out.index("Distance contrast over so many dimensions") :]
    sizes = [line.split()[0] for line in table.splitlines()[2:5]]
    assert sizes == ["1", "2", "4"]
    assert "Nearest-neighbor accuracy over so many dimensions" in table
