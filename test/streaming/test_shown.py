"""Targets that are shown: SAM 2's own tracking, beside sentences, on the right picture."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from model_builders import TINY, make_frames, make_model, set_object_score
from PIL import Image
from sam2.modeling.backbones.hieradet import Hiera
from sam2.modeling.backbones.image_encoder import FpnNeck, ImageEncoder
from sam2.sam2_video_predictor import SAM2VideoPredictor

from samwise_ros.config import SessionConfig
from samwise_ros.model.sam2_parts import _memory_attention, _memory_encoder, _sine
from samwise_ros.model.samwise import SamwiseModel
from samwise_ros.model.tokenizer import ExpressionTokenizer
from samwise_ros.streaming.grab import grab
from samwise_ros.streaming.session import StreamingSession
from samwise_ros.streaming.steps import EagerSteps
from samwise_ros.structures import (
    Command,
    CommandError,
    CommandKind,
    FrameError,
    FrameResult,
    Prompt,
    TargetState,
)

pytestmark = pytest.mark.usefixtures("one_thread")
POINT = Prompt(points=((40.0, 30.0),))
BOX = Prompt(box=(10.0, 20.0, 60.0, 70.0))
DISC = np.hypot(*np.mgrid[-30:98, -40:88][::-1]) < 20  # bool [128, 128]


def shown(name: str, prompt: Prompt, sentence: str | None = None) -> Command:
    return Command(CommandKind.ADD, name, sentence, prompt=prompt)


def run(model: SamwiseModel, frames: list[np.ndarray], *commands: Command | str
        ) -> list[FrameResult]:
    session = StreamingSession(model)
    for command in commands:
        session.submit(command)
    return [session.step(frame) for frame in frames]


@pytest.fixture(scope="module")
def tiny_model(tiny_tokenizer: ExpressionTokenizer) -> SamwiseModel:
    """As everybody's, followed by memory alone."""
    return make_model(TINY.replace(shown="followed"), tiny_tokenizer)


# SAM 2's tracker

SAM2 = TINY.replace(name="sam2", fit="rectangle", shown="sam2",
                    decoder={"feedforward": 2048, "iou_hidden": 256})


def sam2_predictor(model: SamwiseModel) -> SAM2VideoPredictor:
    """The video predictor of the package sam2, as its configurations make it, with our weights."""
    config, hiera = model.config, model.config.hiera
    trunk = Hiera(embed_dim=hiera.embed_dim, num_heads=hiera.num_heads, stages=hiera.stages,
                  global_att_blocks=hiera.global_att_blocks, window_spec=hiera.window_spec,
                  window_pos_embed_bkg_spatial_size=hiera.window_pos_embed_bkg_spatial_size)
    neck = FpnNeck(_sine(config.hidden_dim), config.hidden_dim, trunk.channel_list,
                   fpn_top_down_levels=[2, 3], fpn_interp_model="nearest")
    predictor = SAM2VideoPredictor(
        image_encoder=ImageEncoder(trunk, neck, scalp=1),
        memory_attention=_memory_attention(config),
        memory_encoder=_memory_encoder(config.hidden_dim, config.memory.dim),
        image_size=config.image_size, num_maskmem=7, sigmoid_scale_for_mem_enc=20.0,
        sigmoid_bias_for_mem_enc=-10.0, use_mask_input_as_output_without_sam=True,
        directly_add_no_mem_embed=True, use_high_res_features_in_sam=True,
        multimask_output_in_sam=True, iou_prediction_use_sigmoid=True,
        use_obj_ptrs_in_encoder=True, add_tpos_enc_to_obj_ptrs=False,
        only_obj_ptrs_in_the_past_for_eval=True, pred_obj_scores=True, pred_obj_scores_mlp=True,
        fixed_no_obj_ptr=True, multimask_output_for_tracking=True,
        use_multimask_token_for_obj_ptr=True, multimask_min_pt_num=0, multimask_max_pt_num=1,
        use_mlp_for_obj_ptr_proj=True)
    weights = {name: value for name, value in model.sam.state_dict().items()
               if "project_text" not in name}
    predictor.load_state_dict(weights)  # strict: every weight of the tracker is ours
    return predictor.eval()


@pytest.fixture(scope="module")
def sam2_model() -> SamwiseModel:
    model = make_model(SAM2)
    set_object_score(model, 2.0)
    return model


@pytest.mark.parametrize("prompt", [
    POINT, BOX, Prompt(mask=DISC), Prompt(points=((40, 30), (90.5, 70)), beside=(False, True)),
    Prompt(points=((30, 40),), box=BOX.box)], ids=["point", "box", "mask", "points", "both"])
