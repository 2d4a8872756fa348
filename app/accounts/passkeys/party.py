"""For which host passkeys are made, and from which pages browsers may use them."""

import ipaddress
from dataclasses import dataclass
from urllib.parse import urlsplit

from app.config import current_config


@dataclass(frozen=True, slots=True)
class Party:
    """What a passkey is bound to: `id` is a host name, `origin` the beginning of every address."""

    id: str
    origin: str


def party_of(host: str) -> Party | None:
    """Return what holds for pages at this host; None where there can be no passkeys.

    The staff desk's own host shares the passkeys of the site if it is below it, else it has its
    own: browsers refuse the passkeys of another site.
    """
    config = current_config()
    base = urlsplit(config.base_url)
    site = base.hostname or ""
    hosts = {base.netloc.lower(): site}
    if config.admin_host:
        name, _, port = config.admin_host.partition(":")
        port = port or str(base.port or "")
        below = name == site or name.endswith(f".{site}")
        hosts[f"{name}:{port}" if port else name] = site if below else name
    party_id = hosts.get(host.lower())
    if not party_id or _is_number(party_id):
        return None
    return Party(party_id, f"{base.scheme}://{host.lower()}")


def _is_number(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
