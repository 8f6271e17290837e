"""Pictures of lines, whichever way up they were taken -> readings, and the turn that each was read in."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from project.recognition.ink import DARK
from project.recognition.line_image import Placement, normalize_with_placement
from project.recognition.recognizer import Reading, Recognizer

TALL = 1.5  # height / width of a picture from which its line may run up or down
MIN_CHARACTERS = 3  # that a line which runs up or down must have, to tell it from one tall letter
LANGUAGE_WEIGHT = 0.25  # of log P of a character in the n-gram, beside the log of its confidence
MARGIN = 0.15  # by which the certainty of another turn must be greater
# A line is upright without a second look if one of these is true; of lines upside down hardly any is
SURE = 0.87  # mean confidence of its characters
CERTAIN = -1.0  # certainty, where there is an n-gram
UPRIGHT_SKEW = -0.8  # skewness of the ink over the rows: ascenders reach farther than descenders


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

    A single view is turned over only where it may be upside down, so that one reading is usually enough.
    decoder, params: as in `Recognizer.transcribe`.
    """

    def read(chosen: list[View]) -> list[Reading]:
        return recognizer.transcribe([view.line_image for view in chosen], decoder, **params)

    readings = iter(read([view for line in lines for view in line]))
    options = [[(next(readings), view) for view in line] for line in lines]
    doubtful = [option for option in options if len(option) == 1 and may_be_upside_down(recognizer, *option[0])]
    over = [turned_over(option[0][1]) for option in doubtful]
    for option, reading, view in zip(doubtful, read(over), over, strict=True):
        option.append((reading, view))
    return [best_option(recognizer, option) for option in options]


def may_be_upside_down(recognizer: Recognizer, reading: Reading, view: View) -> bool:
    """Return whether a reading is so unsure, and the ink so distributed, that the line may be upside down."""
    sure = recognizer.language is not None and certainty(recognizer, reading) >= CERTAIN
    if sure or mean_confidence(reading) >= SURE or not view.line_image.any():
        return False
    mass = (view.line_image[0] > DARK).sum(axis=1)  # (height,)
    rows = np.arange(len(mass)) - np.average(np.arange(len(mass)), weights=mass + 1e-9)
    return bool(mass @ rows**3 / mass.sum() > UPRIGHT_SKEW * (mass @ rows**2 / mass.sum()) ** 1.5)


def best_option(recognizer: Recognizer, options: list[tuple[Reading, View]]) -> tuple[Reading, View]:
    """Return the first option, the picture as it is, unless another is clearly more certain."""
    first, *others = options
    others = [option for option in others if option[1].turn == 180 or len(option[0].text) >= MIN_CHARACTERS]
    scores = [certainty(recognizer, reading) for reading, _ in others]
    if not scores or max(scores) < certainty(recognizer, first[0]) + MARGIN:
        return first
    return others[int(np.argmax(scores))]


def certainty(recognizer: Recognizer, reading: Reading) -> float:
    """Return log of the mean confidence of the characters, plus the share of the n-gram, if there is one."""
    score = float(np.log(max(mean_confidence(reading), 1e-6)))
    if recognizer.language:
        labels = recognizer.charset.encode(reading.text)
        score += LANGUAGE_WEIGHT * recognizer.language.log_prob(labels) / (len(labels) + 1)
    return score


def mean_confidence(reading: Reading) -> float:
    """Return the mean confidence of the characters, 0 to 1; 0 if there are none."""
    return float(np.mean([character.confidence for character in reading.characters] or [0.0]))
