"""The page in a real Chromium, with nano and the simulated camera behind it; the truth judges."""

import base64
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field

import cv2
import numpy as np
import psutil
import pytest

pytest.importorskip("uvicorn", reason="needs the page: pip install 'samwise_ros[live]'")
pytest.importorskip("pybullet", reason="needs the simulator: pip install 'samwise_ros[sim]'")
playwright = pytest.importorskip("playwright.sync_api",
                                 reason="needs playwright: pip install playwright")

from live_builders import wait_until

from samwise_ros.cli import live_sources
from samwise_ros.live.board import Answer, Board
from samwise_ros.live.player import Player, Shot, Source
from samwise_ros.live.server import PageServer
from samwise_ros.model.checkpoint import load_model
from samwise_ros.sim.demo_scene import choose_scene
from samwise_ros.sim.expressions import Expression
from samwise_ros.streaming.drawing import encode_jpeg
from samwise_ros.streaming.session import StreamingSession

CHROMIUM = next(filter(None, map(shutil.which, (
    "chromium", "google-chrome", "chromium-browser"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt-get install chromium")

PATIENCE = 60e3  # ms: a picture can take seconds on a busy machine
playwright.expect.set_options(timeout=PATIENCE)
KEPT = 300  # answers, half a minute's
PIXELS = """() => {
  const canvas = document.querySelector("canvas");
  const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
  let text = "";
  for (let at = 0; at < data.length; at += 8192)
    text += String.fromCharCode(...data.subarray(at, at + 8192));
  return [Number(canvas.dataset.number), canvas.width, canvas.height, btoa(text)];
}"""

UNNAMED = """() => [...document.querySelectorAll("button, input, select, canvas")]
    .filter((e) => e.checkVisibility()
        && !(e.labels?.length || e.getAttribute("aria-label") || e.textContent.trim()))
    .map((e) => e.outerHTML)"""


@dataclass
class Show:
    """A page with its player, and the last answers that it has shown."""

    player: Player
    server: PageServer
    asked: tuple[Expression, ...]
    answers: dict[int, Answer] = field(default_factory=dict)

    def note(self, answer: Answer | None) -> None:
        """Keep an answer by its number, and forget what no browser shows any more."""
        if answer is not None:
            self.answers[answer.number] = answer
            self.answers.pop(answer.number - KEPT, None)

    def painted(self, page: "playwright.Page") -> tuple[Answer, np.ndarray]:
        """The answer that a browser shows; bool [H, W]: where its picture isn't the camera's."""
        number, width, height, text = page.evaluate(PIXELS)
        rgba = np.frombuffer(base64.b64decode(text), np.uint8).reshape(height, width, 4)
        answer = self.answers[number]
        plain = cv2.imdecode(np.frombuffer(encode_jpeg(answer.rgb), np.uint8), cv2.IMREAD_COLOR)
        changed = np.abs(rgba[..., :3].astype(int) - plain[..., ::-1]).sum(2) > 30
        # Decoders differ a little at edges.
        return answer, cv2.morphologyEx(
            changed.astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3))) > 0


@pytest.fixture(scope="module")
def show() -> Iterator[Show]:
    asked = choose_scene(0, 10.0, 12).expressions
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(live_sources, "_REHEARSED", 12)
        source = live_sources.open_source("sim")
    board = Board(("",))
    session = StreamingSession(load_model("nano"))
    player = Player({"": answered(source, board)}, {"": session}, board)
    with closing(player), closing(PageServer(board, player.command, 0)) as server:
        shown = Show(player, server, asked)
        board.listen(lambda: shown.note(board.answer("")))
        player.start()
        yield shown


@pytest.fixture(autouse=True)
def _nothing_is_left_for_the_next(show: Show) -> Iterator[None]:
    yield
    show.player.command("", "stop")


def answered(source: Source, board: Board) -> Source:
    """The same pictures, each once the one before is answered: none is missed on a busy machine."""
    def play(wait: Callable[[float], bool]) -> Iterator[Shot]:
        for shot in source(wait):
            yield shot
            while getattr(board.answer(""), "result", None) is None or (
                    board.answer("").result.stamp is not shot.stamp):
                if wait(0.01):
                    return

    return play


@pytest.fixture(scope="module")
def launch() -> Iterator[Callable[[], "playwright.Browser"]]:
    """Starts a Chromium."""
    with playwright.sync_playwright() as driver:
        yield lambda: driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])


