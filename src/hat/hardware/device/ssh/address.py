"""Addresses of SSH servers; without asyncssh, so that devices are listed also where it is not installed."""

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from hat.errors import UserError

DEFAULT_PORT = 22


@dataclass(frozen=True)
class SshAddress:
    """The place of an SSH server. `user` None: taken from ~/.ssh/config, or else the user's name here."""

    host: str
    port: int = DEFAULT_PORT
    user: str | None = None

    @classmethod
    def parse(cls, text: str) -> "SshAddress":
        """Read ssh://user@host:port; user and port may be absent. Raises ValueError, UserError."""
        if not text.isprintable() or re.search(r"\s", text):
            raise ValueError("a space or control character in an address")
        parts = urlsplit(text)
        port = parts.port  # raises ValueError where it is no number
        if parts.password is not None:
            raise UserError("passwords are not used; give a key, or none for the ssh-agent's")
        more = parts.path.removesuffix("/") or parts.query or parts.fragment
        if more or not parts.hostname or parts.username == "" or port == 0:
            raise ValueError("more or less than a host")
        return cls(parts.hostname, port or DEFAULT_PORT, parts.username)

    def __str__(self) -> str:
        user = f"{self.user}@" if self.user else ""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"ssh://{user}{host}" + (f":{self.port}" if self.port != DEFAULT_PORT else "")
