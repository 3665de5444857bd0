"""The GPUs that the kernel report and the model of time describe.

defines: Device, Multiprocessor, DEVICES, MULTIPROCESSORS
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Multiprocessor:
    """What the blocks of a multiprocessor share, by CUDA's table of compute capabilities."""

    registers: int
    threads: int
    shared_bytes: int
    blocks: int

    def resident(self, registers: int, threads: int, shared_bytes: int) -> int:
        """How many blocks run at once; 0 if not one fits.

        Args:
            registers: registers of a thread, which are given to warps by the 256.
            threads: threads of a block.
            shared_bytes: shared memory of a block; the system reserves 1 KB more.
        """
        of_a_warp = -(-registers * 32 // 256) * 256
        return min(
            self.registers // of_a_warp // (threads // 32),
            self.threads // threads,
            self.shared_bytes // (shared_bytes + 1024),
            self.blocks,
        )


#: By architecture. A block gets 1 KB less of shared memory: 163, 227 and 99 KB.
MULTIPROCESSORS = {
    "80": Multiprocessor(65536, 2048, 164 << 10, 32),
    "86": Multiprocessor(65536, 1536, 100 << 10, 16),
    "89": Multiprocessor(65536, 1536, 100 << 10, 24),
    "90": Multiprocessor(65536, 2048, 228 << 10, 32),
    "100": Multiprocessor(65536, 2048, 228 << 10, 32),
    "120": Multiprocessor(65536, 1536, 100 << 10, 24),
}


@dataclass(frozen=True)
class Device:
    """A GPU. Rates are those of its data sheet, except that of L2, which NVIDIA does not state.

    Attributes:
        architecture: a key of MULTIPROCESSORS.
        clock: cycles per second under load.
        dram, l2: bytes per second.
    """

    architecture: str
    processors: int
    l2_bytes: int
    clock: float
    dram: float
    l2: float

    @property
    def facts(self) -> tuple[int, int, int]:
        """The fields of a CudaDevice (csrc/cuda/api.h): what a plan depends on."""
        shared = MULTIPROCESSORS[self.architecture].shared_bytes - 1024
        return self.processors, shared, self.l2_bytes


#: l2: 24 bytes per cycle and multiprocessor, as kernels of an H100 reach; a guess for the others.
DEVICES = {
    "A100": Device("80", 108, 40 << 20, 1.41e9, 2.04e12, 3.7e12),
    "H100": Device("90", 132, 50 << 20, 1.95e9, 3.35e12, 6.2e12),
    "RTX 4090": Device("89", 128, 72 << 20, 2.52e9, 1.01e12, 5.0e12),
    "B200": Device("100", 148, 126 << 20, 1.9e9, 8.0e12, 6.7e12),
}
