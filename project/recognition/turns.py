"""Pictures of lines, whichever way up they were taken -> readings, and the turn that each was read in."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from project.recognition.decoding import best_path
from project.recognition.ink import DARK
from project.recognition.line_image import Placement, normalize_with_placement
from project.recognition.recognizer import Reading, Recognizer

TALL = 1.5  # height / width of a picture from which its line may run up or down
MIN_LETTERS = 3  # and digits, that a line must have for its turn to be told: dots and dashes have none
LANGUAGE_WEIGHT = 0.3  # of log P of a character in the n-gram, beside that of a character on the best path
SKEW_WEIGHT = 0.15  # of the skewness of the ink over the rows: ascenders reach farther than descenders
MARGIN = 0.1  # by which the certainty of another turn must be greater
SURE = -1.2  # certainty from which a line is upright without a second look: few lines upside down have it
SURE_ALONE = -0.2  # the same, without an n-gram


class View(NamedTuple):
    """A picture in one of its turns, as a line image."""

    line_image: np.ndarray  # uint8 (1, height, W')
    placement: Placement  # in the turned picture
    turn: int  # degrees by which the picture is turned clockwise: 0, 90, 180, 270
    shape: tuple[int, int]  # (H, W) of the turned picture

    def on_picture(self, x: float, y: float) -> tuple[float, float]:
        """Return where a point of the turned picture lies in the picture as it is."""
        height, width = self.shape
        return {0: (x, y), 90: (y, width - x), 180: (width - x, height - y), 270: (height - y, x)}[self.turn]


def views(pixels: np.ndarray, height: int) -> list[View]:
    """Return a picture as it is and, if it is tall, turned to either side. pixels: uint8 (H, W), 0 black to 255 white.

    Raise InputError as `normalize_with_placement` does.
    """
    tall = pixels.shape[0] > TALL * pixels.shape[1]
    turned = [(turn, np.ascontiguousarray(np.rot90(pixels, -turn // 90))) for turn in ((0, 90, 270) if tall else (0,))]
    return [View(*normalize_with_placement(each, height), turn, each.shape) for turn, each in turned]


def turned_over(view: View) -> View:
    """Return the view turned by another 180 degrees."""
    left, scale = view.placement
    place = Placement(view.shape[1] - left - scale * view.line_image.shape[2], scale)
    return View(np.ascontiguousarray(view.line_image[:, ::-1, ::-1]), place, (view.turn + 180) % 360, view.shape)


def transcribe_views(
    recognizer: Recognizer, lines: Sequence[Sequence[View]], decoder: str = "best_path", **params
) -> list[tuple[Reading, View]]:
    """Read each line in the view that is read with the greatest certainty; lines: the `views` of each.

    A single view is turned over only where it may be upside down, so that one look is usually enough.
    decoder, params: as in `Recognizer.transcribe`.
    """

    def look(chosen: list[View]) -> list[Look]:
        log_probs = recognizer.log_probs([view.line_image for view in chosen])
        return [Look(view, own, *certainty(recognizer, view, own)) for view, own in zip(chosen, log_probs, strict=True)]

    looks = iter(look([view for line in lines for view in line]))
    options = [[next(looks) for _ in line] for line in lines]
    sure = SURE if recognizer.language else SURE_ALONE
    doubtful = [option for option in options if len(option) == 1 and option[0].certainty < sure]
    for option, over in zip(doubtful, look([turned_over(option[0].view) for option in doubtful]), strict=True):
        option.append(over)
    chosen = [best_look(option) for option in options]
    return [(recognizer.transcribe_line(one.log_probs, decoder, **params), one.view) for one in chosen]


class Look(NamedTuple):
    """What the network says of a view."""

    view: View
    log_probs: np.ndarray  # (T, C)
    certainty: float
    letters: int  # and digits, of the best path


def best_look(looks: Sequence[Look]) -> Look:
    """Return the first look, the picture as it is, unless another is clearly more certain."""
    first, *others = looks
    others = [one for one in others if one.letters >= MIN_LETTERS]
    best = max(others, key=lambda one: one.certainty, default=first)
    return best if best.certainty > first.certainty + MARGIN else first


def certainty(recognizer: Recognizer, view: View, log_probs: np.ndarray) -> tuple[float, int]:
    """Return how certain it is that a view is upright, and the number of letters and digits of its best path.

    It is the log of the path's probability by its number of characters, plus the shares of the n-gram, if there is one,
    and of the ink. log_probs: (T, C), those of the view.
    """
    labels = best_path(log_probs)
    if not labels:
        return -math.inf, 0
    score = float(log_probs.max(axis=1).sum()) / len(labels)
    if recognizer.language:
        score += LANGUAGE_WEIGHT * recognizer.language.log_prob(labels) / (len(labels) + 1)
    letters = sum(character.isalnum() for character in recognizer.charset.decode(labels))
    return score - SKEW_WEIGHT * skewness(view.line_image[0]), letters


def skewness(ink: np.ndarray) -> float:
    """Return the skewness of the distribution of ink, uint8 (H, W), over the rows."""
    mass = (ink > DARK).sum(axis=1)  # (H,)
    total = max(mass.sum(), 1)
    rows = np.arange(len(mass)) - mass @ np.arange(len(mass)) / total
    return float(mass @ rows**3 / total / max(mass @ rows**2 / total, 1) ** 1.5)
