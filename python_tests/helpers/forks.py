"""Scripts in processes that need not import torch, which takes longer than most of them.

defines: Forks
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from python_tests.helpers.paths import ROOT

#: Reads a script from each line, and runs it in a fork at the top level, as `python -c` does.
_PARENT = """
import json, os, sys
import torch

for line in sys.stdin:
    job = json.loads(line)
    child = os.fork()
    if not child:
        break
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
else:
    sys.exit()
os.chdir(job["cwd"])
os.environ.clear()
os.environ.update(job["env"])
for number, file in enumerate((os.devnull, job["stdout"], job["stderr"])):
    os.dup2(os.open(file, os.O_RDWR | os.O_CREAT), number)
sys.argv = ["-c", *job["words"]]
exec(compile(job["script"], "<string>", "exec"), {"__name__": "__main__"})
"""


class Forks:
    """Runs scripts in forks of one process that has imported torch and nothing of ours.

    A script sees the modules, the environment and the folder that `python -c` would give it in a
    process of its own, but `torch` and what torch imports are there already.
    """

    def __init__(self) -> None:
        paths = (str(ROOT), os.environ.get("PYTHONPATH"))
        self._parent = subprocess.Popen(
            [sys.executable, "-c", _PARENT],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(
        self, script: str, *words: str, cwd: Path = ROOT, env: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Wait for `python -c script words...` and return what it wrote.

        Args:
            script: the code.
            words: its `sys.argv[1:]`.
            cwd: its working directory.
            env: its environment, by default that of this process.
        """
        assert self._parent.stdin is not None
        assert self._parent.stdout is not None
        with TemporaryDirectory() as folder:
            files = {name: str(Path(folder, name)) for name in ("stdout", "stderr")}
            job = {"script": script, "words": words, "cwd": str(cwd), **files}
            job["env"] = dict(os.environ) if env is None else env
            print(json.dumps(job), file=self._parent.stdin, flush=True)
            status = int(self._parent.stdout.readline())
            said = [Path(file).read_text() for file in files.values()]
        return subprocess.CompletedProcess(["-c", *words], status, *said)

    def close(self) -> None:
        """End the process."""
        assert self._parent.stdin is not None
        assert self._parent.stdout is not None
        self._parent.stdin.close()
        self._parent.wait()
        self._parent.stdout.close()