@pytest.fixture(scope="module")
def browser(launch: Callable[[], "playwright.Browser"]) -> Iterator["playwright.Browser"]:
    started = launch()
    yield started
    started.close()


@contextmanager
def opened(browser: "playwright.Browser", show: Show, **options: object
           ) -> Iterator["playwright.Page"]:
    """The page in a browser that knows nothing; nothing may go wrong in it."""
    page = browser.new_context(**{"viewport": {"width": 1000, "height": 800}} | options).new_page()
    page.set_default_timeout(PATIENCE)
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda line: faults.append(line.text) if line.type == "error" else None)
    try:
        page.goto(show.server.url)
        page.wait_for_selector("canvas[data-number]")
        yield page
        assert faults == []
    finally:
        with suppress(playwright.Error):  # killed meanwhile
            page.context.close()


def overlap(first: np.ndarray, second: np.ndarray) -> float:
    return float((first & second).sum() / max(1, (first | second).sum()))


def connections(port: int) -> int:
    return sum(each.laddr.port == port and each.status == "ESTABLISHED"
               for each in psutil.Process().net_connections("tcp"))


def test_what_is_typed_is_painted_where_the_truth_is_until_it_is_stopped(
        show: Show, browser: "playwright.Browser") -> None:
    first, second = show.asked[0], show.asked[1]
    with opened(browser, show) as page:
        assert not show.painted(page)[1].any()  # nothing is looked for
        page.get_by_label("What to look for").fill(first.text)
        page.keyboard.press("Enter")
        chip = page.locator(".targets li")
        playwright.expect(chip).to_have_attribute("data-state", "TRACKING")
        playwright.expect(chip.locator("b")).to_have_text(first.text)
        playwright.expect(page.locator("#reply")).to_have_text("accepted as command 1")

        def on_the_truth(expression: Expression) -> bool:
            answer, painted = show.painted(page)
            return overlap(painted, answer.result.stamp.mask(expression.targets[0])) > 0.6

        poll(page, lambda: on_the_truth(first), "the mask is on the target")
        page.get_by_label("What to look for").fill(second.text)
        page.keyboard.press("Enter")
        poll(page, lambda: on_the_truth(second), "the mask is on the other one")
        page.keyboard.press("Escape")
        playwright.expect(chip).to_have_count(0)
        poll(page, lambda: not show.painted(page)[1].any(), "stop empties the picture")


def test_what_is_drawn_is_painted_where_the_truth_is(
        show: Show, browser: "playwright.Browser") -> None:
    instance = show.asked[0].targets[0]
    with opened(browser, show, has_touch=True) as page:
        chip = page.locator(".targets li")

        def truth() -> np.ndarray:
            return show.painted(page)[0].result.stamp.mask(instance)

        def place(x: float, y: float) -> tuple[float, float]:
            width, height = truth().shape[::-1]
            canvas = page.locator("canvas").bounding_box()
            scale = min(canvas["width"] / width, canvas["height"] / height)  # margins fill the rest
            return (canvas["x"] + canvas["width"] / 2 + (x + 0.5 - width / 2) * scale,
                    canvas["y"] + canvas["height"] / 2 + (y + 0.5 - height / 2) * scale)

        def on_the_truth() -> bool:
            answer, painted = show.painted(page)
            return overlap(painted, answer.result.stamp.mask(instance)) > 0.5

        def drag() -> None:
            rows, columns = np.nonzero(truth())
            page.mouse.move(*place(columns.min() - 2, rows.min() - 2))
            page.mouse.down()
            page.mouse.move(*place(columns.mean(), rows.mean()))
            assert page.locator(".drag").is_visible()
            page.mouse.move(*place(columns.max() + 2, rows.max() + 2))
            page.mouse.up()

        def tap() -> None:
            inside = cv2.distanceTransform(truth().astype(np.uint8), cv2.DIST_L2, 5)
            row, column = np.unravel_index(inside.argmax(), inside.shape)
            page.touchscreen.tap(*place(column, row))

        def accepted(pointing: Callable[[], None]) -> bool:
            """On a busy machine a picture is soon too old to point at."""
            reply = page.locator("#reply")
            before = reply.text_content()
            pointing()
            return (seen(page, lambda: reply.text_content() != before, PATIENCE)
                    and "accepted" in reply.text_content())

        for pointing, sentence in ((drag, ""), (tap, ""), (tap, show.asked[0].text)):
            page.get_by_label("What to look for").fill(sentence)
            assert any(accepted(pointing) for _ in range(4))
            playwright.expect(chip.locator("b")).to_have_text(sentence or "target")
            poll(page, on_the_truth, f"the mask after {pointing.__name__} {sentence!r}")
            page.keyboard.press("Escape")
            playwright.expect(chip).to_have_count(0)
        page.get_by_label("What to look for").fill("add:mine: " + show.asked[0].text)
        assert any(accepted(tap) for _ in range(4))
        playwright.expect(chip).to_have_attribute("data-id", "mine")
        page.keyboard.press("Escape")
        playwright.expect(chip).to_have_count(0)


