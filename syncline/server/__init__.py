"""HTTP: an ASGI application over a hub, to run by itself or to mount in somebody's FastAPI or Django.

The last step before the hub: reads a request within its limits, hands the message to `hub.handle`,
encodes the answer. Has no rules of its own; must not know databases, merging or the replica.
"""

from __future__ import annotations

from syncline.server.app import create_app
from syncline.server.runner import serve, serving

__all__ = ["create_app", "serve", "serving"]
