"""ListOps: the value of nested operators on lists of digits, by the rules of Long Range Arena.

Examples are trees of MIN, MAX, MED (median, rounded down) and SM (sum modulo 10), written as in
`[MAX 2 9 [MIN 4 7 ] 0 ]`. The rules are those of Nangia and Bowman, ListOps (2018), with the sizes
of Tay et al., Long Range Arena (2021).

An answer that looks at the first operator alone is right in 36.5 % of the official examples
(`root_operator_floor`), which is where published models stop. So 37 % there shows nothing.
"""

from __future__ import annotations

import random
from array import array
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from examples.corpora.dataset import Split

DIGIT, OPERATOR, CLOSE, VOCABULARY = 2, 12, 16, 17  # ids; 0 is padding, 1 is CLS
OPERATORS: tuple[tuple[str, Callable[[list[int]], int]], ...] = (
    ("[MIN", min),
    ("[MAX", max),
    ("[MED", lambda values: _median(values)),
    ("[SM", lambda values: sum(values) % 10),
)
OPERATOR_SHARE = 0.25  # of the nodes above the greatest depth


@dataclass(frozen=True)
class Rules:
    """The sizes of a variant.

    `depth` counts the root as 1; an operator has 2 to `arguments` arguments; the number of tokens
    (operators, digits and closing brackets) is more than `shorter` and less than `longer`.
    """

    depth: int
    arguments: int
    shorter: int
    longer: int


OFFICIAL = Rules(depth=10, arguments=10, shorter=500, longer=2000)
SHORT = Rules(depth=5, arguments=5, shorter=20, longer=127)


def example(rules: Rules, chance: random.Random) -> tuple[Sequence[int], int]:
    """The token ids of one expression, and its value."""
    while True:
        tokens = array("H")
        try:
            value = _grow(rules, chance, 1, tokens)
        except _TooLongError:
            continue
        if rules.shorter < len(tokens) < rules.longer:  # closing brackets may exceed it
            return tokens, value


class _TooLongError(Exception):
    pass


def _grow(rules: Rules, chance: random.Random, depth: int, tokens: array[int]) -> int:
    """Append an expression to the tokens and return its value.

    The root is always an operator, as a digit alone is too short for every variant.
    """
    if len(tokens) >= rules.longer:
        raise _TooLongError
    leaf = depth == rules.depth or chance.random() > OPERATOR_SHARE
    if leaf and depth > 1:
        digit = int(10 * chance.random())
        tokens.append(DIGIT + digit)
        return digit
    operator = int(len(OPERATORS) * chance.random())
    tokens.append(OPERATOR + operator)
    count = chance.randint(2, rules.arguments)
    value = OPERATORS[operator][1]([_grow(rules, chance, depth + 1, tokens) for _ in range(count)])
    tokens.append(CLOSE)
    return value


def _median(values: list[int]) -> int:
    ordered, half = sorted(values), len(values) // 2
    return ordered[half] if len(values) % 2 else (ordered[half - 1] + ordered[half]) // 2


def text(tokens: Sequence[int]) -> str:
    """The expression that the ids stand for.

    >>> text([13, 4, 11, 12, 6, 9, 16, 2, 16])
    '[MAX 2 9 [MIN 4 7 ] 0 ]'
    """
    names = [*map(str, range(10)), *(name for name, _ in OPERATORS), "]"]
    return " ".join(names[token - DIGIT] for token in tokens)


def root_operator_floor(train: Split, test: Split) -> float:
    """The accuracy in `test` of the commonest value in `train` of each first operator."""
    values: dict[object, Counter[float]] = {}
    for tokens, value in zip(train.inputs, train.labels, strict=True):
        values.setdefault(tokens[0], Counter())[value] += 1
    best = {operator: counts.most_common(1)[0][0] for operator, counts in values.items()}
    pairs = zip(test.inputs, test.labels, strict=True)
    return sum(best[tokens[0]] == value for tokens, value in pairs) / len(test.labels)
