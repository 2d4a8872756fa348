"""The same sequence of Stripe's events many times over one database, for as little as it can cost.

A sequence is read once, under placeholder ids. A run of it is the same text under ids of its own,
and so is every answer of the Stripe that stands where the sequence ends: it is made once, and told
to each run in its own words. Callbacks go through the real endpoint, signed.
"""

import json
import random
import re
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import stripe
from flask import Flask

from app.adapters.payments import rails, use_rails
from app.adapters.payments.stripe.rail import StripeRail
from app.db import db
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
    check_expected,
    map_prices,
    top_up_page,
)

USER, PAGE = "user0of0run", "page0of0run"
TAIL = re.compile(r"zz\d{6}zz")
MOST_PIECES = 3

Answer = tuple[str, int, Mapping[str, str]]


class Template:
    """A sequence under placeholder ids: its callbacks as texts, and what a fetch answers."""

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
        self._face = SequenceStripe(self.sequence, validate=False)
        self._answers: dict[str, Answer] = {}

    def answer(self, url: str, headers: Mapping[str, str] | None) -> Answer:
        """Return what a fetch answers: always the same, so it is found out once."""
        known = self._answers.get(url)
        if known is None:
            known = self._answers[url] = self._face.http_client.request("get", url, headers)
        return known


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

    def deliveries(self, order: Sequence[int]) -> list[tuple[bytes, dict[str, str]]]:
        """Return callbacks, signed now, by their places in the sequence."""
        bodies = (self.in_its_words(self.template.bodies[place]) for place in order)
        return [signed(body.encode(), [SECRET]) for body in bodies]

    def end(self) -> str:
        """Check what the sequence says of its end; return the whole picture, without own ids."""
        return str(check_expected(self.stage)).replace(self.tail, "")


@dataclass
class Theatre(stripe.HTTPClient):
    """The Stripe of many runs at once: it knows by the ids that are asked for whose they are."""

    runs: dict[str, Run] = field(default_factory=dict)
    name = "theatre"

    def open(self) -> None:
        """Stand behind the rail."""
        super().__init__()
        client = stripe.StripeClient("sk_test_fake", http_client=self, max_network_retries=0)
        use_rails({**rails(), "stripe": StripeRail(client, (SECRET,), TAG)})

    def run(self, template: Template) -> Run:
        """Make a person ready to live through a sequence."""
        tail = f"zz{len(self.runs):06}zz"
        with transaction():
            user = make_user()
            page = top_up_page(user)
            stage = Stage(user.id, template.sequence, template._face)
            run = Run(template, stage, tail, page.id)
        self.runs[tail] = run
        return run

    def request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None,
        post_data: Any = None,
        *,
        _usage: list[str] | None = None,
    ) -> Answer:
        """Answer one fetch in the words of its run."""
        assert method == "get" and not post_data
        found = TAIL.search(url)
        assert found, url
        run = self.runs[found[0]]
        text, status, told = run.template.answer(url.replace(run.tail, run.template.tail), headers)
        return run.in_its_words(text), status, told

    def close(self) -> None:
        """Close nothing."""


Order = Callable[[random.Random, int], list[list[int]]]


def in_order(_dice: random.Random, count: int) -> list[list[int]]:
    """Deliver all as they happened, and apply then."""
    return [list(range(count))]


def shuffled(dice: random.Random, count: int) -> list[list[int]]:
    """Deliver in any order, and apply now and then."""
    places = list(range(count))
    dice.shuffle(places)
    cuts = sorted(dice.sample(range(1, count), min(dice.randrange(MOST_PIECES), count - 1)))
    return [places[start:end] for start, end in zip([0, *cuts], [*cuts, count], strict=True)]


def doubled(dice: random.Random, count: int) -> list[list[int]]:
    """Deliver in any order, each callback twice."""
    return [[*piece, *dice.sample(piece, len(piece))] for piece in shuffled(dice, count)]


def play(client: Client, theatre: Theatre, template: Template, orders: Sequence[Order]) -> set[str]:
    """Play a sequence once in each order, all at the same time; return how they ended."""
    runs = []
    for number, order in enumerate(orders):
        run = theatre.run(template)
        dice = random.Random(f"{template.sequence.name} {number}")
        runs.append((run, order(dice, len(template.bodies))))
    for turn in range(max(len(pieces) for _, pieces in runs)):
        # A commit before each request would look at all that the test has loaded.
        db.session.close()
        for run, pieces in runs:
            if turn < len(pieces):
                post_all(client, run.deliveries(pieces[turn]))
        work()
    return {run.end() for run, _ in runs}


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
    for run in runs:
        run.end()
