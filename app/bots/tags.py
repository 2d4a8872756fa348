"""Words that owners put on their bots to find them again."""

import unicodedata

from app.bots.verbs import announce, locked_bot
from app.errors import InvalidInput
from app.names import is_visible

MOST_TAGS = 10
LONGEST_TAG = 24
# Far more than ten tags take; anything longer is not worth being split.
LONGEST_TEXT = 1000


def read_tags(text: str) -> list[str]:
    """Split what was typed at its commas into tags, each once, in the order of typing.

    Raise InvalidInput for too many, for one that is too long, and for what can't be seen.
    """
    if len(text) > LONGEST_TEXT:
        raise InvalidInput("too_many_tags", field="tags", maximum=MOST_TAGS)
    tags: dict[str, str] = {}
    for part in unicodedata.normalize("NFC", text).split(","):
        tag = " ".join(part.split()).lstrip("#").strip()
        if not tag:
            continue
        if len(tag) > LONGEST_TAG:
            raise InvalidInput("tag_too_long", field="tags", maximum=LONGEST_TAG)
        if not is_visible(tag):
            raise InvalidInput("tag_unprintable", field="tags")
        tags.setdefault(tag.casefold(), tag)
    if len(tags) > MOST_TAGS:
        raise InvalidInput("too_many_tags", field="tags", maximum=MOST_TAGS)
    return list(tags.values())


def write_tags(tags: list[str]) -> str:
    """Write tags as they are typed."""
    return ", ".join(tags)


def set_tags(user_id: int, bot_id: int, text: str) -> None:
    """Put exactly these tags on a bot."""
    tags = read_tags(text)
    bot = locked_bot(bot_id, user_id)
    if bot.tags != tags:
        bot.tags = tags
        announce(bot)


def add_tags(user_id: int, bot_id: int, text: str) -> None:
    """Put tags on a bot beside those it has."""
    read_tags(text)
    bot = locked_bot(bot_id, user_id)
    set_tags(user_id, bot_id, write_tags([*bot.tags, text]))
