"""The two clients of the buffer."""

from rljob.buffer.trainer import TrainerBuffer
from rljob.buffer.worker import WorkerBuffer

__all__ = ["TrainerBuffer", "WorkerBuffer"]
