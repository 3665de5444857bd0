"""`python -m fnet_kernels`."""

import sys

from fnet_kernels.cli import main

sys.exit(main())
