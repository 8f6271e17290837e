"""What a page adds to its lines, on a batch: neighbours, bleed-through, ruling, blots and strokes, faint pencil.

Each befalls a share of the lines, by chance. Shadows and loose crops are not among them: the line image is free of them
before the network sees it; `data.page_conditions` draws these where lines are made.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

Generator = torch.Generator | None


def add_page_conditions(images: Tensor, widths: Tensor, strength: float, generator: Generator = None) -> Tensor:
    """(N, 1, H, W) in [0, 1], true widths (N,) -> images as if cut from pages. At strength 1 half of the lines change.

    strength: times the shares of `CONDITIONS`; 0 leaves the batch as it is.
    """
    if strength == 0:
        return images
    others, images = torch.roll(images, 1, 0), images.clone()  # the neighbours of a line: those beside it in the batch
    for condition, share in CONDITIONS:
        drawn = torch.rand(len(images), generator=generator, device=images.device) < share * strength  # (N,)
        if images.device.type != "cpu":  # cheaper there than to ask how many they are
            images = torch.where(drawn.view(-1, 1, 1, 1), condition(images, others, widths, generator), images)
        elif drawn.any():
            images[drawn] = condition(images[drawn], others[drawn], widths[drawn], generator)
    return images


def uniform(images: Tensor, low: float, high: float, generator: Generator) -> Tensor:
    """Draw one number a line, (N, 1, 1, 1)."""
    return torch.empty(len(images), 1, 1, 1, device=images.device).uniform_(low, high, generator=generator)


def places(images: Tensor) -> tuple[Tensor, Tensor]:
    """Return the rows (1, 1, H, 1) and the columns (1, 1, 1, W) of the images."""
    rows = torch.arange(images.shape[2], device=images.device).view(1, 1, -1, 1)
    return rows, torch.arange(images.shape[3], device=images.device).view(1, 1, 1, -1)


def neighbour(images: Tensor, others: Tensor, generator: Generator, side: int) -> Tensor:
    """Let the line above (side 1) or below (-1) reach into the picture: 0 to 0.38 of the height."""
    rows, _ = places(images)
    height = images.shape[2]
    source = rows + side * (uniform(images, 0.62, 1.0, generator) * height).long()  # (N, 1, H, 1)
    moved = others.gather(2, source.clamp(0, height - 1).expand(-1, 1, height, images.shape[3]))
    return torch.maximum(images, moved * ((source >= 0) & (source < height)))


def line_above(images: Tensor, others: Tensor, widths: Tensor, generator: Generator) -> Tensor:
    """Add the feet of the line above."""
    return neighbour(images, others, generator, 1)


def line_below(images: Tensor, others: Tensor, widths: Tensor, generator: Generator) -> Tensor:
    """Add the heads of the line below."""
    return neighbour(images, others, generator, -1)


def bleed_through(images: Tensor, others: Tensor, widths: Tensor, generator: Generator) -> Tensor:
    """Add the writing on the back of the sheet: mirrored, blurred, 10 to 40 % as dark."""
    back = functional.avg_pool2d(others.flip(3), 3, 1, 1)
    return torch.maximum(images, back * uniform(images, 0.1, 0.4, generator))


def ruling(images: Tensor, others: Tensor, widths: Tensor, generator: Generator) -> Tensor:
    """Add ruled paper, 0.3 to 1.2 of the height from rule to rule; two lines of five are on squared paper."""
    pitch = uniform(images, 0.3, 1.2, generator) * images.shape[2]  # px
    phase, thick = uniform(images, 0, 1, generator), uniform(images, 0.7, 1.5, generator)
    squared = uniform(images, 0, 1, generator) < 0.4
    down, across = ((place / pitch + phase) % 1 * pitch for place in places(images))  # px from the rule before
    ruled = ((down < thick) | ((across < 1) & squared)).float()
    return torch.maximum(images, ruled * uniform(images, 0.1, 0.5, generator))


def blot(images: Tensor, others: Tensor, widths: Tensor, generator: Generator) -> Tensor:
    """Add a drop of ink, or a short stroke."""
    height = images.shape[2]
    x = uniform(images, 0, 1, generator) * widths.view(-1, 1, 1, 1)
    y = uniform(images, 0, 1, generator) * height
    across, down = uniform(images, 0.03, 0.3, generator) * height, uniform(images, 0.02, 0.1, generator) * height
    rows, columns = places(images)
    drop = (1.5 - ((columns - x) / across) ** 2 - ((rows - y) / down) ** 2).clamp(0, 1)
    return torch.maximum(images, drop * uniform(images, 0.5, 1, generator))


def pencil(images: Tensor, others: Tensor, widths: Tensor, generator: Generator) -> Tensor:
    """Make the ink paler, and broken by the grain of the paper."""
    grain = torch.empty_like(images).uniform_(0.5, 1.5, generator=generator).clamp(max=1)
    return images * uniform(images, 0.35, 0.8, generator) * grain


Condition = Callable[[Tensor, Tensor, Tensor, Generator], Tensor]
CONDITIONS: tuple[tuple[Condition, float], ...] = (  # and the share of the lines that each befalls
    (line_above, 0.22),
    (line_below, 0.22),
    (bleed_through, 0.08),
    (ruling, 0.08),
    (blot, 0.06),
    (pencil, 0.12),
)
