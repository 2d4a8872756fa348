"""The fake as tests hold it: a client of the real library, and hands for customer and bank."""

from typing import Any

import stripe

from tests.doubles.stripe import bank, checkout, cycle, payments, portal
from tests.doubles.stripe.account import Account, Note
from tests.doubles.stripe.client import FakeHTTPClient
from tests.doubles.stripe.clock import DAY, HOUR, Clock
from tests.doubles.stripe.contract import Contract, available
from tests.doubles.stripe.delivery import Delivery, Endpoint, Pump, Target
from tests.doubles.stripe.errors import CardDeclined
from tests.doubles.stripe.faults import Faults
from tests.doubles.stripe.metering import EntitlementWatch
from tests.doubles.stripe.protocol import Call, Protocol
from tests.doubles.stripe.values import Json, clone

GOOD = "4242424242424242"
ROUNDS = 3


class CheckoutHand:
    """The customer at the Checkout page."""

    def __init__(self, account: Account) -> None:
        self._account = account

    def _session(self, name: str) -> Json:
        return self._account.get("checkout.session", name)

    def pay(
        self,
        session: str,
        card: str | None = GOOD,
        *,
        email: str | None = None,
        promotion_code: str | None = None,
        authenticate: bool | None = True,
        delayed: bool = False,
    ) -> Json:
        """Fill in the page and press Pay; return the session."""
        with self._account.working():
            row = self._session(session)
            if promotion_code:
                checkout.use_code(self._account, row, promotion_code)
            done = checkout.pay(
                self._account, row, card, email=email, authenticate=authenticate, delayed=delayed
            )
            return clone(done)

    def authenticate(self, session: str, *, ok: bool) -> Json:
        """Answer the bank's question."""
        with self._account.working():
            return clone(checkout.authenticate(self._account, self._session(session), ok=ok))

    def settle(self, session: str, *, ok: bool) -> Json:
        """Have the money of a delayed method come, or come back."""
        with self._account.working():
            return clone(checkout.settle(self._account, self._session(session), ok=ok))


class PortalHand:
    """The customer in the billing portal."""

    def __init__(self, account: Account) -> None:
        self._account = account

    def cancel(
        self,
        subscription: str,
        *,
        at_period_end: bool = True,
        by: str = "cancel_at_period_end",
        feedback: str | None = None,
    ) -> Json:
        """Cancel, now or at the end of the period."""
        with self._account.working():
            row = portal.cancel(
                self._account, subscription, at_period_end=at_period_end, by=by, feedback=feedback
            )
            return clone(row)

    def undo_cancel(self, subscription: str) -> Json:
        """Take the cancellation back."""
        with self._account.working():
            return clone(portal.undo_cancel(self._account, subscription))

    def change_plan(self, subscription: str, price: str) -> Json:
        """Change to another price; charged at once."""
        with self._account.working():
            return clone(portal.change_plan(self._account, subscription, price))

    def new_card(self, customer: str, card: str = GOOD) -> Json:
        """Save another card and have all paid by it."""
        with self._account.working():
            return clone(portal.new_card(self._account, customer, card))


class HostedHand:
    """The customer at the page of an invoice, and at the bank's 3-D Secure page."""

    def __init__(self, account: Account) -> None:
        self._account = account

    def pay_invoice(
        self, invoice: str, card: str | None = None, *, authenticate: bool | None = True
    ) -> Json:
        """Pay an open invoice, with a new card or the saved one."""
        with self._account.working():
            row = portal.pay_invoice(self._account, invoice, card, authenticate=authenticate)
            return clone(row)

    def authenticate(self, intent: str, *, ok: bool) -> Json:
        """Answer the bank's question about a payment intent."""
        with self._account.working():
            row = self._account.get("payment_intent", intent)
            return clone(portal.authenticate(self._account, row, ok=ok))


class BankHand:
    """The customer's bank."""

    def __init__(self, account: Account) -> None:
        self._account = account

    def dispute(self, charge: str, reason: str = "fraudulent") -> Json:
        """Take a charge back for now."""
        with self._account.working():
            row = self._account.get("charge", charge)
            return clone(bank.open_dispute(self._account, row, reason))

    def inquire(self, charge: str, reason: str = "fraudulent") -> Json:
        """Ask about a charge; no money moves."""
        with self._account.working():
            row = self._account.get("charge", charge)
            return clone(bank.inquire(self._account, row, reason))

    def escalate(self, dispute: str) -> Json:
        """Make a dispute of an inquiry."""
        with self._account.working():
            return clone(bank.escalate(self._account, self._account.get("dispute", dispute)))

    def close_dispute(self, dispute: str, *, won: bool) -> Json:
        """Decide a dispute."""
        with self._account.working():
            row = self._account.get("dispute", dispute)
            return clone(bank.end_dispute(self._account, row, won=won))

    def tell_fees(self) -> None:
        """Tell what Stripe keeps of payments of which it has not told yet."""
        with self._account.working():
            payments.tell_fees(self._account)

    def fail_refund(self, refund: str) -> Json:
        """Send a refund back."""
        with self._account.working():
            row = self._account.get("refund", refund)
            return clone(bank.fail_refund(self._account, row))

    def warn_of_fraud(self, charge: str) -> Json:
        """Say that a payment looks like fraud."""
        with self._account.working():
            row = self._account.get("charge", charge)
            return clone(bank.warn_of_fraud(self._account, row))


