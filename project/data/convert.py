"""Any data set -> `train.parquet`, `validation.parquet`, `test.parquet` and a data card."""

import io
import json
from collections import Counter
from collections.abc import Iterable
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image
from tqdm import tqdm

from project.atomic import check_outside, replaced
from project.data import sources
from project.data.rows import SPLITS, Row, batched, of_split, read_row
from project.data.rules import Rules
from project.data.splits import assign_splits, find_leaks, fingerprint, shared_writers
from project.data.tables import schema
from project.errors import InputError
from project.recognition.line_image import MIN_SIDE, normalize_with_placement

COLUMNS = ("text", "writer", "page")  # the split is the name of the file
CROPS = ("scaled", "lossless")  # how lines that are cut out of pages are written
LINE_HEIGHT = 80  # px of a line image for which a scaled crop is large enough: twice what the base model reads
QUALITY = 80  # of WebP, of 100: the base model reads as well as from PNG
ROW_GROUP = 256  # lines that are in memory with their pictures, here and in who reads the tables
CARD = """---
pretty_name: {quoted_name}
task_categories: [image-to-text]
---
# {name}

Lines of handwriting with their transcriptions, made on {day} from `{data}` (seed {seed}).

{splits}

- `rejected_rows.csv`: {rejected} of {rows} rows were left out: no picture that can be read, or no text.
- `leaks.csv`: {leaks} rows have the same picture, or the same text by the same writer, in another split.
- Writers in two splits, so that hands which are measured were trained on: {shared}
- Characters that only validation and test have, so that no training can teach them: {unseen}
- Invisible characters (zero width, soft hyphens, direction marks, controls) were removed from {invisible} texts.
- Editorial marks (`marks={marks}`): {found_marks}
- Types of lines (`left_out_types={left_out_types}`): {found_types}
- Whose hand a line is, where the data does not say it: `writer={writer}`. Lines cut out of pages: `crops={crops}`.
"""


def convert(data: str, output: Path, seed: int, rules: Rules | None = None, crops: str = "scaled") -> dict[str, float]:
    """Write a data set (see `sources`) to the folder `output`, whole or not at all.

    The files of pictures are kept as they are; regions of pages become pictures of their own, as one of `CROPS`. Only
    the pictures of `ROW_GROUP` lines are in memory, but of every line its text and a fingerprint.
    Returns the numbers of lines a split, of `rejected` rows and of `leaks`. Raise InputError if `output` is there
    already or in the folder that is read, or no row can be used.
    """
    rules, counts = rules or Rules(), Counter[str]()
    check_outside(data, "output", output)
    if output.exists():
        raise InputError(f"output: {output} is there already; it is never overwritten")
    with replaced(output) as folder:
        folder.mkdir()
        unsplit = folder / "rows.parquet"
        streamed = sources.stream_rows(data, rules=rules, counts=counts)
        kept, rejected = write_usable(streamed, unsplit, crops)
        if not len(kept):
            example = f", the first because: {rejected['reason'][0]}" if len(rejected) else ""
            raise InputError(f"data: none of the {len(rejected)} rows of {data} can be used{example}")
        rows, origins = assign_splits(kept, data, seed)
        leaks = find_leaks(rows)
        write_splits(unsplit, rows["split"], folder)
        unsplit.unlink()
        rejected.to_csv(folder / "rejected_rows.csv", index=False)
        leaks.to_csv(folder / "leaks.csv", index=False)
        card = CARD.format(
            name=output.name, quoted_name=json.dumps(output.name, ensure_ascii=False),
            data=data, seed=seed, day=datetime.now(UTC).date(), splits=split_table(rows, origins),
            rejected=len(rejected), rows=len(rejected) + len(rows), leaks=len(leaks), unseen=unseen_characters(rows),
            shared=in_words(dict(shared_writers(rows))), invisible=counts["invisible characters"],
            marks=rules.marks, found_marks=counted(counts, "mark: "),
            left_out_types=",".join(sorted(rules.left_out_types)), found_types=counted(counts, "type: "),
            writer=rules.writer, crops=crops,
        )  # fmt: skip
        (folder / "README.md").write_text(card, "utf-8")
    sizes: dict[str, float] = {split: len(of_split(rows, split)) for split in SPLITS}
    return sizes | {"rejected": len(rejected), "leaks": len(leaks)}


