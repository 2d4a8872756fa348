"""Listing and ending sessions: `python -m bench.sessions [--sessions N]`.

So many sessions of one person, then one each of so many people, in a real Valkey. The server's
own count of its commands says what each act asked of it; a search over all keys fails the run.
"""

import argparse
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

from bench.servers import fresh_servers

# Whose time grows with all that Redis holds.
SEARCHES = frozenset({"keys", "scan", "hscan", "sscan", "zscan", "smembers", "randomkey"})


def main() -> None:
    """Run the benchmark; exit code 1 if anything searched."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sessions", type=int, default=10_000)
    count = parser.parse_args().sessions
    with fresh_servers():
        raise SystemExit(measure(count))


def measure(count: int) -> int:
    """Print time and commands of each act; return the exit code."""
    from app import create_app
    from app.accounts import session_store as store
    from app.extensions import redis_client

    used: set[str] = set()
    with create_app().app_context():
        for title, people in ((f"{count} sessions of one person", 1), (f"{count} people", count)):
            print(title)
            first, mine = make_sessions(count, people)
            acts: Mapping[str, Callable[[], Any]] = {
                "list the newest 50": partial(store.list_sessions, 1),
                "count": partial(store.count_sessions, 1),
                "load one": partial(store.load, mine),
                "end one of my own": partial(store.end_own, 1, first),
                "end all but this one": partial(store.end_all, 1, keep=mine),
            }
            for what, act in acts.items():
                with counted(what, used):
                    act()
            left = len(store.list_sessions(1))
            print(f"  {left} left of the person, {redis_client.client.dbsize()} keys in all")
    searched = used & SEARCHES
    print(f"searched with {sorted(searched)}" if searched else "nothing searched all keys")
    return 1 if searched else 0


def make_sessions(count: int, people: int) -> tuple[str, str]:
    """Begin sessions of so many people in turn; return the names of the first and the last one."""
    from app.accounts import session_store as store
    from app.accounts import session_tokens

    keys = []
    now = time.time()
    for number in range(count):
        key, user_id = store.new_key(), number % people + 1
        session = store.StoredSession(now + number / 1000, now, 1800, 43_200, user_id=user_id)
        store.create(key, session)
        session_tokens.issue(key, user_id, 43_200)
        keys.append(key)
    return keys[0], keys[-1]


@contextmanager
def counted(what: str, used: set[str]) -> Iterator[None]:
    """Print how long an act took and which commands the server counted."""
    before, began = commands(), time.perf_counter()
    yield
    took, after = time.perf_counter() - began, commands()
    made = {name: after[name] - before.get(name, 0) for name in after if name != "info"}
    made = {name: number for name, number in sorted(made.items()) if number}
    used |= set(made)
    shown = ", ".join(f"{name} {number}" for name, number in made.items())
    print(f"  {what}: {took * 1000:.1f} ms ({shown})")


def commands() -> Mapping[str, int]:
    """Return how often the server has done each command."""
    from app.extensions import redis_client

    found: Any = redis_client.client.info("commandstats")
    return {
        name.removeprefix("cmdstat_").partition("|")[0]: each["calls"]
        for name, each in found.items()
    }


if __name__ == "__main__":
    main()
