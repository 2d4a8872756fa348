"""Why staff do what they do: asked for, checked, and kept in the audit trail."""

from app.errors import InvalidInput

MIN_REASON_LENGTH = 3
MAX_REASON_LENGTH = 500


def checked_reason(text: str) -> str:
    """Return a reason without blanks around it; raise InvalidInput when it says nothing."""
    text = text.strip()
    if not MIN_REASON_LENGTH <= len(text) <= MAX_REASON_LENGTH or "\0" in text:
        raise InvalidInput(
            "bad_reason", field="reason", minimum=MIN_REASON_LENGTH, maximum=MAX_REASON_LENGTH
        )
    return text
