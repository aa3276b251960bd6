"""One-slot mailbox between a subscription and the thread that does the work.

A callback may only store: inference inside it would let the middleware queue old frames. With one
slot the frame that is taken is always the newest, and what was overwritten is counted. Standard
library only.
"""

import threading
from typing import Generic, TypeVar

T = TypeVar("T")


class Mailbox(Generic[T]):
    """Holds the newest item; thread-safe."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._item: T | None = None
        self._closed = False
        self._dropped = 0

    @property
    def dropped(self) -> int:
        """Items that were replaced before anyone took them."""
        with self._changed:
            return self._dropped

    def put(self, item: T) -> None:
        """Store `item` in place of one that is still waiting. Ignored once closed."""
        with self._changed:
            if self._closed:
                return
            if self._item is not None:
                self._dropped += 1
            self._item = item
            self._changed.notify()

    def take(self, timeout: float | None = None) -> T | None:
        """Wait for an item and remove it; None after `timeout` seconds or once closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._item is not None, timeout)
            item, self._item = self._item, None
            return item

    def close(self) -> None:
        """Drop what is waiting and wake up whoever waits; there is no reopening."""
        with self._changed:
            self._closed = True
            self._item = None
            self._changed.notify_all()

    @property
    def closed(self) -> bool:
        """Whether `close` has been called."""
        with self._changed:
            return self._closed
