"""WordNet's glosses: which of 45 kinds of meaning does a short definition describe?"""

from __future__ import annotations

from collections.abc import Iterator

from examples.corpora.archive import member
from examples.corpora.dataset import Dataset
from examples.corpora.documents import distinct, text_dataset
from examples.corpora.fetch import fetch
from examples.corpora.sources import WORDNET
from examples.corpora.splits import cut

# fmt: off
#: The lexicographer files, by their numbers in the data (lexnames(5WN)).
KINDS = (
    "adj.all", "adj.pert", "adv.all", "noun.Tops", "noun.act", "noun.animal", "noun.artifact",
    "noun.attribute", "noun.body", "noun.cognition", "noun.communication", "noun.event",
    "noun.feeling", "noun.food", "noun.group", "noun.location", "noun.motive", "noun.object",
    "noun.person", "noun.phenomenon", "noun.plant", "noun.possession", "noun.process",
    "noun.quantity", "noun.relation", "noun.shape", "noun.state", "noun.substance", "noun.time",
    "verb.body", "verb.change", "verb.cognition", "verb.communication", "verb.competition",
    "verb.consumption", "verb.contact", "verb.creation", "verb.emotion", "verb.motion",
    "verb.perception", "verb.possession", "verb.social", "verb.stative", "verb.weather",
    "adj.ppl",
)
# fmt: on


def wordnet() -> Dataset:
    archive = fetch(WORDNET)
    documents = distinct(
        gloss
        for part in ("noun", "verb", "adj", "adv")
        for gloss in glosses(member(archive, f"usr/share/wordnet/data.{part}").decode())
    )
    kept, test = cut(documents, 0.1)
    return text_dataset("wordnet", *cut(kept, 0.05), test, source=WORDNET.source)


def glosses(data: str) -> Iterator[tuple[str, str]]:
    """Definition and kind of each line "offset kind ... | definition; examples" (wndb(5WN))."""
    for line in data.split("\n"):
        if line[:1].isdigit():
            fields, _, gloss = line.partition("|")
            definition = gloss.partition('; "')[0].strip()
            yield definition, KINDS[int(fields.split()[1])]
