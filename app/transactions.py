"""One transaction for each edge call; what leaves the house waits for its commit."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol, TypeVar

from app.db import db

_LAST = "before_commit_hooks"
_HOOKS = "after_commit_hooks"


class Hook(Protocol):
    """What is made without arguments and run once."""

    def __init__(self) -> None: ...

    def __call__(self) -> object: ...


H = TypeVar("H", bound=Hook)


@contextmanager
def transaction() -> Iterator[None]:
    """Commit at the end, roll back on any error; then run what `after_commit` collected.

    What `last_of` has made runs as the last part of the transaction.

    Only an edge (route, job, command) and the live tick, which has several, open one. A second one
    inside the first is a mistake: it would commit half of the outer one.
    """
    if is_open():
        raise RuntimeError("a transaction is open already: only the edge opens one")
    db.session.info["in_transaction"] = True
    db.session.info[_HOOKS], db.session.info[_LAST] = [], []
    try:
        yield
        for last in db.session.info[_LAST]:
            last()
        db.session.commit()
    except BaseException:
        db.session.rollback()
        db.session.info[_HOOKS] = []
        raise
    finally:
        db.session.info["in_transaction"] = False
    for hook in db.session.info.pop(_HOOKS):
        hook()


def is_open() -> bool:
    """Tell whether a transaction of the edge is open: what is read now may be rolled back."""
    return bool(db.session.info.get("in_transaction"))


def last_of(kind: type[H]) -> H:
    """Return the one hook of a class that runs as the last part of the surrounding transaction.

    It is made when it is asked for first; what it raises undoes all. For rows that many people
    wait for: they are locked after everything else, and for a moment.
    """
    if not is_open():
        raise RuntimeError("last_of needs an open transaction")
    hooks: list[Callable[[], object]] = db.session.info[_LAST]
    for hook in hooks:
        if isinstance(hook, kind):
            return hook
    made = kind()
    hooks.append(made)
    return made


def after_commit(hook: Callable[[], object]) -> None:
    """Run `hook` once the surrounding transaction has committed, never if it rolls back."""
    if not is_open():
        raise RuntimeError("after_commit needs an open transaction")
    db.session.info[_HOOKS].append(hook)
