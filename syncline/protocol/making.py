"""One at a time: what msgspec makes of a type when it first reads one.

msgspec keeps what it learns of a record on the record's class, from the beginning of its learning. A second
thread that meets the class meanwhile takes what is not complete for complete, and the process ends by
a segmentation fault. Whoever makes a decoder or converts to a record outside the import of a module does it
`with MAKING`. What is made may be used by any number of threads at once.
"""

from __future__ import annotations

import threading

MAKING = threading.RLock()
