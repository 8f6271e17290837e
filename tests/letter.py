"""Make `project/figures/letter.jpg`: a letter in a handwriting font, photographed on a table.

`python -m tests.letter` writes the same picture each time, and its text beside it.
"""

from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

from project.data.synthetic import bend, press, write_text
from project.tracking.registry import PACKAGE

FONT = "fontpkg-dancing-script"  # none of the base model's training lines is in it
LETTER = PACKAGE / "figures" / "letter.jpg"
PAPER, PHOTO = (1240, 1640), (1440, 1880)  # width, height, px
HEIGHT, PITCH = 58, 84  # of the letters and from line to line, px
LEFT, TOP, FAR_RIGHT = 130, 150, 610  # where lines start, px
FAR = "\t"  # a line that starts far to the right
SEED = 3
LINES = (
    "\tHarbour Street, May 4th",
    "",
    "Dear Elsie,",
    "thank you for the photographs. The whole",
    "house looked at them over breakfast, and",
    "then again over tea. Your brother says the",
    "boat is ours, but I know better: ours had",
    "a blue mast and leaked at both ends.",
    "We shall come on Friday by the late train.",
    "Please do not wait with supper. A little",
    "bread and cheese will do, and perhaps some",
    "of your plum cake, if there is any left.",
    "Bring the old letters down from the attic.",
    "I want to read them all before they fade.",
    "",
    "\tWith love, as always,",
    "\tYour Margaret",
)
INK, SHEET, TABLE = (38, 48, 92), (246, 240, 226), (92, 74, 60)  # red, green, blue


def written_page(seed: int) -> np.ndarray:
    """Return the ink of the page, float32 (H, W), 0 paper to 1 ink. One pen, of `seed`, wrote all lines."""
    page = np.zeros(PAPER[::-1], dtype=np.float32)
    for number, line in enumerate(LINES):
        if text := line.strip():
            drawing = write_text(text, FONT, HEIGHT, np.random.default_rng(seed))
            bent = bend(drawing, HEIGHT, np.random.default_rng(seed))
            ink = press(bent, np.random.default_rng(seed))  # (h, w), the baseline at the middle
            rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
            top = TOP + number * PITCH - (len(ink) // 2 - rows[0])
            left = (FAR_RIGHT if line.startswith(FAR) else LEFT) + (7 * number) % 11
            ink = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1][:, : PAPER[0] - left]
            place = page[top : top + ink.shape[0], left : left + ink.shape[1]]
            np.maximum(place, ink, out=place)
    return page


def photograph(ink: np.ndarray, rng: np.random.Generator) -> Image.Image:
    """Lay ink (H, W) on a sheet on a table, seen a little from the side, in the light of a window at the left."""
    colours = np.array(SHEET) + ink[..., None] * (np.array(INK, dtype=np.float32) - SHEET)
    sheet = Image.fromarray(colours.astype(np.uint8))
    corners = ((95, 120), (60, 1790), (1375, 1765), (1330, 95))  # of the sheet in the photo: from the top left, down
    matrix, wanted = [], []
    for (x, y), (u, v) in zip(corners, ((0, 0), (0, PAPER[1]), PAPER, (PAPER[0], 0)), strict=True):
        matrix += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        wanted += [u, v]
    perspective = np.linalg.solve(np.array(matrix, dtype=float), np.array(wanted, dtype=float)).tolist()

    def seen(picture: Image.Image) -> Image.Image:
        return picture.transform(PHOTO, Image.Transform.PERSPECTIVE, perspective, Image.Resampling.BICUBIC)

    mask = seen(Image.new("L", PAPER, 255))
    shadow = np.asarray(mask.filter(ImageFilter.GaussianBlur(24)), dtype=np.float32) / 255
    grain = np.cumsum(rng.normal(0, 1, PHOTO[1])) % 9 - 4  # of the wood
    table = (np.array(TABLE) + grain[:, None, None]) * (1 - 0.45 * shadow[..., None])
    photo = Image.composite(seen(sheet), Image.fromarray(table.clip(0, 255).astype(np.uint8)), mask)
    x, y = np.linspace(0, 1, PHOTO[0]), np.linspace(0, 1, PHOTO[1])[:, None]
    light = 1.02 - 0.16 * x - 0.1 * y * x  # (H, W)
    lit = np.asarray(photo) * light[..., None] + rng.normal(0, 2, (*PHOTO[::-1], 1))
    return Image.fromarray(lit.clip(0, 255).astype(np.uint8))


def main(path: Path = LETTER) -> None:
    photograph(written_page(SEED), np.random.default_rng(SEED)).save(path, "JPEG", quality=72, optimize=True)
    text = "\n".join(line.strip() for line in LINES if line.strip())
    path.with_suffix(".txt").write_text(text + "\n", "utf-8")


if __name__ == "__main__":
    main()
