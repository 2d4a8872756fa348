"""The same sequence of Stripe's events many times over one database, for as little as it can cost.

A sequence is read once, under placeholder ids. A run of it is the same text under ids of its own,
and so is every picture of what the Stripe has that stands where the sequence ends: the real rail
reads it once, and it is told to each run in its own words. Callbacks are signed. Those in order and
those that come twice go through the real endpoint; all others are verified and kept as it would
keep them, many at once.
"""

import json
import random
import re
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields, is_dataclass, replace
from datetime import UTC, datetime
from enum import Enum
from typing import Any

import stripe
from flask import Flask

from app.adapters.payments import rail_named, rails, use_rails
from app.adapters.payments.port import Ref, Snapshot
from app.adapters.payments.stripe.rail import StripeRail
from app.db import db
from app.money import Money
from app.payments import intake
from app.transactions import transaction
from tests.client import Client
from tests.conftest import new_client
from tests.doubles.stripe import signed
from tests.doubles.stripe.sequences import EventSequence, SequenceStripe
from tests.factories import make_user
from tests.payments.stripe_world import SECRET, TAG, post_all
from tests.payments.world import work
from tests.subscriptions.stripe_replay import (
    TOP_UP,
    Stage,
    check_end,
    map_prices,
    rail_of,
    top_up_page,
    unfinished,
)

USER, PAGE = "70000000000007", "page0of0run"
TAIL = re.compile(r"zz\d{6}zz")
# In how many more pieces callbacks come that are applied one after the other. Each is as dear as
# the whole, and finds the same Stripe.
MORE_PIECES = (0, 0, 0, 0, 1, 1, 1, 2)


class Template:
    """A sequence under placeholder ids: its callbacks as texts, and what its rail fetches."""

    def __init__(self, sequence: EventSequence) -> None:
        marked = sequence.fresh(0).moved(int(time.time()))
        marked = marked.adapted({"app": TAG, "user_id": USER})
        reference = f'{TOP_UP}, "app": "{TAG}", "reference": "checkout:{PAGE}"'
        self.sequence = EventSequence(
            marked.name,
            marked.description,
            marked.expect,
            *(
                json.loads(json.dumps(part).replace(TOP_UP, reference))
                for part in (marked.events, marked.final, marked.others)
            ),
        )
        map_prices(self.sequence)
        self.tail = f"{random.Random(0).getrandbits(40):x}"
        self.bodies = [signed(event, [SECRET])[0].decode() for event in self.sequence.events]
        self.face = SequenceStripe(self.sequence, validate=False)
        self._rail = rail_of(self.face)
        self._pictures: dict[Ref, Snapshot | None] = {}

    def fetch(self, ref: Ref) -> Snapshot | None:
        """Return how an object is: always the same, so it is read once."""
        if ref not in self._pictures:
            self._pictures[ref] = self._rail.fetch(ref)
        return self._pictures[ref]


@dataclass(frozen=True)
class Run:
    """One more time through a sequence, by a person of its own."""

    template: Template
    stage: Stage
    tail: str
    page_id: int

    def in_its_words(self, text: str) -> str:
        """Return a text of the template under the ids of this run."""
        return (
            text.replace(self.template.tail, self.tail)
            .replace(USER, str(self.stage.user_id))
            .replace(PAGE, str(self.page_id))
        )

    def fetch(self, ref: Ref) -> Any:
        """Return how an object of this run is."""
        there = replace(ref, id=ref.id.replace(self.tail, self.template.tail))
        return self._told(self.template.fetch(there))

    def _told(self, thing: Any) -> Any:
        if isinstance(thing, str) and not isinstance(thing, Enum):
            return self.in_its_words(thing)
        if isinstance(thing, int) and str(thing) == USER:
            return self.stage.user_id
        if isinstance(thing, tuple):
            return tuple(map(self._told, thing))
        if isinstance(thing, dict):
            return {self._told(key): self._told(value) for key, value in thing.items()}
        if not is_dataclass(thing) or isinstance(thing, (Money, type)):
            return thing
        return replace(
            thing, **{one.name: self._told(getattr(thing, one.name)) for one in fields(thing)}
        )

    def deliveries(self, order: Sequence[int]) -> list[tuple[bytes, dict[str, str]]]:
        """Return callbacks, signed now, by their places in the sequence."""
        bodies = (self.in_its_words(self.template.bodies[place]) for place in order)
        return [signed(body.encode(), [SECRET]) for body in bodies]

    def end(self) -> str:
        """Check what the sequence says of its end; return the whole picture, without own ids."""
        return str(check_end(self.stage)).replace(self.tail, "")


