"""Modules that are loaded when something of them is used, so that no command waits for what only others need.

In one place instead of an `import` in every function: whoever imports a module of the automation as a module, as in
`from gitops_ml.gate import judge`, gets it at once and pays at its first use; `from MODULE import NAME` loads it.

importlib's own LazyLoader loads at any attribute, and so whenever some library looks through all modules; what then
fails half-way stays half loaded. Here a module of ours is loaded only for a name that its code mentions, and what
failed is tried again.
"""

from __future__ import annotations

import functools
import sys
import threading
from collections.abc import Sequence
from importlib.abc import InspectLoader, Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

OWN = ("gitops_ml", "gitops_serving", "pipeline")
# What takes longest of the packages that are imported as a whole.
SLOW = ("pandas", "httpx", "dvc.api")
PARTS = tuple(f"{name}." for name in SLOW)

_LOADING = threading.RLock()


class _Unloaded(ModuleType):
    """A module that is loaded when the first attribute is asked for that it does not have yet."""

    def __getattr__(self, name: str) -> Any:
        spec = self.__spec__
        assert spec is not None  # noqa: S101 - the import system has set it
        # Of another's package, `__version__` or `__path__` may be what is wanted.
        if spec.name not in SLOW and name not in _names(spec.name):
            raise AttributeError(f"module {spec.name!r} has no attribute {name!r}")
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


_loaders: dict[str, InspectLoader] = {}


@functools.cache
def _names(module: str) -> frozenset[str]:
    """The names that a module's own code mentions: nothing else can be asked for with success."""
    code = _loaders[module].get_code(module)
    return frozenset(code.co_names if code else ())


class _Later(Loader):
    """Leaves a module as it was made, to be loaded at its first use."""

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        # So that importing a part of a package loads the package first.
        module.__dict__.pop("__path__", None)
        module.__class__ = _Unloaded


class _Loaded(Loader):
    """Hands back a module that loading its package has just loaded, instead of running it a second time."""

    def __init__(self, module: ModuleType) -> None:
        self.module, self.spec = module, module.__spec__

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return self.module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self.spec


class _Finder(MetaPathFinder):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname in sys.modules and fullname.startswith(PARTS):
            return ModuleSpec(fullname, _Loaded(sys.modules[fullname]))
        if fullname not in SLOW and fullname.partition(".")[0] not in OWN:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        is_room = spec is not None and spec.submodule_search_locations is not None and fullname not in SLOW
        if spec is not None and isinstance(spec.loader, InspectLoader) and not is_room:
            _loaders[fullname], spec.loader = spec.loader, _Later()
        return spec


def install() -> None:
    """Have all that is imported from here on be loaded at its first use. Once is enough."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())
