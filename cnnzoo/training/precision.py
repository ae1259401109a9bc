"""The precision of a training: which one "auto" is on this machine."""

from __future__ import annotations

from pathlib import Path

import keras

from cnnzoo.surgery.accelerator import has_accelerator

BFLOAT16_CPU_FLAGS = {"avx512_bf16", "amx_bf16"}  # processors with one of these multiply bfloat16 in hardware


def resolve_precision(precision: str) -> str:
    """Return `precision`, or for "auto" the one that is fastest on this machine: bfloat16, float16 or float32."""
    if precision != "auto":
        return precision
    if has_accelerator():
        return "bfloat16" if keras.backend.backend() == "jax" else "float16"
    try:
        flags = set(Path("/proc/cpuinfo").read_text(encoding="utf-8").split())
    except OSError:
        flags = set()
    return "bfloat16" if flags & BFLOAT16_CPU_FLAGS else "float32"
