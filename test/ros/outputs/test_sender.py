"""The thread in which results leave: plain threads, no ROS."""

import threading
import weakref
from collections.abc import Callable, Iterator

import pytest

from samwise_ros.ros.outputs.sender import Sender


class Stalled:
    """A sender whose first job does not end before it is released."""

    def __init__(self, keep_all: bool = False) -> None:
        self.release, self.done, self.failures = threading.Event(), [], []
        began = threading.Event()
        self.sender = Sender("test", self.failures.append, keep_all)
        self.sender.put("first", lambda: (began.set(), self.release.wait(30)))
        assert began.wait(5.0)

    def job(self, name: str) -> Callable[[], None]:
        return lambda: self.done.append(name)

    def finish(self) -> list[str]:
        self.release.set()
        self.sender.flush(5.0)
        return self.done


@pytest.fixture
def stalled() -> Iterator[Stalled]:
    made = Stalled()
    yield made
    made.release.set()
    made.sender.close()


def test_of_pictures_that_wait_only_the_newest_leaves_and_the_rest_leaves_in_order(stalled):
    for number in range(3):
        for kind in ("mask", "overlay"):
            stalled.sender.put(kind, stalled.job(f"{kind}{number}"), newest_only=True)
        stalled.sender.put("targets", stalled.job(f"targets{number}"))
    assert stalled.finish() == ["targets0", "targets1", "mask2", "overlay2", "targets2"]


def test_what_waits_is_bounded_and_the_newest_is_kept(stalled):
    for number in range(1000):
        stalled.sender.put("targets", stalled.job(str(number)))
    done = stalled.finish()
    assert done[-1] == "999" and len(done) <= 100


def test_a_recording_loses_nothing_and_waits_for_room():
    stalled = Stalled(keep_all=True)
    threading.Timer(0.3, stalled.release.set).start()
    for number in range(300):
        stalled.sender.put("mask", stalled.job(str(number)), newest_only=True)
    assert stalled.release.is_set()  # 300 do not fit
    assert stalled.finish() == [str(number) for number in range(300)]
    stalled.sender.close()


def test_a_job_that_fails_is_told_and_the_next_one_runs(stalled):
    stalled.sender.put("bad", lambda: 1 / 0)
    stalled.sender.put("good", stalled.job("good"))
    assert stalled.finish() == ["good"]
    assert [type(error) for error in stalled.failures] == [ZeroDivisionError]


def test_flushing_forgets_what_does_not_leave_in_time(stalled):
    stalled.sender.put("targets", stalled.job("late"))
    stalled.sender.flush(0.05)
    assert stalled.finish() == []


def test_closing_ends_the_thread_whatever_waits_and_nothing_is_kept():
    class Frame:
        def leave(self) -> None:
            """Nothing to do."""

    sender, frame = Sender("closing", print), Frame()
    kept = weakref.ref(frame)
    sender.put("frame", frame.leave)
    del frame
    sender.flush(5.0)
    assert kept() is None
    sender.close()
    assert "closing" not in [thread.name for thread in threading.enumerate()]
    sender.put("frame", lambda: None)
