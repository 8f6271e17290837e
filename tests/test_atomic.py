import os
import time

import pytest

from project.atomic import UNUSED, cached_folder, replaced
from project.handover import keep_transcription, kept_transcription, transcription_of


def test_a_file_is_replaced_whole(tmp_path):
    path = tmp_path / "new" / "answer.json"
    for content in ("old", "new"):
        with replaced(path) as beside:
            beside.write_text(content)
    assert path.read_text() == "new"
    assert list(path.parent.iterdir()) == [path]


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "answer.json"
    path.write_text("old")

    def write_and_fail():
        with replaced(path) as beside:
            beside.write_text("half of the n")
            raise OSError("No space left on device")

    with pytest.raises(OSError, match="No space left"):
        write_and_fail()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_what_is_kept_makes_room_when_nobody_has_asked_for_it_in_a_month(tmp_path):
    def ask(name):
        return cached_folder(tmp_path / name, lambda beside: (beside / "content").write_text(name))

    months = {"lines-old": 1.1, "lines-young": 0.9, "lines-asked": 1.1, "synthetic-old": 1.1}
    made = [(ask(name), time.time() - UNUSED * ago) for name, ago in months.items()]
    for folder, when in made:
        os.utime(folder, (when, when))
    ask("lines-asked")
    assert (tmp_path / "lines-old").exists()
    ask("lines-new")
    kept = {folder.name for folder in tmp_path.iterdir() if folder.is_dir()}
    assert kept == {"lines-young", "lines-asked", "lines-new", "synthetic-old"}


def test_a_transcription_belongs_to_a_file_until_the_file_is_made_anew(tmp_path):
    path = tmp_path / "text_image.json"
    path.write_text("[1]")
    assert kept_transcription(path) == ""
    keep_transcription(path, "a line")
    assert kept_transcription(path) == "a line"
    path.write_text("[2]")
    os.utime(path, (path.stat().st_atime, path.stat().st_mtime + 1))
    assert kept_transcription(path) == ""


def test_a_picture_s_transcription_holds_whichever_file_is_newer(tmp_path):
    picture, text = tmp_path / "line.png", tmp_path / "line.gt.txt"
    assert transcription_of(picture) == ""
    text.write_text("a line\n")
    picture.write_bytes(b"")
    os.utime(text, (1, 1))
    assert transcription_of(picture) == "a line"
    text.write_text("cafe\u0301 \n", "utf-8-sig")  # as Windows writes it
    assert transcription_of(picture) == "caf\u00e9"
    text.write_bytes(b"caf\xe9")
    with pytest.raises(ValueError, match=r"line\.gt\.txt: not UTF-8"):
        transcription_of(picture)
