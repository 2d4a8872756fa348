"""What this subject announces."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class InvoiceOpened:
    """An invoice was issued: its owner owes what it comes to."""

    invoice_id: int
    user_id: int


@dataclass(frozen=True, slots=True)
class InvoicePaid:
    """An invoice was settled, by whatever rail; what it is for may begin or go on."""

    invoice_id: int
    user_id: int


@dataclass(frozen=True, slots=True)
class InvoiceClosed:
    """An invoice was voided or given up: what it is for does not begin."""

    invoice_id: int
    user_id: int
    state: str


@dataclass(frozen=True, slots=True)
class PageClosed:
    """Nobody can pay on a page of a rail any more; `reference` is our word for it there.

    `came_to_nothing` says that nobody did.
    """

    reference: str
    user_id: int
    came_to_nothing: bool


@dataclass(frozen=True, slots=True)
class PaymentSettled:
    """Money came by a rail and is booked; `invoice_id` is set where it was meant for an invoice."""

    payment_id: int
    user_id: int
    invoice_id: int | None
    purpose: str


@dataclass(frozen=True, slots=True)
class PaymentFailed:
    """A try to pay came to nothing, for the reason `code` of the rail."""

    payment_id: int
    user_id: int
    invoice_id: int | None
    code: str


@dataclass(frozen=True, slots=True)
class RefundSettled:
    """Money was given back and is booked."""

    refund_id: int
    payment_id: int
    user_id: int
    invoice_id: int | None


@dataclass(frozen=True, slots=True)
class RefundFailed:
    """Money that was to be given back stays with us; what the wallet gave for it is back there."""

    refund_id: int
    payment_id: int


@dataclass(frozen=True, slots=True)
class DisputeMoved:
    """A bank takes a payment back, or has decided about it."""

    dispute_id: int
    payment_id: int
    user_id: int
    invoice_id: int | None
    state: str
