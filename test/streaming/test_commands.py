"""What a text command means, and that no accepted command is lost. A base or an arm obeys them."""

import time

import pytest

from samwise_ros.streaming.commands import (
    LONGEST_COMMAND,
    RELEASE_WORDS,
    TargetPlan,
    add_command,
    parse_command,
    remove_command,
)
from samwise_ros.structures import Command, CommandError, CommandKind

CLEAR = Command(CommandKind.CLEAR)


def sentence(text: str) -> Command:
    return Command(CommandKind.ADD, "target", text, replace_all=True)


@pytest.mark.parametrize("text", [
    "", " ", "\n\t", "stop", "STOP", "Stop.", "STOP!", "stop!!", "\"stop\"", "'Stop.'", "“Stop.”",
    "«stop»", "clear.", "Clear", "\ufeffstop", "\ufeff", "\u200b", "\u200bstop\u200b", "st\u00adop",
    "stop\x00", "stop\r\n", "¡Stop!", "stop…", "(stop)", "*stop*", "stop - ", "ｓｔｏｐ", "halt",
    "Halt!", "cancel", "Cancel.", "abort", "stop tracking", "Stop tracking.", "Stop, tracking!",
    "stop  tracking", "stop-tracking", "Stop! Stop!", "stop stop stop", "Stop it!", "Please stop.",
    "Stop, please.", "stop:", "clear:", "...", "\"\"", "?!", "-",
    "Stop, whisper.", "Okay, stop.", "Robot! Stop!", "No. Stop now, please.", "the red cup. Stop.",
    "okay stop", "please stop now", "Stop right there!", "hey robot stop", "Stop. Thank you.",
    "Stop — no!", "stop\nthe red cup", "Halt, robot", *RELEASE_WORDS])
def test_whatever_asks_for_a_stop_releases_all(text):
    assert parse_command(text) == CLEAR


@pytest.mark.parametrize("text", [
    "the robot", "robot here", "now", "stop sign please",
    "the stop sign", "stop sign", "The stop sign.", "the man, who will not stop", "a stop-sign",
    "the sign that says \"Stop!\" in red", "the car at the stop, which is red",
    "the bus that will not stop", "the clear bottle", "clear glass",
    "the halter", "don't stop", "stops", "cancelled ticket", "the person who stops", "nonstop",
    "a: b", "adder: the snake", "removed: this", "停止标志", "the cup (red)"])
def test_a_sentence_with_such_a_word_stays_a_sentence(text):
    assert parse_command(text) == sentence(text)


@pytest.mark.parametrize(("text", "expected"), [
    ("  the red cup\n", "the red cup"), ("\ufeffthe red cup", "the red cup"),
    ("\"the red cup\"", "the red cup"), ("“The red cup.”", "The red cup."),
    ("\u200bthe\u200bcup\u200b", "the\u200bcup"), ("the \"big\" cup", "the \"big\" cup")])
def test_a_sentence_loses_what_surrounds_it_and_nothing_else(text, expected):
    assert parse_command(text) == sentence(expected)


@pytest.mark.parametrize("text", [
    "remove:cup", "remove:cup.", "Remove: cup!", "REMOVE:\"cup\"", "remove:“cup”.",
    "\"remove:cup\"",
    "\ufeffremove:cup", "remove:\u200bcup", "remove :cup", "remove：cup。", "'remove:cup.'"])
def test_an_id_is_recognised_whatever_surrounds_it(text):
    assert parse_command(text) == Command(CommandKind.REMOVE, "cup")


@pytest.mark.parametrize("text", [
    "add:cup: the red cup", "Add:cup: the red cup", " add : cup : the red cup ",
    "\"add:cup: the red cup\"", "add:'cup': \"the red cup\"", "\ufeffadd:cup:the red cup",
    "add：cup：the red cup"])
def test_a_target_is_added_whatever_surrounds_it(text):
    assert parse_command(text) == Command(CommandKind.ADD, "cup", "the red cup")


def test_a_sentence_may_hold_colons_and_an_id_other_signs():
    assert parse_command("add:front/cup-1: a: b") == add_command("front/cup-1", "a: b")


@pytest.mark.parametrize(("text", "message"), [
    ("add:", "SENTENCE"), ("add:x", "SENTENCE"), ("add:x:", "SENTENCE"), ("add:x: ...", "SENTENCE"),
    ("add: : mug", "id"), ("add:two words: mug", "id"), ("remove:", "id"), ("remove:...", "id"),
    ("remove:a:b", "id"), (f"add:{'i' * 101}: x", "id"), ("add:cup: Stop.", "release word"),
    ("add:cup: Stop, robot.", "release word"),
    ("x" * (LONGEST_COMMAND + 1), "characters"), (" " * 10**6, "characters"),
    (None, "expected text"), (b"stop", "expected text")])
def test_what_cannot_be_understood_is_refused_with_the_reason(text, message):
    with pytest.raises(CommandError, match=message) as refusal:
        parse_command(text)
    assert len(str(refusal.value)) < 400


def test_release_words_can_be_changed():
    assert parse_command("¡Basta ya!", ("basta ya",)) == CLEAR
    assert parse_command("stop", ("basta ya",)) == sentence("stop")
    assert parse_command("", ()) == CLEAR


def test_thirty_megabytes_are_refused_at_once():
    text = "the red cup " * 2_500_000
    began = time.monotonic()
    for refused in (parse_command, lambda t: add_command("cup", t), lambda t: add_command(t, "a"),
                    lambda t: TargetPlan(1).submit(Command(CommandKind.ADD, "cup", t))):
        with pytest.raises(CommandError, match="characters; at most"):
            refused(text)
    assert time.monotonic() - began < 1.0


def planned(plan: TargetPlan) -> list[tuple[str, str, int]]:
    return [(name, target.expression, target.command) for name, target in plan.targets.items()]


def test_the_plan_is_what_all_commands_together_ask_for():
    plan = TargetPlan(max_targets=3)
    story = [
        ("add:a: mug", [("a", "mug", 1)]),
        ("add:b: duck", [("a", "mug", 1), ("b", "duck", 2)]),
        ("add:a: cup", [("a", "cup", 3), ("b", "duck", 2)]),
        ("remove:a", [("b", "duck", 2)]),
        ("add:a: cup", [("b", "duck", 2), ("a", "cup", 5)]),
        ("the ball", [("target", "the ball", 6)]),
        ("stop", [])]
    for number, (text, expected) in enumerate(story, 1):
        assert plan.submit(parse_command(text)) == number == plan.newest
        assert planned(plan) == expected


def test_what_waits_is_bounded_however_many_commands_come():
    plan = TargetPlan(max_targets=4)
    for number in range(10_000):
        plan.submit(add_command(f"t{number % 4}", f"sentence {number}"))
        plan.submit(remove_command(f"t{number % 4}"))
        plan.submit(add_command(f"t{number % 4}", f"sentence {number}"))
    assert planned(plan) == [(f"t{n % 4}", f"sentence {n}", 3 * n + 3) for n in range(9996, 10_000)]


@pytest.mark.parametrize("text", ["add:c: ball", "remove:z"])
def test_a_refused_command_changes_nothing(text):
    plan = TargetPlan(max_targets=2)
    plan.submit(add_command("a", "mug"))
    plan.submit(add_command("b", "duck"))
    before = planned(plan)
    with pytest.raises(CommandError, match=r"already 2 targets|no target 'z'; known are a, b"):
        plan.submit(parse_command(text))
    assert planned(plan) == before and plan.newest == 2
