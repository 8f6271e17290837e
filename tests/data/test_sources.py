"""Data sets as people bring them: tables and folders, their splits, and what is said of one that is not right."""

import io
import unicodedata
import zipfile
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import fsspec
import pandas as pd
import pytest
from PIL import Image

from project.data.rows import SPLITS
from project.data.sources import parse_data
from project.data.splits import digest_rows, find_leaks, fingerprint
from project.recognition.charset import normalize
from project.recognition.image import Region
from tests.rows import read_data_set, read_rows


def png(grey=0):
    """A small picture of one grey; another grey is another picture."""
    file = io.BytesIO()
    Image.new("L", (40, 20), grey).save(file, "PNG")
    return file.getvalue()


def table(lines=30, writers=10, **columns):
    """A data set without splits: every writer has the same number of lines."""
    rows = {"image": [png()] * lines, "text": [f"line {k}" for k in range(lines)]}
    return pd.DataFrame(rows | {"writer": [f"writer {k % writers}" for k in range(lines)]} | columns)


def written(path, frame):
    """`frame` as the file that `path` names; its parent is made."""
    path.parent.mkdir(exist_ok=True)
    if path.suffix == ".parquet":
        frame.to_parquet(path)
    else:
        frame.to_csv(path, index=False)
    return path


def split_of(rows, writer):
    return set(rows.loc[rows["writer"] == writer, "split"])


STRUCT = {"bytes": png(), "path": "elsewhere.png"}


@pytest.mark.parametrize("cell", [STRUCT, png()], ids=["hugging_face_struct", "plain_bytes"])
def test_a_parquet_table_holds_the_pictures_themselves(tmp_path, cell):
    rows = read_data_set(written(tmp_path / "lines.parquet", table(image=[cell] * 30)))
    assert list(rows.columns) == ["image", "text", "writer", "page", "split", "source", "error", "line_type", "data"]
    assert set(rows["image"]) == {png()}
    assert list(rows["text"]) == [f"line {k}" for k in range(30)]


@pytest.mark.parametrize("cell", ["scans/a.png", {"bytes": None, "path": "scans/a.png"}], ids=["path", "struct"])
def test_a_path_is_relative_to_its_table_and_not_to_where_one_is(tmp_path, monkeypatch, cell):
    path = written(tmp_path / "data" / "lines.parquet", table(image=[cell] * 30))
    monkeypatch.chdir(tmp_path)
    assert set(read_data_set(path.relative_to(tmp_path))["image"]) == {str(tmp_path / "data" / "scans" / "a.png")}


def test_a_csv_table_has_commas_and_quotes_in_quotes(tmp_path):
    path = tmp_path / "lines.csv"
    path.write_text('image,text\na.png,"Dear Tom, ""yes"", he said"\nb.png,it\'s\nc.png,"5"" nails"\n')
    rows = read_data_set(path)
    assert list(rows["text"]) == ['Dear Tom, "yes", he said', "it's", '5" nails']
    assert list(rows["image"]) == [str(tmp_path / name) for name in ("a.png", "b.png", "c.png")]


def test_in_a_tsv_table_quotes_and_commas_are_characters_like_others(tmp_path):
    path = tmp_path / "lines.tsv"
    path.write_text('image\ttext\na.png\t"yes", he said\nb.png\t5" nails\nc.png\t"\n')
    assert list(read_data_set(path)["text"]) == ['"yes", he said', '5" nails', '"']


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_words_that_look_like_missing_values_or_numbers_are_texts(tmp_path, suffix):
    texts = ["NA", "null", "", "None", "nan", "007", "1.50", "TRUE"]
    frame = pd.DataFrame({"image": ["a.png"] * len(texts), "text": texts})
    assert list(read_data_set(written(tmp_path / f"lines.{suffix}", frame))["text"]) == texts


