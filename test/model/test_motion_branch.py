"""The branch that compares two frames: pairs, correlation, and that streaming feeds it the same."""

import numpy as np
import pytest
import torch
from mini_builders import MICRO_MINI, make_mini
from model_builders import MICRO, make_frames, make_model

from samwise_ros.config import ModelConfig
from samwise_ros.model.motion_branch import MotionBranch, local_correlation, pair_frames
from samwise_ros.model.precision import arithmetic
from samwise_ros.model.samwise import SamwiseModel
from samwise_ros.model.tokenizer import ExpressionTokenizer
from samwise_ros.streaming.image_ops import prepare_frame
from samwise_ros.streaming.session import StreamingSession
from samwise_ros.structures import ConfigError

pytestmark = pytest.mark.usefixtures("one_thread")
LAG = 2
MOTION = MICRO.replace(name="motion", motion_lag=LAG, text={"fusion_layers": (1, 3)},
                       cmt={"fusion_stages": (2, 3), "hsa_patch_sides": (4, 2)})


@pytest.fixture(scope="module")
def model(tiny_tokenizer: ExpressionTokenizer) -> SamwiseModel:
    return make_model(MOTION, tiny_tokenizer)


def numbered(first: int, count: int) -> torch.Tensor:
    """[1, T, 3, 1, 1] frames that hold their own number."""
    return torch.arange(first, first + count).float().view(1, -1, 1, 1, 1).expand(-1, -1, 3, 1, 1)


def test_each_frame_is_paired_with_the_one_before_it_by_the_lag() -> None:
    pairs, kept = pair_frames(numbered(0, 5), None, LAG)
    assert pairs[0, :, 0, 0, 0].tolist() == [0, 1, 2, 3, 4]
    assert pairs[0, :, 3, 0, 0].tolist() == [0, 0, 0, 1, 2]
    assert kept[0, :, 0, 0, 0].tolist() == [3, 4]


@pytest.mark.parametrize("lag", [1, 2, 3])
def test_frame_by_frame_gives_the_same_pairs_as_at_once(lag: int) -> None:
    whole, _ = pair_frames(numbered(0, 7), None, lag)
    kept, parts = None, []
    for t in range(7):
        part, kept = pair_frames(numbered(t, 1), kept, lag)
        parts.append(part)
        assert kept.shape[1] <= lag, "bounded memory"
    assert torch.equal(torch.cat(parts, 1), whole)


def test_correlation_is_the_product_with_each_neighbour() -> None:
    generator = torch.Generator().manual_seed(0)
    now, then = torch.randn(2, 2, 3, 6, 5, generator=generator)
    found = local_correlation(now, then, radius=1)
    assert found.shape == (2, 9, 6, 5)
    for k, (dy, dx) in enumerate((dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)):
        for y in range(6):
            for x in range(5):
                inside = 0 <= y + dy < 6 and 0 <= x + dx < 5
                other = then[:, :, y + dy, x + dx] if inside else torch.zeros(2, 3)
                expected = (now[:, :, y, x] * other).sum(1)
                assert torch.allclose(found[:, k, y, x], expected, atol=1e-5)


def test_a_moved_pattern_peaks_at_where_it_came_from() -> None:
    then = torch.randn(1, 8, 12, 12, generator=torch.Generator().manual_seed(1))
    now = then.roll((2, -1), (2, 3))  # down by 2, left by 1
    peak = local_correlation(now, then, 3)[0, :, 6, 6].argmax()
    assert divmod(int(peak), 7) == (3 - 2, 3 + 1)


def test_the_earlier_frame_matters_once_trained(model: SamwiseModel) -> None:
    frames = torch.randn(1, 1, 3, 64, 64, generator=torch.Generator().manual_seed(3))
    shifted = torch.cat((frames, frames.roll(4, -1)), dim=2)
    same = torch.cat((frames, frames), dim=2)
    alone = model.encode_shared(frames).maps[-1]
    assert torch.equal(model.encode_shared(same).maps[-1], alone), "no past: compared with itself"
    assert not torch.allclose(model.encode_shared(shifted).maps[-1], alone, atol=1e-4)


