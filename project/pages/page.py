"""What was found, and read, on a page. Places are whole px (x, y) of the picture as it was given, from its top left."""

from dataclasses import dataclass

Outline = tuple[tuple[int, int], ...]  # a polygon, or a way


@dataclass(frozen=True)
class PlacedCharacter:
    """A character of a line."""

    text: str
    confidence: float  # 0 to 1
    outline: Outline


@dataclass(frozen=True)
class Word:
    """What stands between the spaces of a line."""

    text: str
    confidence: float  # that of its least sure character, 0 to 1
    outline: Outline


@dataclass(frozen=True)
class Line:
    """A line of writing, and once it is read what it says."""

    outline: Outline
    baseline: Outline  # from where the line starts to its end
    region: int  # lines of a block, such as a column or a note in the margin, have the same; from 0
    text: str = ""
    confidence: float = 0.0  # that the text is right, 0 to 1
    words: tuple[Word, ...] = ()
    characters: tuple[PlacedCharacter, ...] = ()
    alternatives: tuple[tuple[str, float], ...] = ()  # other texts, and the confidence of each


@dataclass(frozen=True)
class Page:
    """The lines of a page in reading order; none where nothing is written."""

    size: tuple[int, int]  # width and height of the picture, px
    turn: float  # degrees clockwise by which the picture has to be turned for its lines to be level and upright
    lines: tuple[Line, ...] = ()

    @property
    def text(self) -> str:
        """The lines of text, one below the other."""
        return "\n".join(line.text for line in self.lines)

    @property
    def confidence(self) -> float:
        """The mean confidence of the lines, by the lengths of their texts; 0 where nothing is written."""
        length = sum(len(line.text) for line in self.lines)
        return sum(line.confidence * len(line.text) for line in self.lines) / max(length, 1)

    def regions(self) -> dict[int, list[Line]]:
        """Return the lines of each region, in reading order."""
        found: dict[int, list[Line]] = {}
        for line in self.lines:
            found.setdefault(line.region, []).append(line)
        return found


def box(outline: Outline) -> tuple[int, int, int, int]:
    """Return the left, top, right and bottom of a polygon, px."""
    x, y = zip(*outline, strict=True)
    return min(x), min(y), max(x), max(y)