def test_what_is_missing_in_a_parquet_table_is_empty_and_a_number_is_read_as_it_is_printed(tmp_path):
    frame = pd.DataFrame({"image": [png(), None, png()], "text": ["a", None, "b"], "writer": [1, None, 2]})
    rows = read_rows(written(tmp_path / "lines.parquet", frame.assign(split=["train", None, "test"])))
    assert list(rows["image"]) == [png(), b"", png()]
    assert list(rows["text"]) == ["a", "", "b"]
    assert list(rows["writer"]) == ["1.0", "", "2.0"]  # pandas has no missing whole numbers
    numbers = written(tmp_path / "numbers.parquet", table(3, text=[7, 42, 1999]))
    assert list(read_data_set(numbers)["text"]) == ["7", "42", "1999"]
    bare = written(tmp_path / "bare.parquet", table(3, text=["été".encode(), b"hiver", b""]))
    assert list(read_rows(bare)["text"]) == ["été", "hiver", ""]
    wrong = written(tmp_path / "wrong.parquet", table(3, text="été".encode("latin-1")))
    with pytest.raises(ValueError, match=r"wrong\.parquet cannot be read as parquet: 'utf-8' codec"):
        read_data_set(wrong)


def test_the_source_names_the_file_and_the_row_counted_from_1(tmp_path):
    train, test = (written(tmp_path / f"{split}.csv", table(3, image="a.png")) for split in ("train", "test"))
    rows = read_data_set(tmp_path)
    assert list(rows["source"]) == [f"{train}:{row}" for row in (1, 2, 3)] + [f"{test}:{row}" for row in (1, 2, 3)]


def test_the_index_that_pandas_saved_with_a_table_does_not_matter(tmp_path):
    frame = pd.concat([table(10, 5), table(10, 5)])  # every label of its index comes twice
    rows = read_data_set(written(tmp_path / "lines.parquet", frame))
    assert len(rows) == 20
    assert rows["split"].value_counts().to_dict() == {"train": 12, "validation": 4, "test": 4}  # a writer has 4 lines


def test_a_folder_gives_each_table_the_split_of_its_name_whatever_its_kind(tmp_path):
    written(tmp_path / "train.parquet", table(5))
    written(tmp_path / "validation.csv", table(3, image="a.png"))
    (tmp_path / "test.tsv").write_text("image\ttext\na.png\tabc\n")
    (tmp_path / "README.md").write_text("not a table")
    assert list(read_data_set(tmp_path)["split"]) == ["train"] * 5 + ["validation"] * 3 + ["test"]


@pytest.mark.parametrize("name", ["val", "valid", "dev"])
def test_validation_has_other_names_too(tmp_path, name):
    for split, lines in (("train", 5), (name, 3), ("test", 2)):
        written(tmp_path / f"{split}.csv", table(lines, image="a.png"))
    expected = {"train": 5, "validation": 3, "test": 2}
    assert read_data_set(tmp_path)["split"].value_counts().to_dict() == expected
    splits = ["train"] * 5 + [name] * 3 + ["test"] * 2
    column = written(tmp_path / "lines.csv", table(10, image="a.png", split=splits))
    assert read_data_set(column)["split"].value_counts().to_dict() == expected


def test_a_table_with_a_column_split_is_taken_at_its_word_and_an_empty_cell_means_train(tmp_path):
    splits = ["train", "", "validation", "test", "test", "train"]
    rows = read_data_set(written(tmp_path / "lines.csv", table(6, image="a.png", split=splits)))
    assert list(rows["split"]) == ["train", "train", "validation", "test", "test", "train"]


def test_a_column_split_counts_before_the_name_of_its_table(tmp_path):
    written(tmp_path / "train.csv", table(4, image="a.png", split=["validation", "", "train", "test"]))
    assert list(read_data_set(tmp_path)["split"]) == ["validation", "train", "train", "test"]


