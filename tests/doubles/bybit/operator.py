"""What a test may do to the stand-in from outside: prices, money, faults, a look at the books."""

from collections import Counter
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from tests.doubles.bybit import faults as wrong
from tests.doubles.bybit.faults import Faults
from tests.doubles.bybit.instruments import Instrument
from tests.doubles.bybit.rows import to_json
from tests.doubles.bybit.venue import Venue

if TYPE_CHECKING:
    from tests.doubles.bybit.server import Limits


class Operator:
    """The desk behind /control: each method is one address."""

    def __init__(self, venue: Venue, faults: Faults, limits: "Limits") -> None:
        self.venue, self.faults, self.limits = venue, faults, limits
        self.calls: Counter[str] = Counter()

    def do(self, name: str, values: dict[str, Any]) -> Any:
        """Do one thing by its name."""
        if name.startswith("_") or name == "do":
            raise ValueError(f"no such thing: {name}")
        return getattr(self, name)(**values)

    def ping(self) -> dict[str, Any]:
        """Say that it listens."""
        return {"now": self.venue.now()}

    def pair(self, **values: Any) -> dict[str, Any]:
        """List a pair."""
        self.venue.list_pair(Instrument.from_json(values))
        return {}

    def customer(
        self, key: str, secret: str, money: dict[str, str] | None = None, **rights: Any
    ) -> dict[str, Any]:
        """Open an account with some money."""
        self.venue.add_customer(key, secret, **rights)
        for coin, amount in (money or {}).items():
            self.venue.deposit(key, coin, Decimal(amount))
        return {}

    def push(self, symbol: str, prices: list[str], category: str = "spot") -> dict[str, Any]:
        """Let prices happen, one by one."""
        return {"fills": sum(self.venue.push(category, symbol, Decimal(p)) for p in prices)}

    def fund(self, symbol: str, rate: str) -> dict[str, Any]:
        """Let positions of a contract pay."""
        self.venue.fund(symbol, Decimal(rate))
        return {}

    def take_over(self, key: str, symbol: str, kind: str, share: str = "1") -> dict[str, Any]:
        """Close a part of a customer's position by force."""
        self.venue.take_over(key, symbol, kind, Decimal(share))
        return {}

    def fail(self, faults: list[dict[str, Any]], keep: bool = False) -> dict[str, Any]:
        """Have these faults, beside those that are on or instead of them."""
        rows = wrong.from_json(faults)
        if not keep:
            self.faults.set(())
        for fault in rows:
            self.faults.add(fault)
        return {}

    def habits(self, **values: Any) -> dict[str, Any]:
        """Change how the exchange spoils things by itself."""
        for name, value in values.items():
            if not hasattr(self.venue.habits, name):
                raise ValueError(f"no such habit: {name}")
            setattr(self.venue.habits, name, value)
        return {}

    def limit(self, per_second: dict[str, int]) -> dict[str, Any]:
        """Allow so many calls a second to addresses with these parts."""
        self.limits.per_second = per_second
        return {}

    def take_away(self, key: str, link_id: str) -> dict[str, Any]:
        """Cancel an order by the customer's own hand."""
        customer = self.venue.customers[key]
        self.venue.cancel(customer, customer.find("", link_id))
        return {}

    def edit(self, key: str, link_id: str, **changes: str) -> dict[str, Any]:
        """Give a resting order another price or size by the customer's own hand."""
        order = self.venue.customers[key].find("", link_id)
        assert order is not None
        for name, value in changes.items():
            setattr(order, name, Decimal(value))
        return to_json(order)

    def trade(self, key: str, **asked: Any) -> dict[str, Any]:
        """Place an order by the customer's own hand."""
        order = self.venue.create(self.venue.customers[key], {"category": "spot", **asked})
        return to_json(order)

    def books(self, key: str) -> dict[str, Any]:
        """Return all that an account has."""
        with self.venue.lock:
            customer = self.venue.customers[key]
            return {
                "wallet": {coin: format(a, "f") for coin, a in customer.wallet.items()},
                "orders": [to_json(order) for order in customer.orders.values()],
                "executions": [to_json(row) for row in customer.executions],
                "positions": [to_json(each) for each in customer.positions.values()],
                "margin_mode": customer.margin_mode,
            }

    def counts(self) -> dict[str, Any]:
        """Return how often what happened."""
        return {
            "faults": dict(self.faults.struck),
            "by_name": dict(self.faults.by_name),
            "habits": dict(self.venue.counts),
            "calls": dict(self.calls),
        }
