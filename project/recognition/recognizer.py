"""The trained recogniser: its files, and what it answers.

The only room that knows the model format: `weights.safetensors`, `recognizer.json` and, where there is a language
model, `ngram.safetensors`; nothing pickled. Reading needs no torch, which would take half a gigabyte of a server's
memory.
"""

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnxruntime
import safetensors.numpy

from project.errors import InputError
from project.recognition import onnx_engine
from project.recognition.alignment import forced_alignment, log_probability
from project.recognition.batch import FRAME_WIDTH, batch, width_batches
from project.recognition.calibration import Calibration, apply_temperature
from project.recognition.charset import BLANK, Charset
from project.recognition.decoding import BEAM_WIDTH, LanguageModel, best_path_spans, decode, n_best
from project.recognition.line_image import MIN_SIDE, Placement, normalize_with_placement
from project.recognition.ngram import NGram

if TYPE_CHECKING:
    from project.recognition.network import CRNN

AT_ONCE = 64  # pictures that are worth decoding before they are read together: it bounds the memory
BATCH_WIDTH = 4096  # px: what is read at once; more takes memory and gains no speed on a CPU
CERTAIN, IMPOSSIBLE = 0.0, -99.0  # log-probs of the blank and of all else where there is nothing to read
DIGITS = 3  # of the log-probs in an answer: finer differences change no reading


@dataclass(frozen=True)
class Character:
    """A character that was read, how sure that is (0 to 1), and where it stands, in px of the line image."""

    text: str
    confidence: float
    start: float
    stop: float


@dataclass(frozen=True)
class Reading:
    """What was read in a line, how sure that is (0 to 1), and what else it may say: texts and their confidence."""

    text: str
    confidence: float
    characters: list[Character]
    alternatives: list[tuple[str, float]]


