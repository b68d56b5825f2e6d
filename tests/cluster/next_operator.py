"""`python -m tests.cluster.next_operator`: the operator as another version may be.

It asks for other resources where a job says nothing.
"""

import typer

from rljob_operator.__main__ import main
from rljob_operator.children import resources

if __name__ == "__main__":
    resources._BESIDE_GPU = (2000, 8192)
    typer.run(main)
