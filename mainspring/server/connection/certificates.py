"""Certificates: the TLS of a server. A certificate that was renewed is taken without a restart."""

import asyncio
import logging
import os
import ssl
from pathlib import Path

from mainspring.errors import ConfigError
from mainspring.server.terms import Tls

log = logging.getLogger("mainspring")

LOOK = 60.0
"""Seconds between two looks at the files of the certificate and its key."""


def tls_context(tls: Tls) -> ssl.SSLContext:
    """TLS 1.2 or newer, with these files; `ConfigError` if they are not what they must be."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    for name in ("cert", "key", "client_ca"):
        _must_be_readable(f"tls_{name}", getattr(tls, name))
    try:
        context.load_cert_chain(tls.cert, tls.key)
    except (OSError, ValueError) as error:
        files = tls.cert if tls.key is None else f"{tls.cert} and {tls.key}"
        wanted = "a certificate and its key, in PEM"
        raise ConfigError(f"tls_cert: expected {wanted}, in {files}: {error}") from None
    if tls.client_ca is not None:
        try:
            context.load_verify_locations(tls.client_ca)
        except (OSError, ValueError) as error:
            wanted = f"certificates, in PEM, in {tls.client_ca}"
            raise ConfigError(f"tls_client_ca: expected {wanted}: {error}") from None
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def _must_be_readable(setting: str, file: str | None) -> None:
    # What TLS says of a file that is not there does not name it.
    try:
        if file is not None:
            Path(file).read_bytes()
    except OSError as error:
        raise ConfigError(
            f"{setting}: expected a file in PEM, got {file}: {error.strerror}"
        ) from None


class Renewal:
    """Has new connections get the certificate that is in the files by now."""

    def __init__(self, tls: Tls) -> None:
        self._tls = tls
        self._files = [tls.cert] if tls.key is None else [tls.cert, tls.key]
        self._seen = self._state()
        self.context = tls_context(tls)

    def watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """Look, now and for as long as the loop runs."""
        self.look()
        loop.call_later(LOOK, self.watch, loop)

    def look(self) -> None:
        """Take what is in the files, if it has changed; what cannot be used is only told."""
        state = self._state()
        if state == self._seen:
            return
        self._seen = state
        try:
            # Tried on one that nobody uses: a key that does not fit would spoil the other.
            tls_context(self._tls)
            self.context.load_cert_chain(self._tls.cert, self._tls.key)
        except (ConfigError, OSError, ValueError) as error:
            log.warning("the certificate has changed and cannot be used: %s", error)
            return
        log.info("the certificate has changed: new connections get the one in %s", self._tls.cert)

    def _state(self) -> list[object]:
        return [_state_of(file) for file in self._files]


def _state_of(file: str) -> object:
    try:
        status = os.stat(file)
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size
