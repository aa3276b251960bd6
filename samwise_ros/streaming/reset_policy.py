"""When what was seen of a camera must be forgotten. Standard library only."""

from dataclasses import dataclass

_JITTER = 0.5  # seconds by which stamps may go back: frames that overtook each other


@dataclass(frozen=True)
class Scene:
    """The images of a camera between two breaks.

    Attributes:
        number: Counted from 0.
        reason: What the break before it was; empty for the first one.
    """

    number: int = 0
    reason: str = ""


class ResetPolicy:
    """Cuts a camera's images into scenes as they arrive; each frame is compared with the last one.

    By what was received, not by what was answered: a model that is slow, busy with other cameras or
    compiling answers few images, and those that it passes over were there all the same.

    Args:
        gap: Seconds without an image, by their stamps, after which the scene counts as a new one;
            0: never.
    """

    def __init__(self, gap: float) -> None:
        self._gap = gap
        self._stamp: float | None = None
        self._paused = False
        self._scene = self._answered = Scene()
        self._size: tuple[int, int] | None = None

    def received(self, stamp: float) -> Scene:
        """Take in an image that arrived, answered or not; the scene that it belongs to.

        Args:
            stamp: Of the image, in seconds.
        """
        step = 0.0 if self._stamp is None else stamp - self._stamp
        self._stamp = stamp
        paused, self._paused = self._paused, False
        if step < -_JITTER:
            self._break(f"stamps jumped back by {-step:.1f} s")
        elif self._gap and step > self._gap and not paused:
            self._break(f"no image for {step:.1f} s by the stamps")
        return self._scene

    def pause(self) -> None:
        """Let the time until the next image count for nothing: nobody wanted one."""
        self._paused = True

    def judge(self, size: tuple[int, int], scene: Scene) -> str:
        """Take in a frame that is to be answered; why memory must be reset before it, or ''.

        Args:
            size: (H, W) in pixels.
            scene: From `received`.
        """
        last_size, last_scene = self._size, self._answered
        self._size, self._answered = size, scene
        if last_size is None:
            return ""
        if size != last_size:
            return (f"images changed from {last_size[1]}x{last_size[0]} to "
                    f"{size[1]}x{size[0]} pixels")
        return scene.reason if scene.number != last_scene.number else ""

    def _break(self, reason: str) -> None:
        self._scene = Scene(self._scene.number + 1, reason)
