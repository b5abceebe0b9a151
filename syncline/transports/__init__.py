"""How requests reach a hub: over HTTP, or in the same process. The outermost ring with `cli` and `server`.

A transport carries one request and its answer, see `protocol.flows.Transport`. `open` is where a replica
and a transport are put together. Must hold no rules of its own.
"""
