"""Pages of long lists: the same size and the same limits everywhere."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")

PAGE_SIZE = 50
LAST_PAGE = 20_000


@dataclass(frozen=True, slots=True)
class Slice(Generic[T]):
    """One page of a list and how long the whole list is."""

    items: tuple[T, ...]
    number: int
    total: int
    size: int = PAGE_SIZE

    @property
    def pages(self) -> int:
        """Return how many pages there are, at least one."""
        return max(1, -(-self.total // self.size))


@dataclass(frozen=True, slots=True)
class Page:
    """What a pager shows."""

    number: int
    pages: int
    total: int
    prev_url: str | None
    next_url: str | None


def read_page(text: str | None) -> int:
    """Read a page number from an address; anything odd is the first page."""
    if text is None or not text.isascii() or not text.isdecimal() or len(text) > len("20000"):
        return 1
    return min(max(1, int(text)), LAST_PAGE)


def offset_of(number: int, size: int = PAGE_SIZE) -> int:
    """Return how many rows stand before a page."""
    return (number - 1) * size


def page_of(found: Slice[T], url: Callable[[int], str]) -> Page:
    """Return the pager of a slice; `url` gives the address of a page by its number."""
    number = found.number
    return Page(
        number=number,
        pages=found.pages,
        total=found.total,
        prev_url=url(number - 1) if number > 1 else None,
        next_url=url(number + 1) if number < found.pages else None,
    )
