"""The IAM handwriting database as its owners ship it (Marti and Bunke 2002, "The IAM-database").

    ascii/lines.txt   (or lines.txt)   a01-000u-00 ok 154 19 408 746 1663 91 A|MOVE|to|stop|Mr.|Gaitskell|from
    ascii/forms.txt   (or forms.txt)   a01-000u 000 2 prt 7 5 52 36
    lines/a01/a01-000u/a01-000u-00.png
    splits/train.uttlist, validation.uttlist, test.uttlist

Words and marks are separated by spaces, as in most of the literature: "said , that". Lines whose segmentation into
words failed ("err") are lines like others, as the database's own notes say. Split lists are files beside these or in
`splits`, one form or line a row: the names above, the owners' own (trainset.txt, validationset1.txt,
validationset2.txt, testset.txt), or tr.lst, va.lst, te.lst. What no list names is left out.
"""

import logging
import re
from collections.abc import Iterator
from pathlib import Path

from project.data.rows import SPLITS, Row
from project.errors import InputError

LIST = re.compile(r"(tr|va|te)(?:ain|l|lid|lidation|st)?(?:set)?\d?\.(?:uttlist|lst|txt)")

log = logging.getLogger(__name__)


def lines_file(folder: Path) -> Path | None:
    """Return the file of all lines, if this is the IAM database."""
    return next((path for path in (folder / "ascii/lines.txt", folder / "lines.txt") if path.is_file()), None)


def read_iam(folder: Path) -> Iterator[Row]:
    """Yield a row for each line of the lists, or each line at all where there are no lists.

    Raise InputError that names a row of `lines.txt`, of `forms.txt` or of a list that is not as described above.
    """
    file = lines_file(folder) or folder / "lines.txt"
    forms = file.with_name("forms.txt")
    writers = {}
    for number, fields in _records(forms):
        if len(fields) < 2:
            raise InputError(f"data: {forms}:{number} is not a form of the IAM database: {' '.join(fields)!r}")
        writers[fields[0]] = fields[1]
    lists, left_out = _lists(folder), 0
    for number, fields in _records(file, maxsplit=8):
        line, form = fields[0], fields[0].rpartition("-")[0]
        if len(fields) != 9 or not form:
            raise InputError(f"data: {file}:{number} is not a line of the IAM database: {' '.join(fields)!r}")
        split = lists.get(line, lists.get(form, ""))
        if lists and not split:
            left_out += 1
            continue
        picture = folder / "lines" / form.partition("-")[0] / form / f"{line}.png"
        text = fields[8].replace("|", " ")
        yield Row(str(picture), text, writers.get(form, ""), form, split, f"{file}:{number}")
    if left_out:
        log.warning("%d lines of %s are in no split list and left out", left_out, file)


def _records(file: Path, maxsplit: int = -1) -> Iterator[tuple[int, list[str]]]:
    """Yield the number and the fields of each row that is not a comment; none where there is no such file."""
    rows = file.read_text("utf-8-sig").splitlines() if file.is_file() else []
    for number, row in enumerate(rows, start=1):
        if row.strip() and not row.startswith("#"):
            yield number, row.split(maxsplit=maxsplit)


def _lists(folder: Path) -> dict[str, str]:
    """Return the split of each form or line that a list names. Raise InputError if two lists name the same."""
    splits: dict[str, str] = {}
    for path in sorted([*folder.glob("*"), *folder.glob("splits/*")]):
        if not (match := LIST.fullmatch(path.name)):
            continue
        split = next(split for split in SPLITS if split.startswith(match[1]))
        for number, (name, *_) in _records(path):
            if splits.setdefault(name, split) != split:
                raise InputError(f"data: {path}:{number} puts {name} into {split}, another list into {splits[name]}")
    return splits