def test_held_out_splits_are_a_tenth_of_the_lines_and_of_writers_that_are_in_no_other(tmp_path, caplog):
    written(tmp_path / "train.parquet", table(lines=300, writers=30))
    rows = read_data_set(tmp_path)
    # A writer has 10 lines. test: 30 of 300 lines. validation: 27 of the 270 that are left, so 2 writers.
    assert rows["split"].value_counts().to_dict() == {"train": 250, "test": 30, "validation": 20}
    assert all(len(split_of(rows, writer)) == 1 for writer in rows["writer"].unique())
    assert not caplog.text


def test_what_is_held_out_depends_on_the_seed_only(tmp_path):
    path = written(tmp_path / "lines.parquet", table(lines=300, writers=30))
    splits = [list(read_data_set(path, seed=seed)["split"]) for seed in (0, 0, 1)]
    assert splits[0] == splits[1] != splits[2]


@pytest.mark.parametrize("unit", ["line", "page", "writer"])
@pytest.mark.parametrize("seed", range(5))
def test_as_a_data_set_grows_what_was_held_out_still_is(tmp_path, unit, seed):
    """600 lines, and then 60 more; a page has 10 lines, and so has a writer. Of a split that grows with it, at most 10
    of the old lines were trained on before, for there to be a tenth again.
    """
    groups = [f"{unit} {k // 10}" for k in range(660)]
    lines = table(660, image="a.png", **{"writer": "", unit: groups})  # a column `line` means nothing
    grown = read_data_set(written(tmp_path / "lines.csv", lines), seed=seed)
    before = read_data_set(written(tmp_path / "lines.csv", lines.head(600)), seed=seed)
    for split in ("test", "validation"):
        old = before.loc[grown.index[:600][grown["split"][:600] == split], "split"]
        assert len(old) >= 30
        assert (old == "train").sum() <= 10


def test_rows_without_a_text_are_not_what_is_held_out(tmp_path):
    """A table for correction, of whose lines few have been done."""
    texts = ["", "", "", "", "done"] * 20
    rows = read_data_set(written(tmp_path / "day1.csv", table(100, image="a.png", text=texts, writer="")))
    assert rows.loc[rows["text"] == "", "split"].unique().tolist() == ["train"]
    assert rows.loc[rows["text"] != "", "split"].value_counts().to_dict() == {"train": 17, "validation": 1, "test": 2}


def test_tables_that_are_named_together_are_of_the_splits_that_their_names_say(tmp_path):
    for name, lines in (("train", 5), ("dev", 3), ("test-00000-of-00001", 2), ("day1", 4)):
        written(tmp_path / f"{name}.csv", table(lines, image="a.png"))
    together = [str(tmp_path / f"{name}.csv") for name in ("train", "dev", "test-00000-of-00001", "day1")]
    assert read_data_set(*together)["split"].value_counts().to_dict() == {"train": 9, "validation": 3, "test": 2}
    assert set(read_data_set(together[0], seed=1)["split"]) == set(SPLITS)  # alone, it is all there is


def test_a_split_that_is_given_is_left_as_it_is(tmp_path):
    written(tmp_path / "train.parquet", table(lines=100, writers=20))
    written(tmp_path / "test.parquet", table(lines=7, writer="the test's hand"))
    rows = read_data_set(tmp_path)
    assert rows["split"].value_counts().to_dict() == {"train": 90, "validation": 10, "test": 7}
    assert split_of(rows, "the test's hand") == {"test"}


@pytest.mark.parametrize("seed", range(5))
def test_a_writer_of_most_lines_is_not_held_out_and_others_stay_beside_it(tmp_path, seed):
    hands = ["a busy hand"] * 90 + [f"hand {k}" for k in range(10)]
    rows = read_data_set(written(tmp_path / "lines.parquet", table(100, writer=hands)), seed=seed)
    assert split_of(rows, "a busy hand") == {"train"}
    # test: 5 of the 11 hands, and no more than half. validation: 3 of the 6 that are left.
    assert rows.groupby("split")["writer"].nunique().to_dict() == {"train": 3, "validation": 3, "test": 5}


