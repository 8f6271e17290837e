"""Line images of any width -> batches: which lines go together, and the padded array of a batch."""

import math
from collections.abc import Sequence

import numpy as np

from project.recognition.architecture import BLOCKS

FRAME_WIDTH = math.prod(block.stride * block.pool[1] for block in BLOCKS)  # px of line image to a frame of log-probs
# px, an eighth of an octave apart: torch prepares and caches its kernels for each shape of a batch
PADDED_WIDTHS = np.unique(8 * np.round(4 * 2 ** (np.arange(96) / 8))).astype(int)


def frames_of(width):
    """Return the number of frames T of a line image of `width` px; the last frame may be a part of one.

    width: an integer, or an array or a tensor of them.
    """
    return -(-width // FRAME_WIDTH)


def width_batches(
    widths: Sequence[float] | np.ndarray, batch_width: int, rng: np.random.Generator | None = None
) -> list[np.ndarray]:
    """Cut lines, narrow ones first, into batches whose padded width (N x Wmax) is at most `batch_width` px.

    Returns the indices of each batch. With `rng`, lines of one padded width are shuffled, so that they meet other
    lines in each epoch. A line wider than `batch_width` is a batch of its own.
    """
    padded = padded_width(np.asarray(widths))
    ties = np.arange(len(padded)) if rng is None else rng.permutation(len(padded))
    batches: list[list[int]] = []
    widest = 0
    for index in np.lexsort((ties, padded)):
        widest = max(widest, padded[index])
        if not batches or widest * (len(batches[-1]) + 1) > batch_width:
            batches.append([])
            widest = padded[index]
        batches[-1].append(index)
    return [np.array(indices) for indices in batches]


def padded_width(width):
    """Return the width (px, a number or an array of them) to which a line of `width` px is padded in its own batch."""
    return PADDED_WIDTHS[np.searchsorted(PADDED_WIDTHS, width)]


def batch(line_images: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Pad line images, each uint8 (1, H, W), with paper at the right to one width.

    Returns float32 (N, 1, H, Wmax), paper 0 to ink 1, and the true widths int64 (N,).
    """
    widths = np.array([image.shape[2] for image in line_images])
    padded = np.zeros((len(line_images), 1, line_images[0].shape[1], padded_width(widths.max())), dtype=np.float32)
    for row, image in zip(padded, line_images, strict=True):
        row[:, :, : image.shape[2]] = image
    return padded / 255, widths
