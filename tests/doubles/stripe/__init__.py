"""A stateful stand-in for Stripe: an account with customers, money, a clock and a bad postman.

`account` holds the books; `subscriptions`, `invoices`, `checkout` and their neighbours are what
Stripe does, `cycle` is what its clock brings, `protocol` the API over it. `fake` is what a test in
this process holds, `server` the same over HTTP with pages for a browser, `sequences` replays
recordings and `scenarios` are our own.
"""

from tests.doubles.stripe.contract import ContractBroken
from tests.doubles.stripe.control import Control
from tests.doubles.stripe.delivery import Delivery, Endpoint, signed
from tests.doubles.stripe.errors import CardDeclined
from tests.doubles.stripe.fake import FakeStripe
from tests.doubles.stripe.faults import Fault
from tests.doubles.stripe.server import serve

__all__ = [
    "CardDeclined",
    "ContractBroken",
    "Control",
    "Delivery",
    "Endpoint",
    "FakeStripe",
    "Fault",
    "serve",
    "signed",
]
