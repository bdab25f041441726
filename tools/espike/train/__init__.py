"""labelled samples -> connectome: training with surrogate gradients, and fine-tuning to weights of few bits.

docs/senses.md says how samples become spikes, docs/numbers.md how the neurons compute.
"""

from .data import Data, Examples, load
from .design import Design, build, senses_of
from .fit import Outcome, Progress, Schedule, Scores, as_json, test, train
from .grid import parse_bits
from .model import Model, of
from .picture import picture

__all__ = [
    "Data", "Design", "Examples", "Model", "Outcome", "Progress", "Schedule", "Scores", "as_json", "build", "load",
    "of", "parse_bits", "picture", "senses_of", "test", "train",
]  # fmt: skip