def test_without_a_sentence_it_is_the_video_predictor_of_sam2(
        sam2_model: SamwiseModel, prompt: Prompt, tmp_path: Path) -> None:
    for index, frame in enumerate(make_frames(19, 128, 128)):
        Image.fromarray(frame).save(tmp_path / f"{index}.jpg", quality=95)
    predictor = sam2_predictor(sam2_model)
    state = predictor.init_state(str(tmp_path))
    if prompt.mask is not None:
        predictor.add_new_mask(state, 0, 1, prompt.mask)
    else:
        predictor.add_new_points_or_box(
            state, 0, 1, points=prompt.points or None, box=prompt.box,
            labels=[int(not each) for each in prompt.beside or (False,)] if prompt.points else None)
    for _ in predictor.propagate_in_video(state):
        pass
    found = state["output_dict_per_obj"][0]
    theirs = found["cond_frame_outputs"] | found["non_cond_frame_outputs"]
    # The predictor remembers a shown mask at a quarter of its resolution, SAM2Base and we whole.
    tolerance = 1e-4 if prompt.mask is None else 2e-3
    frames = [np.asarray(Image.open(tmp_path / f"{index}.jpg")) for index in range(19)]
    for index, result in enumerate(run(sam2_model, frames, shown("a", prompt))):
        expected = theirs[index]["pred_masks"][0, 0].numpy()
        assert expected.std() > 0.03, "a flat mask would prove nothing"
        np.testing.assert_allclose(result["a"].mask_logits, expected, atol=tolerance, rtol=1e-3)
        assert result["a"].object_score == pytest.approx(
            theirs[index]["object_score_logits"].item(), abs=1e-4)


# Beside sentences

def test_what_is_shown_leaves_the_answers_of_others_bit_identical(tiny_model: SamwiseModel) -> None:
    frames = make_frames(12)
    alone, beside = (StreamingSession(tiny_model) for _ in range(2))
    for session in (alone, beside):
        session.submit("add:a: the red mug")
    for t, frame in enumerate(frames):
        if t == 4:
            beside.submit(shown("b", POINT))
        if t == 6:
            beside.submit(shown("b", BOX))
        one, other = alone.step(frame)["a"], beside.step(frame)["a"]
        assert one.object_score == other.object_score
        np.testing.assert_array_equal(one.mask_logits, other.mask_logits)


def test_a_prompt_beside_a_sentence_leaves_its_neighbours_bit_identical(
        tiny_model: SamwiseModel) -> None:
    frames = make_frames(6)
    said = run(tiny_model, frames, "add:a: the red mug", "add:b: duck")
    both = run(tiny_model, frames, "add:a: the red mug", shown("b", POINT, "duck"))
    for one, other in zip(said, both, strict=True):
        np.testing.assert_array_equal(one["a"].mask_logits, other["a"].mask_logits)
        assert not np.allclose(one["b"].mask_logits, other["b"].mask_logits, atol=1e-4), \
            "the prompt is seen, and remembered"
        assert other["b"].expression == "duck" and other["b"].age == one["b"].age


@pytest.mark.parametrize("sentence", [None, "duck"])
def test_shown_targets_together_answer_as_each_alone(tiny_model: SamwiseModel,
                                                     sentence: str | None) -> None:
    frames = make_frames(18)
    commands = [shown("a", POINT, sentence), shown("b", BOX, sentence),
                shown("c", Prompt(mask=DISC[:96]), sentence)]
    together = run(tiny_model, frames, *commands)
    for command in commands:
        for joint, alone in zip(together, run(tiny_model, frames, command), strict=True):
            one, other = joint[command.target_id], alone[command.target_id]
            np.testing.assert_allclose(one.mask_logits, other.mask_logits, atol=1e-4, rtol=1e-3)
            assert one.age == other.age


def test_a_shown_mask_is_the_answer_to_its_frame(tiny_model: SamwiseModel) -> None:
    mask = DISC[:96]
    found = run(tiny_model, make_frames(1), shown("a", Prompt(mask=mask)),
                shown("b", Prompt(mask=mask), "duck"))[0]
    for name in "ab":
        overlap = (found[name].mask & mask).sum() / (found[name].mask | mask).sum()
        assert overlap > 0.9 and found[name].score > 0.99
        assert found[name].state is TargetState.TRACKING


def test_memory_of_what_is_shown_is_bounded(tiny_model: SamwiseModel) -> None:
    session = StreamingSession(tiny_model)
    session.submit(shown("a", POINT))
    sizes = [session.step(frame) and session.nbytes for frame in make_frames(24)]
    assert sizes[15] == sizes[-1] and sizes[5] < sizes[15]
    session.submit("stop")
    session.step(make_frames(1)[0])
    assert session.nbytes < sizes[0]


class RoomySteps(EagerSteps):
    """Blank rows and tokens, as engines of fixed shape have."""

    def room(self, targets: int, tokens: int) -> tuple[int, int]:
        return 4, 32


