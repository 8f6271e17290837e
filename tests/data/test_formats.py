"""Data sets in the formats of others: pairs of files, the IAM database, PAGE XML and ALTO, the Hugging Face hub."""

import io
import os
import re

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from project.data.rows import read_row
from project.data.sources import is_picture_folder, stream_rows
from project.recognition.image import read_image
from tests.rows import read_data_set, read_rows


def png(grey=0):
    """A small picture of one grey."""
    file = io.BytesIO()
    Image.new("L", (40, 20), grey).save(file, "PNG")
    return file.getvalue()


def jpeg():
    """A small picture of noise."""
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (20, 40), dtype=np.uint8)).save(file, "JPEG")
    return file.getvalue()


def write(folder, files):
    """Files with these contents, text or bytes; folders are made."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())


def problems(rows):
    """What is told when the pictures are read, for each row that has none."""
    told = {}
    for row in rows.itertuples():
        try:
            read_row(row)
        except ValueError as error:
            told[row.source] = str(error)
    return told


# -------------------------------------------------------------------------- pictures with .gt.txt files beside them


def test_a_transcription_beside_a_picture_is_its_text(tmp_path):
    write(tmp_path, {"a.png": png(), "a.gt.txt": " Dear  Tom,\n", "b.2.JPG": png(), "b.2.gt.txt": "\ufeffyes"})
    rows = read_rows(tmp_path)
    assert list(rows["text"]) == ["Dear Tom,", "yes"]  # a byte order mark, as Windows writes it, is no text
    assert list(rows["image"]) == [str(tmp_path / "a.png"), str(tmp_path / "b.2.JPG")]
    assert list(rows["source"]) == list(rows["image"])


def test_folders_are_entered_through_links_and_each_of_them_once(tmp_path):
    write(tmp_path, {"box/a.png": png(), "box/a.gt.txt": "a", "scans/b.png": png(), "scans/b.gt.txt": "b"})
    (tmp_path / "scans/box").symlink_to(tmp_path / "box")
    (tmp_path / "box/back").symlink_to(tmp_path / "scans")
    assert list(read_rows(tmp_path / "scans")["text"]) == ["b", "a"]
    pictures = [row.image for row in stream_rows(str(tmp_path / "scans"), labelled=False)]
    assert pictures == [f"{tmp_path}/scans/b.png", f"{tmp_path}/scans/box/a.png"]


def test_of_several_pictures_of_a_line_one_is_read(tmp_path):
    write(tmp_path, {"01.bin.png": png(), "01.nrm.png": png(), "01.gt.txt": "as OCRopus names them"})
    rows = read_rows(tmp_path)
    assert list(rows["image"]) == [str(tmp_path / "01.bin.png")]
    assert list(rows["text"]) == ["as OCRopus names them"]


def test_a_name_that_ends_like_a_variant_is_taken_as_it_is_where_its_text_is(tmp_path):
    write(
        tmp_path, {"01.raw.png": png(), "01.raw.gt.txt": "a", "02.raw.png": png(), "02.gt.txt": "b", "01.pdf": "%PDF"}
    )
    rows = read_rows(tmp_path)
    assert list(rows["text"]) == ["a", "b"]
    assert not problems(rows)


def test_names_that_are_not_utf_8_are_told_as_well_as_they_can_be(tmp_path):
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    write(folder, {"l1.png": png(), "l1.gt.txt": "un"})
    (row,) = stream_rows(tmp_path)
    assert (row.page, row.text) == ("caf\ufffd", "un")
    assert row.source.endswith("caf\ufffd/l1.png")
    assert read_image(row.image).shape == (20, 40)


def test_a_folder_is_a_page_and_train_validation_and_test_are_splits(tmp_path):
    for name in ("train/p1/l1", "train/p1/l2", "train/p2/l1", "validation/l1", "test/book/p9/l1", ".hidden/l1"):
        write(tmp_path, {f"{name}.png": png(), f"{name}.gt.txt": name})
    rows = read_rows(tmp_path)
    assert sorted(zip(rows["split"], rows["page"], strict=True)) == [
        ("test", "book/p9"), ("train", "p1"), ("train", "p1"), ("train", "p2"), ("validation", ""),
    ]  # fmt: skip


def test_pages_stay_together_when_splits_are_held_out(tmp_path, caplog):
    for k in range(40):
        write(tmp_path, {f"p{k // 4}/l{k}.png": png(), f"p{k // 4}/l{k}.gt.txt": f"line {k}"})
    rows = read_data_set(tmp_path)
    assert rows.groupby("page")["split"].nunique().max() == 1
    assert set(rows["split"]) == {"train", "validation", "test"}
    assert not caplog.text


def test_where_pictures_have_transcriptions_beside_them_a_page_in_xml_changes_nothing(tmp_path):
    write(tmp_path, {"p1.jpg": page_picture(), "p1.xml": PAGE})
    assert not is_picture_folder(tmp_path)
    write(tmp_path, {"a.png": png(), "a.gt.txt": "a line"})
    assert is_picture_folder(tmp_path)
    assert [row.image for row in stream_rows(tmp_path, labelled=False)] == [f"{tmp_path}/a.png", f"{tmp_path}/p1.jpg"]


def test_a_picture_or_a_transcription_alone_and_one_that_is_not_utf_8_are_named(tmp_path):
    write(
        tmp_path, {"a.png": png(), "b.gt.txt": "alone", "c.png": png(), "c.gt.txt": "d\u00e9j\u00e0".encode("latin-1")}
    )
    write(tmp_path, {"d.jpg": jpeg()[:400], "d.gt.txt": "cut short"})
    told = problems(read_rows(tmp_path))
    assert told[f"{tmp_path}/a.png"] == f"{tmp_path}/a.png: it has no .gt.txt beside it"
    assert told[f"{tmp_path}/b.gt.txt"] == f"{tmp_path}/b.gt.txt: it has no picture beside it"
    assert told[f"{tmp_path}/c.png"].startswith(f"{tmp_path}/c.gt.txt: not UTF-8: ")
    assert told[f"{tmp_path}/d.jpg"].startswith(f"{tmp_path}/d.jpg: cannot be read as a picture: ")


# ------------------------------------------------------------------------------------------------ the IAM database

LINES = """#--- lines.txt ---------------------------------------------------------------#
#
# iam database line information
a01-000u-00 ok 154 19 408 746 1661 89 A|MOVE|to|stop|Mr.|Gaitskell|from
a01-000u-01 ok 156 19 395 932 1850 105 nominating|any|more|Labour|life|Peers
a01-000x-00 err 182 30 408 750 1661 89 "|We|must|wait|,|"|he|said|.
b01-004-00 ok 170 22 390 740 1700 88 Put|down
"""
FORMS = """#--- forms.txt
a01-000u 000 2 prt 7 5 52 36
a01-000x 001 2 prt 7 5 52 36
b01-004 000 4 all 9 9 70 70
"""
PNGS = {f"lines/{form[:3]}/{form}/{form}-{n}.png": png()
        for form, n in [("a01-000u", "00"), ("a01-000u", "01"), ("a01-000x", "00"), ("b01-004", "00")]}  # fmt: skip


@pytest.mark.parametrize("folder", ["ascii/", ""])
def test_the_iam_database_is_read_as_its_owners_ship_it(tmp_path, folder):
    write(tmp_path, {f"{folder}lines.txt": LINES, f"{folder}forms.txt": FORMS, **PNGS})
    rows = read_rows(tmp_path)
    assert list(rows["text"]) == [
        "A MOVE to stop Mr. Gaitskell from", "nominating any more Labour life Peers", '" We must wait , " he said .',
        "Put down",
    ]  # fmt: skip
    assert list(rows["writer"]) == ["000", "000", "001", "000"]
    assert list(rows["page"]) == ["a01-000u", "a01-000u", "a01-000x", "b01-004"]
    assert rows["source"][0] == f"{tmp_path}/{folder}lines.txt:4"
    assert not problems(rows)


@pytest.mark.parametrize(
    ("lists", "splits"),
    [
        ({"splits/train.uttlist": "a01-000u\n", "splits/validation.uttlist": "a01-000x\n",
          "splits/test.uttlist": "b01-004\n"}, ["train", "train", "validation", "test"]),  # Aachen: forms
        ({"trainset.txt": "a01-000u-01\n", "validationset1.txt": "a01-000u-00\n", "validationset2.txt": "a01-000x-00\n",
          "testset.txt": "b01-004-00\n"}, ["validation", "train", "validation", "test"]),  # the owners': lines
        ({"splits/tr.lst": "a01-000u\n", "splits/te.lst": "b01-004\n"}, ["train", "train", "test"]),
        ({}, ["", "", "", ""]),
    ],
)  # fmt: skip
def test_split_lists_of_forms_or_lines_are_used_and_what_they_do_not_name_is_left_out(tmp_path, caplog, lists, splits):
    write(tmp_path, {"ascii/lines.txt": LINES, **PNGS, **lists})
    assert list(read_rows(tmp_path)["split"]) == splits
    assert caplog.text.count("1 lines of") == (len(splits) < 4)


def test_without_lists_the_iam_database_is_split_by_writer_and_without_writers_by_form(tmp_path):
    many = "".join(f"a01-{k:03}-0{n} ok 1 1 1 1 1 1 word\n" for k in range(40) for n in range(3))
    write(tmp_path, {"ascii/lines.txt": many})
    assert read_data_set(tmp_path).groupby("page")["split"].nunique().max() == 1
    write(tmp_path, {"ascii/forms.txt": "".join(f"a01-{k:03} {k // 2:03} 2 prt\n" for k in range(40))})
    assert read_data_set(tmp_path).groupby("writer")["split"].nunique().max() == 1


def test_what_is_wrong_in_the_iam_database_is_named(tmp_path):
    write(tmp_path, {"ascii/lines.txt": LINES, "splits/train.lst": "a01-000u\n", "splits/test.lst": "\na01-000u\n"})
    with pytest.raises(ValueError, match=r"train\.lst:1 puts a01-000u into train, another list into test"):
        read_rows(tmp_path)
    write(tmp_path, {"ascii/lines.txt": LINES + "a01-000x-01 ok 182\n", "splits/train.lst": "", "splits/test.lst": ""})
    with pytest.raises(ValueError, match=r"lines\.txt:8 is not a line of the IAM database: 'a01-000x-01 ok 182'"):
        read_rows(tmp_path)
    write(tmp_path, {"ascii/lines.txt": LINES})
    assert problems(read_rows(tmp_path))[f"{tmp_path}/ascii/lines.txt:7"].endswith("b01-004-00.png: no such file")


# ---------------------------------------------------------------------------------------------- PAGE XML and ALTO

PAGE = """<?xml version="1.0" encoding="UTF-8" standalone="yes"?>
<PcGts xmlns="http://schema.primaresearch.org/PAGE/gts/pagecontent/2013-07-15">
  <Metadata><Creator>prov=READ-COOP:name=Transkribus</Creator></Metadata>
  <Page imageFilename="p1.jpg" imageWidth="200" imageHeight="100">
    <TextRegion id="r1" custom="readingOrder {index:0;}">
      <Coords points="10,10 190,10 190,90 10,90"/>
      <TextLine id="r1l1" custom="readingOrder {index:0;}">
        <Coords points="20,20 120,20 120,40 20,40"/>
        <Baseline points="20,36 120,36"/>
        <Word id="w1"><Coords points="20,20 60,20 60,40"/><TextEquiv><Unicode>Dear</Unicode></TextEquiv></Word>
        <TextEquiv index="1"><Unicode>Bear Tom</Unicode></TextEquiv>
        <TextEquiv index=""><Unicode>Dear  Tom</Unicode></TextEquiv>
      </TextLine>
      %s
      <TextEquiv><Unicode>Dear Tom and all that the region says</Unicode></TextEquiv>
    </TextRegion>
  </Page>
