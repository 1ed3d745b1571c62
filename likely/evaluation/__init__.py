"""Numbers that say how good a model is: arrays in, numbers out, no plotting and no models."""

from likely.evaluation.assessment import Assessment, Figure
from likely.evaluation.codes import accuracy_error, linear_probe_accuracy, nearest_neighbor_accuracy
from likely.evaluation.copies import Copies, find_copies, nearest_rows
from likely.evaluation.density import Estimate, bits_per_dim, mean_with_error
from likely.evaluation.detection import auroc, auroc_error, average_precision
from likely.evaluation.reconstruction import mse, psnr, ssim

__all__ = [
    "Assessment",
    "Copies",
    "Estimate",
    "Figure",
    "accuracy_error",
    "auroc",
    "auroc_error",
    "average_precision",
    "bits_per_dim",
    "find_copies",
    "linear_probe_accuracy",
    "mean_with_error",
    "mse",
    "nearest_neighbor_accuracy",
    "nearest_rows",
    "psnr",
    "ssim",
]
