"""..."""

from collections.abc import Sequence

import numpy as np

FRAME_WIDTH = 4  # px of line image to one frame of log-probs: the network's stride along the line
# px, an eighth of an octave apart: torch prepares and keeps its kernels anew for each shape of a batch
PADDED_WIDTHS = np.unique(8 * np.round(4 * 2 ** (np.arange(96) / 8))).astype(int)


def width_batches(
    widths: Sequence[float], batch_width: int, rng: np.random.Generator | None = None
) -> list[np.ndarray]:
    """Cut lines, narrow ones first, into batches whose padded width (N x Wmax) is at most `batch_width` px.

    Returns the indices of each batch. With `rng`, lines of one padded width are in an order by chance, so that they
    meet other lines in each epoch. A line wider than `batch_width` is a batch of its own.
    """
    widths = padded_width(np.asarray(widths))
    ties = np.arange(len(widths)) if rng is None else rng.permutation(len(widths))
    cut: list[list[int]] = []
    widest = 0
    for index in np.lexsort((ties, widths)):
        widest = max(widest, widths[index])
        if not cut or widest * (len(cut[-1]) + 1) > batch_width:
            cut.append([])
            widest = widths[index]
        cut[-1].append(index)
    return [np.array(batch) for batch in cut]


def padded_width(width):
    """The width (px, a number or an array of them) to which a line of `width` px is padded in a batch of its own."""
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