def test_streaming_pairs_frames_as_a_clip_does(model: SamwiseModel,
                                               monkeypatch: pytest.MonkeyPatch) -> None:
    frames = make_frames(5)
    seen: list[torch.Tensor] = []
    original = SamwiseModel.encode_shared

    def spy(self: SamwiseModel, pixels: torch.Tensor, *rest: object) -> object:
        seen.append(pixels.clone())
        return original(self, pixels, *rest)

    monkeypatch.setattr(SamwiseModel, "encode_shared", spy)
    session = StreamingSession(model)
    session.step(frames[0])  # the past of a target's first frame is known, too
    session.submit("the red mug")
    for frame in frames[1:]:
        session.step(frame)
    pixels = torch.stack([prepare_frame(frame, MOTION)[0] for frame in frames])[None]
    whole, _ = model.pair_frames(pixels)
    assert torch.equal(torch.cat(seen, 1), whole[:, 1:])
    session.reset()
    session.step(frames[3])
    assert torch.equal(seen[-1][:, :, :3], seen[-1][:, :, 3:]), "nothing is compared across a reset"


def test_a_frame_that_fails_leaves_no_trace(model: SamwiseModel) -> None:
    frames = make_frames(4)
    answers = []
    for fail in (False, True):
        session = StreamingSession(model)
        session.submit("the red mug")
        for index, frame in enumerate(frames):
            if fail and index == 2:
                with pytest.MonkeyPatch.context() as patch:
                    patch.setattr(SamwiseModel, "encode_memory",
                                  lambda *_: (_ for _ in ()).throw(RuntimeError("lost")))
                    with pytest.raises(RuntimeError, match="lost"):
                        session.step(np.zeros_like(frame))
            answers.append(session.step(frame).targets[0].mask_logits)
    for plain, after in zip(answers[:4], answers[4:], strict=True):
        assert np.array_equal(plain, after)


@pytest.mark.parametrize("changes", [{"motion_lag": -1}, {"motion_lag": 2, "cmt": {
    "fusion_stages": (1, 2, 3), "hsa_patch_sides": (8, 4, 2)},
                                                          "text": {"fusion_layers": (1, 2, 3)}}])
def test_motion_joins_in_front_of_an_adapter_at_stride_16(changes: dict) -> None:
    with pytest.raises(ConfigError, match="motion_lag"):
        MOTION.replace(**changes)


def test_motion_on_a_smaller_picture_has_the_grid_of_the_map() -> None:
    shrunk = make_mini(config=MICRO_MINI.replace(motion_shrink=2)).eval()
    pairs = torch.rand(1, 2, 6, 128, 64, generator=torch.Generator().manual_seed(6))
    found = shrunk.encoder._motion(pairs, (8, 4))
    assert found.shape == (2, 8, 4, MICRO_MINI.channels[2])
    half = torch.nn.functional.avg_pool2d(pairs.flatten(0, 1), 2)
    coarse = shrunk.motion_branch(half).mean((1, 2))
    torch.testing.assert_close(found.mean((1, 2)), coarse, atol=1e-4, rtol=1e-3)
    with pytest.raises(ConfigError, match="motion_shrink"):
        MICRO_MINI.replace(motion_shrink=3)


def test_the_configuration_survives_a_round_trip() -> None:
    assert ModelConfig.from_dict(MOTION.to_dict()) == MOTION


@pytest.mark.parametrize(("scale", "moved"), [(4, (8, -12)), (8, (-24, 16))])
def test_block_matching_measures_the_displacement(scale: int, moved: tuple[int, int]) -> None:
    """A textured picture that moves by whole pixels of the scale, before any training."""
    branch = MotionBranch(16).eval()
    then = torch.randn(1, 3, 128, 160, generator=torch.Generator().manual_seed(4))
    then = torch.nn.functional.avg_pool2d(then, 9, 1, 4)
    now = then.roll((moved[1], moved[0]), (2, 3))
    compared = branch.compared(torch.cat((now, then)))
    match = branch.match_4 if scale == 4 else branch.match_8
    if scale == 8:
        compared = torch.nn.functional.avg_pool2d(compared, 2)
    shift = match(compared)[0, -2:] * 4 * scale
    inner = shift[:, 5:11, 6:14].mean((1, 2))
    assert inner.tolist() == pytest.approx(moved, abs=1.0)


def test_it_compares_in_full_precision_beside_halves() -> None:
    branch, pairs = MotionBranch(8), torch.rand(1, 6, 32, 48)
    full = branch(pairs)
    with arithmetic(torch.device("cpu"), "bf16"):
        assert torch.equal(full, branch(pairs))