class FakeStripe:
    """A Stripe account of one's own, with everybody around it."""

    CardDeclined = CardDeclined

    def __init__(
        self,
        now: int | None = None,
        seed: int = 0,
        *,
        live: bool = False,
        validate: bool = True,
    ) -> None:
        self.account = Account(Clock(now, live=live), seed)
        self.settings = self.account.settings
        self.contract = Contract() if validate and available() else None
        self.protocol = Protocol(self.account, self.contract)
        self.http_client = FakeHTTPClient(self.protocol)
        self.pump = Pump(self.account)
        self.checkout = CheckoutHand(self.account)
        self.portal = PortalHand(self.account)
        self.hosted = HostedHand(self.account)
        self.bank = BankHand(self.account)
        self.account.new_endpoints.append(self._add_endpoint)
        self.account.at_end.append(EntitlementWatch(self.account).look)
        if self.contract is not None:
            self.account.listeners.append(self._check)

    def _check(self, note: Note) -> None:
        assert self.contract is not None
        self.contract.check_event(note.event)

    def _add_endpoint(self, row: Json, secret: str) -> None:
        types = None if row["enabled_events"] == ["*"] else frozenset(row["enabled_events"])
        endpoint = self.endpoint(row["url"], [secret], types)
        endpoint.alive = lambda: self.account.find("webhook_endpoint", row["id"]) is not None

    def client(self, api_key: str = "sk_test_fake") -> stripe.StripeClient:
        """Return a client of the real library that talks to this fake in this process."""
        return stripe.StripeClient(api_key, http_client=self.http_client, max_network_retries=0)

    @property
    def now(self) -> int:
        """Return the present second of the fake's clock."""
        return self.account.now

    def advance(self, *, days: float = 0, hours: float = 0, seconds: int = 0) -> None:
        """Move the clock on, doing what falls due on the way."""
        self.advance_to(self.now + int(days * DAY + hours * HOUR) + seconds)

    def advance_to(self, epoch: int) -> None:
        """Move the clock to a second, doing what falls due on the way."""
        with self.account.lock:
            cycle.advance(self.account, epoch)

    @property
    def faults(self) -> Faults:
        """Return what goes wrong on purpose."""
        return self.protocol.faults

    @property
    def calls(self) -> list[Call]:
        """Return the calls that came in."""
        return self.protocol.calls

    @property
    def events(self) -> list[Json]:
        """Return all events in the order in which they were made."""
        return [note.event for note in self.account.notes]

    def events_of(self, *types: str) -> list[Json]:
        """Return the events of some types."""
        return [event for event in self.events if event["type"] in types]

    def get(self, name: str) -> Json:
        """Return a copy of an object."""
        return clone(self.account.objects[name])

    def latest(self, kind: str) -> Json:
        """Return a copy of the newest object of a kind."""
        return clone(self.account.every(kind)[-1])

    def every(self, kind: str, **match: Any) -> list[Json]:
        """Return copies of all objects of a kind, oldest first."""
        return clone(self.account.every(kind, **match))

    def endpoint(
        self, target: Target, secrets: list[str], types: frozenset[str] | None = None
    ) -> Endpoint:
        """Have events delivered somewhere."""
        row = Endpoint(target, list(secrets), types)
        self.pump.endpoints.append(row)
        return row

    def deliver(self, **knobs: Any) -> list[Delivery]:
        """Deliver what is pending; see `Pump.deliver`."""
        return self.pump.deliver(**knobs)

    def deliver_all(self, rounds: int = ROUNDS) -> list[Delivery]:
        """Deliver until nothing is pending or the rounds are over."""
        told: list[Delivery] = []
        for _ in range(rounds):
            if not self.pump.pending():
                break
            told += self.pump.deliver()
        return told

    def send(self, event: Json) -> list[Delivery]:
        """Deliver one event, or a changed copy of one, once more."""
        return self.pump.send(event)
