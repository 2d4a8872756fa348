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
