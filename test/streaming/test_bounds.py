"""A session runs for ever in the same amount of memory."""

import gc

import psutil
import pytest
from model_builders import MICRO, make_frames, make_model

from samwise_ros.config import SessionConfig
from samwise_ros.model.samwise import SamwiseModel
from samwise_ros.model.tokenizer import ExpressionTokenizer
from samwise_ros.streaming.session import StreamingSession

pytestmark = pytest.mark.usefixtures("one_thread")
FRAMES, WARM_UP = 2000, 200


@pytest.mark.timeout(600)
def test_two_thousand_frames_keep_session_and_process_memory_constant(
        tiny_tokenizer: ExpressionTokenizer) -> None:
    """One adapter and one text layer, so that the frames take seconds; nothing else is left out."""
    config = MICRO.replace(
        name="bounds", text={"num_layers": 1, "fusion_layers": (1,)},
        cmt={"fusion_stages": (3,), "hsa_patch_sides": (2,)})
    session = StreamingSession(make_model(config, tiny_tokenizer))
    session.submit("duck")
    frames = make_frames(4, 48, 64)
    process, resident, held = psutil.Process(), [], set()
    for index in range(FRAMES):
        result = session.step(frames[index % 4])
        if index >= WARM_UP:
            held.add(session.nbytes)
        if index in (WARM_UP, FRAMES // 2, FRAMES - 1):
            gc.collect()
            resident.append(process.memory_info().rss)
    assert result["target"].age == FRAMES - 1
    assert len(held) == 1, "bytes of the session"
    assert resident[2] - resident[0] < 16 * 2**20, f"resident memory grew: {resident}"


def test_memory_has_its_whole_size_from_the_first_frame_on(micro_model: SamwiseModel) -> None:
    session = StreamingSession(micro_model)
    session.submit("mug")
    sizes = set()
    for frame in make_frames(18, 48, 64):
        session.step(frame)
        sizes.add(session.nbytes)
    assert len(sizes) == 1


def test_what_is_counted_is_what_is_kept_alive(micro_model: SamwiseModel) -> None:
    """Views of larger tensors would keep dropped frames and other targets' rows alive."""
    session = StreamingSession(micro_model)
    for name in "abc":
        session.submit(f"add:{name}: mug")
    for frame in make_frames(17, 48, 64):
        session.step(frame)
    tensors = session._frames.state.tensors
    storages = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors}
    assert sum(storages.values()) == sum(t.nbytes for t in tensors)


def test_targets_that_come_and_go_leave_nothing(micro_model: SamwiseModel) -> None:
    session = StreamingSession(micro_model, SessionConfig(max_targets=2))
    frame = make_frames(1, 48, 64)[0]
    session.submit("add:keep: mug")
    for _ in range(16):
        session.step(frame)
    before = session.nbytes
    for index in range(6):
        session.submit(f"add:t{index}: duck")
        session.step(frame)
        session.submit(f"remove:t{index}")
        session.step(frame)
    assert session.nbytes == before and len(session.targets) == 1
