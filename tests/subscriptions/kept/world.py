"""A person who subscribes, pays by wallet or test card, and whom time passes by."""

import itertools
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal

from sqlalchemy import select

from app.accounts.models import User
from app.db import db
from app.money import Money
from app.notifications.models import OutboxMessage
from app.notifications.sealing import open_text
from app.payments import checkouts, paying, wallet_rail
from app.payments.demo import provider
from app.payments.demo.cards import Card, Outcome
from app.payments.jobs import look_at_checkout
from app.payments.models import Checkout, Invoice, Payment
from app.subscriptions import queries
from app.subscriptions.kept import jobs, service
from app.subscriptions.kept import queries as kept_queries
from app.subscriptions.models import KeptSubscription, RailSubscription
from app.subscriptions.periods import MONTH, Period
from app.subscriptions.terms import Choice, Standing
from app.transactions import transaction
from app.wallet import queries as wallet_queries
from app.wallet import service as wallet
from tests.clock import Clock
from tests.factories import make_user
from tests.subscriptions.kept import calendar

PAYS = Card("4242424242424242", Outcome.PAYS)
DECLINED = Card("4000000000000002", Outcome.DECLINED)
_numbers = itertools.count(1)


def choice(plan: str | None = "pro", period: Period = MONTH, **addons: int) -> Choice:
    return Choice(plan, period, addons)


def usd(amount: str) -> Money:
    return Money(Decimal(amount), "USD")


def subscribe_at_provider(person: "Person", state: str = "active") -> None:
    """Let a provider keep a subscription of somebody."""
    now = person.clock.now
    with transaction():
        db.session.add(
            RailSubscription(
                user_id=person.id, rail="stripe", external_id=f"sub_{person.id}", state=state,
                price_ref="price_1", quantity=1, started_at=now, period_end=now,
                is_collection_paused=False, has_pending_update=False,
            )
        )  # fmt: skip


@dataclass
class Person:
    """A customer, their clock, and what they do."""

    clock: Clock
    id: int = field(init=False)

    def __post_init__(self) -> None:
        with transaction():
            self.id = make_user().id

    def fill_wallet(self, amount: str) -> None:
        with transaction():
            key = f"gift:{next(_numbers)}"
            wallet.grant(key, self.id, usd(amount), actor_id=None, reason="a gift")

    def wallet(self) -> Decimal:
        db.session.rollback()
        return wallet_queries.available(self.id, "USD")

    def start(
        self, wanted: Choice | None = None, rail: str = "wallet", key: str = ""
    ) -> int | None:
        with transaction():
            return service.start(self.id, wanted or choice(), rail, key or f"k{next(_numbers)}")

    def pay_from_wallet(self, invoice_id: int) -> bool:
        with transaction():
            return wallet_rail.pay_invoice(self.id, invoice_id)

    def pay_by_card(self, invoice_id: int, card: Card = PAYS) -> None:
        """Go to the page of the demonstration and type a card; its news come at once."""
        self.open_page(invoice_id)
        self.type_card(invoice_id, card)

    def open_page(self, invoice_id: int) -> None:
        with transaction():
            user = db.session.get_one(User, self.id)
            db.session.expunge(user)
        paying.lead_to_page(
            user, "demo", lambda: checkouts.want_invoice(self.id, invoice_id), "/invoices"
        )

    def type_card(self, invoice_id: int, card: Card = PAYS) -> None:
        db.session.rollback()
        page = db.session.scalars(
            select(Checkout).where(Checkout.invoice_id == invoice_id, Checkout.state == "open")
        ).one()
        page_id, checkout_id = page.external_id or "", page.id
        db.session.rollback()
        provider.pay(page_id, card)
        look_at_checkout(checkout_id)

    def change_card(self, card: Card) -> None:
        """Let what the demonstration keeps of this person be another card."""
        with db.engine.begin() as connection:
            objects = provider._objects
            rows = connection.execute(select(objects).where(objects.c.kind == "customer"))
            for row in rows.mappings():
                data = {**row["data"], "card": card.number, "outcome": card.outcome.value}
                connection.execute(
                    objects.update().where(objects.c.id == row["id"]).values(data=data)
                )

    def subscribe(self, wanted: Choice | None = None, rail: str = "wallet") -> None:
        """Start a subscription and pay its first period."""
        invoice_id = self.start(wanted, rail)
        assert invoice_id is not None
        if rail == "wallet":
            self.pay_from_wallet(invoice_id)
        else:
            self.pay_by_card(invoice_id)

    def change(self, wanted: Choice) -> int | None:
        with transaction():
            token = service.preview_change(self.id, wanted).token
        with transaction():
            return service.change(self.id, wanted, token)

    def cancel(self) -> None:
        with transaction():
            service.cancel(self.id)

    def undo(self) -> None:
        with transaction():
            service.undo_cancel(self.id)

    def run(self) -> None:
        """Run the periodic jobs once."""
        jobs.renew_due()
        jobs.remind()

    def live_on(self, **span: float) -> None:
        """Let time pass day by day, with the jobs on each on which something may be due.

        They run on the first day and on the last one too, and on each day after one on which they
        did something: what is done is not done again.
        """
        end, day = self.clock.now + timedelta(**span), timedelta(days=1)
        written = None
        while self.clock.now < end:
            now = self.clock.now
            before, written = written, calendar.page()
            quiet = (calendar.next_moment(written, now) or end) - now if written == before else day
            self.clock.reach(min(now + day * max(-(-quiet // day), 1), end))
            self.run()

    def standing(self) -> Standing | None:
        db.session.rollback()
        return kept_queries.standing(self.id)

    def state(self) -> str:
        standing = self.standing()
        return standing.state if standing else "none"

    def plan(self) -> str:
        db.session.rollback()
        return queries.limits_of(self.id).plan

    def kept(self) -> KeptSubscription:
        db.session.rollback()
        query = select(KeptSubscription).where(KeptSubscription.user_id == self.id)
        return db.session.scalars(query.order_by(KeptSubscription.id.desc()).limit(1)).one()

    def invoices(self) -> list[Invoice]:
        db.session.rollback()
        query = select(Invoice).where(Invoice.user_id == self.id).order_by(Invoice.id)
        return list(db.session.scalars(query))

    def payments(self) -> list[Payment]:
        db.session.rollback()
        query = select(Payment).where(Payment.user_id == self.id).order_by(Payment.id)
        return list(db.session.scalars(query))

    def mails(self) -> list[str]:
        """Return the templates of the mails that were sent, in order."""
        db.session.rollback()
        query = select(OutboxMessage.template).where(OutboxMessage.user_id == self.id)
        return list(db.session.scalars(query.order_by(OutboxMessage.id)))

    def letters(self, template: str) -> list[str]:
        """Return what the mails of a template say, in order."""
        db.session.rollback()
        query = select(OutboxMessage).where(
            OutboxMessage.user_id == self.id, OutboxMessage.template == template
        )
        found = db.session.scalars(query.order_by(OutboxMessage.id))
        return [open_text(message, "sealed_body") for message in found]
