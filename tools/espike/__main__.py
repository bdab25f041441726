"""`python -m espike`"""

from .cli import main

main()
