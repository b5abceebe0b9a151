"""HTTP: an ASGI application over a hub, to run by itself or to mount in somebody's FastAPI or Django.

The last step before the hub: asks the host's authenticator who is there, reads a request within its limits,
hands the message to `hub.handle`, encodes the answer. Has no rules of its own; must not know databases or
merging, nor the replica: only `snapshots`, which builds files to hydrate from, fills them as a device would.
"""

from __future__ import annotations

from syncline.server.app import create_app
from syncline.server.door import Authenticator
from syncline.server.runner import serve, serving
from syncline.server.snapshots import Snapshots

__all__ = ["Authenticator", "Snapshots", "create_app", "serve", "serving"]
