"""networks -> figures: what the product is judged by, measured on this machine.

`measure` takes them, `KEYS` says what each of them is and what it should be.
"""

from .keys import KEYS, Bench, Key, Number, Progress, chosen, measure

__all__ = ["KEYS", "Bench", "Key", "Number", "Progress", "chosen", "measure"]
