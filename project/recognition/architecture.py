"""The convolutions of the network, stated once for `network` (torch, training) and `onnx_engine` (reading)."""

from typing import NamedTuple


class Block(NamedTuple):
    """A convolution with batch norm, max-pooling and ReLU."""

    quarters: int  # its output channels, in quarters of the last block's
    kernel: int  # px, of both sides
    stride: int  # px, in both directions
    pool: tuple[int, int]  # rows, columns


BLOCKS = (
    Block(quarters=1, kernel=5, stride=2, pool=(1, 1)),
    Block(quarters=2, kernel=3, stride=1, pool=(2, 2)),
    Block(quarters=3, kernel=3, stride=1, pool=(2, 1)),
    Block(quarters=4, kernel=3, stride=1, pool=(1, 1)),
)
