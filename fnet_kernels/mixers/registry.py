"""The registry of mixers."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, TypeVar

from torch import nn

from fnet_kernels._ops.checks import check_size, kind
from fnet_kernels.mixers.gain import Gain, checked_gain

Factory = Callable[..., nn.Module]
_SIZES = ("hidden_size", "seq_len")
_AnyFactory = TypeVar("_AnyFactory", bound=Factory)

_factories: dict[str, Factory] = {}
#: What `create_mixer` takes beside the arguments of a mixer.
_OF_CALL = ("name", *_SIZES, "gain")


def register_mixer(name: str) -> Callable[[_AnyFactory], _AnyFactory]:
    """Decorate a module class, or a function that returns a module, to make it a mixer.

    It is called as `factory(hidden_size, seq_len, gain=gain, **mixer_args)`, without `gain` if it
    has no such parameter. Its module maps `[..., seq, hidden_size]` to the same shape and dtype.
    `seq_len` is the longest sequence, or None.

    Args:
        name: what `create_mixer` and `FNetEncoderLayer(mixer=...)` call it.

    What is decorated again, under the same name in the same module, takes the place of the first,
    so that the cell of a notebook can run twice.

    Raises:
        TypeError: `name` is not a string, or what is decorated is not callable with two arguments.
        ValueError: `name` is empty or taken.

    >>> import torch
    >>> from fnet_kernels.mixers import create_mixer, register_mixer
    >>> @register_mixer("reversed")
    ... class Reversed(torch.nn.Module):
    ...     def __init__(self, hidden_size, seq_len=None, *, gain="paper"):
    ...         super().__init__()
    ...
    ...     def forward(self, x):
    ...         return x.flip(-2)
    >>> create_mixer("reversed", hidden_size=2)(torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
    tensor([[3., 4.],
            [1., 2.]])
    """
    if not isinstance(name, str):
        raise TypeError(f"register_mixer: name must be a str, got {kind(name)}")
    if not name:
        raise ValueError("register_mixer: name must not be empty")

    def register(factory: _AnyFactory) -> _AnyFactory:
        if not callable(factory):
            raise TypeError(f"register_mixer: {name!r} must be callable, got {kind(factory)}")
        try:
            signature = inspect.signature(factory)
            signature.bind(1, None, **{"gain": 1.0} if "gain" in signature.parameters else {})
        except TypeError as error:
            raise TypeError(
                f"register_mixer: {name!r} must take hidden_size and seq_len as its first two"
                f" arguments and require no other but gain: {error}"
            ) from None
        if _place(_factories.get(name, factory)) != _place(factory):
            raise ValueError(f"register_mixer: name must be one that is not taken, got {name!r}")
        _factories[name] = factory
        return factory

    return register


def _place(factory: Factory) -> tuple[Any, Any]:
    """Where a factory is defined."""
    while isinstance(factory, partial):
        factory = factory.func
    return getattr(factory, "__module__", None), getattr(factory, "__qualname__", factory)


def list_mixers() -> list[str]:
    """Return the names of all mixers, sorted.

    >>> from fnet_kernels.mixers import list_mixers
    >>> "fourier" in list_mixers()
    True
    """
    return sorted(_factories)


def create_mixer(
    name: str,
    hidden_size: int,
    seq_len: int | None = None,
    *,
    gain: Gain = "paper",
    **mixer_args: Any,
) -> nn.Module:
    """Make a mixer.

    Args:
        name: one of `list_mixers()`.
        hidden_size: length of the last axis.
        seq_len: longest sequence; required by mixers whose parameters depend on it.
        gain: `"paper"` for the magnitude of the publication, or a number that multiplies the
            mixer's orthonormal form. Compare mixers at one number. Attention has no gain, because
            its output is learned.
        mixer_args: further arguments of the mixer.

    Returns:
        A module that maps `[..., seq, hidden_size]` to the same shape and dtype.

    Raises:
        TypeError: an argument has the wrong type, or the mixer has no such argument.
        ValueError: no mixer has this name, a size is less than 1, `gain` is another string, not
            finite, or a number for a mixer without a gain, or the mixer refuses a value.

    >>> from fnet_kernels.mixers import create_mixer
    >>> create_mixer("fourier", hidden_size=768)
    FourierMix(scale=1.0, norm=backward)
    """
    factory = mixer_factory("create_mixer", "name", name)
    hidden_size = check_size("create_mixer", "hidden_size", hidden_size)
    if seq_len is not None:
        seq_len = check_size("create_mixer", "seq_len", seq_len)
    gain = checked_gain("create_mixer", gain)
    check_arguments(name, mixer_args)
    if _has_gain(name):
        mixer_args["gain"] = gain
    elif gain != "paper":
        raise ValueError(f"create_mixer: gain must be 'paper' for {name!r}, got {gain}")
    mixer = factory(hidden_size, seq_len, **mixer_args)
    if not isinstance(mixer, nn.Module):
        raise TypeError(f"create_mixer: {name!r} must make a torch.nn.Module, got {kind(mixer)}")
    return mixer


def mixer_factory(owner: str, argument: str, name: str) -> Factory:
    """Return what is registered as `name`, which is an argument of `owner`."""
    if not isinstance(name, str):
        raise TypeError(f"{owner}: {argument} must be a str, got {kind(name)}")
    if name not in _factories:
        known = ", ".join(map(repr, list_mixers()))
        raise ValueError(f"{owner}: {argument} must be one of {known}; got {name!r}")
    return _factories[name]


def gain_among(names: Iterable[str], name: str, gain: Gain) -> Gain:
    """Return the gain of the mixer `name` in a stack with the mixers `names`.

    It is "paper" for a mixer without a gain beside one that has one. If none has one, it is `gain`,
    and `create_mixer` refuses a number.
    """
    return "paper" if not _has_gain(name) and any(map(_has_gain, names)) else gain


def arguments_among(
    names: Iterable[str], name: str, given: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Return the arguments of the mixer `name` in a stack with the mixers `names`.

    Those that it lacks and another one has are left out; `create_mixer` refuses what none has.
    """
    given = given or {}

    def takes(mixer: str, argument: str) -> bool:
        own = _own_arguments(_factories[mixer])
        return own is None or argument in own

    others = [key for key in given if any(takes(other, key) for other in names)]
    return {key: x for key, x in given.items() if takes(name, key) or key not in others}


def _has_gain(name: str) -> bool:
    parameters = inspect.signature(_factories[name]).parameters.values()
    return any(p.name == "gain" or p.kind is p.VAR_KEYWORD for p in parameters)


def _own_arguments(factory: Factory) -> list[str] | None:
    """The names of a mixer's further arguments; None if it takes any."""
    parameters = inspect.signature(factory).parameters.values()
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return None
    by_position = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    of_call = {"gain", *(p.name for p in by_position[: len(_SIZES)])}
    return [p.name for p in parameters if p.name not in of_call and p.kind is not p.VAR_POSITIONAL]


def checked_arguments(owner: str, given: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return `given`, the `mixer_args` of `owner`, after checking its names."""
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise TypeError(f"{owner}: mixer_args must be a dict, got {kind(given)}")
    for name in given:
        if not isinstance(name, str):
            raise TypeError(f"{owner}: mixer_args must have names as keys, got {kind(name)}")
        if name in _OF_CALL:
            raise ValueError(
                f"{owner}: mixer_args must not have {name!r}, which is an argument of its own"
            )
    return dict(given)


def check_arguments(name: str, given: Mapping[str, Any]) -> None:
    """Check that the mixer `name` has the arguments `given`."""
    own = _own_arguments(_factories[name])
    if own is None:
        return
    for argument in given:
        if argument not in own:
            takes = f"takes {', '.join(own)}" if own else "takes none"
            raise TypeError(f"create_mixer: {name!r} has no argument {argument!r}; it {takes}")
