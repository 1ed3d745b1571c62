"""Flows: chains of bijections from rows to a normal base."""

from likely.flows.defaults import default_design
from likely.flows.dequantization import Dequantization, UniformDequantization, VariationalDequantization
from likely.flows.design import Design
from likely.flows.images import Glow
from likely.flows.vectors import IAF, MAF, NICE, NeuralSpline, RealNVP

__all__ = [
    "IAF",
    "MAF",
    "NICE",
    "Dequantization",
    "Design",
    "Glow",
    "NeuralSpline",
    "RealNVP",
    "UniformDequantization",
    "VariationalDequantization",
    "default_design",
]
