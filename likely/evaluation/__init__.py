"""Numbers that say how good a model is: arrays in, numbers out, no plotting and no models."""

from likely.evaluation.assessment import Assessment, Curve, Figure, Histogram
from likely.evaluation.codes import (
    accuracy_error,
    leave_one_out_accuracy,
    linear_probe_accuracy,
    nearest_neighbor_accuracy,
)
from likely.evaluation.copies import Copies, find_copies, nearest_rows
from likely.evaluation.density import Estimate, bits_per_dim, mean_with_error
from likely.evaluation.detection import auroc, auroc_error, average_precision
from likely.evaluation.embeddings import EMBEDDINGS, Embedding, embed_tsne
from likely.evaluation.frechet import frechet_distance, frechet_estimate, frechet_floor
from likely.evaluation.manifold import (
    Growth,
    continuity,
    distance_contrast,
    growing_dimensions,
    intrinsic_dimension,
    trustworthiness,
)
from likely.evaluation.mixing import Mixing, mixing
from likely.evaluation.mmd import kernel_mmd
from likely.evaluation.neighbors import neighbor_means
from likely.evaluation.precision_recall import Fidelity, fidelity
from likely.evaluation.reconstruction import mse, psnr, ssim
from likely.evaluation.two_sample import TwoSample, two_sample_test

__all__ = [
    "EMBEDDINGS",
    "Assessment",
    "Copies",
    "Curve",
    "Embedding",
    "Estimate",
    "Fidelity",
    "Figure",
    "Growth",
    "Histogram",
    "Mixing",
    "TwoSample",
    "accuracy_error",
    "auroc",
    "auroc_error",
    "average_precision",
    "bits_per_dim",
    "continuity",
    "distance_contrast",
    "embed_tsne",
    "fidelity",
    "find_copies",
    "frechet_distance",
    "frechet_estimate",
    "frechet_floor",
    "growing_dimensions",
    "intrinsic_dimension",
    "kernel_mmd",
    "leave_one_out_accuracy",
    "linear_probe_accuracy",
    "mean_with_error",
    "mixing",
    "mse",
    "nearest_neighbor_accuracy",
    "nearest_rows",
    "neighbor_means",
    "psnr",
    "ssim",
    "trustworthiness",
    "two_sample_test",
]
