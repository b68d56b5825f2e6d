"""Every reason of a condition or an event; docs/operator.md says what to do for each."""

from enum import StrEnum

from rljob.api.status import ConditionType


class Reason(StrEnum):
    """Why a condition has its value."""

    VALID = "Valid"
    INVALID = "Invalid"
    UNSUPPORTED = "Unsupported"
    NAME_TAKEN = "NameTaken"
    KIND_MISSING = "KindMissing"
    PERMITTED = "Permitted"
    QUOTA = "QuotaExceeded"
    WEBHOOK = "WebhookFailed"
    FORBIDDEN = "Forbidden"
    REQUEST_FAILED = "RequestFailed"
    SCHEDULED = "Scheduled"
    UNSCHEDULABLE = "Unschedulable"
    PODS_MISSING = "PodsMissing"
    READY = "Ready"
    NOT_READY = "NotReady"
    EXTERNAL = "External"
    AT_REST = "AtRest"
    IMAGE = "ImagePullBackOff"
    CONTAINER = "CreateContainerError"
    CRASH_LOOP = "CrashLoopBackOff"
    MEMORY = "OOMKilled"
    ERROR = "Error"
    EVICTED = "Evicted"
    POD_FAILED = "PodFailed"
    IN_SYNC = "InSync"
    LAGGING = "Lagging"
    NO_REPORT = "NoReport"
    SUSPENDED = "Suspended"
    ACTIVE = "Active"
    FINISHED = "Finished"
    ROLE_FAILED = "RoleFailed"
    BACKOFF_LIMIT = "BackoffLimitExceeded"
    DEADLINE = "DeadlineExceeded"


# Reasons why a pod does not become ready.
TROUBLES = (
    Reason.UNSCHEDULABLE,
    Reason.IMAGE,
    Reason.CONTAINER,
    Reason.CRASH_LOOP,
    Reason.MEMORY,
    Reason.ERROR,
    Reason.EVICTED,
    Reason.POD_FAILED,
)
_NOT_READY = {"False": (Reason.NOT_READY, Reason.AT_REST, *TROUBLES)}
REASONS: dict[ConditionType, dict[str, tuple[Reason, ...]]] = {
    "Accepted": {
        "True": (Reason.VALID,),
        "False": (
            Reason.INVALID,
            Reason.UNSUPPORTED,
            Reason.NAME_TAKEN,
            Reason.KIND_MISSING,
        ),
    },
    "Permitted": {
        "True": (Reason.PERMITTED,),
        "False": (Reason.QUOTA, Reason.WEBHOOK, Reason.FORBIDDEN),
        "Unknown": (Reason.REQUEST_FAILED,),
    },
    "Scheduled": {
        "True": (Reason.SCHEDULED,),
        "False": (Reason.UNSCHEDULABLE, Reason.AT_REST),
        "Unknown": (Reason.PODS_MISSING,),
    },
    "BufferReady": {"True": (Reason.READY, Reason.EXTERNAL), **_NOT_READY},
    "TrainerReady": {"True": (Reason.READY,), **_NOT_READY},
    "RolloutReady": {"True": (Reason.READY,), **_NOT_READY},
    "WeightsInSync": {
        "True": (Reason.IN_SYNC,),
        "False": (Reason.LAGGING, Reason.AT_REST),
        "Unknown": (Reason.NO_REPORT,),
    },
    "Suspended": {"True": (Reason.SUSPENDED,), "False": (Reason.ACTIVE,)},
    "Succeeded": {"True": (Reason.FINISHED,)},
    "Failed": {"True": (Reason.ROLE_FAILED, Reason.BACKOFF_LIMIT, Reason.DEADLINE)},
}


class Told(StrEnum):
    """Reasons of events; an event about an unmet condition has the condition's `Reason`."""

    ACCEPTED = "Accepted"
    CAUTION = "Caution"
    RUN_DIRECTORY_REUSED = "RunDirectoryReused"
    STARTED = "Started"
    SUSPENDED = "Suspended"
    RESUMED = "Resumed"
    SCHEDULED = "Scheduled"
    BUFFER_READY = "BufferReady"
    TRAINER_READY = "TrainerReady"
    ROLLOUT_READY = "RolloutReady"
    NOT_READY = "NotReady"
    UPDATED = "Updated"
    RESTORED = "Restored"
    POD_REPLACED = "PodReplaced"
    PODS_ROLLED = "PodsRolled"
    SCALED = "Scaled"
    RESTARTED = "Restarted"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    DRAINING = "Draining"
    POD_KEPT = "PodKept"
    POD_HANGS = "PodHangs"
    TIME_TO_LIVE = "TimeToLiveOver"
