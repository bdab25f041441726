"""genome -> connectome: read, check, grow, make and show genomes."""

from .develop import develop, summary
from .model import Area, Genome, Morphology, Note, Quantization, Rule
from .read import from_json, parse, read

__all__ = [
    "Area",
    "Genome",
    "Morphology",
    "Note",
    "Quantization",
    "Rule",
    "develop",
    "from_json",
    "parse",
    "read",
    "summary",
]
