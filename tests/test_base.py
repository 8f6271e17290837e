"""The base model that comes with the project, on whatever picture comes, and on real hands where they are at hand."""

import io
import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from project import pretrain
from project.data.rows import of_split
from project.evaluation.metrics import cer
from project.evaluation.scoring import error_rates, evaluate_rows
from project.handover import transcription_of
from project.recognition.image import read_image
from project.recognition.recognizer import Recognizer
from project.tracking.registry import BASE, TEST_INPUTS
from tests.conftest import ROOT
from tests.data.test_dataset import REAL_DATA
from tests.rows import read_rows

LINE = TEST_INPUTS / "indie-flower-7.png"


@pytest.fixture(scope="module")
def base():
    return Recognizer.load(BASE)


def read(recognizer, *sources):
    return recognizer.read([recognizer.line_image(read_image(source)) for source in sources])


def saved(picture, kind="PNG", **options):
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def sideways(picture):
    exif = Image.Exif()
    exif[0x0112] = 6  # "rotate by 90 degrees clockwise to see it upright"
    return saved(picture.transpose(Image.Transpose.ROTATE_90), "TIFF", exif=exif)


FORMS = {
    "inverted": lambda picture: saved(Image.eval(picture, lambda grey: 255 - grey)),
    "colour": lambda picture: saved(picture.convert("RGB")),
    "alpha": lambda picture: saved(picture.convert("RGBA")),
    "16 bits": lambda picture: saved(Image.fromarray(np.asarray(picture).astype(np.uint16) * 257)),
    "CMYK": lambda picture: saved(picture.convert("CMYK"), "TIFF"),
    "taken sideways": sideways,
    "WebP": lambda picture: saved(picture, "WEBP", lossless=True),
}


def test_it_is_small_enough_to_travel_with_the_code():
    assert sum(file.stat().st_size for file in BASE.iterdir()) < 8e6


def test_it_knows_printable_ascii_and_the_letters_of_french(base):
    assert not base.charset.unknown("".join(map(chr, range(32, 127))) + "àâæçéèêëîïôœùûüÿÀÂÆÇÉÈÊËÎÏÔŒÙÛÜŸ")


def test_it_reads_lines_of_hands_that_it_never_saw(base):
    pictures = sorted(TEST_INPUTS.glob("*.png"))
    assert cer([transcription_of(path) for path in pictures], read(base, *pictures)) < 0.35


@pytest.mark.parametrize("form", FORMS)
def test_the_same_line_reads_the_same_in_any_form(base, form):
    with Image.open(LINE) as picture:
        text, other = read(base, LINE, FORMS[form](picture.convert("L")))
    assert text
    assert cer([text], [other]) < 0.15


@pytest.mark.parametrize("grey", [0, 128, 255])
def test_a_picture_of_one_colour_says_nothing(base, grey):
    assert read(base, saved(Image.new("L", (400, 60), grey))) == [""]


@pytest.mark.parametrize("size", [(10, 64), (20_000, 64), (2000, 3000), (64, 2000)])
def test_a_picture_of_any_size_gives_a_text_or_an_error_in_words(base, size):
    noise = np.random.default_rng(0).integers(0, 256, size[::-1], dtype=np.uint8)
    try:
        (text,) = read(base, saved(Image.fromarray(noise)))
    except ValueError as error:
        assert "times as wide as high" in str(error)  # noqa: PT017
    else:
        assert isinstance(text, str)


@pytest.mark.parametrize("name", ["unipen", "copiste"])
def test_it_reads_real_hands(base, name):
    if not REAL_DATA.is_dir():
        pytest.skip(f"no real handwriting at {REAL_DATA}")
    rows = read_rows(REAL_DATA / name)
    lines, _ = evaluate_rows(base, of_split(rows, "validation").head(100))
    assert error_rates(lines)["cer"] < 0.3


def test_the_card_tells_the_kinds_of_hands_and_how_far_the_hands_of_a_kind_are_apart():
    writers = ["wills:1"] * pretrain.COLLECTION_LINES + ["letters:2", "ann"]
    rows = pd.DataFrame({"data": ["sets/old/"] * (len(writers) - 1) + ["new.csv"], "writer": writers})
    assert list(pretrain.kinds_of(rows)[-3:]) == ["old: wills", "old", "new.csv"]
    texts = ["abcde"] * 30
    predictions = ["abcde"] * 10 + ["abcd_"] * 10 + ["_____"] * 10  # 0, 20 and 100 % CER
    writers = ["ada"] * 10 + ["bob"] * 10 + ["cyd"] * 10
    lines = pd.DataFrame({"kind": "letters", "writer": writers, "text": texts, "prediction": predictions})
    (hands,) = pretrain.spread_of_hands(lines).to_dict("records")
    assert hands == {"kind of hand": "letters", "hands": 3, "best": 0, "middle": 0.2, "worst": 1}
    assert pretrain.spread_of_hands(lines.head(9)).empty


def test_lines_are_repeated_by_the_name_of_their_data_set():
    assert pretrain.parse_repeats("archives=2,letters=3") == {"archives": 2, "letters": 3}
    assert pretrain.parse_repeats("") == {}
    for wrong in ("archives", "archives=0", "=2", "archives=two"):
        with pytest.raises(ValueError, match="repeat: "):
            pretrain.parse_repeats(wrong)


def test_pretrain_makes_such_a_folder_from_what_the_base_model_knows(table, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/README.md").write_text("# Mine\n\n## What it reads\n\nold figures\n")
    command = [
        sys.executable,
        "-m",
        "project.pretrain",
        f"--data={table}",
        "--synthetic-lines=10",
        "--epochs=1000",
        "--minutes=0.05",
    ]
    command += ["--start-from=base", "--seed=1", "--output=out"]
    environment = os.environ | {"MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/mlflow.db", "PYTHONPATH": str(ROOT)}
    ran = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    card = (tmp_path / "out/README.md").read_text()
    assert card.startswith("# Mine")
    assert "old figures" not in card
    assert card.count("| words.csv  | best_path") == card.count("| all        | best_path") == 1
    made = Recognizer.load(tmp_path / "out")
    assert set("aZ9é€") <= set(made.charset.characters)
    assert not list((tmp_path / "checkpoints").glob("*.pt"))
    text = transcription_of(LINE)
    assert cer([text], read(made, LINE)) < 0.5  # the base model's knowledge, which three seconds do not undo
