"""A picture of a page -> how probable it is that a pixel is the core of a line of text.

The network is the text detector PP-OCRv6 (small; Apache-2.0) that the wheel of `rapidocr` carries, run here as it is:
a fully convolutional network with a head for differentiable binarization (Liao et al. 2020, "Real-time Scene Text
Detection with Differentiable Binarization"), which learnt to mark text shrunk towards its middle, so that lines stay
apart.
"""

import functools
import importlib.util
import math
import os
from pathlib import Path

import cv2
import numpy as np

from project.errors import InputError
from project.recognition.onnx_engine import threads

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
import onnxruntime

MODEL = "models/PP-OCRv6_det_small.onnx"  # in the package `rapidocr`
MULTIPLE = 32  # px: the network's sides are multiples of it
TILE = 700_000  # px at a time: bounds the memory
OVERLAP = 64  # px of a tile that its neighbour sees too
MAX_MAP = 20_000_000  # px


def text_map(pixels: np.ndarray, scale: float) -> np.ndarray:
    """Return the probability of text, float32 (H', W'), of a picture uint8 (H, W) shrunk by `scale`, at most 1.

    H' and W' are multiples of 32 px, so the scales of rows and of columns differ a little from each other. Large maps
    are computed in overlapping strips.
    """
    height, width = (max(MULTIPLE, MULTIPLE * round(side * scale / MULTIPLE)) for side in pixels.shape)
    if height * width > MAX_MAP:
        raise InputError(f"a map of {width} x {height} px is too large; at most {MAX_MAP} px are looked at")
    shrunk = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)
    step = max(TILE // width // MULTIPLE * MULTIPLE, 2 * OVERLAP + MULTIPLE)  # rows of a strip
    if step >= height:
        return _probability(shrunk)
    probability = np.zeros((height, width), np.float32)
    starts = np.arange(0, height - 2 * OVERLAP, step - 2 * OVERLAP)
    for start in starts.tolist():
        stop = min(start + step, height)
        strip = _probability(shrunk[start:stop])
        inner = 0 if start == 0 else OVERLAP  # what the strip sees without context above is the last strip's
        probability[start + inner : stop] = strip[inner:]
    return probability


def _probability(shrunk: np.ndarray) -> np.ndarray:
    """float32 (H, W) of uint8 (H, W), whose sides are multiples of 32."""
    scaled = shrunk.astype(np.float32) / 127.5 - 1
    channels = np.ascontiguousarray(np.broadcast_to(scaled, (1, 3, *shrunk.shape)))
    detector = _detector()
    return detector.run(None, {detector.get_inputs()[0].name: channels})[0][0, 0]


@functools.lru_cache(maxsize=1)
def _detector() -> onnxruntime.InferenceSession:
    """Return the network in ONNX Runtime. It is found without importing `rapidocr`, which costs memory and time."""
    package = importlib.util.find_spec("rapidocr")
    if package is None or not package.submodule_search_locations:
        raise InputError(
            "reading pages needs the package rapidocr, which carries the text detector: pip install rapidocr"
        )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads()
    options.enable_cpu_mem_arena = False  # a page's memory is given back
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # waiting leaves the cores to others
    path = Path(package.submodule_search_locations[0], MODEL)
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def map_scale(shape: tuple[int, int], side: int) -> float:
    """Return by how much to shrink a picture of `shape` (H, W) so that its area is that of a square of `side`, px."""
    return min(1.0, side / math.sqrt(shape[0] * shape[1]))
