"""Who is behind a request, and what it may have."""

from __future__ import annotations

from dataclasses import dataclass

from syncline.errors import ConfigurationError
from syncline.model.scope import UNBOUNDED, Scope

LONGEST_NAME = 200
_SEPARATOR = "\x1f"
"""Stands between tenant and name in an owner's name; neither may contain it."""


@dataclass(frozen=True, slots=True)
class Actor:
    """Whoever an authenticator found behind a request.

    `name` is what the host application calls it, and always the same for the same one: the replicas that it
    registers are its own from then on. `scope` is what the actor may have. An `operator` may ask for what
    concerns everybody, in whatever replica's name.
    ConfigurationError if the name is empty, longer than 200 characters or holds control characters, or a
    field is of another type.
    """

    name: str
    tenant: str = ""
    scope: Scope = UNBOUNDED
    operator: bool = False

    def __post_init__(self) -> None:
        texts, flag = (self.name, self.tenant), self.operator
        if not all(isinstance(text, str) for text in texts) or not isinstance(flag, bool):
            raise ConfigurationError(
                "an actor has a name and a tenant that are texts, and is an operator or not: True or False",
                remedy="Correct what the authenticator returns.",
            )
        if not isinstance(self.scope, Scope):
            raise ConfigurationError(
                f"the scope of an actor is a Scope, not {type(self.scope).__name__}",
                remedy="Correct what the authenticator returns.",
            )
        if not self.name or len(self.owner) > LONGEST_NAME or not (self.name + self.tenant).isprintable():
            raise ConfigurationError(
                f"{self.name[:40]!r} is no name of an actor",
                remedy=f"Name actors by 1 to {LONGEST_NAME} printable characters.",
            )

    @property
    def owner(self) -> str:
        """The name that a replica's record keeps: two tenants may use one name."""
        return f"{self.tenant}{_SEPARATOR}{self.name}" if self.tenant else self.name

    def may_use(self, owner: str) -> bool:
        """Whether a replica whose record keeps this owner is the actor's to use: its own, or anybody's if it
        is an operator."""
        return self.operator or owner == self.owner


ANYONE = Actor("anyone")
"""The actor of every request at an open hub: one that was given no authenticator."""

OPERATOR = Actor("hub", operator=True)
"""Whoever holds the `Hub` object itself: its own Python methods ask as this one."""


def shown(owner: str) -> str:
    """An owner's name for people to read."""
    return owner.replace(_SEPARATOR, " / ")
