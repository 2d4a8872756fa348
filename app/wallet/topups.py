"""What upper subjects hand in: where to top up, and where the things stand that lines refer to."""

from collections.abc import Callable
from dataclasses import dataclass

# What payments register at the start.
__all__ = ["RefLink", "name_refs_with", "offer_top_ups", "ref_links", "top_up_address"]


@dataclass(frozen=True, slots=True)
class RefLink:
    """A reference as people read it: "Invoice 12" and the address of its page."""

    text: str
    address: str


@dataclass(slots=True)
class _Joined:
    top_ups: Callable[[], str | None] = lambda: None
    refs: Callable[[int, str], RefLink | None] = lambda _user_id, _ref: None


_joined = _Joined()


def offer_top_ups(link: Callable[[], str | None]) -> None:
    """Take what gives the address of the page to top up, or nothing while no rail is ready."""
    _joined.top_ups = link


def name_refs_with(link: Callable[[int, str], RefLink | None]) -> None:
    """Take what gives the page of a reference of a person, or nothing where there is none."""
    _joined.refs = link


def top_up_address() -> str | None:
    """Return where to top up; nothing while that is not possible."""
    return _joined.top_ups()


def ref_links(user_id: int, refs: tuple[str, ...]) -> list[RefLink]:
    """Return the pages of those references that have one."""
    found = (_joined.refs(user_id, ref) for ref in refs)
    return [link for link in found if link is not None]
