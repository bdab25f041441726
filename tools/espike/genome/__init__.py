"""genome -> connectome: read, check, grow, make and show genomes."""

from .check import Finding, check
from .develop import develop, summary
from .model import Area, Genome, Morphology, Note, Quantization, Rule
from .new import RECIPES, encode, new
from .read import from_json, parse, read
from .show import show, text

__all__ = [
    "RECIPES",
    "Area",
    "Finding",
    "Genome",
    "Morphology",
    "Note",
    "Quantization",
    "Rule",
    "check",
    "develop",
    "encode",
    "from_json",
    "new",
    "parse",
    "read",
    "show",
    "summary",
    "text",
]
