"""Whatever numbers its tables and columns have, a replica works the same."""

from __future__ import annotations

import pytest

from tests.support.numbering import numbering, parametrize

__all__ = ["numbering"]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    parametrize(metafunc)
