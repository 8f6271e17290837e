"""English that is worth writing by hand: prose, and the records of letters, forms and accounts.

No text is in two splits: each split has its own works of `prose.txt`, and each text belongs to one split.
"""

import functools
import re
import string
import zlib
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
from faker import Faker

from project.data.rows import SPLITS
from project.errors import InputError

PROSE = Path(__file__).with_name("prose.txt")
MAX_LENGTH = 60  # characters of a line

# What letters, forms and accounts hold: {{...}} is Faker's, %... is strftime's, ### a number, ^ a capital.
RECORDS = """{{name}}|{{name}}|{{name}}|{{first_name}}|{{last_name}}|{{last_name}}, {{first_name}}|{{word}}
{{first_name}} & {{first_name}} {{last_name}}|{{company}}|{{job}}|{{city}}|{{country}}|{{street_address}}
{{city}}, {{state_abbr}} {{postcode}}|{{street_address}}, {{city}}|{{phone_number}}|Tel. ### ####|{{word}}
%d/%m/%Y|%m/%d/%y|%Y-%m-%d|%d.%m.%Y|%B %d, %Y|%d %b %Y|%A, %d %B|%a %d %b '%y|%H:%M|%H:%M:%S|%I:%M %p
{{pricetag}}|{{pricetag}}|Total: {{pricetag}}|EUR #,###.##|GBP ##.##|-#.##|+###|##.#%%|##%%|#|##|###|####
{{email}}|{{user_name}}|www.{{domain_name}}|No. ####|Ref: ^^#-###/##|^^-####|^^^ ###|#,###,###
Dear {{first_name}},|Yours sincerely, {{name}}|Paid {{name}} {{pricetag}}|From {{company}}: {{pricetag}}
Meet {{first_name}} at %H:%M, %A|## x {{word}} @ $#.## each|Total {{pricetag}} (incl. #%% tax)|Page # of ##
{{first_name}} ^. {{last_name}}|^. ^. {{last_name}}|Flight ^^###|Room ^##, %A %H:%M
{{name}}, born %d %B %Y|{{city}}, %B %d, %Y|Call {{name}}, ###-####!|{{last_name}} v. {{last_name}} (%Y)
Who is {{name}}?|To: {{email}}|{{word}} {{word}} {{word}}|{{word}} {{word}} {{word}} {{word}}"""
# About a word or a number, so that the rarest characters are seen as well.
MARKS = """({}) [{}] {{{}}} <{}> "{}" '{}' `{}` *{}* _{}_ ~{} #{} @{} ${} ^{} \\{} /{} {}% {}! {}? {}; {}:
{}, {}. {}- +{} ={} &{} |{} {}= {}+ {}^ {}| {}\\ {}/ {}_ {}~ {}[ {}] {}{{ {}}} {}< {}>
{}` {}# {}& {}* J.{} Q.{} X.{} Z.{}"""


def line_texts(split: str, count: int, seed: int) -> list[str]:
    """Return `count` different texts of printable ASCII, at most 60 characters, about two thirds of them prose.

    No text is in two splits, whatever the counts and seeds.
    Raise InputError that names an unknown split or a negative count.
    """
    if split not in SPLITS:
        raise InputError(f"unknown split {split!r}; there are {', '.join(SPLITS)}")
    if count < 0:
        raise InputError(f"a split has 0 lines or more; {split!r} was to have {count}")
    rng = np.random.default_rng([seed, SPLITS.index(split)])
    faker = Faker("en_US")
    faker.seed_instance(int(rng.integers(2**32)))
    works, marks = works_of(split), shuffled_marks(rng)
    texts: dict[str, None] = {}  # a set that keeps its order
    while len(texts) < count:
        kind = rng.random()
        if kind < 0.65:
            write = functools.partial(prose_line, works, rng)
        elif kind < 0.9:
            write = functools.partial(record, faker, rng)
        else:
            write = functools.partial(marked_line, faker, [next(marks) for _ in range(rng.integers(1, 5))], rng)
        texts[next(text for text in iter(write, None) if belongs(text, split))] = None
    return list(texts)


def belongs(text: str, split: str) -> bool:
    """Return whether `text` is a line of `split`. A checksum gives each text, in capitals or not, to one split."""
    percent = zlib.crc32(text.casefold().encode()) % 100
    home = "test" if percent < 15 else "validation" if percent < 30 else "train"
    return len(text) <= MAX_LENGTH and text.isascii() and home == split


@functools.cache
def works_of(split: str) -> list[list[str]]:
    """Return the words of each work that `prose.txt` gives to the split."""
    sections = (section.split("\n", 1) for section in PROSE.read_text(encoding="ascii").split("\n# ")[1:])
    return [body.split() for heading, body in sections if f"[{split}]" in heading]


def prose_line(works: list[list[str]], rng: np.random.Generator) -> str:
    """Return consecutive words of one work; many lines are short, because CTC learns from those first."""
    sizes = np.array([len(work) for work in works])
    words = works[rng.choice(len(works), p=sizes / sizes.sum())]
    start = int(rng.integers(len(words)))
    max_length = 1 if rng.random() < 0.12 else int(rng.integers(14, MAX_LENGTH + 1))
    line = words[start]
    for word in words[start + 1 :]:
        if len(line) + 1 + len(word) > max_length:
            break
        line += " " + word
    return line.upper() if rng.random() < 0.05 else line


def record(faker: Faker, rng: np.random.Generator) -> str:
    """Fill in one of `RECORDS`."""
    moment = datetime(1900, 1, 1) + timedelta(seconds=int(rng.integers(4_000_000_000)))
    text = faker.parse(moment.strftime(str(rng.choice(re.split(r"[|\n]", RECORDS)))))
    text = re.sub(r"\^", lambda _: chr(rng.integers(ord("A"), ord("Z") + 1)), text)
    return re.sub("#+", lambda run: str(rng.integers(10 ** len(run[0]) // 10, 10 ** len(run[0]))), text)


def shuffled_marks(rng: np.random.Generator) -> Iterator[str]:
    """Yield `MARKS` without end, dealt from a shuffled pack: no mark is rare by chance."""
    while True:
        yield from rng.permutation(MARKS.split()).tolist()


def marked_line(faker: Faker, marks: list[str], rng: np.random.Generator) -> str:
    """Return words, numbers and letters, each with one of `marks`."""
    codes = ("".join(rng.choice(list(string.ascii_uppercase), 3)) for _ in marks)
    words = [rng.choice([faker.word(), str(rng.integers(1000)), code], p=[0.45, 0.25, 0.3]) for code in codes]
    return " ".join(mark.format(word) for mark, word in zip(marks, words, strict=True))
