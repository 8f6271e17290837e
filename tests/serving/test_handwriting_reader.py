"""Pictures in, texts out: the registered model as a user's program meets it."""

import base64
import io
import json
import os
import subprocess
from pathlib import Path

import editdistance
import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow.exceptions import MlflowException
from mlflow.pyfunc import scoring_server
from PIL import Image

from project.tracking import registry
from project.tracking.registry import PACKAGE, TEST_INPUTS
from tests.conftest import MLFLOW, at

LETTER = PACKAGE / "figures" / "letter.jpg"
LINE = sorted(TEST_INPUTS.glob("*.png"))[0]


@pytest.fixture(scope="module")
def reader(models):
    return mlflow.pyfunc.load_model(models["handwriting_reader"])


def encoded(picture=None, kind="PNG", **options):
    with io.BytesIO() as file:
        (picture or Image.open(LINE)).save(file, kind, **options)
        return file.getvalue()


def read(reader, *pictures, **params):
    return reader.predict(pd.DataFrame({"image": pictures}), params=params)


def test_a_line_has_the_same_text_in_every_usual_kind_of_picture(reader):
    kinds = [encoded(), encoded(kind="TIFF"), encoded(kind="WEBP", lossless=True), encoded(kind="BMP")]
    table = read(reader, *kinds, base64.b64encode(encoded()).decode())
    assert len(table["text"][0]) > 5
    assert set(table["text"]) == {table["text"][0]}
    assert table["confidence"].between(0, 1).all()
    assert list(table["error"]) == [""] * 5
    assert len(read(reader, encoded(Image.open(LINE).convert("RGB"), "JPEG", quality=95))["text"][0]) > 5


def test_the_characters_stand_where_they_are_in_the_picture(reader):
    line = Image.open(LINE).convert("L")
    moved = Image.new("L", (line.width + 300, line.height), int(np.median(line)))
    moved.paste(line, (300, 0))
    doubled = line.resize((2 * line.width, 2 * line.height))
    table = read(reader, encoded(line), encoded(moved), encoded(doubled))
    here, there, larger = table["characters"]
    assert "".join(character["text"] for character in here) == table["text"][0]
    edges = [edge for character in here for edge in (character["start"], character["stop"])]
    assert edges == sorted(edges)
    assert edges[0] >= 0
    assert edges[-1] <= line.width
    assert there[0]["start"] - here[0]["start"] == pytest.approx(300, abs=6)
    assert there[-1]["stop"] - here[-1]["stop"] == pytest.approx(300, abs=6)
    assert larger[-1]["stop"] == pytest.approx(2 * here[-1]["stop"], abs=12)


def test_each_answer_stands_beside_its_picture(reader):
    some = pd.DataFrame({"image": [encoded(), b""]}, index=[7, 3])  # rows that were chosen from a table
    assert list(reader.predict(some)["error"] == "") == [True, False]
    assert list(reader.predict(some).index) == [7, 3]


def test_other_readings_are_told_when_asked_for_best_first(reader):
    assert read(reader, encoded())["alternatives"][0] == []
    line = read(reader, encoded(), decoder="beam", alternatives=3).iloc[0]
    texts = [line["text"], *(other["text"] for other in line["alternatives"])]
    confidences = [line["confidence"], *(other["confidence"] for other in line["alternatives"])]
    assert len(set(texts)) == 4
    assert confidences == sorted(confidences, reverse=True)


def test_a_photo_of_a_page_is_read_line_by_line_each_with_its_place(reader):
    page = read(reader, LETTER.read_bytes()).iloc[0]
    expected = LETTER.with_suffix(".txt").read_text("utf-8").splitlines()
    lines = page["lines"]
    assert (page["layout"], page["error"], len(lines)) == ("page", "", len(expected))
    assert page["text"] == "\n".join(line["text"] for line in lines)
    assert editdistance.eval(page["text"], "\n".join(expected)) < 0.1 * len(page["text"])
    tops = [min(y for _, y in line["outline"]) for line in lines]
    assert tops == sorted(tops)
    for line in lines:
        assert " ".join(word["text"] for word in line["words"]) == line["text"]
        assert "".join(character["text"] for character in line["characters"]) == line["text"]
        lefts = [min(x for x, _ in word["outline"]) for word in line["words"]]
        assert lefts == sorted(lefts)
        assert all(0 <= part["confidence"] <= 1 for part in (line, *line["words"], *line["characters"]))
    assert min(line["confidence"] for line in lines) <= page["confidence"] <= max(line["confidence"] for line in lines)


def test_a_line_is_answered_as_before_pages_were_read_whether_it_is_called_a_line_or_not(reader):
    pictures = [path.read_bytes() for path in sorted(TEST_INPUTS.glob("*.png"))]
    found_out, told = read(reader, *pictures, alternatives=1), read(reader, *pictures, alternatives=1, layout="line")
    assert set(found_out["layout"]) == {"line"}
    pd.testing.assert_frame_equal(found_out, told)
    for row in told.itertuples():
        (line,) = row.lines
        assert (line["text"], line["confidence"]) == (row.text, row.confidence)
        assert " ".join(word["text"] for word in line["words"]) == row.text
        for character, placed in zip(row.characters, line["characters"], strict=True):
            assert character["text"] == placed["text"]
            assert placed["outline"][0] == [pytest.approx(character["start"], abs=1), 0]


