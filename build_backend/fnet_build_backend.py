"""The PEP 517 backend of this project: setuptools, which builds against the installed torch.

With build isolation an installer runs this module in a process whose `sys.path` lacks the packages
of the environment. This module appends them, so `pip install .` compiles offline against the
installed torch and does not fetch another one for the build. It looks for them in

- the folders of `sys.prefix`, from `site.getsitepackages()` and `sysconfig`. pip's isolation keeps
  the interpreter and so the prefix of a virtual environment, a system Python or conda. An
  environment made with `--system-site-packages` lists its own folder before that of the base;
- the user's folder (`pip install --user`), if the interpreter would use it.

It cannot find packages that only PYTHONPATH names, because pip replaces that variable, nor those
of the environment if the front end creates a new one for the build (`uv`, `python -m build`). Such
builds need `--no-build-isolation`, as the error message says.
"""

from __future__ import annotations

import site
import sys
import sysconfig
from importlib.util import find_spec

OLDEST_SETUPTOOLS = (77, 0, 3)  # supports the licence expression in pyproject.toml


def environment_folders() -> list[str]:
    """The package folders of this interpreter's environment, in order of precedence."""
    folders = [sysconfig.get_path("purelib"), sysconfig.get_path("platlib")]
    folders += site.getsitepackages()
    if sys.base_prefix in site.PREFIXES:  # no virtual environment, or one that includes the base
        folders.insert(0, site.getusersitepackages())
    return list(dict.fromkeys(folders))


def check_environment() -> None:
    """Stop the build with one sentence if torch is missing or setuptools is too old.

    setup.py, which also runs without this backend, checks all other requirements.
    """
    if not (find_spec("torch") and find_spec("setuptools")):  # torch depends on setuptools
        raise SystemExit(
            "fnet_kernels: torch is not installed in this environment: run `pip install torch`"
            " first, then the same command again (with --no-build-isolation if torch is installed,"
            " but not in the site-packages of this interpreter)"
        )
    from setuptools import __version__ as version

    if tuple(int(part) for part in version.split(".")[:3]) < OLDEST_SETUPTOOLS:
        oldest = ".".join(map(str, OLDEST_SETUPTOOLS))
        raise SystemExit(
            f"fnet_kernels: setuptools {version} is too old: "
            f"run `pip install 'setuptools>={oldest},<82'`"  # allowed by torch 2.11 to 2.13
        )


for folder in environment_folders():
    site.addsitedir(folder)  # appends, and runs .pth files as the interpreter does
check_environment()

from setuptools.build_meta import *  # noqa: E402, F403