def test_three_writers_are_enough_for_three_splits(tmp_path, caplog):
    rows = read_data_set(written(tmp_path / "lines.parquet", table(lines=9, writers=3)))
    assert rows.groupby("split")["writer"].nunique().to_dict() == dict.fromkeys(SPLITS, 1)
    assert not caplog.text


@pytest.mark.parametrize("writer", ["", "always the same"])
def test_where_no_writers_are_known_lines_are_held_out_with_a_warning(tmp_path, caplog, writer):
    rows = read_data_set(written(tmp_path / "lines.csv", table(200, image="a.png", writer=writer)))
    # 20 of 200 lines, then 18 of 180
    assert rows["split"].value_counts().to_dict() == {"train": 162, "test": 20, "validation": 18}
    assert caplog.text.count("is held out by line, so its hands occur in training too") == 2


def test_a_row_without_a_writer_leaves_the_other_writers_whole(tmp_path, caplog):
    writers = ["", ""] + [f"hand {k % 30}" for k in range(298)]
    pages = ["p1", "p1"] + [f"p{k % 7}" for k in range(298)]
    rows = read_data_set(written(tmp_path / "lines.csv", table(300, image="a.png", writer=writers, page=pages)))
    named = rows[rows["writer"] != ""]
    assert named.groupby("writer")["split"].nunique().max() == 1
    assert rows[rows["writer"] == ""]["split"].nunique() == 1  # by their page
    assert "2 of 300 training rows name no writer: their hands may be in 'test' too" in caplog.text


def test_where_few_writers_are_known_the_other_lines_are_held_out_with_a_warning(tmp_path, caplog):
    writers = [""] + ["a", "b"] * 50 + [""] * 99
    rows = read_data_set(written(tmp_path / "lines.csv", table(200, image="a.png", writer=writers)))
    # 20 of 200 lines, then 18 of 180: a writer has 50
    assert rows["split"].value_counts().to_dict() == {"train": 162, "test": 20, "validation": 18}
    assert set(rows.loc[rows["writer"] != "", "split"]) == {"train"}
    assert caplog.text.count("training rows name no writer") == 2


def test_where_no_writers_are_known_whole_pages_are_held_out(tmp_path, caplog):
    pages = [f"page {k // 10}" for k in range(200)]
    rows = read_data_set(written(tmp_path / "lines.csv", table(200, image="a.png", writer="", page=pages)))
    # A page has 10 lines. test: 20 of 200 lines. validation: 18 of 180, so 1 page.
    assert rows["split"].value_counts().to_dict() == {"train": 170, "test": 20, "validation": 10}
    assert rows.groupby("page")["split"].nunique().max() == 1
    assert not caplog.text


def test_a_leak_is_the_same_picture_or_the_same_text_by_the_same_writer_in_another_split():
    columns = ["fingerprint", "text", "writer", "split", "leak"]
    rows = pd.DataFrame(
        [
            ["A", "yes", "Ann", "train", "picture"],
            ["A", "no", "Bob", "test", "picture"],  # the same picture, whatever is said of it
            ["B", "Dear Tom", "Ann", "train", "text and writer"],
            ["C", "Dear Tom", "Ann", "validation", "text and writer"],
            ["D", "Dear Tom", "Bob", "test", ""],  # another hand
            ["E", "Yours", "Ann", "train", ""],
            ["E", "Yours", "Ann", "train", ""],  # twice, but in one split
            ["F", "Hello", "", "train", ""],
            ["G", "Hello", "", "test", ""],  # whose hand is not known
            ["", "lost", "Ann", "train", ""],
            ["", "gone", "Bob", "test", ""],  # pictures that cannot be read are not the same
        ],
        columns=columns,
    ).assign(source=[f"row {k}" for k in range(11)])
    found = find_leaks(rows)
    assert list(found.columns) == ["source", "split", "text", "leak"]
    assert found.set_index("source")["leak"].to_dict() == {
        f"row {k}": leak for k, leak in enumerate(rows["leak"]) if leak
    }


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("  two \t words\n", "two words"),
        ("no\u00a0break and\u3000wide", "no break and wide"),
        (unicodedata.normalize("NFD", "déjà vu"), "déjà vu"),
        (" \n ", ""),
    ],
)
def test_texts_are_composed_and_every_run_of_white_space_is_one_space(tmp_path, raw, text):
    assert normalize(raw) == text
    path = written(tmp_path / "lines.parquet", table(3, text=raw))
    assert set(read_rows(path)["text"]) == {text}