@dataclass(frozen=True)
class Recognizer:
    """A network's weights (as in `CRNN.state_dict`) with what is needed to read with it: the charset, and the height
    of its line images (px). What helps, if it is there: a language model, which the beam asks, and for a decoder
    the calibration of its confidences.
    """

    weights: dict[str, np.ndarray]
    charset: Charset
    height: int
    language: LanguageModel | None = None
    calibrations: Mapping[str, Calibration] = field(default_factory=dict)

    @classmethod
    def from_network(cls, network: "CRNN", charset: Charset, height: int) -> "Recognizer":
        """The recogniser that reads with a trained network."""
        weights = {name: weight.cpu().numpy() for name, weight in network.state_dict().items()}
        return cls({name: np.array(weight, order="C") for name, weight in weights.items()}, charset, height)

    @cached_property
    def network(self) -> "CRNN":
        """The network in torch, to look at it or to train on from it."""
        from project.recognition.network import CRNN  # not before it is asked for: reading does without torch

        return CRNN.from_weights(self.weights)

    @property
    def shape(self) -> dict[str, int]:
        """What the settings of a training that starts from this one say of line images and network."""
        return {"height": self.height, **self.network.shape}

    @cached_property
    def session(self) -> onnxruntime.InferenceSession:
        """The network in the engine that reads."""
        return onnx_engine.session(onnx_engine.onnx_model(self.weights))

    def save(self, folder: str | Path) -> None:
        """Write the files of the model into `folder`, and only when all of them are written, in place of older ones."""
        settings = {"charset": self.charset.characters, "height": self.height}
        settings["calibrations"] = {decoder: asdict(calibration) for decoder, calibration in self.calibrations.items()}
        with tempfile.TemporaryDirectory(dir=folder, prefix=".model-") as beside:
            Path(beside, "weights.safetensors").write_bytes(safetensors.numpy.save(self.weights))  # as in `NGram.save`
            if self.language:
                settings["language"] = {"weight": self.language.weight, "bonus": self.language.bonus}
                self.language.ngram.save(Path(beside, "ngram.safetensors"))
            Path(beside, "recognizer.json").write_text(json.dumps(settings, ensure_ascii=False, indent=1), "utf-8")
            for path in Path(beside).iterdir():
                path.replace(Path(folder, path.name))

    @classmethod
    def load(cls, folder: str | Path) -> "Recognizer":
        """The recogniser whose files are in `folder`."""
        settings = json.loads(Path(folder, "recognizer.json").read_text("utf-8"))
        weights = safetensors.numpy.load_file(Path(folder, "weights.safetensors"))
        language = settings.get("language")
        if language:
            language = LanguageModel(NGram.load(Path(folder, "ngram.safetensors")), **language)
        calibrations = {decoder: Calibration(**values) for decoder, values in settings.get("calibrations", {}).items()}
        return cls(weights, Charset(settings["charset"]), settings["height"], language, calibrations)

    def line_image(self, picture: np.ndarray) -> np.ndarray:
        """A picture, uint8 (H, W) with 0 black to 255 white -> what the network reads, uint8 (1, height, W')."""
        return self.normalize_with_placement(picture)[0]

    def normalize_with_placement(self, picture: np.ndarray) -> tuple[np.ndarray, Placement]:
        """The same, and where the line image lies in the picture."""
        return normalize_with_placement(picture, self.height)

    def log_probs(self, line_images: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Line images, each uint8 (1, height, W) -> log-probs (T, C) of each, in their order."""
        answers: list[np.ndarray] = [np.empty(0)] * len(line_images)
        for chosen in width_batches([image.shape[2] for image in line_images], BATCH_WIDTH):
            padded, widths = batch([line_images[index] for index in chosen])
            input_lengths = -(-widths // FRAME_WIDTH)
            log_probs = onnx_engine.log_probs(self.session, padded, input_lengths)  # (T, N, C)
            for column, index in enumerate(chosen):
                own = log_probs[: input_lengths[column], column]  # (T, C)
                answers[index] = own if line_images[index].any() else blank_log_probs(own.shape)
        return answers

    def read(self, line_images: Sequence[np.ndarray], decoder: str = "best_path") -> list[str]:
        """The text of each line image, uint8 (1, height, W). decoder: one of `decoding.DECODERS`."""
        lines = self.log_probs(line_images)
        return [self.charset.decode(decode(log_probs, decoder, self.language)) for log_probs in lines]

    def transcribe(
        self,
        line_images: Sequence[np.ndarray],
        decoder: str = "best_path",
        beam_width: int = BEAM_WIDTH,
        alternatives: int = 0,
    ) -> list[Reading]:
        """What each line image, uint8 (1, height, W), says, with confidence, places and `alternatives` other texts."""
        lines = self.log_probs(line_images)
        return [self.transcribe_line(log_probs, decoder, beam_width, alternatives) for log_probs in lines]

    def transcribe_line(self, log_probs: np.ndarray, decoder: str, beam_width: int, alternatives: int) -> Reading:
        """What a line's log-probs (T, C) say.

        The confidence of the best path's labels is from their probability, that of the beam's from their share of all
        that the beam kept and the reading's probability without the language model; that of a character from its surest
        frame.
        """
        calibration = self.calibrations.get(decoder, Calibration())
        found = n_best(log_probs, decoder, self.language, beam_width, alternatives)
        # of the reading, and for its rivals the same, so that their order stays the beam's
        network = log_probability(log_probs, found[0][0]) if calibration.power else 0.0
        confidences = calibration.of_lines([probability for _, probability in found], network)
        left, others = 1 - confidences[0], confidences[1:].sum()
        confidences[1:] *= min(1, left / others) if others else 1  # a high temperature makes much of many
        labels = found[0][0]
        if decoder == "best_path":  # it is the most probable path of its labels, and need not be looked for
            spans = [(start, stop) for _, start, stop in best_path_spans(log_probs)]
        else:
            spans = forced_alignment(log_probs, labels)
        surest = [log_probs[start:stop, label].max() for label, (start, stop) in zip(labels, spans, strict=True)]
        confident = apply_temperature(np.exp(surest), calibration.character).tolist()
        characters = [
            Character(self.charset.decode([label]), confidence, start * FRAME_WIDTH, stop * FRAME_WIDTH)
            for label, (start, stop), confidence in zip(labels, spans, confident, strict=True)
        ]
        texts = [self.charset.decode(labels) for labels, _ in found]
        rivals = list(zip(texts, confidences.tolist(), strict=True))[1 : 1 + alternatives]
        return Reading(texts[0], float(confidences[0]), characters, rivals)


def pictures_of(pixels: np.ndarray) -> list[np.ndarray]:
    """The served model's input, numbers (N, 1, H, W) from 0 black to 255 white -> N pictures uint8 (H, W).

    ValueError names what is wrong: the shape, a number that is not finite, a number out of range.
    """
    pixels = np.asarray(pixels)
    if pixels.ndim != 4 or pixels.shape[0] < 1 or pixels.shape[1] != 1 or min(pixels.shape[2:]) < MIN_SIDE:
        raise InputError(f"inputs must be (N, 1, H, W) with N >= 1, H and W >= {MIN_SIDE}; got shape {pixels.shape}")
    if not np.isfinite(pixels).all():
        raise InputError("inputs must be finite numbers; got a NaN, a null or an infinity")
    if pixels.min() < 0 or pixels.max() > 255:
        raise InputError(f"inputs must be from 0 (black) to 255 (white); got {pixels.min():g} to {pixels.max():g}")
    if pixels.min() < pixels.max() <= 1:
        raise InputError(f"inputs must be from 0 (black) to 255 (white); got at most {pixels.max():g}: multiply by 255")
    return list(np.rint(pixels[:, 0]).astype(np.uint8))


def blank_log_probs(shape: Sequence[int]) -> np.ndarray:
    """Log-probs (..., C) of certain blanks: what empty paper says, of which a network knows nothing."""
    log_probs = np.full(shape, IMPOSSIBLE, dtype=np.float32)
    log_probs[..., BLANK] = CERTAIN
    return log_probs


def answer(log_probs: Sequence[np.ndarray]) -> list[list[list[float]]]:
    """Log-probs (T, C) of each line -> nested lists (N, Tmax, C): the shorter ones go on with certain blanks,
    which every decoder skips.
    """
    frames, classes = max(map(len, log_probs)), log_probs[0].shape[1]
    padded = blank_log_probs((len(log_probs), frames, classes)).astype(np.float64)  # so that rounding is exact in JSON
    for row, line in zip(padded, log_probs, strict=True):
        row[: len(line)] = line.clip(IMPOSSIBLE)
    return padded.round(DIGITS).tolist()
