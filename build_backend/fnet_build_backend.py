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

OLDEST_SETUPTOOLS = (77, 0, 3)  # understands the licence expression in pyproject.toml


def environment_folders() -> list[str]:
    """The package folders of this interpreter's environment, most important first."""
    folders = [sysconfig.get_path("purelib"), sysconfig.get_path("platlib")]
    folders += site.getsitepackages()
    if sys.base_prefix in site.PREFIXES:  # no virtual environment, or one that sees the base
        folders.insert(0, site.getusersitepackages())
    return list(dict.fromkeys(folders))


def check_setuptools() -> None:
    """Stop with one sentence when there is no setuptools that can build this project."""
    try:
        from setuptools import __version__ as version
    except ImportError:  # every torch since 2.11 depends on setuptools, so torch is missing too
        raise SystemExit(
            "fnet_kernels: this environment has no setuptools and so no complete torch: run "
            "`pip install torch` first, then the same command again (with --no-build-isolation if "
            "torch is there, but not in the site-packages of this interpreter)"
        ) from None
    if tuple(int(part) for part in version.split(".")[:3]) < OLDEST_SETUPTOOLS:
        oldest = ".".join(map(str, OLDEST_SETUPTOOLS))
        raise SystemExit(
            f"fnet_kernels: setuptools {version} is too old: "
            f"run `pip install 'setuptools>={oldest}'`"
        )


for folder in environment_folders():
    site.addsitedir(folder)  # appends, and honours .pth files as the interpreter itself does
check_setuptools()

from setuptools.build_meta import *  # noqa: E402, F403
