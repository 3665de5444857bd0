"""The benchmark of host time: what it times, and what it says of its targets."""

from __future__ import annotations

import pytest
import torch

from bench import host


@pytest.mark.parametrize("part", host.PASSES, ids=str)
def test_each_call_does_what_its_pass_names(part: host.Pass) -> None:
    ours, rival, formula = (call() for call in host.calls(part).values())
    if part.name == "training step":
        assert [t.shape for t in ours] == [host.SHAPE, host.SHAPE[-1:], host.SHAPE[-1:]]
        for found, expected in zip(ours, formula, strict=True):
            torch.testing.assert_close(found, expected)
    else:
        assert {t.requires_grad for t in (ours, rival, formula)} == {part.name != "inference"}
        torch.testing.assert_close(ours, formula)
        assert not torch.allclose(ours, rival), "layer_norm(x + x) mixes nothing"


@pytest.mark.parametrize(("limit", "status"), [(1e9, 0), (0.0, 1)])
def test_a_missed_target_sets_the_exit_status(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], limit: float, status: int
) -> None:
    passes = [host.Pass(part.name, limit, part.make) for part in host.PASSES]
    monkeypatch.setattr(host, "PASSES", passes)
    threads = torch.get_num_threads()
    assert host.main(["--seconds", "0", "--strict"]) == status
    assert torch.get_num_threads() == threads
    assert capsys.readouterr().out.count("MISSED") == status * len(passes)
    assert host.main(["--seconds", "0"]) == 0


def test_the_targets() -> None:
    assert {part.name: part.limit for part in host.PASSES} == {
        "inference": 2.0,
        "forward for training": 2.7,
        "training step": 1.8,
    }
