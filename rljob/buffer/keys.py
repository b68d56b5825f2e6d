"""The buffer's keys. A job has a fixed number of them, all in one slot of a Redis cluster."""

from rljob.errors import UsageError

# The order is that of KEYS in scripts/prelude.lua: every script gets all of them, so that a
# cluster knows each key that it touches.
NAMES = (
    "state",  # hash: incarnation, version, phase
    "groups",  # hash: group id -> where it stands
    "train",  # stream of groups to generate
    "evaluation",  # the same for evaluation, leased first
    "samples",  # stream of completions, until the trainer has acknowledged them
    "engines",  # hash: engine id -> expiry and address
    "versions",  # hash: engine id -> weight version that it holds
    "partials",  # hash: place -> what a worker that had to leave has generated of the group
    "wake",  # stream of length 1: its last entry's id changes when workers should look again
)


class Keys:
    """Names of the keys of the job `job_key`, which is "namespace/name"."""

    def __init__(self, job_key: str) -> None:
        if not job_key or set(job_key) & set("{}"):
            raise UsageError(
                f"job key: {job_key!r}; expected namespace/name without braces, which would "
                "break the hash tag that keeps the job's keys in one cluster slot"
            )
        self.all: tuple[str, ...] = tuple(f"{{{job_key}}}:{name}" for name in NAMES)
        self._named = dict(zip(NAMES, self.all, strict=True))

    def __getitem__(self, name: str) -> str:
        return self._named[name]
