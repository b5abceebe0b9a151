"""The reference says the same as the project's model of the merge rules (law L6)."""

from __future__ import annotations

import importlib.util
import os
import random
from pathlib import Path
from types import ModuleType

import pytest

from syncline.testing.reference import ReferenceHub, ReferenceReplica, Rules

MODEL = Path(__file__).parents[3] / "shared" / "model" / "merge_rules.py"
RULES = Rules({"a": "lww", "b": "lww", "n": "sum"})
COLUMNS = ("a", "b", "n")


@pytest.fixture(scope="module")
def model() -> ModuleType:
    if not MODEL.is_file():
        pytest.skip(f"the model of the merge rules is not at {os.path.relpath(MODEL)}")
    spec = importlib.util.spec_from_file_location("merge_rules", MODEL)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Pair:
    """The model's hub and replicas beside the reference's, fed with the same edits."""

    def __init__(self, model: ModuleType, rng: random.Random) -> None:
        self.rng, self.now = rng, 10
        self.hub, self.reference = model.Hub(), ReferenceHub(RULES)
        count = rng.randint(2, 4)
        self.replicas = [
            (model.Replica(f"r{i}", rng.choice([0, -5, 7, 1000])), ReferenceReplica(f"r{i}", RULES))
            for i in range(count)
        ]

    def edit(self) -> None:
        self.now += self.rng.randint(0, 2)
        theirs, ours = self.rng.choice(self.replicas)
        key = self.rng.randint(1, 3)
        before = len(theirs.pending)
        if self.rng.random() < 0.2:
            theirs.write("D", key, {}, self.now)
        else:
            column = self.rng.choice(COLUMNS)
            value = self.rng.randint(1, 99)
            theirs.write("U", key, {column: value}, self.now)
        for edit in theirs.pending[before:]:
            row = theirs.rows.get(key, {})
            values = {"U": {k: row[k] for k in edit["columns"] if k in row}, "I": row, "D": {}}[edit["op"]]
            ours.write(edit["op"], key, values, edit["hlc"])

    def edit_centre(self) -> None:
        self.now += 1
        key, before = self.rng.randint(1, 3), len(self.hub.log)
        self.hub.direct_write(
            key, self.rng.choice("UUD"), {self.rng.choice(COLUMNS): self.rng.randint(100, 199)}, self.now
        )
        for _, pk, op, columns, hlc, _ in self.hub.log[before:]:
            row = self.hub.rows.get(pk, {})
            self.reference.direct(op, pk, {k: row[k] for k in columns if k in row}, hlc)

    def sync(self) -> None:
        theirs, ours = self.rng.choice(self.replicas)
        push, change = theirs.freeze(), ours.freeze()
        assert (push is None) == (change is None)
        if push and change and self.rng.random() < 0.8:
            verdict = self.hub.push(theirs.name, push[0], push[1])
            assert self.reference.push(ours.name, change[0], change[1]) == verdict
            if self.rng.random() < 0.7:
                theirs.verdict(verdict)
                ours.verdict(verdict)
        if self.rng.random() < 0.8:
            rows, touched, watermark, hlc = self.hub.pull(theirs.name, theirs.watermark)
            assert self.reference.pull(ours.name, ours.watermark) == (rows, touched, watermark, hlc)
            theirs.apply(rows, touched, watermark, hlc)
            ours.apply(rows, touched, watermark)

    def check(self) -> None:
        assert self.reference.rows == self.hub.rows
        for theirs, ours in self.replicas:
            assert ours.rows == theirs.rows
            assert ours.parked == theirs.parked


def test_the_reference_and_the_model_agree_after_every_step_of_many_histories(model: ModuleType) -> None:
    for seed in range(400):
        pair = Pair(model, random.Random(seed))
        for _ in range(pair.rng.randint(5, 60)):
            pair.rng.choice([pair.edit, pair.edit, pair.edit_centre, pair.sync, pair.sync])()
            pair.check()
