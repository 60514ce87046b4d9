"""Joining many updates to one, for who has hundreds for the same document."""

# An update's fields are private to this package, not to one module of it.
# ruff: noqa: SLF001

from __future__ import annotations

from pipeline.updates.update import Entry, Update, merged, overlap


class Joined:
    """What `first | second | third` comes to, without a copy at each bar.

    Args:
        first: what it begins with.
    """

    __slots__ = ("_fields", "_parents")

    def __init__(self, first: Update) -> None:
        self._fields: dict[str, Entry] = dict(first._fields)
        self._parents = first._parents

    def add(self, update: Update) -> None:
        """Join one more.

        Raises:
            UpdateError: as `|` does; what was joined so far is as it was.
        """
        mine, theirs = self._fields, update._fields
        both = merged(mine, theirs)
        if len(both) < len(theirs):
            parents = self._parents | update._parents
            if not (parents.isdisjoint(mine) and parents.isdisjoint(theirs)):
                raise overlap({**mine, **theirs}, parents)
            self._parents = parents
            mine.update({**theirs, **both})
        else:
            mine.update(both)

    def update(self) -> Update:
        """All of it as one; it stays as it is when more is joined."""
        return Update(dict(self._fields), self._parents)
