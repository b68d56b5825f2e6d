"""The buffer's keys: a fixed number per job, all in one slot of a Redis cluster."""

from rljob.errors import UsageError

# In the order of KEYS in scripts/prelude.lua. Every script gets all keys, because a cluster must
# know each key that a script uses.
NAMES = (
    "state",  # hash: incarnation, version, phase
    "groups",  # hash: group id -> its place, "kind entry-id", or "done token"
    "train",  # stream of groups to generate
    "evaluation",  # the same for evaluation, leased first
    "samples",  # stream of completions, until the trainer acknowledges them
    "engines",  # hash: engine id -> expiry and address
    "versions",  # hash: engine id -> weight version that it holds
    "partials",  # hash: place -> partial generation of a group that a worker gave back
    "logs",  # stream of output of the other roles' pods, for the run volume
    "wake",  # stream of length 1: its last entry's id changes when workers should check for work
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
