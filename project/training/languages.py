"""Texts -> the language models that a recogniser may read with: one, or one for each language."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from project.data.multilingual import read_paragraphs, typeset
from project.recognition.charset import Charset
from project.recognition.decoding import LanguageModel, LanguageModels
from project.recognition.lexicon import Lexicon
from project.recognition.ngram import NGram, highest_order
from project.recognition.recognizer import models_by_language

ORDERS = (3, 4, 5, 6)  # of the n-grams that are tried
GUESSING_ORDER = 4  # of the n-grams that tell the languages of transcriptions apart
REPEATED = 3  # times that a transcription counts beside prose, which is of another kind and far more
LEAST = 2  # times that a word occurs in prose, to be a word of the lexicon
UNWEIGHTED: dict = {"weight": 1.0, "bonus": 0.0}  # of a language model whose weights are still to be found
LINE = (20, 60)  # characters of the lines that prose is cut to, at least and at most

Language = LanguageModel | LanguageModels


def read_prose(path: str | Path) -> dict[str, list[str]]:
    """Read text files, a paragraph a line, as lines of handwriting would break them, by the files' names.

    path: a text file, or a folder of .txt files, one for each language. Raise InputError if there is none, or one is
    empty.
    """
    rng = np.random.default_rng(0)
    return {
        name: [line for paragraph in paragraphs for line in break_lines(typeset(paragraph, rng), rng)]
        for name, paragraphs in read_paragraphs(path).items()
    }


def break_lines(paragraph: str, rng: np.random.Generator) -> Iterator[str]:
    """Break a paragraph into lines of various lengths, at its spaces."""
    line, longest = "", rng.integers(*LINE)
    for word in paragraph.split():
        if line and len(line) + 1 + len(word) > longest:
            yield line
            line, longest = "", rng.integers(*LINE)
        line = f"{line} {word}" if line else word
    if line:
        yield line


def candidates(texts: Sequence[str], prose: Mapping[str, Sequence[str]], charset: Charset) -> Iterator[Language]:
    """Build the language models to choose from, with weights still to be found.

    texts: transcriptions. prose: lines by language (see `read_prose`). Without prose, n-grams of several orders; with
    it, an n-gram and a lexicon for each language, of its prose and of the transcriptions that are most probably in it.
    """
    orders = [order for order in ORDERS if order <= highest_order(len(charset))]
    if not prose:
        for order in orders:
            yield LanguageModel(NGram.from_texts(texts, charset, order), **UNWEIGHTED)
        return
    own = by_language(texts, prose, charset)
    models = {}
    for name, lines in prose.items():
        ngram = NGram.from_texts([*lines, *own[name] * REPEATED], charset, orders[-1])
        lexicon = Lexicon.from_texts([*lines, *own[name] * LEAST], charset, LEAST)
        models[name] = LanguageModel(ngram, lexicon=lexicon, **UNWEIGHTED)
    yield LanguageModels(models)


def by_language(texts: Sequence[str], prose: Mapping[str, Sequence[str]], charset: Charset) -> dict[str, list[str]]:
    """Sort transcriptions by the language, one of those of the prose, that each is most probable in."""
    guides = {name: NGram.from_texts(lines, charset, GUESSING_ORDER) for name, lines in prose.items()}
    sorted_texts: dict[str, list[str]] = {name: [] for name in prose}
    for text in texts:
        labels = charset.encode("".join(one for one in text if one in charset.characters))
        sorted_texts[max(guides, key=lambda name: guides[name].log_prob(labels))].append(text)
    return sorted_texts


def with_weights(language: Language, **weights: Any) -> Language:
    """Return the language model, or those of all its languages, with other weights."""
    if isinstance(language, LanguageModel):
        return dataclasses.replace(language, **weights)
    return LanguageModels({name: dataclasses.replace(one, **weights) for name, one in language.by_language.items()})


def has_lexicon(language: Language) -> bool:
    """Return whether the language model, or those of all its languages, have a lexicon."""
    return all(model.lexicon for model in models_by_language(language).values())


def is_weighted(language: Language) -> bool:
    """Return whether the weights of the language model have been found already."""
    return all(
        {"weight": one.weight, "bonus": one.bonus} != UNWEIGHTED for one in models_by_language(language).values()
    )