def test_data_sets_are_named_with_commas_between_them():
    assert parse_data("a.csv, b.csv") == ["a.csv", "b.csv"]
    with pytest.raises(ValueError, match=r"'a\.csv,' has an empty name before or after a comma"):
        parse_data("a.csv,")


def test_a_path_that_does_not_exist_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"nowhere does not exist; it is a table .* or a folder"):
        read_data_set(tmp_path / "nowhere")


def test_a_folder_without_tables_is_named_with_what_was_looked_for(tmp_path):
    (tmp_path / "lines.parquet").touch()
    with pytest.raises(
        ValueError, match=r"holds no table train, validation, test or part-\* \(.*\), no ascii/lines.txt"
    ):
        read_data_set(tmp_path)


def test_a_missing_column_is_named_with_those_there_are(tmp_path):
    frame = pd.DataFrame({"image": ["a.png"], "label": ["abc"]})
    with pytest.raises(ValueError, match=r"lines\.csv has no column text; its columns are \['image', 'label'\]"):
        read_data_set(written(tmp_path / "lines.csv", frame))
    with pytest.raises(ValueError, match=r"has no column image or text; its columns are \['label'\]"):
        read_data_set(written(tmp_path / "labels.csv", frame[["label"]]))


def test_an_unknown_suffix_is_named_with_those_that_are_known(tmp_path):
    (tmp_path / "lines.xlsx").touch()
    with pytest.raises(ValueError, match=r"lines\.xlsx is not one of \.parquet, \.csv, \.tsv"):
        read_data_set(tmp_path / "lines.xlsx")


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_an_empty_file_is_named(tmp_path, suffix):
    (tmp_path / f"lines.{suffix}").touch()
    with pytest.raises(ValueError, match=rf"lines\.{suffix} cannot be read as {suffix}: "):
        read_data_set(tmp_path / f"lines.{suffix}")


def test_a_parquet_file_cut_short_is_named(tmp_path):
    path = written(tmp_path / "lines.parquet", table())
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"lines\.parquet cannot be read as parquet: "):
        read_data_set(path)


@pytest.mark.parametrize("lines", ["a.png,Dear Tom, yes\nb.png,no\n", "b.png,no\na.png,Dear Tom, yes\n"])
def test_a_comma_that_should_have_been_in_quotes_does_not_shift_the_columns(tmp_path, lines):
    path = tmp_path / "lines.csv"
    path.write_text("image,text\n" + lines)
    with pytest.raises(ValueError, match=r"lines\.csv cannot be read as csv: "):
        read_data_set(path)


def test_an_unknown_split_is_named_with_those_that_are_allowed(tmp_path):
    path = written(tmp_path / "lines.csv", table(3, image="a.png", split=["train", "eval", "Test"]))
    with pytest.raises(ValueError, match=r"names the splits \['Test', 'eval'\]; allowed are train, validation, test"):
        read_data_set(path)


def test_a_data_set_without_training_rows_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"no row is in the split 'train'; splits are \['test'\]"):
        read_data_set(written(tmp_path / "lines.csv", table(3, image="a.png", split="test")))


def test_two_rows_cannot_be_in_three_splits(tmp_path):
    with pytest.raises(ValueError, match="1 training rows with a text are too few to hold out the split 'validation'"):
        read_data_set(written(tmp_path / "lines.parquet", table(2)))


