"""Where another process finds an app again: "module:attribute", or "script.py:attribute"."""

import os
import sys
from types import ModuleType

from mainspring.errors import ConfigError


def locate(app: object) -> str:
    """The place of a global that is this app; `ConfigError` if there is none.

    A module is preferred to the script that runs, because to import it runs less.
    """
    found = None
    for name, module in list(sys.modules.items()):
        attribute = _attribute(module, app)
        if attribute is not None and name not in ("__main__", "__mp_main__"):
            return f"{name}:{attribute}"
        if attribute is not None:
            found = _script(module), attribute
    if found is None:
        raise ConfigError(
            "child processes import the app, so it must be a global variable of a module;"
            " make it one, or say in_process=True"
        )
    place, attribute = found
    if place is None:
        raise ConfigError(
            "child processes import the app, but what runs here is not a file;"
            " put it into one, or say in_process=True"
        )
    return f"{place}:{attribute}"


def _attribute(module: object, app: object) -> str | None:
    # Some libraries put lazy objects into sys.modules: only look into what really is a module.
    if not isinstance(module, ModuleType):
        return None
    return next((name for name, value in list(vars(module).items()) if value is app), None)


def _script(module: ModuleType) -> str | None:
    """The module that `python -m` runs, by its name, or else the file."""
    spec = getattr(module, "__spec__", None)
    if spec is not None and spec.name:
        return str(spec.name)
    file = getattr(module, "__file__", None)
    return os.path.abspath(file) if file and os.path.isfile(file) else None
