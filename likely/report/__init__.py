"""The report: one HTML file, no network, made of plain arrays and numbers."""

from likely.report.contents import Codes, Reconstructions, ReportData, Samples, ScoreSummary
from likely.report.page import render

__all__ = ["Codes", "Reconstructions", "ReportData", "Samples", "ScoreSummary", "render"]
