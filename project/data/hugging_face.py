"""Data sets of the Hugging Face hub, by name, through its own library: downloaded once, kept in its cache."""

from collections.abc import Iterator

from project.data.rows import Row
from project.data.tables import BATCH_ROWS, COLUMNS, Table, check_columns, rows_of
from project.errors import InputError


def read_hub(name: str, labelled: bool = True) -> Iterator[Row]:
    """Yield the rows of all splits of a data set such as `Teklia/IAM-line`, or of a folder with the same layout.

    Where they need not be `labelled`, it may have no column `text`. Raise InputError if it cannot be loaded, or its
    columns or splits are not those of a data set.
    """
    import datasets  # takes a second, and no other format needs it

    try:
        loaded = datasets.load_dataset(name)
    except Exception as error:  # of the hub, the network, the file format
        raise InputError(f"data: hf:{name} cannot be loaded: {type(error).__name__}: {error}") from error
    for split, lines in loaded.items():
        table = Table(None, "", f"hf:{name}:{split}", split, ("image", "text") if labelled else ("image",))
        check_columns(lines.column_names, table)
        lines = lines.select_columns(
            [column for column in COLUMNS if column in lines.column_names and column != "split"]
        )
        try:
            lines = lines.cast_column("image", datasets.Image(decode=False))
        except Exception as error:  # of Arrow, NumPy, the library itself
            raise InputError(f"data: {table.name} has no pictures in its column image: {error}") from error
        for start in range(0, len(lines), BATCH_ROWS):
            yield from rows_of(lines[start : start + BATCH_ROWS], table, start)
