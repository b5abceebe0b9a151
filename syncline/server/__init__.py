"""HTTP: an ASGI application over a hub, to run by itself or to mount in somebody's FastAPI or Django.

The last step before the hub: reads a request within its limits, hands the message to `hub.handle`,
encodes the answer. Has no rules of its own; must not know databases or merging, nor the replica: only
`snapshots`, which builds files to hydrate from, fills them as a device would.
"""

from __future__ import annotations

from syncline.server.app import create_app
from syncline.server.runner import serve, serving
from syncline.server.snapshots import Snapshots

__all__ = ["Snapshots", "create_app", "serve", "serving"]
