"""The RLJob manifest: the single source of the CRD, of defaults and of validation messages."""

from rljob.api.rljob import API_VERSION, KIND, ObjectMeta, RLJob, RLJobSpec
from rljob.api.status import RLJobStatus

__all__ = ["API_VERSION", "KIND", "ObjectMeta", "RLJob", "RLJobSpec", "RLJobStatus"]
