"""The module fnet_core_test where the core is a program: each call goes to it and comes back.

FNET_SERVED_CORE is the command that starts the program, `qemu-aarch64 build/.../fnet_core_test`.
"""

from __future__ import annotations

import ctypes
import os
import shlex
import struct
import subprocess
from collections.abc import Callable
from typing import Any

import numpy as np

_core = subprocess.Popen(
    shlex.split(os.environ["FNET_SERVED_CORE"]), stdin=subprocess.PIPE, stdout=subprocess.PIPE
)
assert _core.stdin
assert _core.stdout
_send, _receive = _core.stdin, _core.stdout
_ERRORS = {"ValueError": ValueError, "RuntimeError": RuntimeError}


def _counted(data: bytes, item: int = 1) -> bytes:
    return struct.pack("<q", len(data) // item) + data


def _encode(value: Any) -> bytes:
    """As value.h reads it. Of an array all memory from its first element to its last one."""
    dtype, shape, strides, data = "", (), (), b""
    if isinstance(value, str):
        dtype, data = "S", value.encode()
    elif value is Ellipsis:
        dtype = "default"
    elif value is not None:
        array = np.asarray(int(value) if isinstance(value, bool) else value)
        dtype, shape, strides = array.dtype.str[1:], array.shape, array.strides
        if array.size:
            span = sum((n - 1) * stride for n, stride in zip(shape, strides, strict=True))
            data = ctypes.string_at(array.ctypes.data, span + array.itemsize)
    numbers = (np.array(part, np.int64).tobytes() for part in (shape, strides))
    return b"".join([_counted(dtype.encode()), *(_counted(n, 8) for n in numbers), _counted(data)])


def _read(item: int = 1) -> bytes:
    """What _counted wrote."""
    size = _exactly(8)
    return _exactly(struct.unpack("<q", size)[0] * item)


def _exactly(size: int) -> bytes:
    data = _receive.read(size)
    if len(data) < size:
        raise EOFError(f"the served core ended with status {_core.wait()}")
    return data


def _decode() -> Any:
    dtype, shape, _, data = _read().decode(), _read(8), _read(8), _read()
    if dtype == "S":
        return data.decode()
    if dtype == "list":
        return np.frombuffer(data, np.int32).tolist()
    return np.frombuffer(data, dtype).reshape(np.frombuffer(shape, np.int64))[()] if dtype else None


def _decode_all() -> list[Any]:
    return [_decode() for _ in range(struct.unpack("<q", _exactly(8))[0])]


def _function(name: str, parameters: list[tuple[str, str]]) -> Callable[..., Any]:
    """`parameters`: of each its name, and the dtype that its array is converted to, or nothing."""

    def call(*args: Any, **kwargs: Any) -> Any:
        values = list(args)
        values += [kwargs.pop(name, ...) for name, _ in parameters[len(args) :]]
        if kwargs or len(values) != len(parameters):
            raise TypeError(f"{name}: takes {parameters}, got {len(args)} and {sorted(kwargs)}")
        for i, (_, dtype) in enumerate(parameters):
            values[i] = np.ascontiguousarray(values[i], dtype) if dtype else values[i]
        message = struct.pack("<q", 1 + len(values)) + b"".join(map(_encode, (name, *values)))
        _send.write(message)
        _send.flush()
        outcome, *results = _decode_all()
        if outcome != "ok":
            raise _ERRORS[outcome](results[0])
        return results[0] if len(results) == 1 else tuple(results)

    return call


def _all() -> dict[str, Callable[..., Any]]:
    found = {}
    for signature in _decode_all():
        name, *parameters = signature.split(" ")
        found[name] = _function(name, [tuple(part.split(":")) for part in parameters])
    return found


globals().update(_all())
