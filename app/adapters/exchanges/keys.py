"""The keys of one exchange account, which never show up in a log or a trace."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class ApiKeys:
    """What a customer got from the exchange; `passphrase` only where it asks for one."""

    key: str = field(repr=False)
    secret: str = field(repr=False)
    passphrase: str = field(default="", repr=False)
