import os
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from project.archive import processes, transcription
from project.archive.page_files import PageFiles
from project.archive.summary import summarize
from project.recognition.charset import normalize
from project.recognition.image import read_image
from project.recognition.recognizer import Recognizer
from project.tracking.registry import BASE, TEST_INPUTS
from tests.conftest import ROOT


@pytest.fixture(scope="module")
def recognizer():
    return Recognizer.load(BASE)


@pytest.fixture
def pictures(tmp_path):
    """Six line pictures in a folder and one below it, of which one is no picture and one is cut short."""
    folder = tmp_path / "pictures"
    (folder / "box 2").mkdir(parents=True)
    for number, path in enumerate(sorted(TEST_INPUTS.glob("*.png"))[:4]):
        shutil.copy(path, folder / ("box 2" if number % 2 else ".") / f"{number}.png")
    (folder / "note.jpg").write_text("no picture")
    (folder / "cut.PNG").write_bytes((folder / "0.png").read_bytes()[:-400])
    (folder / "catalogue.txt").write_text("not even called a picture")
    (folder / ".hidden.png").write_bytes(b"")
    return folder


@pytest.fixture
def parts(tmp_path):
    folder = transcription.parts_of(str(tmp_path / "read"), str(tmp_path / "pictures"))
    folder.mkdir()
    return folder


def read_all(parts):
    return transcription.table_of(parts).to_table().to_pandas()


def contents(parts):
    return {path.name: path.read_bytes() for path in parts.glob("part-*")}


def test_each_picture_is_a_row_with_what_the_recogniser_reads_or_why_it_cannot(pictures, parts, recognizer):
    transcription.transcribe(str(pictures), parts, recognizer, model_version=7)
    table = read_all(parts).set_index("source")
    assert sorted(table.index) == sorted(str(path) for path in pictures.rglob("[!.]*.*") if path.suffix != ".txt")
    assert set(table["model_version"]) == {7}
    for path, row in table.iterrows():
        if "note" in path or "cut" in path:
            assert "picture" in row["error"]
            assert row[["text", "confidence"]].isna().all()
        else:
            (reading,) = recognizer.transcribe([recognizer.line_image(read_image(path))])
            assert row["text"] == reading.text
            assert row["confidence"] == pytest.approx(reading.confidence, rel=1e-3)
            assert pd.isna(row["error"])


def test_a_name_that_is_not_utf_8_is_told_as_well_as_it_can_be(pictures, parts, recognizer):
    shutil.copy(os.fsencode(pictures / "0.png"), os.fsencode(pictures) + b"/good \xff.png")
    Path(os.fsdecode(os.fsencode(pictures) + b"/bad \xff.png")).write_bytes(b"")
    for _ in range(2):
        transcription.transcribe(str(pictures), parts, recognizer, model_version=1)
    table = read_all(parts).set_index("source")
    assert len(table) == 8
    assert "not a picture" in table["error"][f"{pictures}/bad \ufffd.png"]
    assert table["text"][f"{pictures}/good \ufffd.png"] == table["text"][f"{pictures}/0.png"]


def test_a_second_call_reads_only_what_is_missing(pictures, parts, recognizer):
    transcription.transcribe(str(pictures), parts, recognizer, model_version=1)
    before = contents(parts)
    transcription.transcribe(str(pictures), parts, recognizer, model_version=2)
    assert contents(parts) == before
    shutil.copy(pictures / "0.png", pictures / "a new one.png")
    transcription.transcribe(str(pictures), parts, recognizer, model_version=2)
    assert {name: content for name, content in contents(parts).items() if name in before} == before
    table = read_all(parts)
    assert list(table.loc[table["model_version"] == 2, "source"]) == [str(pictures / "a new one.png")]


def test_a_picture_that_could_not_be_read_is_tried_again(pictures, parts, recognizer):
    transcription.transcribe(str(pictures), parts, recognizer, model_version=1)
    shutil.copy(pictures / "0.png", pictures / "cut.PNG")
    transcription.drop_failed(parts)
    transcription.transcribe(str(pictures), parts, recognizer, model_version=2)
    table = read_all(parts).set_index("source")
    assert len(table) == 6
    assert table["text"][f"{pictures}/cut.PNG"] == table["text"][f"{pictures}/0.png"]
    assert [Path(source).name for source in table.index[table["error"].notna()]] == ["note.jpg"]
    assert set(table.index[table["model_version"] == 2]) == {f"{pictures}/cut.PNG", f"{pictures}/note.jpg"}


def test_a_part_that_was_deleted_is_read_again_and_the_others_stay(pictures, parts, recognizer, monkeypatch):
    monkeypatch.setattr(transcription, "PART", 2)
    transcription.transcribe(str(pictures), parts, recognizer, model_version=1)
    before, table = contents(parts), read_all(parts)
    assert [pq.read_metadata(path).num_rows for path in sorted(parts.glob("part-*"))] == [2, 2, 2]
    (parts / "part-000001.parquet").unlink()
    transcription.transcribe(str(pictures), parts, recognizer, model_version=1)
    assert contents(parts) == before
    pd.testing.assert_frame_equal(read_all(parts), table)


