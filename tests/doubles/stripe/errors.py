"""How Stripe says no: HTTP status, kind of error, code and words."""

from typing import Any

from tests.doubles.stripe.values import Json


class Refused(Exception):
    """An answer that is an error; `details` are further fields of its body."""

    def __init__(
        self,
        status: int,
        kind: str,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        **details: Any,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.details: Json = {"type": kind, "message": message}
        if code:
            self.details["code"] = code
            self.details["doc_url"] = (
                f"https://stripe.com/docs/error-codes/{code.replace('_', '-')}"
            )
        if param:
            self.details["param"] = param
        self.details.update(details)

    @property
    def body(self) -> Json:
        """Return the body of the answer."""
        return {"error": self.details}


class CardDeclined(Exception):
    """A hosted page tells the customer that the card was declined."""

    def __init__(self, code: str, decline_code: str | None, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.decline_code = decline_code


def invalid(message: str, param: str | None = None, code: str | None = None) -> Refused:
    """Return the refusal of a request that makes no sense."""
    return Refused(400, "invalid_request_error", message, code=code, param=param)


def needed(param: str) -> Refused:
    """Return the refusal of a request without a parameter it needs."""
    return invalid(f"Missing required param: {param}.", param, "parameter_missing")


def missing(kind: str, name: object, param: str | None = None, status: int = 404) -> Refused:
    """Return the refusal of a request that names an object there is not."""
    message = f"No such {kind}: '{name}'"
    return Refused(
        status, "invalid_request_error", message, code="resource_missing", param=param or "id"
    )


def card_error(code: str, decline_code: str | None, message: str, **details: Any) -> Refused:
    """Return the refusal of a card."""
    if decline_code:
        details["decline_code"] = decline_code
    return Refused(402, "card_error", message, code=code, **details)
