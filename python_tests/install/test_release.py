"""The release workflow: its building and checking steps are make targets."""

from __future__ import annotations

import re
from typing import Any

import pytest

from python_tests.helpers.paths import ROOT

yaml = pytest.importorskip("yaml")
WORKFLOW: dict[str, Any] = yaml.safe_load(
    (ROOT / ".github" / "workflows" / "release.yml").read_text()
)
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


@pytest.mark.parametrize("job", ["sdist", "wheel"])
def test_the_steps_are_make_targets(job: str) -> None:
    commands = [step["run"] for step in WORKFLOW["jobs"][job]["steps"] if "run" in step]
    assert commands
    for command in commands:
        make, target, *variables = command.split()
        assert make == "make"
        assert target in TARGETS
        assert all(re.match(r"[A-Z]+=", word) for word in variables[:1])


def test_every_processor_and_variant_has_a_wheel() -> None:
    matrix = WORKFLOW["jobs"]["wheel"]["strategy"]["matrix"]["include"]
    built = {(entry["tag"], entry["machine"].endswith("arm")) for entry in matrix}
    assert built == {(tag, arm) for tag in ("", "cu12", "cu13") for arm in (False, True)}
    for entry in matrix:
        cuda = f"+cu{entry['tag'].removeprefix('cu')}" if entry["tag"] else "+cpu"
        assert cuda in entry["torch"]
        assert ("aarch64" in entry["image"]) == entry["machine"].endswith("arm")
