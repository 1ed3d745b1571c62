import base64
import dataclasses
import io
import math
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits, load_wine
from sklearn.decomposition import PCA

from likely.evaluation import Assessment, Figure
from likely.report import (
    Codes,
    Path,
    Reconstructions,
    ReportData,
    Samples,
    ScoreSummary,
    Tiles,
    charts,
    pictures,
    render,
    words,
)

VOID = {"meta", "img", "br", "hr", "link", "input", "wbr"}
HOSTILE = '<script>alert("1")</script>&{{ 7*7 }}$x$_a'


class Page(HTMLParser):
    """Reads a page strictly: every tag must be closed by its own end."""

    def __init__(self, html):
        super().__init__(convert_charrefs=True)
        self.open, self.tags, self.texts, self.sources, self.unbalanced = [], [], [], [], []
        self.feed(html)
        self.close()
        self.text = " ".join(" ".join(self.texts).split())

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.sources += [value for name, value in attrs if name in ("src", "href", "xlink:href", "action", "srcset")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.sources += [value for name, value in attrs if name in ("src", "href", "xlink:href")]

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.unbalanced.append(tag)

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.texts.append(data)


def bare(**more):
    return ReportData("A title", "pca", {"z_size": 2}, "today", "0.1.0", {}, **more)


@pytest.fixture(scope="module")
def digits():
    data = load_digits()
    x, pca = data.images[:200], PCA(6).fit(data.data[200:600])
    decoded = pca.inverse_transform(pca.transform(data.data[:200])).reshape(-1, 8, 8)
    error = ((x - decoded) ** 2).mean((1, 2))
    history = [
        {"step": 10 * i, "epoch": i, "seconds": i / 2, "train": 90 / i, "validation": 95 / i} for i in range(1, 9)
    ]
    history = [row | {"validation/distortion": 1.0, "validation/rate": 2.0} for row in history]
    figures = (
        Figure(
            "bits per dimension", "bits", "lower", {"vae": 1.9123, "PPCA (6)": 2.31}, {"vae": "<=", "PPCA (6)": "="}
        ),
        Figure("MSE", "gray levels²", "lower", {"vae": 2.5, "PCA (6)": 6.875}, errors={"vae": 0.125, "PCA (6)": 0.25}),
    )
    return ReportData(
        "vae on digits",
        "vae",
        {"z_size": 6},
        "21 November 2026",
        "0.1.0",
        {"source": "digits", "rows": 1797, "kind": "image", "shape": (8, 8), "split": {"train": 1437, "test": 180}},
        history=history,
        best_step=70,
        value_range=(0.0, 16.0),
        reconstructions=Reconstructions(
            x[:3], decoded[:3], error[:3], ["best", "median", "worst"], ["row 0", "row 1", "row 2"]
        ),
        samples=Samples(decoded[:4], x[:4], [1.0, 2.0, 3.0, 4.0], "gray levels", np.arange(50.0), np.arange(40.0)),
        codes=Codes(pca.transform(data.data[:200]), data.target[:200]),
        interpolation=Path(decoded[:5]),
        scores=ScoreSummary(np.arange(100.0), np.arange(300.0) / 3, 97.5, 0.01, "<="),
        assessment=Assessment(180, figures, ("Better than PCA.",)),
        files=[("weights.safetensors", "what was learned")],
        next_commands=["likely score runs/vae new.npy"],
        notes=["Because."],
    )


@pytest.fixture(scope="module")
def table():
    wine = load_wine()
    x = wine.data.astype(object)
    x[:, 0] = np.array(["red", "white"])[wine.target % 2]
    decoded = x.copy()
    decoded[:, 1] += 5.0
    names = ["색", *wine.feature_names[1:]]
    columns = [{"name": n, "kind": "numeric", "missing": 0, "location": 1.0, "scale": 1.0} for n in names]
    columns[0] = {"name": "색", "kind": "categorical", "missing": 3}
    return bare(
        reconstructions=Reconstructions(x[:3], decoded[:3], [1, 2, 3], ["best", "median", "worst"], ["a", "b", "c"]),
        samples=Samples(decoded[:3], x[:3], [0.5, 1, 2]),
        interpolation=Path(decoded[:4]),
        column_errors={"색": math.nan, "malic_acid": 2.0, "ash": 0.5},
    ), {"kind": "table", "columns": columns, "problems": ["column 'year' is constant"]}


def test_a_page_with_everything_is_whole_and_needs_no_network(digits):
    html = render(digits)
    page = Page(html)
    assert (page.unbalanced, page.open) == ([], [])
    assert all(source.startswith(("data:image/png;base64,", "#")) for source in page.sources)
    assert not re.search(r"@import|url\((?!#)|<script|<link|<iframe|\son\w+=", html)
    assert not {tag for tag, _ in page.tags} & {"script", "link", "iframe", "object", "embed"}


def test_the_same_contents_give_the_same_file(digits):
    assert render(digits) == render(digits)


def test_anchors_lead_somewhere_and_ids_are_unique(digits):
    tags = Page(render(digits)).tags
    ids = [attributes["id"] for _, attributes in tags if "id" in attributes]
    links = [attributes["href"][1:] for tag, attributes in tags if tag == "a"]
    assert len(links) == 8
    assert set(links) <= set(ids)
    assert len(ids) == len(set(ids))


def test_it_opens_with_what_was_learned_and_whether_it_is_good(digits):
    text = Page(render(digits)).text
    order = [
        "vae learned 1,437 rows of digits (8 × 8) and was tested on 180 rows",
        "Better than PCA.",
        "decoder mean",
        "Draws",
        "not decoder means",
        "Figures beside baselines",
        "likely score runs/vae new.npy",
    ]
    places = [text.index(words) for words in order]
    assert places == sorted(places)


def test_figures_carry_their_mark_error_unit_and_the_best_is_bold(digits):
    html = render(digits)
    row = re.search(r"<tr><th>bits per dimension.*?</tr>", html, re.DOTALL)[0]
    assert Page(row).text == "bits per dimension bits ↓ ≤ 1.912 = 2.310 –"
    assert re.search(r'class="own best"[^>]*>(?:(?!<td).)*1\.912', row)
    row = re.search(r"<tr><th>MSE.*?</tr>", html, re.DOTALL)[0]
    assert Page(row).text == "MSE gray levels² ↓ 2.50 ± 0.12 – 6.88 ± 0.25"
    assert "≤ from a bound: the true number is at most this." in Page(html).text


def test_flagged_rows_are_counted(digits):
    assert "Above it lie 2 of 100 test rows (2.0 %)." in Page(render(digits)).text
    none = dataclasses.replace(digits.scores, threshold=math.inf, calibration=np.arange(9.0))
    text = Page(render(dataclasses.replace(digits, scores=none))).text
    assert "that takes at least 99 calibration rows, and there are 9 calibration rows" in text


def pixels(markup):
    uri = re.search(r"base64,([^\"]+)", markup)[1]
    return Image.open(io.BytesIO(base64.b64decode(uri)))


def test_gray_pixels_come_back_from_the_png():
    shown = pixels(pictures.image(np.array([[0, 8], [16, 99]]), (0, 16), None, "x"))
    assert (shown.mode, np.asarray(shown).tolist()) == ("L", [[0, 128], [255, 255]])


@pytest.mark.parametrize(("axis", "channels", "mode"), [(-1, 3, "RGB"), (0, 3, "RGB"), (-1, 4, "RGBA"), (0, 2, "LA")])
def test_channels_stand_where_they_are_said_to(axis, channels, mode):
    colors = np.arange(2 * 3 * channels, dtype=np.uint8).reshape(2, 3, channels)
    row = np.moveaxis(colors, -1, axis)
    shown = pixels(pictures.image(row, (0, 255), axis, "x"))
    assert shown.mode == mode
    assert np.array_equal(np.asarray(shown), colors)


def test_missing_pixels_are_transparent_and_large_images_shrink():
    shown = np.asarray(pixels(pictures.image(np.array([[0.0, np.nan]]), (0, 1), None, "x")))
    assert shown[..., 3].tolist() == [[255, 0]]
    assert pixels(pictures.image(np.zeros((1000, 500)), (0, 1), None, "x")).size == (128, 256)


def test_display_range_leaves_outliers_out():
    values = np.append(np.linspace(0, 1, 1000), [1e9, np.nan])
    low, high = pictures.display_range(values, None)
    assert 0 < low < 0.02
    assert 0.98 < high < 1.1
    assert pictures.display_range(np.zeros(3), None) == (0, 1)


def test_charts_take_their_colors_from_the_page(digits):
    html = render(digits)
    style = html[html.index("<style>") : html.index("</style>")]
    used = set(re.findall(r"var\((--\w+)\)", html))
    assert {"--accent", "--second", "--alarm", "--c0", "--c9"} <= used
    for block in (style[: style.index("@media")], style[style.index("@media") :]):
        assert used <= set(re.findall(r"(--\w+):", block)) | {"--tile", "--small"}
    assert "#0102" not in html
    assert "#0103" not in html


def test_a_table_shows_names_values_and_large_gaps(table):
    pages, data = table
    html = render(dataclasses.replace(pages, data=data))
    page = Page(html)
    assert (page.unbalanced, page.open) == ([], [])
    assert "img" not in {tag for tag, _ in page.tags}
    section = html[html.index('id="reconstructions"') : html.index('id="samples"')]
    assert section.count('class="marked"') == 3  # column 1 is five scales off in each of three rows
    assert "best: a red 1.710" in page.text
    assert "decoded, MSE 1.00 red 6.710" in page.text
    assert "column 'year' is constant" in page.text
    assert "malic_acid 2.00 ash 0.500 색 –" in page.text
    assert re.search(r"width:100\.0%.*?width:25\.0%", html)


def test_tiles_stand_in_lines_and_columns_and_the_rows_own_is_framed(digits):
    rows = np.arange(6.0)[:, None, None].repeat(64, 1).reshape(2, 3, 8, 8) / 6 * 16
    shown = Tiles(rows, ["row 4", "row 9"], ["class a", "class b", "class c"], rows[:, 0], [2, 0])
    pages = dataclasses.replace(digits, relabeled=shown, class_samples=Tiles(rows, ["class a", "class b"], [""] * 3))
    html = render(pages)
    page = Page(html)
    assert (page.unbalanced, page.open) == ([], [])
    table = re.search(r'<table class="tiles">.*?</table>', html, re.DOTALL)[0]
    assert Page(table).text == "as it is class a class b class c row 4 row 9"
    lines = re.findall(r"<tr>(?:(?!<tr>).)*?<td.*?</tr>", table, re.DOTALL)
    for i, line in enumerate(lines):
        cells = re.findall(r"<td([^>]*)>(.*?)</td>", line)
        found = [round(float(np.asarray(pixels(markup)).mean()) / 255 * 6, 1) for _, markup in cells]
        assert found == pytest.approx([3 * i, 3 * i, 3 * i + 1, 3 * i + 2], abs=0.1)
        assert [j for j, (attributes, _) in enumerate(cells) if "own" in attributes] == [[3], [1]][i]
    assert 'href="#classes"' in html
    assert "only the label changes" in page.text


def test_tiles_of_a_table_are_lines_that_can_be_read(table):
    pages, data = table
    rows = pages.reconstructions.originals
    shown = Tiles(
        np.stack([np.stack([rows[0]] * 9)] * 4), [f"value {i}" for i in range(4)], [f"{i}" for i in range(9)], note="n"
    )
    html = render(dataclasses.replace(pages, data=data, traversals=shown))
    section = html[html.index("What each value of the code stands for") :]
    named = re.findall(r'<tr><th class="long">(value .*?)</th>', section)
    assert named == [f"value {i}: {j}" for i in range(3) for j in (0, 2, 4, 6, 8)]
    assert "by standard deviations of n" in Page(html).text


@pytest.mark.parametrize(("way", "said"), [("straight", "a straight line"), ("great circle", "a great circle, which")])
def test_the_way_between_two_rows_is_named(digits, way, said):
    shown = Path(digits.interpolation.rows, way)
    assert f"along {said}" in Page(render(dataclasses.replace(digits, interpolation=shown))).text


def test_rows_that_are_neither_are_drawn_as_curves():
    x = np.sin(np.linspace(0, 9, 300))[None].repeat(3, 0)
    pages = bare(reconstructions=Reconstructions(x, x / 2, [1, 2, 3], ["best"] * 3, "abc"), samples=Samples(x))
    page = Page(render(pages))
    assert sum(tag == "polyline" for tag, _ in page.tags) == 9
    assert page.unbalanced == []


def test_a_bare_page_says_why_sections_are_empty():
    pages = bare(absent={"samples": "PCA does not sample; PPCA does."})
    page = Page(render(pages))
    assert "PCA does not sample; PPCA does." in page.text
    assert "Solved in closed form" in page.text
    assert page.unbalanced == []


def test_hostile_names_are_text():
    x = np.zeros((2, 2))
    columns = [{"name": HOSTILE}, {"name": "한글"}]
    pages = ReportData(
        HOSTILE,
        HOSTILE,
        {HOSTILE: HOSTILE},
        HOSTILE,
        HOSTILE,
        {"source": HOSTILE, "columns": columns, "problems": [HOSTILE], "kind": "table"},
        reconstructions=Reconstructions(x, x, [1, 2], [HOSTILE] * 2, [HOSTILE] * 2, HOSTILE, HOSTILE),
        samples=Samples(x, x, [1, 2], HOSTILE, np.arange(5.0)),
        codes=Codes(np.random.default_rng(0).normal(size=(9, 3)), np.array(["$<&", HOSTILE, "한글"] * 3)),
        scores=ScoreSummary(np.arange(5.0), np.arange(5.0), 3.0, 0.1, unit=HOSTILE),
        history=[{"step": 1, "train": 1.0, f"validation/{HOSTILE}": 1.0, "validation/#010299": 2.0}],
        assessment=Assessment(1, (Figure(HOSTILE, HOSTILE, "lower", {HOSTILE: 1.0}, note=HOSTILE),), (HOSTILE,)),
        column_errors={HOSTILE: 1.0},
        files=[(HOSTILE, HOSTILE)],
        next_commands=[HOSTILE],
        notes=[HOSTILE],
        traversals=Tiles(np.zeros((1, 1, 2)), [HOSTILE], [HOSTILE], note=HOSTILE),
        relabeled=Tiles(np.zeros((1, 1, 2)), [HOSTILE], [HOSTILE], np.zeros((1, 2)), [0]),
        absent={"interpolation": HOSTILE},
    )
    html = render(pages)
    page = Page(html)
    assert "<script" not in html
    assert "49" not in re.findall(r"&amp;(\d+)\$", html)
    assert (page.unbalanced, page.open) == ([], [])
    assert page.text.count(HOSTILE) > 25
    assert "한글" in html


@pytest.mark.parametrize(("n_classes", "shown", "others"), [(3, 3, ""), (10, 10, ""), (11, 9, "2 other classes")])
def test_a_legend_never_has_more_than_ten_entries(n_classes, shown, others):
    codes = np.random.default_rng(0).normal(size=(110, 4))
    pages = bare(codes=Codes(codes, np.arange(110) % n_classes))
    html = render(pages)
    legend = re.search(r'<ul class="legend".*?</ul>', html, re.DOTALL)[0]
    assert legend.count("<small>") == shown
    assert others in legend
    assert ("other class" in legend) == bool(others)


@pytest.mark.parametrize("shape", [(50, 1), (50, 2), (50, 3, 4), (1, 5), (2, 3), (900, 2000)])
def test_codes_of_any_size_are_drawn(shape):
    html = render(bare(codes=Codes(np.random.default_rng(0).normal(size=shape))))
    assert html.count("<svg") == 1


def test_the_map_is_along_the_principal_axes():
    random = np.random.default_rng(0)
    codes = random.normal(size=(500, 3)) * [1, 10, 3]
    html = render(bare(codes=Codes(codes)))
    share = PCA(2).fit(codes).explained_variance_ratio_
    assert f"first principal axis of the code ({100 * share[0]:.0f} % of its variance)" in html


def test_a_collapsed_code_is_drawn_without_a_warning(recwarn):
    assert "first principal axis of the code (0 % of its variance)" in render(bare(codes=Codes(np.zeros((20, 4)))))
    assert not recwarn.list


def test_many_dots_are_thinned_and_it_says_so():
    html = render(bare(codes=Codes(np.random.default_rng(0).normal(size=(9000, 2)))))
    assert "it shows 2,000 of them" in Page(html).text
    assert html.count("<use") < 2100


def test_histograms_keep_every_row_and_the_threshold():
    values = np.append(np.random.default_rng(0).normal(size=1000), [1e6, -1e6, np.inf])
    bins = charts._bins(values[np.isfinite(values)], 7.0)
    assert bins[0] < -2
    assert 7.0 < bins[-1] < 20
    assert "share of the rows" in charts.histogram({"test": values}, "surprise", 7.0)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (1437, "1,437"),
        (0.0123456, "0.01235"),
        (-98.2149, "−98.21"),
        (123456.7, "123,457"),
        (2.5e-9, "2.500e−9"),
        (math.inf, "∞"),
        (math.nan, "–"),
    ],
)
def test_numbers_in_words(value, text):
    assert words.number(value) == text


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [(-98.2149, 0.4213, ("−98.21", "0.42")), (1234.5, 87.2, ("1,234", "87")), (1.5, math.nan, ("1.500", ""))],
)
def test_errors_decide_the_digits(value, error, text):
    assert words.with_error(value, error) == text


def test_cells_of_a_column_line_up():
    assert words.column([1, 20.5, np.nan, "red", None]) == ["1.00", "20.50", "–", "red", "–"]
    assert words.column([1.0, 2019.0, True]) == ["1", "2,019", "True"]
    assert words.duration(7265) == "2 h 1 min"
    assert [words.duration(s) for s in (0.42, 31, 200)] == ["0.42 s", "31 s", "3 min 20 s"]
