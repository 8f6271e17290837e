"""CSV and TSV as people save them."""

import io
import logging

import pytest

from project.data.delimited import read_records


def records(content, suffix=".csv", encoding="utf-8"):
    """The rows of a table, without its header."""
    content = content if isinstance(content, bytes) else content.encode(encoding)
    return list(read_records(io.BytesIO(content), suffix, "lines"))[1:]


def test_a_quotation_mark_that_is_not_closed_is_text_and_swallows_no_row(caplog):
    written = 'image,text\na.png,"Yes he said\nb.png,no\nc.png,the end"\nd.png,x\n'
    assert [text for _, text in records(written)] == ['"Yes he said', "no", 'the end"', "x"]
    assert "are read as text, in 2 rows" not in caplog.text  # one opens a cell, the other is within one
    assert "are read as text, in 1 rows" in caplog.text


def test_text_after_a_closing_quotation_mark_is_text():
    assert records('image,text\na.png,"Yes" he said\n') == [["a.png", '"Yes" he said']]
    assert records('"image","text"\n"a.png","he "said, yes" so"\n') == [["a.png", 'he "said, yes" so']]


def test_a_cell_may_go_on_over_lines_if_they_are_no_rows():
    written = 'image,text\na.png,"Dear Tom,\nhow are you, he said"\nb.png,"two\n\nlines"\n'
    assert records(written) == [["a.png", "Dear Tom,\nhow are you, he said"], ["b.png", "two\nlines"]]


@pytest.mark.parametrize("line", ['"Yes, he said', "Dear Tom, yes"])
def test_a_row_that_cannot_be_told_apart_is_named_by_its_number(line):
    with pytest.raises(ValueError, match=r"row 2 has .*; a text with a \",\" or a quotation mark in it needs quotes"):
        records(f"image,text\na.png,x\nb.png,{line}\nc.png,z\n")


def test_what_is_missing_at_the_end_of_a_row_is_empty_and_empty_lines_are_no_rows():
    assert records("image,text,writer\n\na.png,x\n\n\nb.png\n") == [["a.png", "x", ""], ["b.png", "", ""]]


@pytest.mark.parametrize("head", ["image;text", "sep=;\nimage;text", "text;image;writer"])
def test_semicolons_are_told_by_the_header(head):
    (row,) = records(f"{head}\na;b,c\n")
    assert row[:2] == ["a", "b,c"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252"])
def test_the_encodings_of_spreadsheets_are_read(encoding):
    assert records("image,text\na.png,un été à Orléans… “déjà”\n", encoding=encoding) == [
        ["a.png", "un été à Orléans… “déjà”"]
    ]


@pytest.mark.parametrize("encoding", ["mac_roman", "cp437"])
def test_an_encoding_that_is_not_plain_is_refused_with_what_to_do(encoding):
    with pytest.raises(ValueError, match="neither UTF-8 nor plainly Windows-1252; save it as CSV UTF-8"):
        records("image,text\na.png,un été à Orléans\n", encoding=encoding)


def test_windows_1252_is_read_with_a_warning(caplog):
    with caplog.at_level(logging.WARNING):
        records("image,text\na.png,été\n", encoding="cp1252")
    assert "lines: not UTF-8; read as Windows-1252" in caplog.text


def test_excel_s_unicode_text_is_separated_by_tabs():
    assert records('image\ttext\na.png\t"oui"\n', encoding="utf-16") == [["a.png", "oui"]]