@pytest.fixture
def many(tmp_path):
    folder = tmp_path / "many"
    folder.mkdir()
    lines = sorted(TEST_INPUTS.glob("*.png"))
    for number in range(200):
        shutil.copy(lines[number % len(lines)], folder / f"{number}.png")
    return folder


SCRIPT = """
import sys
from pathlib import Path
from project.archive import processes, transcription
from project.recognition.recognizer import Recognizer
from project.tracking.registry import BASE
if __name__ == "__main__":
    transcription.PART, processes.ALONE = 8, 0
    images, parts, number = sys.argv[1:]
    transcription.transcribe(images, Path(parts), Recognizer.load(BASE), 1, processes=int(number))
"""


@contextmanager
def transcribing(folder, parts, tmp_path, processes):
    """A call of its own that reads `folder`, and has written two parts."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    command = [sys.executable, script, folder, parts, str(processes)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as call:
        while len(contents(parts)) < 2:
            assert call.poll() is None
            time.sleep(0.01)
        yield call


def children(process):
    """The processes of a pool, without the one that keeps account of semaphores."""
    own = psutil.Process(process.pid).children(recursive=True)
    return [child for child in own if "resource_tracker" not in " ".join(child.cmdline())]


@pytest.mark.parametrize("processes", [1, 2])
def test_a_call_that_was_killed_is_taken_up_and_every_picture_is_there_once(
    many, parts, recognizer, tmp_path, processes
):
    with transcribing(many, parts, tmp_path, processes) as killed:
        readers = children(killed)
        killed.kill()
        killed.wait()
    assert len(readers) == (0 if processes == 1 else 2)
    assert not psutil.wait_procs(readers, timeout=60)[1]  # they end with it
    assert 2 <= len(contents(parts)) < 200 / 8
    transcription.transcribe(str(many), parts, recognizer, model_version=1)
    assert sorted(read_all(parts)["source"]) == sorted(str(path) for path in many.iterdir())


def test_a_process_that_is_killed_ends_the_call_in_words_and_what_was_read_stays(many, parts, tmp_path):
    with transcribing(many, parts, tmp_path, processes=2) as call:
        children(call)[0].kill()
        _, error = call.communicate()
    assert call.returncode
    assert "processes: one of 2 was killed" in error
    assert 2 <= len(contents(parts)) < 200 / 8


def test_several_processes_read_the_same_in_the_same_order(many, pictures, recognizer, tmp_path, monkeypatch):
    shutil.copy(ROOT / "project/figures/letter.jpg", pictures)
    for path in pictures.rglob("*.*"):
        shutil.copy(path, many)
    monkeypatch.setattr(processes, "ALONE", 0)
    read = []
    for number in (1, 2):
        folder = tmp_path / f"read by {number}"
        folder.mkdir()
        files = PageFiles(tmp_path / f"pages by {number}", str(many), "text")
        transcription.transcribe(str(many), folder, recognizer, 1, page_files=files, processes=number)
        read.append((read_all(folder), files.folder.joinpath("letter.jpg.txt").read_text()))
    (alone, page), (by_two, same_page) = read
    assert alone["error"].notna().sum() == 2
    pd.testing.assert_frame_equal(alone, by_two, rtol=1e-3)
    assert page == same_page


def test_a_table_needs_no_texts_and_its_rows_are_named_by_their_numbers(pictures, parts, recognizer, tmp_path):
    table = tmp_path / "lines.csv"
    pd.DataFrame({"image": ["pictures/0.png", "pictures/gone.png"]}).to_csv(table, index=False)
    transcription.transcribe(str(table), parts, recognizer, model_version=1)
    read = read_all(parts)
    assert list(read["source"]) == [f"{table}:1", f"{table}:2"]
    assert list(read["error"].notna()) == [False, True]


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_the_parts_become_one_table(pictures, recognizer, tmp_path, suffix):
    output = tmp_path / f"read{suffix}"
    parts = transcription.parts_of(str(output), str(pictures))
    parts.mkdir()
    transcription.transcribe(str(pictures), parts, recognizer, model_version=1)
    transcription.write_joined(parts, output)
    joined = pd.read_csv(output) if suffix == ".csv" else pd.read_parquet(output)
    expected = read_all(parts)
    assert list(joined.columns) == list(expected.columns)
    assert list(joined["text"].fillna("")) == list(expected["text"].fillna(""))


def test_a_summary_counts_and_finds_the_least_certain_and_some_by_chance(parts):
    rows = [("a", 0.5), ("b", 0.1), ("c", 0.9), ("d", 0.12), ("e", None)]
    for number, some in enumerate((rows[:2], rows[2:])):
        table = pd.DataFrame(some, columns=["source", "confidence"]).assign(text="x", model_version=1)
        table = table.assign(page=1, line=None, outline=None, fingerprint=None)
        table["error"] = ["cut short" if source == "e" else None for source in table["source"]]
        pq.write_table(pa.Table.from_pandas(table, transcription.SCHEMA), parts / f"part-{number}.parquet")
    summary = summarize(parts, chosen=2)
    assert (summary.lines, summary.bad_pictures) == (5, 1)
    assert summary.mean_confidence == pytest.approx((0.5 + 0.1 + 0.9 + 0.12) / 4)
    assert list(summary.bad["source"]) == ["e"]
    assert list(summary.least_certain["source"]) == ["b", "d"]
    assert list(summarize(parts, chosen=2, exclude={"b"}).least_certain["source"]) == ["d", "a"]
    one, other = summary.by_chance["source"]
    assert {one, other} < {"a", "b", "c", "d"}
    rest = summarize(parts, chosen=3, exclude={one}).by_chance["source"]
    assert set(rest) == {"a", "b", "c", "d"} - {one}
    assert rest.iloc[0] == other
    assert summary.histogram.sum() == 4
    assert np.flatnonzero(summary.histogram).tolist() == [2, 10, 18]  # of 20: 0.1 and 0.12, 0.5, 0.9


def test_two_calls_do_not_write_to_the_same_parts(parts):
    with (
        transcription.locked(parts),
        pytest.raises(ValueError, match="another process is writing"),
        transcription.locked(parts),
    ):
        pass


@pytest.mark.parametrize("output", ["pictures/read", "pictures/lines.csv", "pictures"])
def test_an_output_among_the_pictures_is_refused(pictures, tmp_path, output):
    with pytest.raises(ValueError, match=r"is in the folder .*pictures; choose a place outside of it"):
        transcription.parts_of(str(tmp_path / output), str(pictures))


def test_a_table_that_was_not_made_of_parts_is_never_overwritten(pictures, tmp_path):
    mine = tmp_path / "lines.csv"
    mine.write_text("image,text\n")
    with pytest.raises(ValueError, match=r"lines\.csv is there already, without lines\.csv\.parts beside it"):
        transcription.parts_of(str(mine), str(pictures))
    (tmp_path / "lines.csv.parts").mkdir()
    assert transcription.parts_of(str(mine), str(pictures)) == tmp_path / "lines.csv.parts"


def test_what_is_no_table_or_another_is_refused(pictures, parts, recognizer, tmp_path):
    with pytest.raises(ValueError, match=r"lines\.txt is neither a folder nor one of \.parquet, \.csv"):
        transcription.parts_of(str(tmp_path / "lines.txt"), str(pictures))
    pd.DataFrame({"image": [b""]}).to_parquet(parts / "part-0.parquet")
    with pytest.raises(ValueError, match=r"holds tables with the columns \['image'\]"):
        transcription.transcribe(str(pictures), parts, recognizer, model_version=1)


def test_a_picture_that_was_replaced_under_its_name_is_read_anew_and_its_old_text_is_gone(pictures, parts, recognizer):
    transcription.transcribe(str(pictures), parts, recognizer, model_version=1)
    before = read_all(parts).set_index("source")["text"]
    first, second = str(pictures / "0.png"), str(pictures / "2.png")
    shutil.copy(second, first)
    os.utime(first, (0, 0))  # older than the one before
    transcription.transcribe(str(pictures), parts, recognizer, model_version=2)
    after = read_all(parts).set_index("source")
    assert len(after) == len(before)
    assert after["text"][first] == before[second] != before[first]
    assert after["model_version"].drop(first).eq(1).all()
    transcription.transcribe(str(pictures), parts, recognizer, model_version=3)
    assert after.equals(read_all(parts).set_index("source"))


def test_a_csv_of_the_lines_opens_right_in_a_spreadsheet_and_its_texts_come_back(tmp_path, parts):
    texts = ["=1+1", "@home", "-12.5", "- and", "+44", "été", None]
    table = {"source": [f"{number}.png" for number in range(7)], "text": texts}
    whole = pa.Table.from_pylist(pa.table(table).to_pylist(), transcription.SCHEMA)
    pq.write_table(whole, parts / "part-000000.parquet")
    transcription.write_joined(parts, tmp_path / "read.csv")
    assert (tmp_path / "read.csv").read_bytes().startswith(b"\xef\xbb\xbf")
    read = pd.read_csv(tmp_path / "read.csv")["text"]
    assert not any(text.startswith(("=", "@", "+", "- ")) for text in read.dropna())
    assert list(read.dropna())[2] == "-12.5"  # a number is no formula
    assert [normalize(text) for text in read.dropna()] == texts[:-1]
    transcription.write_joined(parts, tmp_path / "read.parquet")
    assert pq.read_table(tmp_path / "read.parquet")["text"].to_pylist() == texts
