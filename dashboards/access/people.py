"""Persons and what they may do."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

from pipeline.auditing import Person


class Role(IntEnum):
    """What a person may do; each role may do what those before it may."""

    VIEWER = 1
    """Look at everything but payloads."""
    OPERATOR = 2
    """Look at payloads, requeue, discard, run operations."""
    ADMIN = 3
    """Take events back, and write what a recalculation says."""

    @property
    def word(self) -> str:
        """As it is written in files, headers and notes."""
        return self.name.lower()

    @classmethod
    def of(cls, word: str) -> Role | None:
        """The role that is written so, if there is one."""
        return next((role for role in cls if role.word == word.strip().lower()), None)


class Visitor(NamedTuple):
    """Who a request comes from, and as what."""

    name: str
    role: Role

    @property
    def person(self) -> Person:
        """As notes name it."""
        return Person(self.name, self.role.word)


class Visit(NamedTuple):
    """What a request is answered with in mind.

    Attributes:
        visitor: who asks; None where nobody has logged in.
        nonce: what scripts and htmx attributes of this answer carry.
        read_only: whether nothing is changed, whoever asks.
    """

    visitor: Visitor | None
    nonce: str
    read_only: bool

    @property
    def who(self) -> Visitor:
        """The visitor of a page that is for those who are logged in."""
        if self.visitor is None:
            raise AssertionError("the guard lets nobody unknown come so far")
        return self.visitor

    def may(self, role: Role) -> bool:
        """Whether what needs this role is offered."""
        return self.visitor is not None and self.visitor.role >= role

    def may_change(self, role: Role) -> bool:
        """Whether a change that needs this role is offered."""
        return not self.read_only and self.may(role)