def test_blank_rows_of_other_engines_do_not_matter(tiny_model: SamwiseModel) -> None:
    frames = make_frames(6)
    commands = ["add:a: the red mug", shown("b", POINT, "duck"), shown("c", BOX)]
    expected = run(tiny_model, frames, *commands)
    session = StreamingSession(tiny_model, steps=RoomySteps)
    for command in commands:
        session.submit(command)
    for frame, other in zip(frames, expected, strict=True):
        result = session.step(frame)
        for name in "abc":
            np.testing.assert_allclose(result[name].mask_logits, other[name].mask_logits,
                                       atol=2e-5, rtol=1e-3)


# The picture that it belongs to

def test_a_prompt_waits_for_its_picture(tiny_model: SamwiseModel) -> None:
    frames, session = make_frames(4), StreamingSession(tiny_model)
    session.submit("add:a: the red mug")
    session.submit(shown("b", Prompt(points=POINT.points, stamp=10.2)))
    seen = [tuple(t.target_id for t in session.step(frame, 10.0 + 0.1 * t).targets)
            for t, frame in enumerate(frames)]
    assert seen == [("a",), ("a",), ("a", "b"), ("a", "b")]
    session.submit(shown("a", Prompt(points=POINT.points, stamp=10.5)))
    assert session.step(frames[0], 10.4)["a"].expression == "the red mug", "until then the old one"
    assert session.step(frames[0], 10.5)["a"].expression == ""


@pytest.mark.parametrize(("stamp", "reason"), [(7.0, "3.0 s older"), (13.0, "3.0 s newer")])
def test_a_prompt_of_another_time_is_refused_at_once_and_changes_nothing(
        tiny_model: SamwiseModel, stamp: float, reason: str) -> None:
    session = StreamingSession(tiny_model)
    session.submit("add:a: the red mug")
    session.step(make_frames(1)[0], 10.0)
    with pytest.raises(CommandError, match=reason):
        session.submit(shown("b", Prompt(points=POINT.points, stamp=stamp)))
    assert [t.target_id for t in session.step(make_frames(1)[0], 10.1).targets] == ["a"]
    lenient = StreamingSession(tiny_model, SessionConfig(prompt_age=0))
    lenient.step(make_frames(1)[0], 10.0)
    lenient.submit(shown("b", Prompt(points=POINT.points, stamp=7.0)))
    assert [t.target_id for t in lenient.step(make_frames(1)[0], 10.1).targets] == ["b"]


@pytest.mark.parametrize(("prompt", "reason"), [
    (Prompt(points=((200.0, 10.0),)), r"point \(200, 10\) is outside the image of 128x96"),
    (Prompt(box=(130.0, 10.0, 140.0, 20.0)), "box is outside"),
    (Prompt(mask=np.ones((48, 64), bool)), "mask of the image's size 128x96, got 64x48"),
    (Prompt(points=POINT.points, stamp=1.0), "9.0 s older")])
def test_what_the_picture_does_not_show_is_dropped_and_the_reason_told(
        tiny_model: SamwiseModel, prompt: Prompt, reason: str) -> None:
    session = StreamingSession(tiny_model)
    session.submit("add:a: the red mug")
    number = session.submit(shown("b", prompt))
    result = session.step(make_frames(1)[0], 10.0)
    assert [t.target_id for t in result.targets] == ["a"]
    assert len(result.refused) == 1 and f"command {number} refused" in result.refused[0]
    assert re.search(reason, result.refused[0])
    assert session.step(make_frames(1)[0], 10.1).refused == ()
    session.submit(shown("a", Prompt(points=((-9.0, 9.0),))))
    result = session.step(make_frames(1)[0], 10.2)
    assert len(result.refused) == 1 and result["a"].expression == "the red mug", \
        "what was looked for under the id stays"


@pytest.mark.parametrize(("command", "reason"), [
    (shown("a", Prompt()), "expected a point, a box or a mask"),
    (shown("a", Prompt(points=((1, 1),), beside=(True,))), "beside the target"),
    (shown("a", Prompt(points=((1, 1),), beside=(True, False))), "one label for each"),
    (shown("a", Prompt(points=((1, 1),) * 65)), "at most 64"),
    (shown("a", Prompt(points=((float("nan"), 1),))), "finite"),
    (shown("a", Prompt(box=(5, 5, 5, 9))), "x0 < x1"),
    (shown("a", Prompt(box=(5, 5, float("nan"), 9))), "x0 < x1"),
    (shown("a", Prompt(mask=np.zeros((96, 128), bool))), "empty"),
    (shown("a", Prompt(mask=np.ones((96, 128), np.uint8))), "bool"),
    (shown("a", Prompt(mask=DISC, points=((1, 1),))), "alone"),
    (shown("a", POINT, "   "), "sentence"),
    (shown("", POINT), "id")])
