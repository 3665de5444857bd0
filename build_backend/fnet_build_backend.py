"""The PEP 517 backend of this project: setuptools, building against the torch that is installed.

With build isolation an installer runs this in a process whose path lacks the environment's
packages. They are appended here, so that `pip install .` compiles against the torch already there,
offline, and never against another one fetched for the build. Where they are found:

- `site.getsitepackages()` and `sysconfig`: the folders of `sys.prefix`. pip's isolation keeps the
  interpreter, hence the prefix: a virtual environment, a system Python, conda. An environment made
  with `--system-site-packages` gives its own folder and then the base's.
- The user's folder (`pip install --user`), where such an interpreter would see it.

What only PYTHONPATH names is out of sight (pip replaces that variable), and so is the environment
when the front end makes a new one for the build (`uv`, `python -m build`): those want
`--no-build-isolation`, as the message says.
"""

from __future__ import annotations

import site
import sys
import sysconfig
from importlib.util import find_spec

OLDEST_SETUPTOOLS = (77, 0, 3)  # understands the licence expression in pyproject.toml


def environment_folders() -> list[str]:
    """The package folders of this interpreter's environment, most important first."""
    folders = [sysconfig.get_path("purelib"), sysconfig.get_path("platlib")]
    folders += site.getsitepackages()
    if sys.base_prefix in site.PREFIXES:  # no virtual environment, or one that sees the base
        folders.insert(0, site.getusersitepackages())
    return list(dict.fromkeys(folders))


def check_environment() -> None:
    """Stop with one sentence when torch is absent or setuptools cannot build this project.

    What else the build needs is checked by setup.py, which also runs without this backend.
    """
    if not (find_spec("torch") and find_spec("setuptools")):  # torch depends on setuptools
        raise SystemExit(
            "fnet_kernels: this environment has no torch to build against: run "
            "`pip install torch` first, then the same command again (with --no-build-isolation "
            "if torch is there, but not in the site-packages of this interpreter)"
        )
    from setuptools import __version__ as version

    if tuple(int(part) for part in version.split(".")[:3]) < OLDEST_SETUPTOOLS:
        oldest = ".".join(map(str, OLDEST_SETUPTOOLS))
        raise SystemExit(
            f"fnet_kernels: setuptools {version} is too old: "
            f"run `pip install 'setuptools>={oldest},<82'`"  # torch 2.11 and 2.13 both allow these
        )


for folder in environment_folders():
    site.addsitedir(folder)  # appends, and honours .pth files as the interpreter itself does
check_environment()

from setuptools.build_meta import *  # noqa: E402, F403
