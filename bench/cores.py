"""`python -m bench cores`: how our calls divide over 1 to 128 simulated cores.

One thread runs the slots of a call one after the other and times each, so the figures are
simulated: a round of slots counts as its slowest slot. No core waits for the memory or the caches
of another, and waking threads costs nothing. For each shape and pass, in float32 with LayerNorm:
the speed-up over one core, the rounds, the busy share of the cores, and the extra memory. All
numbers of cores take turns, so that a machine whose speed changes slows all of them.

    python -m bench cores --shapes 8x512x768 --cores 1,16,64

Needs fnet_core_bench (`make core`). Prints tables and writes <cpu>-cores.json.
"""

from __future__ import annotations

import argparse
import importlib
import math
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from bench.arguments import positive, run_main
from bench.command import shape_list
from bench.folders import add_out, is_writable
from bench.measure import machine
from bench.shapes import Shape, label
from fnet_kernels._terminal import table

SHAPES: list[Shape] = [
    (1, 512, 768),
    (8, 512, 768),
    (32, 512, 768),
    (64, 512, 768),
    (1, 4096, 768),
    (2, 4096, 768),
]
CORES = (1, 2, 4, 8, 16, 32, 64, 128)
PASSES = ("forward", "backward")
_REPEATS, _TURNS = 5, 5


@dataclass(frozen=True)
class Division:
    """How one call divides over its cores.

    `seconds` is the sum of the rounds, `busy` the share of the cores' time in which they work, and
    `extra` the extra memory over x.
    """

    cores: int
    seconds: float
    rounds: int
    busy: float
    extra: float


def division(rounds: Sequence[Sequence[float]], cores: int, extra: float = 0.0) -> Division:
    """Summarise the seconds of each slot of each round.

    >>> division([[2.0, 1.0], [1.0]], cores=2)
    Division(cores=2, seconds=3.0, rounds=2, busy=0.6666666666666666, extra=0.0)
    """
    seconds = sum(max(slots) for slots in rounds)
    work = sum(sum(slots) for slots in rounds)
    return Division(cores, seconds, len(rounds), work / (cores * seconds), extra)


def slots_of(module: Any, shape: Shape, cores: int, direction: str, repeats: int) -> Any:
    """The seconds of each slot of each round, minima over `repeats` calls, and the extra bytes."""
    calls, extra = module.cores(*shape, cores, repeats, direction == "backward")
    return _fastest(calls), extra


def _fastest(calls: Sequence[Sequence[Sequence[float]]]) -> list[list[float]]:
    """The least time of each slot of each round over several calls."""
    rounds = zip(*calls, strict=True)
    return [[min(times) for times in zip(*of, strict=True)] for of in rounds]


def measure(module: Any, shape: Shape, cores: int, direction: str, repeats: int) -> Division:
    """Measure one call of fnet_core_bench on its current instruction set."""
    rounds, extra = slots_of(module, shape, cores, direction, repeats)
    return division(rounds, cores, extra / (4 * math.prod(shape)))


def measured(
    module: Any, shapes: Iterable[Shape], cores: Sequence[int], repeats: int
) -> list[dict[str, Any]]:
    """One row per shape, pass and number of cores, with the speed-up over one core."""
    rows = []
    for shape in shapes:
        for direction in PASSES:
            counts = list(dict.fromkeys((1, *cores)))
            turns = [
                [slots_of(module, shape, count, direction, repeats) for count in counts]
                for _ in range(_TURNS)
            ]
            found = {}
            for count, of_count in zip(counts, zip(*turns, strict=True), strict=True):
                rounds, extra = _fastest([calls for calls, _ in of_count]), of_count[0][1]
                found[count] = division(rounds, count, extra / (4 * math.prod(shape)))
            for count in cores:
                row = {"shape": label(shape), "pass": direction, **asdict(found[count])}
                rows.append(row | {"speedup": found[1].seconds / found[count].seconds})
    return rows


def tables(rows: Sequence[dict[str, Any]]) -> str:
    """A table per pass: speed-up, rounds, busy share and extra memory, by shape and cores."""
    parts = []
    cores = list(dict.fromkeys(row["cores"] for row in rows))
    for direction in PASSES:
        body = []
        for shape in dict.fromkeys(row["shape"] for row in rows):
            of = [r for r in rows if (r["shape"], r["pass"]) == (shape, direction)]
            body.append([shape, "speed-up", *(f"{r['speedup']:.1f}" for r in of)])
            body.append(["", "rounds", *(str(r["rounds"]) for r in of)])
            body.append(["", "busy", *(f"{r['busy']:.2f}" for r in of)])
            body.append(["", "extra / x", *(f"{r['extra']:.2f}" for r in of)])
        heads = [f"{direction}, simulated cores", "", *map(str, cores)]
        parts.append(table(heads, body))
    return "\n\n".join(parts)


def counts(text: str) -> list[int]:
    if not all(part.isdecimal() and int(part) > 0 for part in text.split(",")):
        raise argparse.ArgumentTypeError(f"{text!r}: expected numbers of cores such as 1,16,64")
    return [int(part) for part in text.split(",")]


def main(argv: list[str] | None = None) -> int:
    """Measure everything. Returns 2 if fnet_core_bench or the instruction set is missing."""
    start = time.monotonic()
    parser = argparse.ArgumentParser(
        prog="python -m bench cores",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--shapes", type=shape_list, default=SHAPES, metavar="BxNxD,...")
    parser.add_argument("--cores", type=counts, default=CORES, metavar="T,...")
    parser.add_argument(
        "--repeats",
        type=positive,
        default=_REPEATS,
        help="calls of each turn; default: %(default)s",
    )
    parser.add_argument("--isa", default="auto", help="default: the best of this machine")
    add_out(parser)
    args = parser.parse_args(argv)
    try:
        module = importlib.import_module("fnet_core_bench")
    except ImportError as error:
        print(f"absent: simulated cores: {error}; `make core` builds it in build/cmake/release")
        return 2
    if not module.set_isa(args.isa):
        print(f"bench cores: error: --isa: expected auto or one of {module.isas()}, got {args.isa}")
        return 2
    if not is_writable(args.out, "bench cores"):
        return 2
    facts = machine.describe()
    isa = module.isas().split(",")[0].strip() if args.isa == "auto" else args.isa
    rows = measured(module, args.shapes, args.cores, args.repeats)
    module.set_isa("auto")
    written = machine.save(args.out, "cores", facts, start, isa=isa, simulated=True, rows=rows)
    print(f"{machine.title(facts)}; fp32, {isa}\n\n{tables(rows)}\n\n{written}")
    return 0


if __name__ == "__main__":
    run_main(main)
