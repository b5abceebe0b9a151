"""The device: a SQLite file the application owns, its captured edits, and what the hub sent.

Purpose: capture, coalesce, push, pull, overlay. In the flow: everything between the application's write
and the request, and between the response and the application's read. A replica resolves nothing, it
takes the hub's verdict (law L6). Must not know the hub, a server, or any transport's insides.
"""
