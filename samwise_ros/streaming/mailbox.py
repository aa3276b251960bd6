"""What lies between a subscription and the thread that does the work. Standard library only.

A callback may only store: inference inside it would let the middleware queue old frames.
"""

import threading
from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class Mailbox(Generic[T]):
    """One slot: holds the newest item, so what is taken is never old. Thread-safe.

    Args:
        changed: Notified when an item comes or the mailbox is closed. Mailboxes that are served by
            one thread share it.
    """

    def __init__(self, changed: threading.Condition | None = None) -> None:
        self._changed = changed or threading.Condition()
        self._items: deque[T] = deque()
        self._closed = False
        self._dropped = 0

    @property
    def dropped(self) -> int:
        """Items that nobody will take, because of newer ones or for want of room."""
        with self._changed:
            return self._dropped

    @property
    def waiting(self) -> int:
        """Items to be taken."""
        with self._changed:
            return len(self._items)

    @property
    def closed(self) -> bool:
        """Whether `close` has been called."""
        with self._changed:
            return self._closed

    def put(self, item: T) -> bool:
        """Store `item`. False when one was dropped for it, or it itself; ignored once closed."""
        with self._changed:
            if self._closed:
                return True
            fits = self._store(item)
            self._dropped += not fits
            self._changed.notify_all()
            return fits

    def take(self, timeout: float | None = None) -> T | None:
        """Wait for an item and remove it; None after `timeout` seconds or once closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._items, timeout)
            return self._items.popleft() if self._items else None

    def close(self) -> None:
        """Drop what is waiting and wake up whoever waits; there is no reopening."""
        with self._changed:
            self._closed = True
            self._items.clear()
            self._changed.notify_all()

    def _store(self, item: T) -> bool:
        fits = not self._items
        self._items.clear()
        self._items.append(item)
        return fits


class Backlog(Mailbox[T]):
    """Holds up to `limit` items and hands out every one, in order; a full one refuses more.

    Args:
        limit: Largest number of items.
        changed: See `Mailbox`.
    """

    def __init__(self, limit: int, changed: threading.Condition | None = None) -> None:
        super().__init__(changed)
        self._limit = limit

    def _store(self, item: T) -> bool:
        fits = len(self._items) < self._limit
        if fits:
            self._items.append(item)
        return fits