def test_the_digest_is_of_the_pictures_the_texts_and_the_splits(tmp_path):
    def digest_of(rows):
        return digest_rows(rows.assign(fingerprint=rows["image"].map(fingerprint)))

    rows = read_data_set(written(tmp_path / "lines.parquet", table(4, split=["train", "train", "validation", "test"])))
    same = read_data_set(written(tmp_path / "copy.csv", rows.assign(image="a.png"))).assign(image=rows["image"])
    (tmp_path / "a.png").write_bytes(png())
    assert digest_of(same.assign(image=str(tmp_path / "a.png"), writer="another name")) == digest_of(rows)
    assert len(digest_of(rows)) == 16
    digests = {digest_of(rows)}
    for column, value in (("image", png(grey=1)), ("image", str(tmp_path / "b.png")), ("text", "x"), ("split", "test")):
        for row in (0, 1):
            changed = rows.copy()
            changed.at[row, column] = value
            digests.add(digest_of(changed))
    assert len(digests) == 1 + 4 * 2
    outline = ((0, 0), (9, 0), (9, 9))
    for size in ((10, 10), (20, 20), None):
        changed = rows.copy()
        changed.at[0, "image"] = Region(str(tmp_path / "a.png"), outline, size)
        digests.add(digest_of(changed))
    assert len(digests) == 1 + 4 * 2 + 3
    assert digest_of(rows[:3]) not in digests
    assert digest_of(rows[::-1]) not in digests


# ------------------------------------------------------------------------------------ shards, and other machines


@pytest.mark.parametrize(
    ("names", "splits"),
    [
        (["part-0.parquet", "part-1.parquet"], ["", ""]),
        (["data/train-00000-of-00002.parquet", "data/train-00001-of-00002.parquet", "data/test-00000-of-00001.parquet"],
         ["train", "train", "test"]),  # the Hugging Face hub
        (["split=test/part-0.parquet", "split=train/part-0.parquet"], ["test", "train"]),  # Apache Spark
        (["train/part-0.csv", "validation/part-0.csv"], ["train", "validation"]),
        (["Test.CSV", "Train.csv"], ["test", "train"]),
        (["test.csv/part-0.csv", "train.parquet/part-0.snappy.parquet"], ["test", "train"]),
    ],
)  # fmt: skip
def test_a_folder_of_shards_is_one_data_set(tmp_path, names, splits):
    for k, name in enumerate(names):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        written(tmp_path / name, table(2, image="a.png", text=f"shard {k}"))
    (tmp_path / "_SUCCESS").touch()
    (tmp_path / "train_log.xml").touch()
    rows = read_rows(tmp_path)
    assert len(rows) == 2 * len(names)
    found = dict(zip(rows["text"], rows["split"], strict=True))
    assert found == {f"shard {k}": split for k, split in enumerate(splits)}


def test_a_pattern_takes_the_tables_that_it_matches_whatever_they_are_called(tmp_path):
    for name in ("forms-a.csv", "forms-b.csv", "other.csv"):
        written(tmp_path / name, table(1, image="a.png", text=name))
    assert list(read_rows(f"{tmp_path}/forms-*.csv")["text"]) == ["forms-a.csv", "forms-b.csv"]
    with pytest.raises(ValueError, match=r"letters-\*\.csv holds no table train"):
        read_rows(f"{tmp_path}/letters-*.csv")


def test_a_shard_cut_short_is_named_among_the_others(tmp_path):
    for k in range(3):
        written(tmp_path / f"part-{k}.parquet", table())
    content = (tmp_path / "part-1.parquet").read_bytes()
    (tmp_path / "part-1.parquet").write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match=r"part-1\.parquet cannot be read as parquet: "):
        read_data_set(tmp_path)