</PcGts>"""
PAGE_LINE = '<TextLine id="{}"><Coords points="{}"/><TextEquiv><Unicode>{}</Unicode></TextEquiv></TextLine>'
ALTO = """<?xml version="1.0" encoding="UTF-8"?>
<alto xmlns="http://www.loc.gov/standards/alto/ns-v4#">
  <Description>
    <MeasurementUnit>pixel</MeasurementUnit>
    <sourceImageInformation><fileName>p1.jpg</fileName></sourceImageInformation>
  </Description>
  <Layout><Page WIDTH="200" HEIGHT="100" PHYSICAL_IMG_NR="0" ID="page"><PrintSpace><TextBlock ID="block">
    <TextLine ID="escriptorium" HPOS="20" VPOS="20" WIDTH="100" HEIGHT="20" BASELINE="20 36 120 36">
      <Shape><Polygon POINTS="20 20 120 20 120 40 20 40"/></Shape>
      <String CONTENT="Dear Tom, how are you" HPOS="20" VPOS="20" WIDTH="100" HEIGHT="20"></String>
    </TextLine>
    <TextLine ID="words" HPOS="20" VPOS="50" WIDTH="100" HEIGHT="20">
      <String CONTENT="a"/><SP/><String CONTENT="bro"/><String CONTENT="ken" SUBS_TYPE="HypPart1"/><HYP CONTENT="-"/>
    </TextLine>
    <TextLine ID="no_spaces" HPOS="20" VPOS="70" WIDTH="100" HEIGHT="20">
      <String CONTENT="two"/><String CONTENT="words"/>
    </TextLine>
  </TextBlock></PrintSpace></Page></Layout>