def write_usable(rows: Iterable[Row], path: Path, crops: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Write the rows that have a picture and a text.

    Returns them, with a `fingerprint` in place of the image, and a table `source`, `text`, `reason` of the others.
    """
    kept, rejected = [], []
    rows = tqdm(rows, desc="reading", unit=" lines", mininterval=1)
    with pq.ParquetWriter(path, schema(COLUMNS)) as writer:
        for chunk in batched(rows, ROW_GROUP):
            group = []
            for row in chunk:
                try:
                    image = {"bytes": picture_file(row, crops), "path": None}
                except InputError as error:
                    rejected.append((row.source, row.text, str(error)))
                    continue
                group.append({"image": image, **{name: getattr(row, name) for name in COLUMNS}})
                kept.append(row._replace(image=fingerprint(row.image)))
            writer.write_table(pa.Table.from_pylist(group, writer.schema))
    table = pd.DataFrame(kept, columns=sources.COLUMNS)
    return table, pd.DataFrame(rejected, columns=["source", "text", "reason"])


def picture_file(row: Row, crops: str) -> bytes:
    """Return the file of a row's picture. Raise InputError that says why the row cannot be used."""
    pixels = read_row(row)  # to the end: a file that is cut short shows now
    if min(pixels.shape) < MIN_SIDE:
        raise InputError(
            f"a picture of {pixels.shape[1]} x {pixels.shape[0]} px; a line has at least {MIN_SIDE} each way"
        )
    if not row.text:
        raise InputError("the text is empty")
    if isinstance(row.image, bytes):
        return row.image
    if isinstance(row.image, str):
        return Path(row.image).read_bytes()
    return encode_crop(pixels, crops)


def encode_crop(pixels: np.ndarray, crops: str) -> bytes:
    """Return the file of a line that was cut out of a page: PNG, or WebP of no more px than can be read."""
    file, picture = io.BytesIO(), Image.fromarray(pixels)
    if crops == "lossless":
        picture.save(file, "PNG")
        return file.getvalue()
    _, placement = normalize_with_placement(pixels, LINE_HEIGHT)
    scale = max(placement.scale, pixels.shape[1] / 16383)  # px for one that is read; WebP has at most 16383
    smaller = [max(MIN_SIDE, round(side / scale)) for side in picture.size]
    if scale > 1:
        picture = picture.resize((smaller[0], smaller[1]), Image.Resampling.LANCZOS)
    picture.save(file, "WEBP", quality=QUALITY)
    return file.getvalue()


def write_splits(path: Path, splits: pd.Series, folder: Path) -> None:
    """Deal the rows of one table out to a table for each split, in their order."""
    with pq.ParquetFile(path) as file, ExitStack() as stack:
        tables = [folder / f"{split}.parquet" for split in SPLITS]
        writers = [stack.enter_context(pq.ParquetWriter(table, file.schema_arrow)) for table in tables]
        waiting = [file.schema_arrow.empty_table() for _ in SPLITS]
        batches = (pa.Table.from_batches([batch]) for batch in file.iter_batches(ROW_GROUP))
        for batch in tqdm(batches, total=-(-len(splits) // ROW_GROUP), desc="writing", leave=False, mininterval=1):
            names, splits = splits[: len(batch)], splits[len(batch) :]
            for index, split in enumerate(SPLITS):
                waiting[index] = pa.concat_tables([waiting[index], batch.filter(pa.array(names == split))])
                if len(waiting[index]) >= ROW_GROUP:
                    writers[index].write_table(waiting[index])
                    waiting[index] = waiting[index][:0]
        for writer, rest in zip(writers, waiting, strict=True):
            writer.write_table(rest)


def split_table(rows: pd.DataFrame, origins: dict[str, str]) -> str:
    """Return the splits in Markdown: what is in them and how they came about."""
    lines = ["| split | lines | writers | pages | characters | how it came about |", "|---|---|---|---|---|---|"]
    for split in SPLITS:
        chosen = of_split(rows, split)
        writers, pages = (chosen.loc[chosen[name] != "", name].nunique() or "not named" for name in ("writer", "page"))
        characters = chosen["text"].str.len().sum()
        lines.append(f"| {split} | {len(chosen)} | {writers} | {pages} | {characters} | {origins[split]} |")
    return "\n".join(lines)


def unseen_characters(rows: pd.DataFrame) -> str:
    """Return the characters that occur, but not in training."""
    everywhere, trained = (set().union(*texts) for texts in (rows["text"], of_split(rows, "train")["text"]))
    return " ".join(sorted(everywhere - trained)) or "none"


def counted(counts: Counter, kind: str) -> str:
    """Return how many rows have each of the things of a kind."""
    return in_words({what.removeprefix(kind): count for what, count in counts.most_common() if what.startswith(kind)})


def in_words(table: dict) -> str:
    """Return names and what belongs to them in one line."""
    return "; ".join(f"{name}: {value}" for name, value in table.items()) or "none"
