"""Format of weight versions on a disk that trainer and engines share."""
