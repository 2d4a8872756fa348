"""Which numbers can get a code; pure."""

import phonenumbers
from phonenumbers import NumberParseException, PhoneNumber, PhoneNumberFormat, PhoneNumberType

from app.errors import InvalidInput
from app.names import is_visible

LONGEST = 40
# Not among them: numbers that cost the caller or the sender more than usual, and fixed lines.
GETS_TEXTS = frozenset(
    {
        PhoneNumberType.MOBILE,
        PhoneNumberType.FIXED_LINE_OR_MOBILE,
        PhoneNumberType.PERSONAL_NUMBER,
        PhoneNumberType.VOIP,
    }
)


def checked(text: str) -> str:
    """Return a number as it is stored (E.164); raise InvalidInput when there can be none such."""
    number = _parsed(text)
    if not phonenumbers.is_valid_number(number):
        raise InvalidInput("bad_phone", field="phone")
    return phonenumbers.format_number(number, PhoneNumberFormat.E164)


def checked_for_texts(text: str) -> str:
    """Return a number that text messages reach; raise InvalidInput for any other."""
    number = checked(text)
    if phonenumbers.number_type(_parsed(number)) not in GETS_TEXTS:
        raise InvalidInput("phone_takes_no_texts", field="phone")
    return number


def _parsed(text: str) -> PhoneNumber:
    # With + only: a number of a country that we would have to guess is none.
    text = text.strip()
    if not text.startswith("+") or len(text) > LONGEST or not is_visible(text):
        raise InvalidInput("bad_phone", field="phone")
    try:
        return phonenumbers.parse(text, None)
    except NumberParseException:
        raise InvalidInput("bad_phone", field="phone") from None