@pytest.fixture
def memory():
    """A file system that is not this machine's, as object storage is."""
    filesystem = fsspec.filesystem("memory")
    yield filesystem
    filesystem.store.clear()


def test_shards_and_their_pictures_are_fetched_from_an_address(memory):
    memory.pipe("/bucket/scans/a.png", png())
    for k in range(2):
        content = table(2, image=["scans/a.png", "scans/gone.png"], text=f"shard {k}").to_csv(index=False)
        memory.pipe(f"/bucket/part-{k}.csv", content.encode())
    for data in ("memory://bucket", "memory://bucket/part-*.csv"):
        rows = read_rows(data)
        assert list(rows["text"]) == ["shard 0"] * 2 + ["shard 1"] * 2
        assert list(rows["image"][[0, 2]]) == [png()] * 2
        assert set(rows["error"][[1, 3]]) == {"memory:///bucket/scans/gone.png: no such file"}
        assert rows["source"][3] == "memory:///bucket/part-1.csv:2"
    assert len(read_rows("memory://bucket/part-1.csv")) == 2


def test_a_table_here_may_name_pictures_elsewhere(memory, tmp_path):
    memory.pipe("/bucket/a.png", png())
    rows = read_rows(written(tmp_path / "lines.csv", table(2, image=["memory://bucket/a.png", "b.png"])))
    assert list(rows["image"]) == [png(), str(tmp_path / "b.png")]


def test_an_archive_is_read_in_place_and_a_member_that_is_no_picture_is_left_to_who_reads_it(tmp_path):
    with zipfile.ZipFile(tmp_path / "lines.zip", "w") as archive:
        archive.writestr("set/lines.csv", table(3, image=["a.png", "b.png", "c.png"]).to_csv(index=False))
        archive.writestr("set/a.png", png())
        archive.writestr("set/b.png", b"%PDF-1.7")
    rows = read_rows(f"zip://set/lines.csv::{tmp_path}/lines.zip")
    assert list(rows["image"][:2]) == [png(), b"%PDF-1.7"]
    assert rows["error"][2] == f"zip://set/c.png::{tmp_path}/lines.zip: no such file"


def test_a_table_is_read_from_a_web_server(tmp_path):
    written(tmp_path / "lines.csv", table(2, image=["a.png", "gone.png"]))
    (tmp_path / "a.png").write_bytes(png())
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=tmp_path)) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        rows = read_rows(f"{address}/lines.csv")
        with pytest.raises(ValueError, match=r"nowhere\.csv does not exist"):
            read_rows(f"{address}/nowhere.csv")
        server.shutdown()
    assert rows["image"][0] == png()
    assert rows["error"][1] == f"{address}/gone.png: no such file"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ("s3://bucket/lines.parquet", "cannot be reached: NoCredentialsError: Unable to locate credentials"),
        ("gs://bucket/lines.parquet", "cannot be reached: ImportError: Please install gcsfs"),
        ("nosuch://bucket/lines.parquet", "cannot be reached: ValueError: Protocol not known: nosuch"),
        ("memory://bucket/lines.parquet", "does not exist"),
    ],
)
def test_an_address_that_cannot_be_reached_is_refused_in_words(tmp_path, monkeypatch, data, words):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(ValueError, match=f"data: {data} {words}"):
        read_rows(data)


# --------------------------------------------------------------------------------------------------- names of paths


@pytest.mark.parametrize("name", ["day 1, day 2.csv", "all*.csv", "a::b.csv", "x://y.csv".replace("//", "_")])
def test_a_path_that_is_there_may_have_any_name(tmp_path, name):
    path = written(tmp_path / name, table(2, image="a.png"))
    other = written(tmp_path / "other.csv", table(1, image="a.png"))
    assert parse_data(f"{path}, {other}") == [str(path), str(other)]
    assert len(read_rows(path)) == 2
    folder = tmp_path / f"{name}.d"
    written(folder / "train.csv", table(3, image="a.png"))
    assert len(read_rows(folder)) == 3