</alto>"""


def page_picture(size=(200, 100)):
    """A page of a light grey with a black rectangle where the line of `PAGE` is."""
    pixels = np.full(size[::-1], 220, np.uint8)
    scale = size[0] // 200
    pixels[25 * scale : 35 * scale, 30 * scale : 110 * scale] = 0
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def test_a_line_of_a_page_file_is_cut_out_of_the_page_and_has_its_first_reading(tmp_path):
    write(tmp_path, {"p1.jpg": page_picture(), "p1.xml": PAGE % ""})
    (row,) = read_rows(tmp_path).itertuples()
    assert row.text == "Dear Tom"
    assert row.page == "p1.jpg"
    assert row.source == f"{tmp_path}/p1.xml:r1l1"
    pixels = read_image(row.image)
    assert pixels.shape == (21, 101)  # both ends of 20 to 40 and 20 to 120 are the line's
    assert pixels[0, 0] == 220
    assert (pixels[5:15, 10:90] == 0).all()


def test_a_picture_of_another_size_than_the_xml_says_is_measured_anew(tmp_path):
    write(tmp_path, {"p1.jpg": page_picture((400, 200)), "p1.xml": PAGE % ""})
    (row,) = read_rows(tmp_path).itertuples()
    pixels = read_image(row.image)
    assert pixels.shape == (41, 201)
    assert (pixels[10:30, 20:180] == 0).all()


def test_the_texts_of_alto_are_whole_lines_words_with_spaces_and_words_without(tmp_path):
    write(tmp_path, {"p1.jpg": page_picture(), "p1.xml": ALTO})
    rows = read_rows(tmp_path)
    assert list(rows["text"]) == ["Dear Tom, how are you", "a broken-", "two words"]
    assert [read_image(image).shape for image in rows["image"]] == [(21, 101)] * 3  # by polygon, and by box


def test_a_transkribus_export_is_read_once_though_it_has_each_page_twice(tmp_path):
    write(tmp_path, {"doc/p1.jpg": page_picture(), "doc/page/p1.xml": PAGE % "", "doc/alto/p1.xml": ALTO})
    write(
        tmp_path, {"doc/mets.xml": '<mets xmlns="http://www.loc.gov/METS/"/>', "doc/metadata.xml": "<trpDocMetadata/>"}
    )
    rows = read_rows(tmp_path)
    assert list(rows["source"]) == [f"{tmp_path}/doc/page/p1.xml:r1l1"]
    assert not problems(rows)


def test_a_page_file_without_lines_does_not_hide_one_that_has_them(tmp_path):
    blocks = (PAGE % "").replace("TextLine", "SeparatorRegion")
    write(tmp_path, {"p1.jpg": page_picture(), "a-blocks/p1.xml": blocks, "b-lines/p1.xml": PAGE % ""})
    assert list(read_rows(tmp_path)["source"]) == [f"{tmp_path}/b-lines/p1.xml:r1l1"]


@pytest.mark.parametrize("other", [PAGE % "", ALTO], ids=["PAGE", "ALTO"])
def test_a_page_file_without_texts_does_not_hide_one_that_has_them(tmp_path, other):
    layout = re.sub("<Unicode>.*?</Unicode>", "<Unicode/>", PAGE % "")
    write(tmp_path, {"p1.jpg": page_picture(), "a-layout/p1.xml": layout, "b-texts/p1.xml": other})
    rows = read_rows(tmp_path)
    assert len(rows) > 0
    assert set(rows["page"]) == {"p1.jpg"}
    assert all(source.startswith(f"{tmp_path}/b-texts/p1.xml:") for source in rows["source"])
    (tmp_path / "b-texts/p1.xml").unlink()
    assert list(read_rows(tmp_path)["source"]) == [f"{tmp_path}/a-layout/p1.xml:r1l1"]  # to be transcribed


def test_a_page_file_names_its_picture_as_windows_does(tmp_path):
    windows = (PAGE % "").replace("p1.jpg", "C:\\scans\\p1.jpg")
    write(tmp_path, {"p1.jpg": page_picture(), "p1.xml": windows})
    assert not problems(read_rows(tmp_path))


def test_alto_in_tenths_of_a_millimetre_needs_the_size_of_its_page(tmp_path):
    nowhere = ALTO.replace('<Page WIDTH="200" HEIGHT="100"', "<Page").replace(">pixel<", ">mm10<")
    write(tmp_path, {"p1.jpg": page_picture(), "p1.xml": nowhere})
    (reason,) = problems(read_rows(tmp_path)).values()
    assert "its unit is mm10, and a page has no WIDTH and HEIGHT" in reason


def test_pages_that_name_no_picture_are_named_each_of_them(tmp_path):
    nameless = ALTO.replace("<fileName>p1.jpg</fileName>", "")
    write(tmp_path, {"p1.xml": nameless, "p2.xml": nameless})
    assert len(problems(read_rows(tmp_path))) == 6


def test_points_as_they_were_written_before_2013_are_read(tmp_path):
    old = PAGE.replace('<Coords points="20,20 120,20 120,40 20,40"/>', "<Coords>%s</Coords>")
    points = "".join(f'<Point x="{x}" y="{y}"/>' for x, y in ((20, 20), (120, 20), (120, 40), (20, 40)))
    write(tmp_path, {"p1.jpg": page_picture(), "p1.xml": old % (points, "")})
    assert read_rows(tmp_path)["image"][0].outline == ((20, 20), (120, 20), (120, 40), (20, 40))


def test_broken_lines_and_broken_files_are_named_and_the_others_survive(tmp_path):
    lines = [
        ("over_the_edge", "-3,20 120,20 120,40 -3,40", "a little"),
        ("outside", "300,20 400,20 400,40 300,40", "far"),
        ("half_outside", "150,20 250,20 250,40 150,40", "half"),
        ("two_points", "20,20 120,20", "flat"),
        ("no_points", "", "none"),
        ("no_text", "20,20 120,20 120,40 20,40", ""),
    ]
    write(tmp_path, {"p1.jpg": page_picture(), "p1.xml": PAGE % "".join(PAGE_LINE.format(*line) for line in lines)})
    write(tmp_path, {"p2.xml": (PAGE % "").replace("p1.jpg", "p2.jpg"), "p3.xml": (PAGE % "")[:900], "p4.xml": ""})
    rows = read_rows(tmp_path)
    assert len(rows) == 7 + 1 + 2
    told = problems(rows)
    xml, page = f"{tmp_path}/p1.xml", f"{tmp_path}/p1.jpg"
    on_page = "is not on the page of 200 x 100 px"
    assert told.pop(f"{xml}:outside") == f"{page}: an outline from x 300 to 400, y 20 to 40 {on_page}"
    assert told.pop(f"{xml}:half_outside") == f"{page}: an outline from x 150 to 250, y 20 to 40 {on_page}"
    assert "has not at least 3 points: '20,20 120,20'" in told.pop(f"{xml}:two_points")
    assert "has not at least 3 points: ''" in told.pop(f"{xml}:no_points")
    assert told.pop(f"{tmp_path}/p2.xml:r1l1") == f"{tmp_path}/p2.jpg: no such file"
    assert told.pop(f"{tmp_path}/p3.xml").startswith(f"{tmp_path}/p3.xml: cannot be read as XML: ")
    assert told.pop(f"{tmp_path}/p4.xml").startswith(f"{tmp_path}/p4.xml: cannot be read as XML: ")
    assert not told
    assert rows.set_index("source")["text"][f"{xml}:no_text"] == ""


def test_xml_without_pages_is_no_data_set(tmp_path):
    write(tmp_path, {"notes.xml": "<notes/>"})
    with pytest.raises(ValueError, match="no PAGE or ALTO file"):
        read_rows(tmp_path)


# --------------------------------------------------------------------------------------------- the Hugging Face hub


@pytest.fixture
def hub_cache(tmp_path, monkeypatch):
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


def hub_table(path, lines, **columns):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = [{"bytes": png(), "path": None}] * lines
    pd.DataFrame({"image": image, "text": [f"{path.stem} {k}" for k in range(lines)]} | columns).to_parquet(path)


def test_a_data_set_of_the_hub_is_loaded_by_its_own_library_with_its_official_splits(tmp_path, hub_cache):
    for split, lines in (("train", 300), ("validation", 2), ("test", 3)):
        hub_table(tmp_path / f"iam/data/{split}.parquet", lines)
    rows = read_rows(f"hf:{tmp_path}/iam")
    assert rows["split"].value_counts().to_dict() == {"train": 300, "test": 3, "validation": 2}
    assert set(rows["image"]) == {png()}
    assert rows["text"][299] == "train 299"
    assert rows["source"][299] == f"hf:{tmp_path}/iam:train:300"


def test_what_is_wrong_with_a_data_set_of_the_hub_is_named(tmp_path, hub_cache):
    with pytest.raises(ValueError, match=r"data: hf:.*/nowhere cannot be loaded: FileNotFoundError: "):
        read_rows(f"hf:{tmp_path}/nowhere")
    with pytest.raises(ValueError, match=r"data: hf:not a name cannot be loaded: HFValidationError: "):
        read_rows("hf:not a name")
    (tmp_path / "labels").mkdir()
    hub_table(tmp_path / "dev/dev.parquet", 2)
    pd.DataFrame({"image": ["a.png"], "label": ["x"]}).to_parquet(tmp_path / "labels/train.parquet")
    with pytest.raises(ValueError, match=r"labels:train has no column text; its columns are \['image', 'label'\]"):
        read_rows(f"hf:{tmp_path}/labels")
    (tmp_path / "numbers").mkdir()
    pd.DataFrame({"image": [1], "text": ["x"]}).to_parquet(tmp_path / "numbers/train.parquet")
    with pytest.raises(ValueError, match=r"numbers:train has no pictures in its column image: "):
        read_rows(f"hf:{tmp_path}/numbers")
    (tmp_path / "cut").mkdir()
    (tmp_path / "cut/train.parquet").write_bytes((tmp_path / "dev/dev.parquet").read_bytes()[:-50])
    with pytest.raises(ValueError, match=r"data: hf:.*/cut cannot be loaded: "):
        read_rows(f"hf:{tmp_path}/cut")


# ------------------------------------------------------------------------------- pages as other programs leave them


@pytest.mark.parametrize(
    ("name", "xml", "picture"),
    [
        ("gone.pdf_page_1.jpg", "p1.xml", "p1.png"),  # by the stem of the XML
        ("p1.jpg", "p1.XML", "P1.JPG"),  # in capitals
        ("p1.tif", "p1.xml", "p1.jpg"),  # converted
        ("my%20p1.jpg", "p1.xml", "my p1.jpg"),
        ("p1.jpg", "alto/p1.xml", "images/p1.jpg"),
        ("C:\\scans\\p1.jpg", "page/p1.xml", "p1.jpg"),
        ("p1.jpg", "p1.xml", "images/p1.jpg"),
        ("", "p1.alto.xml", "p1.jpg"),
    ],
)
def test_the_picture_of_a_page_is_found_under_other_names(tmp_path, name, xml, picture):
    write(tmp_path, {xml: (PAGE % "").replace("p1.jpg", name), picture: page_picture(), "other/p2.jpg": jpeg()})
    (row,) = read_rows(tmp_path).itertuples()
    assert row.image.page == str(tmp_path / picture)
    assert row.page == picture


def test_a_folder_named_after_its_format_has_its_pictures_beside_it(tmp_path):
    write(tmp_path, {"alto/p1.xml": ALTO, "images/p1.jpg": page_picture()})
    assert not problems(read_rows(tmp_path / "alto"))


def test_text_that_only_words_or_plain_text_have_is_text(tmp_path):
    line = re.sub(r"<TextEquiv index=.*?</TextEquiv>", "", PAGE % "")
    words = line.replace("</Word>", "</Word><Word><TextEquiv><Unicode>Tom,</Unicode></TextEquiv></Word>")
    plain = re.sub("<Word.*?</Word>", "<TextEquiv><PlainText>Dear Tom</PlainText></TextEquiv>", line)
    write(tmp_path, {"a/p1.jpg": page_picture(), "a/p1.xml": words, "b/p1.jpg": page_picture(), "b/p1.xml": plain})
    assert list(read_rows(tmp_path)["text"]) == ["Dear Tom,", "Dear Tom"]


def test_lines_are_turned_to_run_to_the_right(tmp_path):
    """The same line, written from left to right, up the margin, and on its head."""
    line = np.full((20, 60), 220, np.uint8)
    line[8:12, 5:50] = 0  # a stroke
    line[2:8, 5:9] = 0  # with an ascender at its beginning
    page = np.full((100, 200), 220, np.uint8)
    page[10:30, 10:70] = line
    page[35:95, 10:30] = np.rot90(line)
    page[60:80, 100:160] = np.rot90(line, 2)
    file = io.BytesIO()
    Image.fromarray(page).save(file, "PNG")
    lines = [
        ("10,10 69,10 69,29 10,29", "10,22 69,22"),
        ("10,35 29,35 29,94 10,94", "22,94 22,35"),
        ("100,60 159,60 159,79 100,79", "159,67 100,67"),
    ]
    xml = "".join(f'<TextLine><Coords points="{box}"/><Baseline points="{base}"/></TextLine>' for box, base in lines)
    write(tmp_path, {"p1.png": file.getvalue(), "p1.xml": f'<PcGts><Page imageFilename="p1.png">{xml}</Page></PcGts>'})
    for row in read_rows(tmp_path).itertuples():
        assert np.array_equal(read_image(row.image), line), row.source


def test_a_line_without_an_outline_is_cut_out_around_its_baseline(tmp_path):
    bare = ALTO.replace('<Shape><Polygon POINTS="20 20 120 20 120 40 20 40"/></Shape>', "")
    bare = bare.replace('HPOS="20" VPOS="20" WIDTH="100" HEIGHT="20" BASELINE', "BASELINE", 1)
    write(tmp_path, {"p1.jpg": page_picture(), "p1.xml": bare})
    rows = read_rows(tmp_path)
    assert not problems(rows)
    pixels = read_image(rows["image"][0])
    assert (pixels == 0).sum() >= 700  # of the 800 px of ink, which are 25 to 35 high, on a baseline at 36


def test_the_types_of_lines_are_those_of_page_and_alto(tmp_path):
    page = (PAGE % "").replace(
        'id="r1l1" custom="', 'id="r1l1" production="typewritten" custom="structure {type:note;} '
    )
    alto = ALTO.replace('<TextLine ID="words"', '<TextLine ID="words" TAGREFS="T1"').replace(
        "<Layout>", '<Tags><OtherTag ID="T1" LABEL="print"/></Tags><Layout>'
    )
    write(tmp_path, {"a/p1.jpg": page_picture(), "a/p1.xml": page, "b/p1.jpg": page_picture(), "b/p1.xml": alto})
    assert list(read_rows(tmp_path)["line_type"]) == ["note,typewritten", "", "print", ""]


def test_a_folder_for_each_hand_keeps_hands_out_of_two_splits(tmp_path, caplog):
    for hand in "abcd":
        for number in range(3):
            write(tmp_path, {f"{hand}/{number}.jpg": page_picture(), f"{hand}/{number}.xml": PAGE % ""})
            page = tmp_path / f"{hand}/{number}.xml"
            page.write_text(page.read_text().replace("p1.jpg", f"{number}.jpg"))
    rows = read_data_set(tmp_path)
    assert set(rows["writer"]) == set("abcd")
    assert rows.groupby("writer")["split"].nunique().max() == 1


def test_hands_that_are_in_two_splits_are_named(tmp_path, caplog):
    for name in ("train/anna/p1/1", "train/anna/p2/1", "train/bert/p1/1", "train/bert/p2/1", "test/anna/p3/1"):
        write(tmp_path, {f"{name}.png": png(len(name)), f"{name}.gt.txt": name})
    for name in ("validation/cleo/p1/1", "validation/cleo/p2/1"):
        write(tmp_path, {f"{name}.png": png(), f"{name}.gt.txt": "x"})
    read_data_set(tmp_path)
    assert "1 writers are in two splits" in caplog.text
    assert "anna (train, test)" in caplog.text


# ------------------------------------------------------------------------------------------- pictures without texts


def test_every_picture_and_every_page_of_one_is_a_row_whatever_its_name(tmp_path, caplog):
    pages = io.BytesIO()
    shades = [Image.new("L", (40, 20), shade) for shade in (0, 100, 200)]
    shades[0].save(pages, "TIFF", save_all=True, append_images=shades[1:])
    moving = io.BytesIO()
    shades[0].save(moving, "GIF", save_all=True, append_images=shades[1:])
    write(tmp_path, {"a.png": png(), "noext": png(1), "b.tif": pages.getvalue(), "c.gif": moving.getvalue()})
    write(tmp_path, {"notes.docx": b"PK\3\4", "list.txt": "no picture", "d.HEIC": jpeg()})
    rows = list(stream_rows(tmp_path, labelled=False))
    names = [row.source.removeprefix(f"{tmp_path}/") for row in rows]
    assert names == ["a.png", "b.tif:1", "b.tif:2", "b.tif:3", "c.gif:1", "c.gif:2", "c.gif:3", "d.HEIC", "noext"]
    assert [int(np.median(read_row(row))) for row in rows[1:4]] == [0, 100, 200]
    assert f"2 files are no pictures that can be read and are passed over: {tmp_path}/list.txt" in caplog.text


def test_pictures_beside_pages_are_read_too_and_where_texts_are_needed_they_are_counted(tmp_path, caplog):
    write(tmp_path, {"p1.jpg": page_picture(), "p1.xml": PAGE % "", "line.png": png()})
    sources = [row.source for row in stream_rows(tmp_path, labelled=False)]
    assert sources == [f"{tmp_path}/p1.xml:r1l1", f"{tmp_path}/line.png"]
    assert not caplog.text
    assert len(read_rows(tmp_path)) == 1
    assert f"1 files have no PAGE or ALTO file and are passed over: {tmp_path}/line.png" in caplog.text


def test_one_picture_is_a_data_set_where_no_texts_are_needed(tmp_path):
    write(tmp_path, {"a, b*.png": png()})
    assert [row.image for row in stream_rows(tmp_path / "a, b*.png", labelled=False)] == [f"{tmp_path}/a, b*.png"]
