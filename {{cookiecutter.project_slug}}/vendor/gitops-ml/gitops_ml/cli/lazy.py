"""Modules that are loaded when something of them is used, so that no command waits for what only others need.

In one place instead of an `import` in every function: whoever imports a module of the automation as a module, as in
`from gitops_ml.gate import judge`, gets it at once and pays at its first use; `from MODULE import NAME` loads it.

importlib's own LazyLoader loads at any attribute, and so whenever some library looks at the `__file__` of all modules;
what then fails half-way stays half loaded. Here such a look loads nothing, and what failed is tried again.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

OWN = ("gitops_ml", "gitops_serving", "pipeline")
# What takes longest of the packages that are imported as a whole.
SLOW = ("pandas", "httpx", "dvc.api")

_LOADING = threading.RLock()


class _Unloaded(ModuleType):
    """A module that is loaded when the first attribute is asked for that it does not have yet."""

    def __getattr__(self, name: str) -> Any:
        spec = self.__spec__
        assert spec is not None  # noqa: S101 - the import system has set it
        # Of another's package, `__version__` or `__path__` may be what is wanted.
        if name.startswith("__") and spec.name not in SLOW:
            raise AttributeError(f"module {spec.name!r} is not loaded, and has no attribute {name!r} yet")
        with _LOADING:
            if type(self) is _Unloaded and not self.__dict__.get("__loading__"):
                self.__dict__["__loading__"] = True
                try:
                    if spec.submodule_search_locations is not None:
                        self.__path__ = spec.submodule_search_locations
                    _loaders[spec.name].exec_module(self)
                    self.__class__ = ModuleType  # type: ignore[assignment]
                finally:
                    del self.__dict__["__loading__"]
        if name in self.__dict__:
            return self.__dict__[name]
        raise AttributeError(f"module {spec.name!r} has no attribute {name!r}")


_loaders: dict[str, Loader] = {}


class _Later(Loader):
    """Leaves a module as it was made, to be loaded at its first use."""

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        # So that importing a part of a package loads the package first.
        module.__dict__.pop("__path__", None)
        module.__class__ = _Unloaded


class _Finder(MetaPathFinder):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in SLOW and fullname.partition(".")[0] not in OWN:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        is_room = spec is not None and spec.submodule_search_locations is not None and fullname not in SLOW
        if spec is not None and spec.loader is not None and not is_room:
            _loaders[fullname], spec.loader = spec.loader, _Later()
        return spec


def install() -> None:
    """Have all that is imported from here on be loaded at its first use. Once is enough."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())
