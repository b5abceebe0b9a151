"""The contract between the hub and a central database. Every database folder implements it.

    Database     catalogue, read and write transactions, positions, hints
    Catalogue    reflect, prepare, remove, examine, load
    Log          what is new since a position; positions, pruning, compacting
    Rows         read; stage, lock, rivals, apply
    Ledger       replicas, conflicts, large pushes, the clock: written once, in `databases.base`

A transaction has a scope (`model.scope`): `Log.entries` and everything that reads rows tell nothing beyond
it; `Rows.lock`, `rivals`, `apply` and `differing` work on rows that were named to them, wherever those are;
the ledger, positions and all housekeeping know no scope.

The conformance suite `syncline.testing.conformance` is this contract as tests. Beside it stand the codes of
refused rows (`codes`) and which log entries may go (`compaction`).
"""

from syncline.hub.contract.catalogue import NO_KEYS, Catalogue, Declared, Keys, Prepared, Renaming
from syncline.hub.contract.database import (
    Database,
    Locked,
    Outdated,
    ReadTransaction,
    Tuning,
    Watch,
    WriteTransaction,
)
from syncline.hub.contract.ledger import (
    Cell,
    Claim,
    Client,
    ConflictRow,
    Counted,
    Ledger,
    ReadLedger,
    Remembered,
    Stamped,
    Upload,
    UploadedChunk,
)
from syncline.hub.contract.log import (
    Coverable,
    Floor,
    Former,
    Log,
    LogPage,
    Position,
    ReadLog,
    Removed,
    Standing,
    Told,
    former_of,
    present_columns,
    refused_watermark,
)
from syncline.hub.contract.rows import ReadRows, Rows, Take
from syncline.hub.contract.stage import Form, Key, Refusal, Rival, Stage

__all__ = [
    "NO_KEYS",
    "Catalogue",
    "Cell",
    "Claim",
    "Client",
    "ConflictRow",
    "Counted",
    "Coverable",
    "Database",
    "Declared",
    "Floor",
    "Form",
    "Former",
    "Key",
    "Keys",
    "Ledger",
    "Locked",
    "Log",
    "LogPage",
    "Outdated",
    "Position",
    "Prepared",
    "ReadLedger",
    "ReadLog",
    "ReadRows",
    "ReadTransaction",
    "Refusal",
    "Remembered",
    "Removed",
    "Renaming",
    "Rival",
    "Rows",
    "Stage",
    "Stamped",
    "Standing",
    "Take",
    "Told",
    "Tuning",
    "Upload",
    "UploadedChunk",
    "Watch",
    "WriteTransaction",
    "former_of",
    "present_columns",
    "refused_watermark",
]
