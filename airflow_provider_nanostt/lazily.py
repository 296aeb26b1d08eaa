"""A property that is worked out when it is first asked for, without making threads wait for each other's."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING or sys.version_info >= (3, 12):
    from functools import cached_property
else:

    class cached_property:  # noqa: N801  it is the library's, as it is since 3.12
        """Until 3.11 the library's has one lock for all instances of a class: threads would look one after the other.

        Two threads with the same instance may both work it out; the later value stays.
        """

        def __init__(self, function: Any) -> None:
            self._function = function
            self.__doc__ = function.__doc__

        def __set_name__(self, owner: type, name: str) -> None:
            self._name = name

        def __get__(self, instance: Any, owner: type | None = None) -> Any:
            if instance is None:
                return self
            if self._name not in instance.__dict__:
                instance.__dict__[self._name] = self._function(instance)
            return instance.__dict__[self._name]


__all__ = ["cached_property"]
