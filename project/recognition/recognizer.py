"""The trained recogniser: its files, and the readings of line images.

The only module that knows the model format: `weights.safetensors`, `recognizer.json` and, for each language model,
`language-NAME.safetensors`; nothing pickled. Reading needs no torch, which would take half a gigabyte of a server's
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

from project.recognition import onnx_engine
from project.recognition.alignment import forced_alignment, log_probability
from project.recognition.batch import FRAME_WIDTH, batch, frames_of, width_batches
from project.recognition.bidirectional import logical_positions
from project.recognition.calibration import Calibration, apply_temperature
from project.recognition.charset import BLANK, Charset
from project.recognition.decoding import BEAM_WIDTH, LanguageModel, LanguageModels, best_path_spans, decode, n_best
from project.recognition.lexicon import Lexicon
from project.recognition.line_image import Placement, normalize_with_placement
from project.recognition.ngram import NGram

if TYPE_CHECKING:
    from project.recognition.network import CRNN

CHUNK_LINES = 64  # pictures to decode before they are read together: it bounds the memory of those who read many
BATCH_WIDTH = 4096  # px: padded width of a batch; more takes memory and gains no speed on a CPU
BLANK_LOG_PROB, OTHER_LOG_PROB = 0.0, -99.0  # where there is nothing to read


@dataclass(frozen=True)
class Character:
    """A character that was read."""

    text: str
    confidence: float  # 0 to 1
    start: float  # px of the line image
    stop: float  # px of the line image


@dataclass(frozen=True)
class Reading:
    """What was read in a line."""

    text: str
    confidence: float  # 0 to 1
    characters: list[Character]  # in the order of the text
    alternatives: list[tuple[str, float]]  # other texts and their confidence, the most probable first

    @property
    def character_confidence(self) -> float:
        """The mean confidence of the characters, 0 to 1; 0 where there are none."""
        return sum(character.confidence for character in self.characters) / max(1, len(self.characters))


@dataclass(frozen=True)
class Recognizer:
    """A trained network with what is needed to read with it."""

    weights: dict[str, np.ndarray]  # as in `CRNN.state_dict`
    charset: Charset
    height: int  # px, of its line images
    language: LanguageModel | LanguageModels | None = None  # used by the beam
    calibrations: Mapping[str, Calibration] = field(default_factory=dict)  # of the confidences, by decoder

    @classmethod
    def from_network(cls, network: "CRNN", charset: Charset, height: int) -> "Recognizer":
        """Build the recogniser of a trained network."""
        weights = {name: weight.cpu().numpy() for name, weight in network.state_dict().items()}
        return cls({name: np.array(weight, order="C") for name, weight in weights.items()}, charset, height)

    @cached_property
    def network(self) -> "CRNN":
        """Build the network in torch, to look at it or to start a training from it."""
        from project.recognition.network import CRNN  # only here: reading does without torch

        return CRNN.from_weights(self.weights)

    @property
    def shape(self) -> dict[str, int]:
        """Return the settings of line images and network for a training that starts from this recogniser."""
        return {"height": self.height, **self.network.shape}

    @cached_property
    def session(self) -> onnxruntime.InferenceSession:
        """Load the network into ONNX Runtime."""
        return onnx_engine.session(onnx_engine.onnx_model(self.weights))

    def save(self, folder: str | Path, half: bool = False) -> None:
        """Write the files of the model into `folder`; older ones are replaced only when all new ones are written.

        half: store the weights as float16, but for the statistics of batch norm, at half the size; see `as_half`.
        """
        settings: dict = {"charset": self.charset.characters, "height": self.height}
        settings["calibrations"] = {decoder: asdict(calibration) for decoder, calibration in self.calibrations.items()}
        weights = as_half(self.weights) if half else self.weights
        with tempfile.TemporaryDirectory(dir=folder, prefix=".model-") as beside:
            # as bytes: `save_file` lets nobody else read the file
            Path(beside, "weights.safetensors").write_bytes(safetensors.numpy.save(weights))
            if self.language:
                settings["languages"] = {}
                for name, model in models_by_language(self.language).items():
                    settings["languages"][name] = {
                        "weight": model.weight, "bonus": model.bonus, "penalty": model.penalty
                    }  # fmt: skip
                    tensors = model.ngram.tensors()
                    if model.lexicon:
                        tensors["words"] = model.lexicon.to_bytes()
                    Path(beside, language_file(name)).write_bytes(safetensors.numpy.save(tensors))
            Path(beside, "recognizer.json").write_text(json.dumps(settings, ensure_ascii=False, indent=1), "utf-8")
            written = {path.name for path in Path(beside).iterdir()}
            for name in written:
                Path(beside, name).replace(Path(folder, name))
        for old in (Path(folder, "ngram.safetensors"), *Path(folder).glob("language*.safetensors")):
            if old.name not in written:
                old.unlink(missing_ok=True)

    @classmethod
    def load(cls, folder: str | Path) -> "Recognizer":
        """Load the recogniser that `save` wrote, in this version or an earlier one."""
        settings = json.loads(Path(folder, "recognizer.json").read_text("utf-8"))
        charset = Charset(settings["charset"])
        weights = safetensors.numpy.load_file(Path(folder, "weights.safetensors"))
        weights = {name: np.asarray(weight, single(weight.dtype)) for name, weight in weights.items()}
        if "language" in settings:  # of an earlier version
            files = {"": ("ngram.safetensors", settings["language"])}
        else:
            files = {name: (language_file(name), values) for name, values in settings.get("languages", {}).items()}
        models = {
            name: load_language_model(Path(folder, file), charset, values) for name, (file, values) in files.items()
        }
        calibrations = {decoder: Calibration(**values) for decoder, values in settings.get("calibrations", {}).items()}
        language = models.get("") or (LanguageModels(models) if models else None)
        return cls(weights, charset, settings["height"], language, calibrations)

    def line_image(self, pixels: np.ndarray) -> np.ndarray:
        """Turn pixels, uint8 (H, W) with 0 black to 255 white, into the line image, uint8 (1, height, W')."""
        return self.normalize_with_placement(pixels)[0]

    def normalize_with_placement(self, pixels: np.ndarray) -> tuple[np.ndarray, Placement]:
        """Return the line image, and where it lies in the picture."""
        return normalize_with_placement(pixels, self.height)

    def log_probs(self, line_images: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Compute the log-probs (T, C) of each line image, uint8 (1, height, W), in their order."""
        lines: list[np.ndarray] = [np.empty(0)] * len(line_images)
        for chosen in width_batches([image.shape[2] for image in line_images], BATCH_WIDTH):
            padded, widths = batch([line_images[index] for index in chosen])
            input_lengths = frames_of(widths)
            log_probs = onnx_engine.log_probs(self.session, padded, input_lengths)  # (T, N, C)
            for column, index in enumerate(chosen):
                own = log_probs[: input_lengths[column], column]  # (T, C)
                lines[index] = own if line_images[index].any() else blank_log_probs(own.shape)
        return lines

    def read(self, line_images: Sequence[np.ndarray], decoder: str = "best_path") -> list[str]:
        """Return the text of each line image, uint8 (1, height, W). decoder: one of `decoding.DECODERS`."""
        lines = self.log_probs(line_images)
        return [self.charset.decode(decode(log_probs, decoder, self.language)) for log_probs in lines]

    def transcribe(
        self,
        line_images: Sequence[np.ndarray],
        decoder: str = "best_path",
        beam_width: int = BEAM_WIDTH,
        alternatives: int = 0,
    ) -> list[Reading]:
        """Return the reading of each line image, uint8 (1, height, W), with up to `alternatives` other texts."""
        lines = self.log_probs(line_images)
        return [self.transcribe_line(log_probs, decoder, beam_width, alternatives) for log_probs in lines]

    def transcribe_line(
        self, log_probs: np.ndarray, decoder: str, beam_width: int = BEAM_WIDTH, alternatives: int = 0
    ) -> Reading:
        """Return the reading of a line from its log-probs (T, C).

        The confidence of the best path is its labels' calibrated probability; that of a beam combines their share of
        the beam's total with their probability without the language model. That of a character is from its surest
        frame.
        """
        # Decode
        calibration = self.calibrations.get(decoder, Calibration())
        found = n_best(log_probs, decoder, self.language, beam_width, alternatives)
        # Calibrate; P(labels) of the reading is applied to its rivals too, so that their order stays the beam's
        network = log_probability(log_probs, found[0][0]) if calibration.power else 0.0
        confidences = calibration.of_lines([probability for _, probability in found], network)
        left, others = 1 - confidences[0], confidences[1:].sum()
        confidences[1:] *= min(1, left / others) if others else 1  # a high temperature raises many low ones above 1
        # Place each character
        labels = found[0][0]
        if decoder == "best_path":  # which is the most probable path of its labels
            spans = [(start, stop) for _, start, stop in best_path_spans(log_probs)]
        else:
            spans = forced_alignment(log_probs, labels)
        peaks = [log_probs[start:stop, label].max() for label, (start, stop) in zip(labels, spans, strict=True)]
        certainties = apply_temperature(np.exp(peaks), calibration.character).tolist()
        characters = [
            Character(self.charset.decode([label]), confidence, start * FRAME_WIDTH, stop * FRAME_WIDTH)
            for label, (start, stop), confidence in zip(labels, spans, certainties, strict=True)
        ]
        characters = [characters[at] for at in logical_positions("".join(one.text for one in characters))]
        texts = [self.charset.decode(labels) for labels, _ in found]
        rivals = list(zip(texts, confidences.tolist(), strict=True))[1 : 1 + alternatives]
        return Reading(texts[0], float(confidences[0]), characters, rivals)


def as_half(weights: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Round float32 weights to float16. The running statistics of batch norm stay: float16 ends at 65,504."""
    kept = ("running_mean", "running_var")
    return {
        name: weight if name.endswith(kept) or weight.dtype != np.float32 else weight.astype(np.float16)
        for name, weight in weights.items()
    }


def single(dtype: np.dtype) -> np.dtype:
    """Return the type to compute with: float32 for what was stored as float16."""
    return np.dtype(np.float32) if dtype == np.float16 else dtype


def models_by_language(language: LanguageModel | LanguageModels) -> dict[str, LanguageModel]:
    """Return the language models by the languages' names; that of one language has the name ""."""
    return language.by_language if isinstance(language, LanguageModels) else {"": language}


def language_file(name: str) -> str:
    """Return the name of the file of a language's model."""
    return f"language-{name}.safetensors" if name else "language.safetensors"


def load_language_model(path: Path, charset: Charset, values: Mapping[str, float]) -> LanguageModel:
    """Read an n-gram, and a lexicon if there is one. values: the other fields of `LanguageModel`."""
    tensors = safetensors.numpy.load_file(path)
    lexicon = Lexicon.from_bytes(tensors["words"], charset) if "words" in tensors else None
    return LanguageModel(NGram.from_tensors(tensors), lexicon=lexicon, **values)


def blank_log_probs(shape: Sequence[int]) -> np.ndarray:
    """Return log-probs (..., C) that decode to the empty string, for images without ink, which no training has."""
    log_probs = np.full(shape, OTHER_LOG_PROB, dtype=np.float32)
    log_probs[..., BLANK] = BLANK_LOG_PROB
    return log_probs
