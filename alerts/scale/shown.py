"""Who showed the scaler a certificate."""

from __future__ import annotations

import asyncio

from alerts.webhook import VERIFIED
from lightmeter.connections import Attentive


class Protocol(Attentive):
    """Waits for no slow head, and a request knows whether its sender showed a certificate that was verified."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvicorn narrows it as well
        """Begin a connection, after the handshake."""
        super().connection_made(transport)
        peer = transport.get_extra_info("ssl_object")
        self.app_state = {**self.app_state, VERIFIED: bool(peer and peer.getpeercert())}
