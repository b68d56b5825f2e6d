"""`python -m tests.images`: builds the three images and says how large they are."""

import sys

from tests.images.build import ROLES, base, build, name_of
from tests.images.tool import tool


def main() -> None:
    """Builds them one after the other."""
    builder = tool()
    standing_on = base(builder)
    print(f"base: {standing_on}", flush=True)
    for role in ROLES:
        seconds = build(builder, role, standing_on)
        size = builder.image(name_of(role)).megabytes
        print(f"{name_of(role)}: {size:.0f} MB, built in {seconds:.0f} s", flush=True)


if __name__ == "__main__":
    try:
        main()
    except RuntimeError as error:
        sys.exit(str(error))
