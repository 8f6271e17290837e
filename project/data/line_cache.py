"""Line images of a data set, decoded once and kept in a file: memory does not grow with the data."""

import hashlib
import itertools
import json
import os
import zlib
from array import array
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import joblib
import numpy as np
import safetensors.numpy
from tqdm import tqdm

from project.atomic import cache_home, cached_folder
from project.data.rows import Row, batched, read_row
from project.data.splits import fingerprint
from project.errors import InputError
from project.recognition import line_image

CHUNK_PICTURES = 25  # that a worker process is sent together
CODE = (Path(__file__), *sorted(Path(line_image.__file__).parent.glob("*.py")))  # by which line images are made


class LineImages:
    """The line images of a data set's rows, uint8 (1, height, W) each, read from their file when they are asked for.

    `widths` (rows,) are theirs in px, 0 where a row has none. Read, not mapped into memory: pages of a mapped file
    count as the process's own until something else wants the room.
    """

    def __init__(self, folder: Path):
        about = json.loads((folder / "about.json").read_text("utf-8"))
        self.height, self._reasons = about["height"], about["reasons"]
        index = safetensors.numpy.load_file(folder / "index.safetensors")
        self.widths, self._starts = index["widths"], index["starts"]  # (rows,), (rows + 1,)
        self._file = (folder / "images").open("rb", buffering=0)

    def __getitem__(self, row: int) -> np.ndarray:
        """Return the line image of a row, uint8 (1, height, W). Raise InputError that says why it has none."""
        width = self.width(row)
        start, stop = self._starts[row : row + 2].tolist()
        pixels = zlib.decompress(os.pread(self._file.fileno(), stop - start, start))  # several threads may read at once
        return np.frombuffer(pixels, np.uint8).reshape(1, self.height, width)

    def width(self, row: int) -> int:
        """Return the width of a row's line image, px. Raise InputError that says why it has none."""
        if reason := self._reasons.get(str(row)):
            raise InputError(reason)
        return int(self.widths[row])


def line_images(
    rows: Iterable[Row], fingerprints: Sequence[str], height: int, folder: str | Path | None = None, jobs: int = -1
) -> LineImages:
    """Return the line images of the pictures of `rows`; at once if they were made before.

    fingerprints: the `splits.fingerprint` of each picture. Raise InputError, and keep nothing, if a picture is no
    longer the one that it was of.
    folder: where line images are kept, a subfolder for each data set and height; None is the user's cache folder.
    jobs: worker processes, -1 for one a core; the line images do not depend on it.
    """
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in CODE))
    for known in fingerprints:
        digest.update(f"{known}\n".encode())
    made = Path(folder or cache_home()) / f"lines-{height}-{digest.hexdigest()[:16]}"

    def make(beside: Path) -> None:
        write(decode_all(rows, fingerprints, height, jobs), len(fingerprints), height, beside)

    return LineImages(cached_folder(made, make))


def write(decoded: Iterable[tuple[bytes, int] | str], count: int, height: int, folder: Path) -> None:
    """Write `count` line images, or the reasons why there is none, as `LineImages` reads them."""
    starts, widths, reasons = array("q", [0]), array("i"), {}
    with (folder / "images").open("wb") as file:
        bar = tqdm(decoded, total=count, desc="decoding pictures", unit=" lines", leave=False, mininterval=1)
        for row, line in enumerate(bar):
            if isinstance(line, str):
                reasons[row], line = line, (b"", 0)
            file.write(line[0])
            starts.append(file.tell())
            widths.append(line[1])
    index = {"starts": np.array(starts), "widths": np.array(widths)}
    safetensors.numpy.save_file(index, folder / "index.safetensors")
    (folder / "about.json").write_text(json.dumps({"height": height, "reasons": reasons}), "utf-8")


def decode_all(
    rows: Iterable[Row], fingerprints: Sequence[str], height: int, jobs: int
) -> Iterator[tuple[bytes, int] | str]:
    """Yield what `decode` returns, from worker processes, in order.

    As few pictures are in memory as keep the workers busy.
    """
    cores = joblib.cpu_count() if jobs == -1 else jobs
    jobs = max(1, min(cores, len(fingerprints) // 250))  # to start a process takes as long as some hundred pictures
    pairs = itertools.zip_longest(rows, fingerprints)
    tasks = (joblib.delayed(decode)(chunk, height) for chunk in batched(pairs, CHUNK_PICTURES))
    return itertools.chain.from_iterable(joblib.Parallel(n_jobs=jobs, return_as="generator")(tasks))


def decode(pairs: Iterable[tuple[Row | None, str | None]], height: int) -> list[tuple[bytes, int] | str]:
    """Return the line image of each picture, compressed, and its width; or the reason why there is none.

    Each comes with its fingerprint. Raise InputError if it is of another picture, or there is one without the other.
    """
    lines: list[tuple[bytes, int] | str] = []
    for row, known in pairs:
        if row is None or fingerprint(row.image) != known:
            why = f": {row.error}" if row and row.error else ""
            raise InputError(
                "a picture is not what it was when the data set was first read: it changed, or could not be fetched "
                f"one of the two times; give the same command again, or `convert` the data set once{why}"
            )
        try:
            line = line_image.normalize_line(read_row(row), height)
            lines.append((zlib.compress(line.tobytes(), 1), line.shape[2]))
        except InputError as error:
            lines.append(str(error))
    return lines
