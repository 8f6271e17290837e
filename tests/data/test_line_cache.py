import hashlib
import io
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image, ImageDraw

from project.data import line_cache
from project.data.line_cache import line_images
from project.data.rows import Row
from project.recognition.image import read_image
from project.recognition.line_image import normalize_line
from tests.conftest import ROOT


def picture(number):
    image = Image.new("L", (60 + number % 50, 30), 235)
    ImageDraw.Draw(image).line([(5, 5), (20 + number % 30, 24), (50, 6)], fill=30, width=3)
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


PICTURES = [picture(number) for number in range(600)]
PICTURES[7] = b"no picture"
NAMES = [hashlib.sha256(one).hexdigest() for one in PICTURES]
ROWS = [Row(one, "") for one in PICTURES]


def test_what_is_stored_is_the_line_image_of_each_picture_or_why_there_is_none(tmp_path):
    stored = line_images(ROWS, NAMES, 24, tmp_path)
    assert len(stored.widths) == 600
    for row in (5, 599, 0, 8, 6):  # in any order
        expected = normalize_line(read_image(PICTURES[row]), 24)
        assert np.array_equal(stored[row], expected)
        assert stored.width(row) == stored.widths[row] == expected.shape[2]
    assert stored.widths[7] == 0
    for ask in (stored.width, stored.__getitem__):
        with pytest.raises(ValueError, match="the picture: not a picture that can be read"):
            ask(7)


def test_the_store_does_not_depend_on_the_number_of_worker_processes(tmp_path):
    for jobs in (1, 2):
        line_images(ROWS, NAMES, 24, tmp_path / str(jobs), jobs)
    alone, together = (
        {
            file.relative_to(tmp_path / jobs): file.read_bytes()
            for file in (tmp_path / jobs).rglob("*")
            if file.is_file()
        }
        for jobs in "12"
    )
    assert alone == together
    assert len(alone) == 5  # images, index, about, their sizes, and the lock


def test_pictures_are_decoded_once_and_anew_when_one_or_the_height_changes(tmp_path, monkeypatch):
    decoded = []
    decode = line_cache.decode
    monkeypatch.setattr(
        line_cache, "decode", lambda pictures, height: decoded.append(height) or decode(pictures, height)
    )
    for _ in range(2):
        line_images(ROWS[:20], NAMES[:20], 24, tmp_path)
    assert decoded == [24]
    line_images(ROWS[:20], NAMES[:20], 32, tmp_path)
    line_images([*ROWS[:19], ROWS[30]], [*NAMES[:19], NAMES[30]], 24, tmp_path)
    assert decoded == [24, 32, 24]


def test_a_data_set_that_changes_while_it_is_read_is_told_and_nothing_is_kept(tmp_path):
    for pictures in (
        [ROWS[0], ROWS[30], ROWS[1]],  # one more than there were
        [ROWS[0]],
        [ROWS[1], ROWS[0]],
        [ROWS[0], Row(None, "", error="cannot be fetched: 503")],
    ):
        with pytest.raises(ValueError, match=r"is not what it was.*(503|once$)"):
            line_images(pictures, NAMES[:2], 24, tmp_path)
    assert np.array_equal(
        line_images(ROWS[:2], NAMES[:2], 24, tmp_path)[1], normalize_line(read_image(PICTURES[1]), 24)
    )


def test_what_was_interrupted_leaves_nothing_that_counts(tmp_path):
    def pictures():
        yield ROWS[0]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        line_images(pictures(), NAMES[:2], 24, tmp_path)
    assert not [path for path in tmp_path.iterdir() if path.suffix != ".lock"]
    assert line_images(ROWS[:2], NAMES[:2], 24, tmp_path)[1].shape[:2] == (1, 24)


READ = """
import resource, sys
from pathlib import Path
from project.data.sources import stream_rows, scan
from project.data.line_cache import line_images
from project.data.rows import Row

before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
rows = scan(sys.argv[1])
stored = line_images(stream_rows(sys.argv[1]), rows["fingerprint"], 36, Path(sys.argv[2]), jobs=1)
assert min(stored[row].sum() for row in rows.index) > 0
print(len(rows), (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


def test_a_data_set_of_300_mb_is_read_decoded_and_kept_in_much_less_memory(tmp_path):
    padding = np.random.default_rng(0).bytes(40_000)  # behind the end of a PNG, where nothing looks
    schema = pa.schema([("image", pa.binary()), ("text", pa.string())])
    with pq.ParquetWriter(tmp_path / "lines.parquet", schema, compression="none") as writer:
        for start in range(0, 8000, 100):
            images = [picture(number) + b"%d" % number + padding for number in range(start, start + 100)]
            writer.write_table(pa.table([images, ["a line"] * 100], schema))
    arguments = [sys.executable, "-c", READ, tmp_path / "lines.parquet", tmp_path / "cache"]
    printed = subprocess.run(arguments, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    lines, grown_mb = map(int, printed.split())
    assert lines == 8000
    assert grown_mb < 150
