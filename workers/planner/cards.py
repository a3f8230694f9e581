"""Cards that people have or think of, and what «fits» means.

Memory as the makers print it (GiB on the die); peak: dense matrix products in 16 bit with 32-bit sums, in TFLOP/s; bandwidth
in GB/s. Sources: NVIDIA's data sheets of each card.
"""

from dataclasses import dataclass
from typing import Literal

GIB = 2**30
USABLE = 0.95
"""Of a card's memory: the driver, the display and other programs take the rest."""
FITS_BELOW = 1 / 1.2
"""What is predicted below this share of the memory fits even where the prediction is 20 % too low (worst measured: 14 %)."""
Verdict = Literal["fits", "tight", "no"]


@dataclass(frozen=True)
class Device:
    """`half`: whether it computes in bfloat16 (older cards only in float16 or float32)."""

    name: str
    gib: float
    tflops: float
    bandwidth: float
    kind: Literal["cuda", "cpu"] = "cuda"
    half: bool = True
    own: bool = False

    @property
    def usable(self) -> float:
        """Bytes that a run may take; of a host's memory what is free now."""
        return self.gib * GIB * (USABLE if self.kind == "cuda" else 1.0)


CARDS: dict[str, Device] = {
    card.name: card
    for card in (
        Device("RTX 2080", 8, 40.3, 448, half=False),
        Device("RTX 2080 Ti", 11, 53.8, 616, half=False),
        Device("RTX 3060", 12, 25.5, 360),
        Device("RTX 4060 Ti 16G", 16, 44.1, 288),
        Device("V100 16G", 16, 112, 900, half=False),
        Device("A10", 24, 125, 600),
        Device("RTX 3090", 24, 71, 936),
        Device("RTX 4090", 24, 165, 1008),
        Device("V100 32G", 32, 112, 900, half=False),
        Device("RTX 5090", 32, 210, 1792),
        Device("L40S", 48, 362, 864),
        Device("A100 40G", 40, 312, 1555),
        Device("A100 80G", 80, 312, 2039),
        Device("H100", 80, 989, 3350),
        Device("H200", 141, 989, 4800),
    )
}


def verdict(needed: float, usable: float) -> Verdict:
    """`needed` and `usable` bytes. Between «fits» and «no» lies what may run out."""
    if needed <= usable * FITS_BELOW:
        return "fits"
    return "tight" if needed <= usable else "no"
