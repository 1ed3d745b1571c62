"""The report: one HTML file, no network. `gather` asks a fitted model, `render` writes the page."""

from likely.report.contents import Codes, Path, Plane, Reconstructions, ReportData, Samples, ScoreSummary, Tiles
from likely.report.gather import ReportParts, gather
from likely.report.page import render

__all__ = [
    "Codes",
    "Path",
    "Plane",
    "Reconstructions",
    "ReportData",
    "ReportParts",
    "Samples",
    "ScoreSummary",
    "Tiles",
    "gather",
    "render",
]
