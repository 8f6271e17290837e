"""Weights -> log-probs without torch: `network.CRNN` as an ONNX graph, run by ONNX Runtime.

The same numbers as torch's, sooner and in a fraction of the memory. The convolutions are those of `architecture`; that
the rest agrees with `network` is what tests/recognition/test_onnx_engine.py checks.
"""

import os
from collections.abc import Mapping

import joblib
import numpy as np
import onnx
import onnxruntime

from project.recognition.architecture import BLOCKS
from project.recognition.batch import FRAME_WIDTH

EPSILON = 1e-5  # of torch's batch norm
OPSET, IR_VERSION = 20, 10  # of ONNX 1.15 and 1.16: onnxruntime reads these and all earlier ones


class Graph:
    """An ONNX graph under construction; each value in it is known by its name."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def add(self, operator: str, *inputs: str | np.ndarray, **attributes) -> str:
        """Add an operator and return the name of its first output; an input that is an array becomes a constant."""
        output = f"{operator}_{len(self.nodes)}"
        names = []
        for number, value in enumerate(inputs):
            if isinstance(value, np.ndarray):
                self.constants.append(onnx.numpy_helper.from_array(value, f"{output}_input_{number}"))
                value = self.constants[-1].name
            names.append(value)
        self.nodes.append(onnx.helper.make_node(operator, names, [output], **attributes))
        return output


def onnx_model(weights: Mapping[str, np.ndarray]) -> onnx.ModelProto:
    """Build the graph of `network.CRNN.forward` in evaluation mode.

    weights: as in `CRNN.state_dict`; those of the shortcut are not used. Inputs: `images` float32 (N, 1, H, W), W in
    whole frames, and `input_lengths` int32 (N,). Output: `log_probs` float32 (T, N, C). N, H and W are free.
    """
    graph = Graph()
    masks = {columns: mask(graph, columns) for columns in (2, 1)}  # by columns to a frame
    features, columns = "images", FRAME_WIDTH
    for number, block in enumerate(BLOCKS):
        # The batch norm's scale goes into the kernel, in float64 (one rounding less). Its sign cannot pass the pool.
        scale, offset = normalization(weights, f"blocks.{number}.norm")
        kernel = (weights[f"blocks.{number}.conv.weight"] * np.abs(scale)[:, None, None, None]).astype(np.float32)
        pads = [side // 2 for side in kernel.shape[2:]] * 2
        features = graph.add("Conv", features, kernel, strides=[block.stride, block.stride], pads=pads)
        if block.pool != (1, 1):
            features = graph.add("MaxPool", features, kernel_shape=block.pool, strides=block.pool)
        gain_bias_mean_var = np.array([np.sign(scale), offset, 0 * scale, 0 * scale + 1], np.float32)
        features = graph.add("Relu", graph.add("BatchNormalization", features, *gain_bias_mean_var, epsilon=0.0))
        columns //= block.stride * block.pool[1]
        features = graph.add("Mul", features, masks[columns])
    features = graph.add("ReduceMax", features, np.array([2]), keepdims=0)  # (N, F, T)
    sequence = graph.add("Transpose", features, perm=[2, 0, 1])  # (T, N, F)
    for layer in range(sum(name.endswith("onward.weight_ih_l0") for name in weights)):
        sequence = lstm(graph, sequence, weights, f"lstms.{layer}")  # (T, N, 2 * hidden)
    scores = graph.add("Add", graph.add("MatMul", sequence, weights["head.weight"].T), weights["head.bias"])
    graph.nodes.append(onnx.helper.make_node("LogSoftmax", [scores], ["log_probs"], axis=2))

    value, number_type = onnx.helper.make_tensor_value_info, onnx.TensorProto
    inputs = [value("images", number_type.FLOAT, ["N", 1, "H", "W"]), value("input_lengths", number_type.INT32, ["N"])]
    outputs = [value("log_probs", number_type.FLOAT, ["T", "N", len(weights["head.bias"])])]
    return onnx.helper.make_model(
        onnx.helper.make_graph(graph.nodes, "network", inputs, outputs, graph.constants),
        opset_imports=[onnx.helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
    )


def normalization(weights: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    """Return scale and offset, float64 (2, F), of a batch norm in evaluation mode: x -> scale * x + offset."""
    gain, bias, mean, var = (
        np.float64(weights[f"{name}.{part}"]) for part in ("weight", "bias", "running_mean", "running_var")
    )
    scale = gain / np.sqrt(var + EPSILON)
    return np.stack([scale, bias - scale * mean])


def mask(graph: Graph, columns_a_frame: int) -> str:
    """Add a mask (N, 1, 1, T * columns_a_frame): 1 within a line's own frames, 0 beyond them."""
    width = graph.add("Squeeze", graph.add("Shape", "images", start=3, end=4))
    stop = graph.add("Div", width, np.array(FRAME_WIDTH // columns_a_frame))
    column = graph.add("Cast", graph.add("Range", np.array(0), stop, np.array(1)), to=onnx.TensorProto.INT32)
    own = graph.add("Mul", "input_lengths", np.array(columns_a_frame, np.int32))
    own = graph.add("Unsqueeze", own, np.array([1, 2, 3]))  # (N, 1, 1, 1)
    return graph.add("Cast", graph.add("Less", column, own), to=onnx.TensorProto.FLOAT)


def lstm(graph: Graph, sequence: str, weights: Mapping[str, np.ndarray], name: str) -> str:
    """Add a layer (T, N, F) -> (T, N, 2 * hidden) that computes what `network.BidirectionalLSTM` does."""

    def both_directions(parameter: str) -> np.ndarray:
        stacked = np.stack([weights[f"{name}.{direction}.{parameter}_l0"] for direction in ("onward", "backward_")])
        entry, forget, cell, out = np.split(stacked, 4, axis=1)  # torch's order of the gates
        return np.concatenate([entry, out, forget, cell], axis=1)  # ONNX's

    bias = np.concatenate([both_directions("bias_ih"), both_directions("bias_hh")], axis=1)
    recurrent = both_directions("weight_hh")
    outputs = graph.add(
        "LSTM", sequence, both_directions("weight_ih"), recurrent, bias, "input_lengths",
        direction="bidirectional", hidden_size=recurrent.shape[2],
    )  # fmt: skip
    outputs = graph.add("Transpose", outputs, perm=[0, 2, 1, 3])  # (T, 2, N, hidden) -> (T, N, 2, hidden)
    return graph.add("Reshape", outputs, np.array([0, 0, -1]))


def session(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    """Load the model into ONNX Runtime, on `threads()` threads."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads()
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # waiting leaves the cores to others
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def log_probs(session: onnxruntime.InferenceSession, images: np.ndarray, input_lengths: np.ndarray) -> np.ndarray:
    """Compute log-probs (T, N, C) of images float32 (N, 1, H, W), W in whole frames; input_lengths: (N,), in frames.

    Frames beyond a line's own are undefined.
    """
    return session.run(None, {"images": images, "input_lengths": input_lengths.astype(np.int32)})[0]


def threads() -> int:
    """Return the number of threads to read with: OMP_NUM_THREADS (its first level), else the cores of this process."""
    return int(os.environ.get("OMP_NUM_THREADS", "").partition(",")[0] or joblib.cpu_count())
