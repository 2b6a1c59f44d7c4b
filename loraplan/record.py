"""Frozen, slotted dataclasses that are cheap to define: their methods are shared, not written and compiled per class.

`dataclasses` compiles five methods for each frozen class; for the Plan's eleven classes that alone took 17 ms of the
start of every check, this takes 1 ms. `dataclasses.fields`, `replace` and pydantic work as with any other dataclass.

Modules that define many records or named tuples do without `from __future__ import annotations`: `typing` compiles each
annotation that it is given as a string.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, FrozenInstanceError, dataclass, field, fields
from typing import Any, TypeVar, dataclass_transform

T = TypeVar("T")


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def record(*, eq: bool = True) -> Callable[[type[T]], type[T]]:
    """Make a class a frozen dataclass; `eq=False` leaves equality to be identity."""

    def wrap(cls: type[T]) -> type[T]:
        shared: dict[str, Any] = {
            "__init__": _init,
            "__setattr__": _refuse,
            "__delattr__": _refuse,
            "__getstate__": _getstate,
            "__setstate__": _setstate,
        }
        if eq:
            shared |= {"__eq__": _eq, "__hash__": _hash}
        for name, method in shared.items():
            setattr(cls, name, method)
        made = dataclass(init=False, repr=False, eq=False, slots=True, match_args=False)(cls)
        made.__record_fields__ = tuple(  # type: ignore[attr-defined]
            (item.name, item.default, item.default_factory)
            for item in fields(made)  # type: ignore[arg-type]
        )
        return made

    return wrap


def _init(self: Any, *given: Any, **named: Any) -> None:
    place = object.__setattr__
    known = type(self).__record_fields__
    if len(given) > len(known):
        raise TypeError(f"{type(self).__name__} takes {len(known)} values, {len(given)} were given")
    for (name, _, _), value in zip(known, given, strict=False):
        if name in named:
            raise TypeError(f"{type(self).__name__}: {name} is given twice")
        place(self, name, value)
    for name, default, factory in known[len(given) :]:
        if name in named:
            place(self, name, named.pop(name))
        elif default is not MISSING:
            place(self, name, default)
        elif factory is not MISSING:
            place(self, name, factory())
        else:
            raise TypeError(f"{type(self).__name__}: {name} is missing")
    if named:
        raise TypeError(f"{type(self).__name__} has no field {next(iter(named))}")


def _refuse(_self: Any, name: str, *_: Any) -> None:
    raise FrozenInstanceError(f"cannot change field {name!r}")


def _values(self: Any) -> tuple[Any, ...]:
    return tuple(getattr(self, name) for name, _, _ in type(self).__record_fields__)


def _eq(self: Any, other: object) -> bool:
    return _values(self) == _values(other) if type(other) is type(self) else NotImplemented


def _hash(self: Any) -> int:
    return hash(_values(self))


def _getstate(self: Any) -> tuple[Any, ...]:
    return _values(self)


def _setstate(self: Any, state: tuple[Any, ...]) -> None:
    for (name, _, _), value in zip(type(self).__record_fields__, state, strict=True):
        object.__setattr__(self, name, value)
