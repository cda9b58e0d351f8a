"""Whether a host answers, asked before Ray or MLflow are: each of them waits for minutes where nobody does."""

import os
import socket
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from recbole_sheaf.errors import ConfigError

SECONDS_VARIABLE = "RECBOLE_SHEAF_CONNECT_SECONDS"
SECONDS = 15.0
PORTS = {"http": 80, "https": 443, "ray": 10001, "": 6379}


def refuse_unreachable(what: str, address: str, advice: str) -> None:
    """Connect to an address and hang up again.

    Args:
        what: is to answer there.
        address: ``host:port``, or a URL.
        advice: what to do where nobody answers.

    Raises:
        ConfigError: if nobody does within 15 seconds, or as many as ``RECBOLE_SHEAF_CONNECT_SECONDS`` says.
    """
    parts = urlsplit(address if "//" in address else f"//{address}")
    seconds = connect_seconds()
    if getproxies().get(parts.scheme) and not proxy_bypass(parts.hostname or ""):
        return  # a proxy answers in its place
    try:
        port = parts.port or PORTS.get(parts.scheme, 80)
        socket.create_connection((parts.hostname or "", port), timeout=seconds).close()
    except (OSError, ValueError) as error:  # ValueError: a port that is no number
        raise ConfigError(f"{what} does not answer at {address} ({error}) within {seconds:g} s; {advice}") from error


def connect_seconds() -> float:
    """Seconds to wait for a host to answer: what the environment says, or our own default.

    Raises:
        ConfigError: if it says no number of seconds.
    """
    given = os.environ.get(SECONDS_VARIABLE, str(SECONDS))
    try:
        seconds = float(given)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < 86_400:
        raise ConfigError(f"{SECONDS_VARIABLE} is {given!r}, expected a number of seconds above 0")
    return seconds