class Theatre(StripeRail):
    """The rail of many runs at once: it knows by the ids that are asked for whose they are."""

    def __init__(self) -> None:
        super().__init__(stripe.StripeClient("sk_test_fake"), (SECRET,), TAG)
        self.runs: dict[str, Run] = {}

    def open(self) -> None:
        """Stand where the rail stood."""
        use_rails({**rails(), "stripe": self})

    def run(self, template: Template) -> Run:
        """Make a person ready to live through a sequence."""
        tail = f"zz{len(self.runs):06}zz"
        with transaction():
            user = make_user()
            page = top_up_page(user)
            stage = Stage(user.id, template.sequence, template.face)
            run = Run(template, stage, tail, page.id)
        self.runs[tail] = run
        return run

    def fetch(self, ref: Ref) -> Snapshot | None:
        """Return how an object is, in the words of its run."""
        found = TAIL.search(ref.id)
        assert found, ref
        told: Snapshot | None = self.runs[found[0]].fetch(ref)
        return told


Order = Callable[[random.Random, int], list[list[int]]]


def in_order(_dice: random.Random, count: int) -> list[list[int]]:
    """Deliver all as they happened, and apply then."""
    return [list(range(count))]


def shuffled(dice: random.Random, count: int) -> list[list[int]]:
    """Deliver in any order, and apply now and then."""
    places = list(range(count))
    dice.shuffle(places)
    cuts = sorted(dice.sample(range(1, count), min(dice.choice(MORE_PIECES), count - 1)))
    return [places[start:end] for start, end in zip([0, *cuts], [*cuts, count], strict=True)]


def doubled(dice: random.Random, count: int) -> list[list[int]]:
    """Deliver in any order, each callback twice."""
    return [[*piece, *dice.sample(piece, len(piece))] for piece in shuffled(dice, count)]


def keep_all(deliveries: Iterable[tuple[bytes, dict[str, str]]]) -> None:
    """Verify and keep callbacks as the endpoint does, by one statement."""
    rail, now = rail_named("stripe"), datetime.now(UTC)
    rows = [
        intake.row_of("stripe", rail.verify(headers, raw, now), raw) for raw, headers in deliveries
    ]
    with transaction():
        assert len(intake.insert(db.session.connection(), rows)) == len(rows)


def play(client: Client, theatre: Theatre, template: Template, orders: Sequence[Order]) -> set[str]:
    """Play a sequence once in each order, all at the same time; return how they ended."""
    runs = []
    for number, order in enumerate(orders):
        run = theatre.run(template)
        dice = random.Random(f"{template.sequence.name} {number}")
        runs.append((run, order, order(dice, len(template.bodies))))
    for turn in range(max(len(pieces) for _, _, pieces in runs)):
        # A commit before each request would look at all that the test has loaded.
        db.session.close()
        for run, order, pieces in runs:
            if turn < len(pieces):
                sent = run.deliveries(pieces[turn])
                if order is shuffled:
                    keep_all(sent)
                else:
                    post_all(client, sent)
        work()
    return ends(run for run, _, _ in runs)


def ends(runs: Iterable[Run]) -> set[str]:
    """Check how runs ended; return all ways in which they did."""
    assert unfinished() == []
    return {run.end() for run in runs}


def play_at_once(app: Flask, theatre: Theatre, templates: Sequence[Template], threads: int) -> None:
    """Play sequences in so many threads, each callback twice; each ends as it expects."""
    runs = [theatre.run(template) for template in templates]
    sent = [one for run in runs for one in 2 * run.deliveries(range(len(run.template.bodies)))]
    random.Random(0).shuffle(sent)
    db.session.close()

    def act(share: int) -> None:
        with app.app_context():
            post_all(new_client(app), sent[share::threads])
            work()
            db.session.remove()

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(act, range(threads)))
    work()
    ends(runs)
