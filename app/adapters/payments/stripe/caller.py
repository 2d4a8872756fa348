"""What all calls to Stripe share: our mark, keys that make things once, and who is who there."""

from functools import partial
from typing import Any

import stripe

from app.adapters.payments.stripe.calls import ask, find
from app.adapters.payments.stripe.reading import Reader
from app.errors import Conflict, Unavailable

# What Checkout and the portal call our languages; others are taken from the browser.
LANGUAGES = {"en": "en", "ru": "ru", "pt_BR": "pt-BR"}
_CUSTOMER_KEYS = 5


class Caller:
    """Speaks to Stripe. `tag` marks what is ours in an account that others use too."""

    def __init__(self, client: stripe.StripeClient, tag: str) -> None:
        # The library's types want every parameter written out; what is sent is put together here.
        self._v1: Any = client.v1
        self._tag = tag
        self._reader = Reader(client, tag)

    def _once(self, key: str) -> dict[str, str]:
        """Return the option by which a call that is sent twice makes one thing."""
        return {"idempotency_key": f"{self._tag}:{key}"}

    def _marks(self, user_id: int, reference: str) -> dict[str, str]:
        return {"app": self._tag, "user_id": str(user_id), "reference": reference}

    def _customer(self, user_id: int, email: str, language: str) -> str:
        """Return a person's customer: the one with our mark, else a new one.

        Stripe finds marks after about a minute and knows keys for about a day: together they make
        one customer, however often and whenever a lost answer is asked for again.
        """
        return self._marked_customer(user_id) or self._new_customer(user_id, email, language)

    def _marked_customer(self, user_id: int) -> str | None:
        query = f"metadata['app']:'{self._tag}' AND metadata['user_id']:'{user_id}'"
        try:
            found = ask(lambda: self._v1.customers.search({"query": query}))["data"]
        except Conflict:
            # Some countries have no search; the key has to do there.
            return None
        return str(found[-1]["id"]) if found else None

    def _new_customer(self, user_id: int, email: str, language: str) -> str:
        marks = {"app": self._tag, "user_id": str(user_id)}
        params: dict[str, Any] = {"email": email, "metadata": marks}
        if language in LANGUAGES:
            # In which Stripe writes invoices and mails.
            params["preferred_locales"] = [LANGUAGES[language]]
        for number in range(_CUSTOMER_KEYS):
            # An answer that is kept may be a fault, or a customer who was deleted since.
            key = f"customer:{user_id}" + (f":{number}" if number else "")
            try:
                made = ask(partial(self._v1.customers.create, params, self._once(key)))
            except Unavailable as error:
                if not error.values.get("is_kept"):
                    raise
                continue
            found = find(partial(self._v1.customers.retrieve, made["id"]))
            if found is not None and not found.get("deleted"):
                return str(found["id"])
        raise Unavailable("rail_unavailable")
