"""A batch of line images -> a varied batch, as other hands, pens and scanners would have made it. Training only.

Affine and elastic distortion (Simard et al. 2003, section 2) in one resampling of the batch, then stroke width,
then ink. Every line of the batch is varied by itself, on the batch's own device.
"""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from project.recognition.batch import padded_width

Generator = torch.Generator | None


def sample_stretch(lines: int, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Draw how many times as wide each line is made, float32 (lines,): e^-0.2 to e^0.2 at strength 1, log-uniform.

    It is drawn before the batches are made, since lines of about the same width share one.
    """
    return np.exp(rng.uniform(-0.2 * strength, 0.2 * strength, lines)).astype(np.float32)


def augment(
    images: Tensor, widths: Tensor, stretch: Tensor, strength: float, generator: Generator = None
) -> tuple[Tensor, Tensor]:
    """Return images (N, 1, H, W) in [0, 1] and widths (N,), varied, each `stretch` (N,) times as wide; W is padded.

    strength: 0 leaves the batch as it is, widths too; the sizes below are those of 1. generator: on the batch's device;
    None is torch's own.
    """
    if strength == 0:
        return images, widths
    images, widths = distort(images, widths, stretch, strength, generator)
    images = vary_stroke_width(images, strength, generator)
    return vary_ink(images, strength, generator), widths


def uniform(images: Tensor, low: float, high: float, generator: Generator) -> Tensor:
    """Draw one number for each line, (N, 1, 1, 1)."""
    return torch.empty(len(images), 1, 1, 1, device=images.device).uniform_(low, high, generator=generator)


def distort(
    images: Tensor, widths: Tensor, stretch: Tensor, strength: float, generator: Generator
) -> tuple[Tensor, Tensor]:
    """Stretch, slant, scale, tilt, shift and bend each line. All lengths below are in units of its height."""
    n, _, height, width = images.shape
    out_widths = (widths * stretch).ceil().long()
    out_width = padded_width(int(out_widths.max()))
    widths, stretch = widths.to(images.device), stretch.to(images.device)
    y = torch.linspace(-0.5, 0.5, height, device=images.device).view(1, height, 1)
    x = torch.linspace(0, out_width / height, out_width, device=images.device) / stretch.view(n, 1, 1)
    slant, tilt, scale, shift = (
        uniform(images, -s * strength, s * strength, generator).view(n, 1, 1) for s in (0.4, 0.015, 0.15, 0.06)
    )
    middle = (widths / height / 2).view(n, 1, 1)
    bend_x, bend_y = elastic(n, height, out_width, 0.035 * strength, images.device, generator)
    from_x = x + slant * y + bend_x
    from_y = y * (1 + scale) + tilt * (x - middle) + shift + bend_y
    grid = torch.stack([from_x * (2 * height / width) - 1, from_y * 2], dim=3)
    return functional.grid_sample(images, grid, align_corners=False), out_widths  # (N, 1, H, out_width), (N,)


def elastic(
    n: int, height: int, width: int, size: float, device: torch.device, generator: Generator
) -> tuple[Tensor, Tensor]:
    """Draw two smooth fields (N, height, width) of standard deviation `size`, with bumps about half a line high."""
    coarse = torch.randn(n, 2, 4, max(4, 2 * width // height), device=device, generator=generator) * size
    fine = interpolation_matrix(4, height, device).T @ coarse @ interpolation_matrix(coarse.shape[3], width, device)
    return fine[:, 0], fine[:, 1]


def interpolation_matrix(points: int, size: int, device: torch.device) -> Tensor:
    """Return (points, size): the weight of each of evenly spread points at each of `size` places, bicubic."""
    one_hot = torch.eye(points, device=device)[None, None]
    return functional.interpolate(one_hot, size=(points, size), mode="bicubic", align_corners=True)[0, 0]


def vary_stroke_width(images: Tensor, strength: float, generator: Generator) -> Tensor:
    """Mix each line with a bolder or a thinner copy of itself."""
    bold, thin = dilate(images), 1 - dilate(1 - images)
    amount = uniform(images, -0.6 * strength, 0.8 * strength, generator)
    return images + amount.clamp(min=0) * (bold - images) - (-amount).clamp(min=0) * (images - thin)


def dilate(images: Tensor) -> Tensor:
    """Return the maximum of each pixel and its eight neighbours: `max_pool2d` takes ten times as long on a CPU."""
    rows = functional.pad(images, (0, 0, 1, 1))
    rows = torch.maximum(torch.maximum(rows[:, :, :-2], rows[:, :, 2:]), images)
    columns = functional.pad(rows, (1, 1))
    return torch.maximum(torch.maximum(columns[..., :-2], columns[..., 2:]), rows)


def vary_ink(images: Tensor, strength: float, generator: Generator) -> Tensor:
    """Make the ink paler or fuller, and give the paper grain."""
    gamma = uniform(images, -0.7 * strength, 0.7 * strength, generator).exp()
    ink = uniform(images, 1 - 0.3 * strength, 1.0, generator)
    grain = torch.empty_like(images).normal_(generator=generator) * uniform(images, 0.0, 0.06 * strength, generator)
    return (ink * images.clamp(1e-4, 1) ** gamma + grain).clamp(0, 1)
