"""What people read of a payment that did not go through."""

import pytest
from flask import Flask

from app.payments.texts import FAILURES, OTHER_FAILURE, failure_label
from tests.doubles.stripe.cards import CARDS

REFUSALS = sorted({card.decline_code or card.code for card in CARDS.values() if card.code})


@pytest.mark.parametrize("code", [code for code in REFUSALS if code != "processing_error"])
def test_a_card_that_stripe_declines_says_why(app: Flask, code: str) -> None:
    assert failure_label(code) != OTHER_FAILURE


@pytest.mark.parametrize("code", ["stolen_card", "fraudulent", "pickup_card"])
def test_whom_the_bank_suspects_reads_of_a_declined_card_only(app: Flask, code: str) -> None:
    assert failure_label(code) == failure_label("card_declined")
    assert code not in FAILURES, "staff read the word of the bank"
