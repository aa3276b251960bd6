"""Mailbox and worker: plain threads, no ROS."""

import threading
import time
import weakref
from collections.abc import Callable

import pytest

from samwise_ros.streaming.mailbox import Backlog, Mailbox
from samwise_ros.streaming.worker import FrameWorker, Lane, ModelThread


@pytest.fixture
def thread():
    opened = ModelThread()
    yield opened
    assert opened.close(5.0)


def test_only_the_newest_item_is_kept_and_the_rest_counted():
    mailbox = Mailbox()
    for number in range(5):
        mailbox.put(number)
    assert mailbox.take(0.1) == 4 and mailbox.dropped == 4
    assert mailbox.take(0.01) is None


def test_a_backlog_hands_out_everything_in_order_and_refuses_what_does_not_fit():
    backlog = Backlog(3)
    assert [backlog.put(number) for number in range(5)] == [True, True, True, False, False]
    assert backlog.dropped == 2 and backlog.waiting == 3
    assert [backlog.take(0.1) for _ in range(3)] == [0, 1, 2]
    assert backlog.put(5) and backlog.take(0.1) == 5


def test_taking_waits_for_an_item_from_another_thread():
    mailbox = Mailbox()
    threading.Timer(0.05, mailbox.put, ["late"]).start()
    assert mailbox.take(5.0) == "late"


def test_closing_wakes_the_taker_and_refuses_more():
    mailbox = Mailbox()
    mailbox.put("waiting")
    threading.Timer(0.05, mailbox.close).start()
    assert mailbox.take(5.0) == "waiting"
    began = time.monotonic()
    assert mailbox.take(30.0) is None and time.monotonic() - began < 10
    mailbox.put("too late")
    assert mailbox.take(0.01) is None and mailbox.closed


def test_the_model_s_thread_is_one_keeps_order_and_forgets_what_it_ran(thread):
    class Model:
        def run(self) -> int:
            return threading.get_ident()

    def fail() -> None:
        raise ValueError("no such weights")

    model = Model()
    held = weakref.ref(model)
    idents = [thread.submit(model.run) for _ in range(3)]
    failed = thread.submit(fail)
    del model
    assert len({ident.result(5.0) for ident in idents} | {threading.get_ident()}) == 2
    with pytest.raises(ValueError, match="no such weights"):
        failed.result(5.0)
    thread.submit(int).result(5.0)
    assert held() is None


def test_the_worker_goes_on_after_a_failure_and_stops_when_told(thread):
    changed = threading.Condition()
    mailbox, seen, failures, done = Mailbox(changed), [], [], threading.Event()

    def answer(item: str) -> None:
        seen.append(item)
        done.set()
        if item == "bad":
            raise ValueError("bad item")

    begun = []
    worker = FrameWorker([Lane(mailbox, lambda: begun.append(list(seen)), answer, failures.append)],
                         changed, thread, print)
    worker.start()
    for item in ("bad", "good"):
        done.clear()
        mailbox.put(item)
        assert done.wait(5.0)
    assert worker.stop(5.0)
    assert begun == [[]] and seen == ["bad", "good"]
    assert [str(error) for error in failures] == ["bad item"]


def raising(error: BaseException) -> Callable[..., None]:
    def function(*_: object) -> None:
        raise error

    return function


@pytest.mark.parametrize("functions", [
    (raising(ValueError("in begin")), str, str),
    (str, raising(ValueError("of the frame")), raising(ValueError("in failed"))),
    (str, raising(SystemExit(3)), str)])
def test_whatever_ends_the_worker_is_told(thread, functions):
    changed, told = threading.Condition(), []
    mailbox = Mailbox(changed)
    worker = FrameWorker([Lane(mailbox, *functions)], changed, thread, told.append)
    worker.start()
    mailbox.put("frame")
    deadline = time.monotonic() + 5.0
    while not told and time.monotonic() < deadline:
        time.sleep(0.01)
    assert [type(error) for error in told] in ([ValueError], [SystemExit])
    assert worker.stop(5.0)


def test_stopping_a_worker_that_hangs_returns_false_in_time(thread):
    changed, release, started = threading.Condition(), threading.Event(), threading.Event()
    mailbox = Mailbox(changed)
    worker = FrameWorker(
        [Lane(mailbox, print, lambda item: (started.set(), release.wait(30)), print)], changed,
        thread, print)
    worker.start()
    mailbox.put("slow")
    assert started.wait(5.0)
    assert not worker.stop(0.05)
    release.set()
    assert worker.stop(5.0)


def test_lanes_are_served_in_turns_however_full_they_are(thread):
    changed, seen, done = threading.Condition(), [], threading.Event()

    def answer(item: str) -> None:
        seen.append(item)
        if item == "end":
            done.set()

    lanes = [Lane(Backlog(10, changed), print, answer, print) for _ in range(3)]
    for number in range(4):
        lanes[0].mailbox.put(f"a{number}")
    for number in range(2):
        lanes[2].mailbox.put(f"c{number}")
    lanes[1].mailbox.put("b0")
    worker = FrameWorker(lanes, changed, thread, print)
    worker.start()
    lanes[0].mailbox.put("end")
    assert done.wait(5.0) and worker.stop(5.0)
    assert seen == ["a0", "b0", "c0", "a1", "c1", "a2", "a3", "end"]
