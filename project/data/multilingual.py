"""Lines that people write in French, German, Spanish, Italian and English: prose from text files, and what letters,
forms and accounts hold: names, addresses, dates, sums, marks.
"""

import re
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from faker import Faker

from project.data.folders import read_text
from project.data.rows import SPLITS
from project.errors import InputError
from project.recognition.charset import normalize

LETTERS = "ÀÁÂÄÆÇÈÉÊËÌÍÎÏÑÒÓÔÖŒÙÚÛÜŸßàáâäæçèéêëìíîïñòóôöœùúûüÿ"  # of the five languages, beside A to Z
MARKS = "¡¿«»‘’“”„–—…§°£€½"  # that people write, beside those of ASCII  # noqa: RUF001
LOCALES = ("fr_FR", "de_DE", "es_ES", "it_IT", "en_GB")
LONGEST = 72  # characters of a line
SHARES = {"test": 0.05, "validation": 0.05}  # of the paragraphs; the rest is of the training split
MONTHS = (
    "janvier février mars avril mai juin juillet août septembre octobre novembre décembre",
    "Januar Februar März April Mai Juni Juli August September Oktober November Dezember",
    "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre",
    "gennaio febbraio marzo aprile maggio giugno luglio agosto settembre ottobre novembre dicembre",
    "January February March April May June July August September October November December",
)  # in the order of `LOCALES`
# {{...}} is Faker's, %... a part of a date, ### a number
RECORDS = """{{name}}|{{name}}|{{last_name}}|{{company}}|{{job}}|{{city}}, le %d %B %Y|{{city}}, %d. %B %Y|{{city}}
{{street_address}}|{{street_address}}, {{postcode}} {{city}}|{{name}}, {{street_address}}|{{name}} - {{job}}|%d %B %Y
{{phone_number}}|%d/%m/%Y|%d.%m.%y|le %d %B|%B %d, %Y|%Y|###|###,## €|# fr. ## c.|### fr. ##|N° ###|§ ##|##°
£ ## #s #d|#½ m|### x ## = ####|Total : ###,##|{{last_name}} & {{last_name}}|M. {{last_name}}|Mme {{last_name}}"""
# a word, and the marks that stand before and after it
AROUND = """“{}” „{}“ «{}» ‘{}’ ({}) [{}] –{} —{} {}… {}? {}! {}; {}: ¿{}? ¡{}! §{} {}/ {}& {}+ {}= {}% {}* {}@
#{} 1°{}"""  # noqa: RUF001


def read_paragraphs(path: str | Path) -> dict[str, list[str]]:
    """Read the paragraphs, a line each, of a text file, or of each .txt file in a folder, by the files' stems.

    Raise InputError if there is no such file or folder, nothing in a file, or it is not UTF-8.
    """
    path = Path(path).expanduser()
    files = sorted(path.glob("*.txt")) if path.is_dir() else [path]
    if not files or not all(file.is_file() for file in files):
        raise InputError(f"texts: {path} is neither a text file nor a folder with .txt files")
    texts = {file.stem: [line for line in map(normalize, read_text(file).splitlines()) if line] for file in files}
    for name, paragraphs in texts.items():
        if not paragraphs:
            raise InputError(f"texts: the file {name!r} of {path} is empty")
    return texts


def paragraphs_of(split: str, paragraphs: Sequence[str]) -> list[str]:
    """Select the paragraphs of a split: a checksum gives each to one, whatever else is in the file."""
    return [one for one in paragraphs if split_of(one) == split]


def split_of(text: str) -> str:
    """Return the split that a text belongs to, by its checksum."""
    share = zlib.crc32(text.encode()) / 2**32
    if share < SHARES["test"]:
        return "test"
    return "validation" if share < SHARES["test"] + SHARES["validation"] else "train"


def sample_lines(split: str, count: int, texts: Sequence[Sequence[str]], seed: int) -> list[str]:
    """Draw `count` lines of at most `LONGEST` characters, three quarters of them prose, evenly from `texts`.

    texts: the paragraphs of each text file (see `read_paragraphs`). InputError if none of them is of the split.
    """
    rng = np.random.default_rng([seed, SPLITS.index(split)])
    own = [mine for paragraphs in texts if (mine := paragraphs_of(split, paragraphs))]
    if not own and count:
        raise InputError(f"texts: too few paragraphs for a split {split!r}: {sum(map(len, texts))} in all")
    fakers = [Faker(locale) for locale in LOCALES]
    for faker in fakers:
        faker.seed_instance(int(rng.integers(2**32)))
    lines: list[str] = []
    while len(lines) < count:
        kind = rng.random()
        line = prose(own[rng.integers(len(own))], rng)
        if kind < 0.18:
            line = record(fakers, rng)
        elif kind < 0.25:
            line = " ".join(with_mark(word, rng) for word in line.split()[:4])
        line = normalize(typeset(line, rng)[:LONGEST])
        if line:
            lines.append(line)
    return lines


def prose(paragraphs: Sequence[str], rng: np.random.Generator) -> str:
    """Cut consecutive words out of a paragraph; a few lines are short, and a few in capitals."""
    words = paragraphs[int(rng.integers(len(paragraphs)))].split()
    start = int(rng.integers(len(words)))
    longest = int(rng.integers(2, 14)) if rng.random() < 0.15 else int(rng.integers(14, LONGEST))
    line = words[start]
    for word in words[start + 1 :]:
        if len(line) + 1 + len(word) > longest:
            break
        line += " " + word
    return line.upper() if rng.random() < 0.07 else line


def record(fakers: Sequence[Faker], rng: np.random.Generator) -> str:
    """Fill in one of `RECORDS`, in one of the languages of `LOCALES`."""
    language = int(rng.integers(len(LOCALES)))
    day, month, year = int(rng.integers(1, 32)), int(rng.integers(1, 13)), int(rng.integers(1650, 2030))
    parts = {"%d": f"{day}", "%m": f"{month:02}", "%Y": f"{year}", "%y": f"{year % 100:02}"}
    form = str(rng.choice(re.split(r"[|\n]", RECORDS)))
    for part, value in (parts | {"%B": MONTHS[language].split()[month - 1]}).items():
        form = form.replace(part, value)
    form = re.sub("#+", lambda run: str(rng.integers(10 ** len(run[0]) // 10, 10 ** len(run[0]))), form)
    return fakers[language].parse(form).replace("\n", ", ")


def with_mark(word: str, rng: np.random.Generator) -> str:
    """Put one of the marks `AROUND` a word."""
    return str(rng.choice(AROUND.split())).replace("{}", word)


def typeset(text: str, rng: np.random.Generator) -> str:
    """Vary quotation marks, apostrophes, dashes and ellipses, which print sets in one way and people in many."""
    opening, closing = [('"', '"'), ("“", "”"), ("« ", " »"), ("„", "“"), ("‘", "’")][rng.integers(5)]  # noqa: RUF001
    text = re.sub(r"«\s*|“|(?<!\S)\"", opening, text)
    text = re.sub(r"\s*»|”|(?<=\S)\"", closing, text)
    apostrophe = "’" if rng.random() < 0.25 else "'"
    dash = [("—", "—"), ("—", "–"), ("[—–]", "-")][rng.choice(3, p=[0.4, 0.2, 0.4])]  # noqa: RUF001
    text = re.sub(r"(?<=\w)['’](?=\w)", apostrophe, text)
    text = re.sub(*dash, text)
    return text.replace("...", "…") if rng.random() < 0.5 else text.replace("…", "...")
