"""One transaction for each edge call; what leaves the house waits for its commit."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from app.db import db

_HOOKS = "after_commit_hooks"


@contextmanager
def transaction() -> Iterator[None]:
    """Commit at the end, roll back on any error; then run what `after_commit` collected.

    Only an edge (route, job, command) and the live tick, which has several, open one. A second one
    inside the first is a mistake: it would commit half of the outer one.
    """
    if is_open():
        raise RuntimeError("a transaction is open already: only the edge opens one")
    db.session.info["in_transaction"] = True
    db.session.info[_HOOKS] = []
    try:
        yield
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


def after_commit(hook: Callable[[], object]) -> None:
    """Run `hook` once the surrounding transaction has committed, never if it rolls back."""
    if not is_open():
        raise RuntimeError("after_commit needs an open transaction")
    db.session.info[_HOOKS].append(hook)
