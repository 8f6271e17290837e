import errno
import fcntl
import os
import time

import pytest

from project.atomic import UNUSED, NoLockError, cache_home, cached_folder, locked, replaced
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


@pytest.mark.parametrize("harm", ["delete", "cut short", "delete what says how large they are"])
def test_a_cached_folder_of_which_a_cleaner_has_taken_a_part_is_made_anew(tmp_path, harm):
    made = []

    def make(beside):
        made.append(1)
        (beside / "content").write_text("whole")
        (beside / "other").write_text("other")

    folder = cached_folder(tmp_path / "lines-1", make)
    cached_folder(folder, make)
    assert made == [1]
    match harm:
        case "delete":
            (folder / "other").unlink()
        case "cut short":
            os.truncate(folder / "content", 2)
        case _:
            (folder / ".contents.json").unlink()
    cached_folder(folder, make)
    assert made == [1, 1]
    assert (folder / "content").read_text() == "whole"
    assert (folder / "other").exists()


def test_a_lock_that_another_holds_is_waited_for_and_then_named(tmp_path):
    with (
        locked(tmp_path / "lock"),
        pytest.raises(ValueError, match=r"lock: another process has held this lock for 0\.2 s"),
        locked(tmp_path / "lock", timeout=0.2),
    ):
        pass
    with locked(tmp_path / "lock", timeout=0):  # it is free again
        pass


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS])
def test_a_file_system_without_locks_is_named_or_done_without_and_nothing_hangs(tmp_path, monkeypatch, code):
    def flock(descriptor, operation):
        if operation != fcntl.LOCK_UN:
            raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", flock)
    if code != errno.ENOSYS:  # there the library makes a lock of the file itself
        with pytest.raises(NoLockError, match="its file system may have no locks"), locked(tmp_path / "lock"):
            pass
    for _ in range(2):
        folder = cached_folder(tmp_path / "lines-1", lambda beside: (beside / "content").write_text("x"))
    assert (folder / "content").read_text() == "x"


def test_the_cache_is_in_the_temporary_folder_where_home_cannot_be_written_to(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert cache_home() == tmp_path / "cache" / "handwriting-classifier"
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert cache_home() == tmp_path / f"handwriting-classifier-{os.getuid()}"
    assert cache_home().is_dir()
