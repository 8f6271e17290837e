"""Entry point `convert`: any data set as `train.parquet`, `validation.parquet`, `test.parquet` and a data card."""

import io
import json
from collections.abc import Iterable
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import click
import mlflow
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image
from tqdm import tqdm

from project import cli
from project.atomic import check_outside, replaced
from project.data import sources
from project.data.rows import SPLITS, Row, batched
from project.data.splits import assign_splits, find_leaks, fingerprint
from project.data.tables import schema
from project.errors import InputError
from project.recognition.image import Region, read_image
from project.recognition.line_image import MIN_SIDE

COLUMNS = ("text", "writer", "page")  # the split is the name of the file
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
- Characters that only validation and test have, so that no training can teach them: {unseen}
"""


def convert(data: str, output: Path, seed: int) -> dict[str, int]:
    """Write a data set (see `dataset`) to the folder `output`, whole or not at all.

    The files of pictures are kept as they are; regions of pages become PNG files. Only the pictures of `ROW_GROUP`
    lines are in memory, but of every line its text and a fingerprint.
    Returns the numbers of lines a split, of `rejected` rows and of `leaks`. ValueError if `output` is there already or
    in the folder that is read, or no row can be used.
    """
    check_outside(data, "output", output)
    if output.exists():
        raise InputError(f"output: {output} is there already; it is never overwritten")
    with replaced(output) as folder:
        folder.mkdir()
        unsplit = folder / "rows.parquet"
        kept, rejected = write_usable(sources.stream_rows(data), unsplit)
        if not len(kept):
            example = f", the first because: {rejected['reason'][0]}" if len(rejected) else ""
            raise InputError(f"data: none of the {len(rejected)} rows of {data} can be used{example}")
        rows, origins = assign_splits(kept, kept["picture"], data, seed)
        leaks = find_leaks(rows, rows["picture"])
        write_splits(unsplit, rows["split"], folder)
        unsplit.unlink()
        rejected.to_csv(folder / "rejected_rows.csv", index=False)
        leaks.to_csv(folder / "leaks.csv", index=False)
        seen, wanted = (set().union(*rows.loc[chosen, "text"]) for chosen in (rows["split"] == "train", slice(None)))
        card = CARD.format(
            name=output.name, quoted_name=json.dumps(output.name, ensure_ascii=False),
            data=data, seed=seed, day=datetime.now(UTC).date(), splits=split_table(rows, origins),
            rejected=len(rejected), rows=len(rejected) + len(rows), leaks=len(leaks),
            unseen=" ".join(sorted(wanted - seen)) or "none",
        )  # fmt: skip
        (folder / "README.md").write_text(card, "utf-8")
    counts = {split: int((rows["split"] == split).sum()) for split in SPLITS}
    return counts | {"rejected": len(rejected), "leaks": len(leaks)}


def write_usable(rows: Iterable[Row], path: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Write the rows that have a picture and a text. Returns them, with a fingerprint `picture` in place of the image,
    and a table `source`, `text`, `reason` of the others."""
    kept, rejected = [], []
    rows = tqdm(rows, desc="reading", unit=" lines", mininterval=1)
    with pq.ParquetWriter(path, schema(COLUMNS)) as writer:
        for chunk in batched(rows, ROW_GROUP):
            group = []
            for row in chunk:
                try:
                    image = {"bytes": picture_file(row), "path": None}
                except ValueError as error:
                    rejected.append((row.source, row.text, str(error)))
                    continue
                group.append({"image": image, **{name: getattr(row, name) for name in COLUMNS}})
                kept.append(row._replace(image=fingerprint(row.image)))
            writer.write_table(pa.Table.from_pylist(group, writer.schema))
    table = pd.DataFrame(kept, columns=Row._fields).rename(columns={"image": "picture"})
    return table, pd.DataFrame(rejected, columns=["source", "text", "reason"])


def picture_file(row: Row) -> bytes:
    """The file of a row's picture. ValueError says why the row cannot be used."""
    pixels = read_image(row.image)  # to the end: a file that is cut short is told now
    if min(pixels.shape) < MIN_SIDE:
        raise InputError(
            f"a picture of {pixels.shape[1]} x {pixels.shape[0]} px; a line has at least {MIN_SIDE} each way"
        )
    if not row.text:
        raise InputError("the text is empty")
    if isinstance(row.image, Region):
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "PNG")
        return file.getvalue()
    return row.image if isinstance(row.image, bytes) else Path(row.image).read_bytes()


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
    """The splits in Markdown: what is in them and how they came about."""
    lines = ["| split | lines | writers | pages | characters | how it came about |", "|---|---|---|---|---|---|"]
    for split in SPLITS:
        chosen = rows[rows["split"] == split]
        writers, pages = (chosen.loc[chosen[name] != "", name].nunique() or "not named" for name in ("writer", "page"))
        characters = chosen["text"].str.len().sum()
        lines.append(f"| {split} | {len(chosen)} | {writers} | {pages} | {characters} | {origins[split]} |")
    return "\n".join(lines)


@click.command()
@click.option("--data", type=cli.Data(), required=True, help="A data set in any form that project/dataset knows.")
@click.option("--output", required=True, type=cli.FullPath(), help="A folder that is not there yet.")
@click.option("--seed", required=True, type=click.IntRange(0), help="Of the splits that are held out.")
def main(data: str, output: str, seed: int) -> None:
    counts = convert(data, Path(output), seed)
    mlflow.log_metrics(counts)
    for name in ("README.md", "rejected_rows.csv", "leaks.csv"):
        mlflow.log_artifact(str(Path(output, name)))
    print(Path(output, "README.md").read_text("utf-8"))
    print(json.dumps(counts))


if __name__ == "__main__":
    cli.run("convert", main)
