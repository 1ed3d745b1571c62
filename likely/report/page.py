"""The page: every section that there is something to say in, in one HTML file."""

from collections.abc import Mapping
from typing import Any

import jinja2

from likely.errors import printable
from likely.evaluation import Assessment
from likely.report import chains, exploration, judged, latent, maps, restorations, sections
from likely.report.contents import ReportData
from likely.report.rows import look_of
from likely.report.words import argument, cell, count, listed, shape


def render(pages: ReportData) -> str:
    """One HTML file that needs no network: style, pictures and charts are inside.

    The same contents give the same file. Names of files, columns and classes are escaped, and what cannot be printed
    is written out: marks that turn the direction of writing would change what the page seems to say.

    Args:
        pages: what the report says.

    Returns:
        The text of the file, for UTF-8.
    """
    loader = jinja2.PackageLoader("likely.report", ".")
    environment = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    page = environment.get_template("report.html.jinja").render(_contents(pages))
    return "\n".join(map(printable, page.split("\n")))


def _contents(pages: ReportData) -> dict[str, Any]:
    look = look_of(pages)
    return {
        "report": pages,
        "style": look.style,
        "lede": _lede(pages),
        "arguments": {name: argument(value) for name, value in pages.model_arguments.items()},
        "reconstructions": _if(pages.reconstructions, lambda shown: sections.reconstructions(shown, look)),
        "restorations": _if(pages.restorations, lambda shown: restorations.restorations(shown, look)),
        "column_errors": sections.column_errors(pages.column_errors),
        "samples": _if(pages.samples, lambda shown: sections.samples(shown, look)),
        "judged": judged.judged(pages.assessment),
        "chains": _if(pages.chains, lambda shown: chains.chains(shown, look)),
        "codes": _if(pages.codes, lambda codes: maps.latent_maps(codes, pages.model_name, look)),
        "measures": maps.measures(pages.assessment),
        "code_use": latent.code_use(pages.unit_rates, pages.assessment),
        "interpolation": _if(pages.interpolation, lambda path: sections.interpolation(path, look)),
        "traversals": _if(pages.traversals, lambda shown: exploration.tiles(shown, look)),
        "class_samples": _if(pages.class_samples, lambda shown: exploration.tiles(shown, look)),
        "relabeled": _if(pages.relabeled, lambda shown: exploration.tiles(shown, look)),
        "scores": _if(pages.scores, sections.scores),
        "history": sections.history(pages) if pages.history else None,
        "baselines": _if(pages.assessment, _baselines),
        "facts": _facts(pages.data),
        "columns": _columns(pages.data),
        "n_columns": len(pages.data.get("columns", ())),
    }


def _if(value: Any, make: Any) -> Any:
    return None if value is None else make(value)


def _baselines(assessment: Assessment) -> dict[str, Any] | None:
    elsewhere = (*maps.OWN_FIGURES, *latent.OWN_FIGURES, *judged.OWN_FIGURES)
    figures = [figure for figure in assessment.figures if figure.name not in elsewhere]
    if not figures:
        return None
    names = Assessment(0, tuple(figures)).row_names()
    return {
        "names": names,
        "figures": [sections.figure(figure, names) for figure in figures],
        "marks": sections.mark_legend(figures),
        "rows": count(assessment.n_test, "test row"),
    }


def _lede(pages: ReportData) -> str:
    """What learned what, in one sentence."""
    split = pages.data.get("split", {})
    n = split.get("train", pages.data.get("rows"))
    learned = f"{n:,} rows" if n is not None else "rows"
    source = f" of {pages.data['source']}" if "source" in pages.data else ""
    tested = f" and was tested on {split['test']:,} rows that it never saw" if split.get("test") else ""
    return f"{pages.model_name} learned {learned}{source}{_appearance(pages.data)}{tested}."


def _appearance(data: Mapping[str, Any]) -> str:
    parts = [_row(data)] if "shape" in data else []
    parts += [str(data["domain"])] if "domain" in data else []
    return f" ({', '.join(parts)})" if parts else ""


def _row(data: Mapping[str, Any]) -> str:
    """What one row is: 28 × 28, or 13 columns."""
    sizes = data["shape"]
    return count(int(sizes[0]), "column") if data.get("kind") == "table" and len(sizes) == 1 else shape(sizes)


def _facts(data: Mapping[str, Any]) -> dict[str, str]:
    """What the data was, by name, as far as it is known."""
    facts = {
        "source": data.get("source"),
        "rows": f"{data['rows']:,}" if "rows" in data else None,
        "kind": data.get("kind"),
        "a row": _row(data) if "shape" in data else None,
        "values": data.get("domain"),
        "labels": data.get("labels"),
        "split by row": listed([f"{n:,} {part}" for part, n in data.get("split", {}).items()]) or None,
    }
    return {name: str(value) for name, value in facts.items() if value}


def _columns(data: Mapping[str, Any]) -> list[dict[str, str]]:
    """The first columns, each with what is known of it."""
    return [
        {
            "name": str(column["name"]),
            "kind": str(column.get("kind", "")),
            "missing": cell(column.get("missing", 0)),
            "location": cell(column.get("location")) if column.get("kind") != "categorical" else "–",
            "scale": cell(column.get("scale")) if column.get("kind") != "categorical" else "–",
        }
        for column in list(data.get("columns", ()))[: sections.MAX_LISTED_COLUMNS]
    ]