def test_two_lines_in_a_wide_picture_are_a_page_between_two_lines(reader):
    lines = [Image.open(path).convert("L") for path in sorted(TEST_INPUTS.glob("*.png"))[:2]]
    both = Image.new("L", (max(line.width for line in lines), sum(line.height for line in lines)), 255)
    for line, top in zip(lines, (0, lines[0].height), strict=True):
        both.paste(line, (0, top))
    assert both.width > 3 * both.height
    table = read(reader, encoded(lines[0]), encoded(both), encoded(lines[1]))
    assert list(table["layout"]) == ["line", "page", "line"]
    assert len(table["lines"][1]) == 2
    assert editdistance.eval(table["text"][1], f"{table['text'][0]}\n{table['text'][2]}") < 10


def test_a_picture_is_taken_for_what_it_is_said_to_be(reader):
    line, page = read(reader, encoded(), LETTER.read_bytes(), layout="page").itertuples()
    assert (line.layout, len(line.lines), len(page.lines)) == ("page", 1, 15)
    assert read(reader, LETTER.read_bytes(), layout="line")["layout"][0] == "line"


def test_a_page_of_very_many_lines_is_refused_before_they_are_read(reader, monkeypatch):
    own_code = type(reader.unwrap_python_model()).answers.__globals__  # a version's modules are its own
    monkeypatch.setitem(own_code, "MAX_PAGE_LINES", 14)
    table = read(reader, LETTER.read_bytes(), encoded())
    assert table["error"][0] == "the page has 15 lines; at most 14 are read"
    assert table["text"][1]


def test_a_page_without_writing_has_no_lines_and_no_error(reader):
    empty = read(reader, encoded(Image.new("L", (900, 1200), 240)), layout="page").iloc[0]
    assert (empty["text"], empty["lines"], empty["error"], empty["layout"]) == ("", [], "", "page")


@pytest.mark.parametrize(
    ("picture", "words"),
    [
        (b"just text, and no picture", "not a picture"),
        (encoded()[:200], "cannot be read as a picture"),
        ("not base64!", "the text is not base64"),
        (b"", "not a picture"),
        (None, "got NoneType"),
        (encoded(Image.new("L", (5, 4))), "at least 8 px"),
        (encoded(Image.new("1", (20000, 7000))), "pixels"),
    ],
)
def test_a_picture_that_cannot_be_read_says_why_and_spoils_no_other(reader, picture, words):
    table = read(reader, encoded(), picture, encoded())
    assert words in table["error"][1]
    assert (table["text"][1], table["confidence"][1]) == ("", 0)
    assert list(table["error"][[0, 2]]) == ["", ""]
    assert len(table["text"][0]) > 5


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"decoder": "magic"}, "decoder must be one of"),
        ({"layout": "letter"}, "layout must be one of"),
        ({"beam_width": 0}, "beam_width must be from 1 to 100; got 0"),
        ({"alternatives": 1000}, "alternatives must be from 0 to 100; got 1000"),
    ],
)
def test_a_parameter_out_of_range_is_refused(reader, params, words):
    with pytest.raises(MlflowException, match=words) as refused:
        read(reader, encoded(), **params)
    assert refused.value.get_http_status_code() == 400


def test_the_versions_of_both_models_are_tied_and_an_alias_moves_on_both(base_store):
    with at(base_store):
        identifier = registry.find_version("base")
        reader = registry.find_version("base", "handwriting_reader")
        assert identifier.tags["handwriting_reader"] == str(reader.version)
        assert reader.tags["cnn_text_identifier"] == str(identifier.version)
        assert reader.run_id == identifier.run_id
        registry.set_alias(identifier, "best")
        assert registry.find_version("best", "handwriting_reader").version == reader.version
        registry.set_alias(reader, "second")
        assert registry.find_version("second").version == identifier.version


def test_both_models_have_the_same_weights(models):
    weights = {Path(folder, "artifacts/recognizer/weights.safetensors").read_bytes() for folder in models.values()}
    assert len(weights) == 1


def test_mlflow_s_own_commands_and_server_read_a_picture_without_pickle(models, reader, tmp_path):
    picture = base64.b64encode(encoded()).decode()
    split = {"dataframe_split": {"columns": ["image"], "data": [[picture], ["AAAA"]]}, "params": {"decoder": "beam"}}
    (tmp_path / "body.json").write_text(json.dumps(split))
    predict = [*MLFLOW, "models", "predict", "-m", models["handwriting_reader"], "--env-manager", "local"]
    predict += ["-i", "body.json", "-o", "answer.json"]
    environment = os.environ | {"MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false"}
    ran = subprocess.run(
        [*predict, "-i", "body.json", "-o", "answer.json"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr
    good, bad = json.loads((tmp_path / "answer.json").read_text())["predictions"]
    assert good["text"] == read(reader, encoded(), decoder="beam")["text"][0]
    assert bad["text"] == ""
    assert "not a picture" in bad["error"]

    for body in (split, {"inputs": {"image": [picture]}}, {"inputs": [picture]}):  # as `mlflow models serve` does it
        said = scoring_server.invocations(
            json.dumps(body), "application/json", reader, reader.metadata.get_input_schema()
        )
        decoder = body.get("params", {}).get("decoder", "best_path")
        expected = read(reader, encoded(), decoder=decoder)["text"][0]
        assert json.loads(said.response)["predictions"][0]["text"] == expected
