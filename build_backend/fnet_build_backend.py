"""The PEP 517 backend of this project: setuptools, which builds against the installed torch.

With build isolation an installer runs this module in a process whose `sys.path` lacks the packages
of the environment. This module appends them, so `pip install .` compiles offline against the
installed torch and does not fetch another one for the build. It looks for them in

- the folders of `sys.prefix`, from `site.getsitepackages()` and `sysconfig`. pip's isolation keeps
  the interpreter and so the prefix of a virtual environment, a system Python or conda. An
  environment made with `--system-site-packages` lists its own folder before that of the base;
- the user's folder (`pip install --user`), if the interpreter would use it.

It cannot find packages that only PYTHONPATH names, because pip replaces that variable, nor those
of the environment if the front end creates a new one for the build (`uv`, `python -m build`,
poetry, pdm). It then asks the front end for setuptools and torch: any torch that is new enough
builds libraries that serve all. `--no-build-isolation` builds against the environment's torch.

Only wheels need torch. Source distributions need setuptools alone.
"""

from __future__ import annotations

import re
import site
import sys
import sysconfig
from importlib.util import find_spec
from types import ModuleType
from typing import Any

from build_backend.fnet_checks import OLDEST_TORCH, check_compiler, check_torch, stop

OLDEST_SETUPTOOLS = (77, 0, 3)  # supports the licence expression in pyproject.toml
SETUPTOOLS = "setuptools>=" + ".".join(map(str, OLDEST_SETUPTOOLS))
TORCH = "torch>=" + ".".join(map(str, OLDEST_TORCH))
Settings = dict[str, Any] | None


def environment_folders() -> list[str]:
    """The package folders of this interpreter's environment, in order of precedence."""
    folders = [sysconfig.get_path("purelib"), sysconfig.get_path("platlib")]
    folders += site.getsitepackages()
    if sys.base_prefix in site.PREFIXES:  # no virtual environment, or one that includes the base
        folders.insert(0, site.getusersitepackages())
    return list(dict.fromkeys(folders))


def setuptools_version() -> str | None:
    """The version of the first setuptools on `sys.path`, or None without one."""
    try:
        from setuptools import __version__
    except ImportError:
        return None
    return __version__


def new_enough(found: str | None) -> bool:
    """Whether a version of setuptools can build this project."""
    return found is not None and tuple(map(int, re.findall(r"\d+", found)[:3])) >= OLDEST_SETUPTOOLS


def setuptools() -> ModuleType:
    """setuptools' own backend. Stops the build if setuptools is missing or too old."""
    found = setuptools_version()
    if not new_enough(found):
        state = f"setuptools {found} is too old" if found else "setuptools is not installed"
        stop(f"{state}: run `pip install '{SETUPTOOLS},<82'`")  # torch 2.11 to 2.13 require <82
    from setuptools import build_meta

    return build_meta  # type: ignore[no-any-return, unused-ignore]


def get_requires_for_build_sdist(config_settings: Settings = None) -> list[str]:
    """Ask for setuptools if the environment has none that is new enough."""
    return [] if new_enough(setuptools_version()) else [SETUPTOOLS]


def get_requires_for_build_wheel(config_settings: Settings = None) -> list[str]:
    """Ask for torch too if the environment has none; stop here if one of the environment is broken.

    Installers call this first, before they download a dependency.
    """
    check_compiler()
    if find_spec("torch") is None:
        return [*get_requires_for_build_sdist(), TORCH, "ninja"]
    check_torch()
    return get_requires_for_build_sdist()


get_requires_for_build_editable = get_requires_for_build_wheel


def prepare_metadata_for_build_wheel(folder: str, config_settings: Settings = None) -> str:
    """Write the .dist-info folder; torch is not needed."""
    return str(setuptools().prepare_metadata_for_build_wheel(folder, config_settings))


def prepare_metadata_for_build_editable(folder: str, config_settings: Settings = None) -> str:
    """Write the .dist-info folder; torch is not needed."""
    return str(setuptools().prepare_metadata_for_build_editable(folder, config_settings))


def build_sdist(folder: str, config_settings: Settings = None) -> str:
    """Pack the source distribution; torch is not needed."""
    return str(setuptools().build_sdist(folder, config_settings))


def build_wheel(
    folder: str, config_settings: Settings = None, metadata_directory: str | None = None
) -> str:
    """Compile, and pack the wheel."""
    return str(setuptools().build_wheel(folder, config_settings, metadata_directory))


def build_editable(
    folder: str, config_settings: Settings = None, metadata_directory: str | None = None
) -> str:
    """Compile in the source tree, and pack a wheel that points to it."""
    return str(setuptools().build_editable(folder, config_settings, metadata_directory))


for folder in environment_folders():
    site.addsitedir(folder)  # appends, and runs .pth files as the interpreter does
