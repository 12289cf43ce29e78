"""Tables that installed packages extend: own rows, and those behind the entry points of a group.

A package adds a row by naming an object in its pyproject.toml, here a method:

    [project.entry-points."samtune.methods"]
    mlp_adapter = "mlp_adapter:MLPAdapter"

Entry points are read when a table is first asked for anything but one of its own rows, so a command that needs no other
row pays nothing. One that cannot be used is left out with a sentence that names its package; the others stay usable.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, MutableMapping
from dataclasses import dataclass
from functools import cache
from threading import RLock
from typing import TYPE_CHECKING, Any, TypeVar

from samtune.errors import ConfigError
from samtune.printable import one_line, shown
from samtune.progress import say

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from importlib.metadata import EntryPoint

T = TypeVar("T")


@dataclass(frozen=True)
class Offer:
    """An entry point of an installed package.

    Attributes:
        package: name of the package.
        entry: name of the row, and the object behind it.
    """

    package: str
    entry: EntryPoint


class Table(MutableMapping[str, T]):
    """Rows by name: samtune's own, then those of installed packages.

    Args:
        noun: a row of the table in messages, such as "method".
        group: entry points that add rows, such as "samtune.methods".
        rows: samtune's own; a row has its name as the attribute `name`.
        accept: turns the object behind an entry point into a row; raises `ConfigError` where that is impossible or
            the row contradicts another.
    """

    def __init__(self, noun: str, group: str, rows: Iterable[T], accept: Callable[[Any], T]) -> None:
        self.noun, self.group = noun, group
        self._rows: dict[str, T] = {row.name: row for row in rows}  # type: ignore[attr-defined]
        self.own = tuple(self._rows)
        self._accept = accept
        self._packages: dict[str, str] = {}
        self._refusals: dict[str, str] = {}
        self._lock = RLock()  # a package may read the table while it is imported
        self._complete = False

    def register(self, value: Any) -> T:
        """Add a row and return it.

        Raises:
            ConfigError: the table does not take such an object, or has another row of this name.
        """
        return self._add(self._accept(value))

    def _add(self, row: T) -> T:
        name = getattr(row, "name", None)
        if not isinstance(name, str) or not re.fullmatch(r"[a-z][a-z0-9_]*", name):
            raise ConfigError(f"Expected a {self.noun} named by lower-case letters, digits and _, got {shown(name)}.")
        if name in self._rows and self._rows[name] is not row:
            owner = f"the package {self._packages[name]}" if name in self._packages else "samtune"
            raise ConfigError(
                f"Expected a new name for the {self.noun} {name!r}, which {owner} has already; rename it."
            )
        self._rows[name] = row
        return row

    def absence(self, name: str) -> str:
        """Return why a name that a file or a user asks for is not in the table, as a clause: what to do about it."""
        return (
            self.refused(name) or f"install the package that adds this {self.noun} (entry-point group `{self.group}`)"
        )

    def refused(self, name: str) -> str:
        """Return why the entry point of a name was left out, as a clause; "" where there is none."""
        self._load()
        return self._refusals.get(name, "")

    def _load(self) -> None:
        with self._lock:
            if self._complete:
                return
            self._complete = True
            for offer in installed():
                if offer.entry.group == self.group:
                    self._take(offer)

    def _take(self, offer: Offer) -> None:
        """Add the row of an entry point, or say why not."""
        name, package = offer.entry.name, one_line(offer.package)
        try:
            row = self._accept(offer.entry.load())
            if getattr(row, "name", None) != name:
                raise ConfigError(
                    f"Expected the `name` of {one_line(offer.entry.value)} to be that of its entry point, "
                    f"got {shown(getattr(row, 'name', None))}."
                )
            self._add(row)
            self._packages[name] = package
        except (Exception, SystemExit) as error:  # importing a package runs its code, which may raise anything
            reason = one_line(str(error)) if isinstance(error, ConfigError) else _named(error)
            clause = (
                f"the package {package} offers the {self.noun} {shown(name)} in `{self.group}`, but it cannot be used "
                f"({reason.rstrip('.')}); update or uninstall the package"
            )
            self._refusals.setdefault(name, clause)
            say(f"{clause[0].upper()}{clause[1:]}.")

    def __getitem__(self, name: str) -> T:
        if name not in self._rows:
            self._load()
        return self._rows[name]

    def __setitem__(self, name: str, row: T) -> None:
        self._rows[name] = row

    def __delitem__(self, name: str) -> None:
        del self._rows[name]

    def __iter__(self) -> Iterator[str]:
        self._load()
        return iter(self._rows)

    def __len__(self) -> int:
        self._load()
        return len(self._rows)

    def __repr__(self) -> str:
        return f"Table({self.group}: {', '.join(self)})"


@cache
def installed() -> tuple[Offer, ...]:
    """Return the entry points of all of samtune's groups, sorted by package and name; read once a process.

    The metadata of a package that cannot be read is passed over with a sentence. Of two copies of a package on the
    path the first counts, as for imports.
    """
    from importlib.metadata import distributions

    offers: dict[str, list[Offer]] = {}
    for distribution in distributions():
        try:
            entries = [entry for entry in distribution.entry_points if entry.group.startswith("samtune.")]
            if entries:
                offers.setdefault(distribution.name, [Offer(distribution.name, entry) for entry in entries])
        except Exception as error:  # foreign files: bad syntax, bytes that are no UTF-8, no permission
            say(f"The entry points of an installed package cannot be read ({_named(error)}); reinstall it.")
    return tuple(
        sorted((offer for group in offers.values() for offer in group), key=lambda offer: (offer.package, offer.entry))
    )


def instance_of(protocol: type, value: Any) -> Any:
    """Return an object with all members of a protocol; a class is called without arguments.

    Raises:
        ConfigError: members are missing.
    """
    made = value() if isinstance(value, type) else value
    check_members(protocol, made)
    return made


def check_members(protocol: type, value: Any) -> None:
    """Check that an object has what a protocol declares.

    Raises:
        ConfigError: members are missing; names all of them.
    """
    declared = (*protocol.__annotations__, *(name for name, each in vars(protocol).items() if callable(each)))
    missing = [name for name in declared if not name.startswith("_") and not hasattr(value, name)]
    if missing:
        raise ConfigError(f"Expected the members of `{protocol.__name__}`, got none named {', '.join(missing)}.")


def _named(error: BaseException) -> str:
    text = one_line(str(error))
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