def test_prompts_of_no_use_are_refused_at_once(tiny_model: SamwiseModel, command: Command,
                                               reason: str) -> None:
    session = StreamingSession(tiny_model)
    with pytest.raises(CommandError, match=reason):
        session.submit(command)
    assert session.command == 0


def test_without_a_sentence_it_is_refused_where_it_would_be_lost(
        tiny_tokenizer: ExpressionTokenizer) -> None:
    session = StreamingSession(make_model(TINY.replace(name="pico"), tiny_tokenizer))
    for prompt in (POINT, BOX, Prompt(mask=DISC[:96])):
        with pytest.raises(CommandError, match="pico does not follow .* Say what it is"):
            session.submit(shown("a", prompt))
    session.submit(shown("b", POINT, "duck"))
    assert [t.target_id for t in session.step(make_frames(1)[0]).targets] == ["b"]


# Where masks are all that a model knows

@pytest.mark.parametrize("size", [(96, 128), (481, 1201)])
@pytest.mark.parametrize("prompt", ["point", "box", "points"])
def test_colours_tell_what_a_point_or_a_box_shows(prompt: str, size: tuple[int, int]) -> None:
    height, width = size
    rng = np.random.default_rng(0)
    picture = rng.normal(90, 12, (height, width, 3)).clip(0, 255).astype(np.uint8)
    x, y, radius = width // 3, height // 2, height // 7
    mask = np.hypot(*np.mgrid[-y:height - y, -x:width - x]) < radius
    other = np.roll(mask, round(2.5 * radius), axis=1)
    picture[mask | other] = (200, 40, 30)
    shown_by = {
        "point": Prompt(points=((x + 0.4 * radius, y),)),
        "box": Prompt(box=(x - radius, y - radius, x + radius, y + radius)),
        "points": Prompt(points=((x, y), (x + 2.5 * radius, y)), beside=(False, True))}[prompt]
    before = picture.copy()
    found = grab(picture, shown_by)
    assert (found & mask).sum() / (found | mask).sum() > 0.8
    assert np.array_equal(found, grab(picture, shown_by)) and np.array_equal(picture, before)


def test_a_picture_of_one_colour_and_a_point_at_its_edge_show_something() -> None:
    for prompt in (Prompt(points=((0, 0),)), Prompt(box=(-5, -5, 900, 900)),
                   Prompt(box=(3, 3, 3.2, 3.2))):
        assert grab(np.full((48, 64, 3), 7, np.uint8), prompt).any()


def test_a_frame_that_fails_leaves_the_prompt_for_the_next(tiny_model: SamwiseModel) -> None:
    frames, session = make_frames(3), StreamingSession(tiny_model)
    session.submit(shown("a", POINT))
    with pytest.raises(FrameError):
        session.step(frames[0].astype(float))
    hook = tiny_model.sam.obj_ptr_proj.register_forward_hook(lambda *_: torch.full((1, 64), np.nan))
    try:
        with pytest.raises(FrameError, match="not finite"):
            session.step(frames[0])
    finally:
        hook.remove()
    expected = run(tiny_model, frames[1:], shown("a", POINT))
    for frame, other in zip(frames[1:], expected, strict=True):
        np.testing.assert_array_equal(session.step(frame)["a"].mask_logits, other["a"].mask_logits)


def test_after_a_reset_a_sentence_searches_and_what_was_only_shown_stays_absent(
        tiny_model: SamwiseModel) -> None:
    frames, session = make_frames(4), StreamingSession(tiny_model)
    session.submit(shown("a", Prompt(mask=DISC[:96])))
    session.submit(shown("b", Prompt(mask=DISC[:96]), "the red mug"))
    first = session.step(frames[0])
    session.reset()
    after = session.step(frames[1])
    said = run(tiny_model, frames[1:2], "add:b: the red mug")[0]
    np.testing.assert_array_equal(after["b"].mask_logits, said["b"].mask_logits)
    assert not after["a"].mask.any() and after["a"].score < 1e-3
    assert after["a"].state is TargetState.SEARCHING and first["a"].state is TargetState.TRACKING
    session.submit(shown("a", Prompt(mask=DISC[:96])))
    assert session.step(frames[2])["a"].mask.any(), "shown again it is found again"


def test_memory_put_back_undoes_a_showing(tiny_model: SamwiseModel) -> None:
    frames, session = make_frames(2), StreamingSession(tiny_model)
    session.submit(shown("a", POINT))
    session.submit(shown("b", BOX, "duck"))
    session._apply_commands()
    before = session.memory
    first = session.step(frames[0])
    session.step(frames[1])
    session.memory = before
    again = session.step(frames[0])
    for name in "ab":
        np.testing.assert_array_equal(first[name].mask_logits, again[name].mask_logits)