def test_targets_are_added_removed_and_refused(show: Show, browser: "playwright.Browser") -> None:
    with opened(browser, show) as page:
        sentence, chips = page.get_by_label("What to look for"), page.locator(".targets li")
        for count, text in enumerate(("the red car", "the blue car"), 1):
            sentence.fill(text)
            page.get_by_role("button", name="Add").click()
            playwright.expect(chips).to_have_count(count)
        assert [chip.get_attribute("data-id") for chip in chips.all()] == ["car", "car2"]
        sentence.fill("remove:nothing")
        page.keyboard.press("Enter")
        for place in ("#reply", ".status"):
            playwright.expect(page.locator(place)).to_contain_text(
                "no target 'nothing'; known are car, car2")
        page.get_by_role("button", name="Remove the red car").click()
        playwright.expect(chips).to_have_count(1)
        playwright.expect(chips).to_have_attribute("data-id", "car2")
        playwright.expect(page.locator(".status")).to_have_text("answering pictures")
        page.get_by_role("button", name="Stop").click()
        playwright.expect(chips).to_have_count(0)


def test_another_browser_sees_the_same_and_a_killed_one_leaves_nothing(
        show: Show, browser: "playwright.Browser",
        launch: Callable[[], "playwright.Browser"]) -> None:
    port, text = show.server.port, show.asked[0].text
    with opened(browser, show) as page:
        page.get_by_label("What to look for").fill(text)
        page.keyboard.press("Enter")
        playwright.expect(page.locator(".targets li b")).to_have_text(text)
    wait_until(lambda: show.server.watchers == 0 and connections(port) == 0, "it is gone")
    threads, processes = set(threading.enumerate()), set(psutil.Process().children(recursive=True))
    other = launch()
    with opened(other, show) as page:
        playwright.expect(page.locator(".targets li b")).to_have_text(text)

        def has_the_mask() -> bool:
            answer, painted = show.painted(page)
            return overlap(painted, answer.result.targets[0].mask) > 0.6

        poll(page, has_the_mask, "it has the mask, too")
        assert show.server.watchers == 1 and connections(port) >= 1
        for process in set(psutil.Process().children(recursive=True)) - processes:
            process.kill()
        wait_until(lambda: show.server.watchers == 0 and connections(port) == 0, "nothing is left")
    assert set(threading.enumerate()) <= threads


def test_it_fits_and_can_be_used_from_the_keyboard(
        show: Show, browser: "playwright.Browser") -> None:
    for width, height, scheme in ((390, 844, "light"), (1280, 800, "dark")):
        with opened(browser, show, viewport={"width": width, "height": height},
                    color_scheme=scheme) as page:
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            reached = []
            for _ in range(6):
                page.keyboard.press("Tab")
                reached.append(page.evaluate("document.activeElement.id"))
            assert [name for name in reached if name][:4] == ["sentence", "find", "add", "stop"]
            assert page.evaluate(UNNAMED) == []


def poll(page: "playwright.Page", condition: Callable[[], bool], what: str) -> None:
    """Look again while the browser goes on."""
    assert seen(page, condition, PATIENCE), f"{what}: not within {PATIENCE / 1e3:.0f} s"


def seen(page: "playwright.Page", condition: Callable[[], bool], patience: float) -> bool:
    """Whether it becomes true within so many milliseconds."""
    for _ in range(round(patience / 100)):
        if condition():
            return True
        page.wait_for_timeout(100)
    return False
