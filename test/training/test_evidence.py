"""What the similarity map says about presence: fitted alone, and written where it belongs."""

import json
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from samwise_ros.model.grounding import NUM_EVIDENCE
from samwise_ros.training import evidence
from samwise_ros.training.checkpointing import read_state
from samwise_ros.training.evidence import fit_evidence
from test.training.test_mini_stages import LAST, PACKAGES, packed, stage  # noqa: F401

pytestmark = pytest.mark.usefixtures("one_thread")


def test_the_head_tells_the_two_apart_and_does_not_look_at_nearness() -> None:
    generator = torch.Generator().manual_seed(0)
    shown = torch.rand(400, generator=generator) < 0.2
    found = 0.1 * torch.randn(400, NUM_EVIDENCE, generator=generator) + 3
    found[:, 0] += 0.3 * shown
    found[:, 4] = 1e-7 * torch.randn(400, generator=generator)  # nothing but rounding
    found[:, -1] = shown.float()  # would tell all
    head = fit_evidence(found, shown)
    logits = head(found)[:, 0]
    assert ((logits > 0) == shown)[shown].float().mean() > 0.85
    assert ((logits > 0) == shown)[~shown].float().mean() > 0.85
    assert head[0].weight.abs().max() < 100, "half precision must hold it"
    found[:, -1] = 1 - found[:, -1]
    assert torch.equal(head(found)[:, 0], logits)
    assert torch.equal(fit_evidence(found, shown)(found), fit_evidence(found, shown)(found))


@pytest.mark.skipif(not all(map(find_spec, PACKAGES)), reason="mini's frozen parts are not "
                    "installed: pip install 'samwise_ros[mini]'")
def test_a_checkpoint_gets_the_head_and_keeps_all_else(packed: Path,  # noqa: F811
                                                       tmp_path: Path) -> None:
    index = json.loads((packed / "index.json").read_text())
    for clip in index["clips"]:
        clip["expressions"] = [[text, "class", answer] for text, _, answer in clip["expressions"]]
    (packed / "index.json").write_text(json.dumps(index))
    stage("1_follow", packed, tmp_path).run()
    evidence.main([str(tmp_path / LAST), str(packed), "--out", str(tmp_path / "fitted")])
    before, after = (read_state(path) for path in (tmp_path / LAST, tmp_path / "fitted"))
    for weights in ("model", "average"):
        old, new = (state[weights].get("state", state[weights]) for state in (before, after))
        differ = {name for name in old if not torch.equal(old[name], new[name])}
        assert differ and all("score_evidence" in name for name in differ)
