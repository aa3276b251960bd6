"""When what was seen of a camera must be forgotten. Standard library only."""

_JITTER = 0.5  # seconds by which stamps may go back: frames that overtook each other


class ResetPolicy:
    """Compares each frame with the one before it.

    Args:
        gap: Seconds without a frame, by their stamps, after which the scene counts as a new one;
            0: never.
    """

    def __init__(self, gap: float) -> None:
        self._gap = gap
        self._size: tuple[int, int] | None = None
        self._stamp = 0.0

    def judge(self, size: tuple[int, int], stamp: float) -> str:
        """Take in a frame; why memory must be reset before it, or an empty string.

        Args:
            size: (H, W) in pixels.
            stamp: Of the image, in seconds.
        """
        last_size, last_stamp = self._size, self._stamp
        self._size, self._stamp = size, stamp
        if last_size is None:
            return ""
        if size != last_size:
            return (f"images changed from {last_size[1]}x{last_size[0]} to "
                    f"{size[1]}x{size[0]} pixels")
        step = stamp - last_stamp
        if step < -_JITTER:
            return f"stamps jumped back by {-step:.1f} s"
        if self._gap and step > self._gap:
            return f"no image for {step:.1f} s by the stamps"
        return ""
