"""How the samples of a batch are spread over data-parallel ranks and micro-batches.

Pure arithmetic on lengths: every rank computes the same partition without asking the others.
"""

from collections.abc import Sequence


def rank_shares(lengths: Sequence[int], ranks: int) -> list[list[int]]:
    """Sample indices for each data-parallel rank, the longest first.

    Counts differ by at most one, and tokens by at most the longest sample: the `ranks` longest
    samples go to one rank each, then the next `ranks`, always the longest of them to the rank
    with the fewest tokens so far.

    Args:
        lengths: tokens of each sample.
        ranks: data-parallel size.
    """
    shares: list[list[int]] = [[] for _ in range(ranks)]
    tokens = [0] * ranks
    order = _longest_first(range(len(lengths)), lengths)
    for begin in range(0, len(order), ranks):
        least_first = sorted(range(ranks), key=tokens.__getitem__)
        for sample, rank in zip(order[begin : begin + ranks], least_first, strict=False):
            shares[rank].append(sample)
            tokens[rank] += lengths[sample]
    return shares


def micro_batches_by_tokens(
    samples: Sequence[int], lengths: Sequence[int], budget: int
) -> list[list[int]]:
    """Splits samples so that no micro-batch costs more than `budget` tokens.

    A micro-batch is padded to its longest sample, so it costs count x longest. Samples of similar
    length go together; one that exceeds the budget on its own gets its own micro-batch.

    Args:
        samples: sample indices, e.g. a rank's share.
        lengths: tokens of each sample, by number.
        budget: tokens.
    """
    parts: list[list[int]] = []
    for sample in _longest_first(samples, lengths):
        # The first of a part is its longest.
        if parts and (len(parts[-1]) + 1) * lengths[parts[-1][0]] <= budget:
            parts[-1].append(sample)
        else:
            parts.append([sample])
    return parts


def micro_batches_of_size(
    samples: Sequence[int], lengths: Sequence[int], size: int
) -> list[list[int]]:
    """Splits samples of similar length into micro-batches of `size`; the last may be smaller.

    Args:
        samples: sample indices, e.g. a rank's share.
        lengths: tokens of each sample, by number.
        size: samples of a micro-batch.
    """
    order = _longest_first(samples, lengths)
    return [order[begin : begin + size] for begin in range(0, len(order), size)]


def even_counts(
    by_rank: Sequence[list[list[int]]], lengths: Sequence[int], multiple: int = 1
) -> list[list[list[int]]]:
    """The same number of micro-batches on every rank: some are split, or empty ones are added.

    Ranks that share experts, or a pipeline, exchange tokens in every micro-batch: one that has no
    more of them would leave the others waiting.

    Args:
        by_rank: the micro-batches of each rank.
        lengths: tokens of each sample, by number.
        multiple: the number becomes a multiple of this one.
    """
    largest = max(len(parts) for parts in by_rank)
    count = max(1, -(-largest // multiple)) * multiple
    return [_in_parts(parts, lengths, count) for parts in by_rank]


def _in_parts(parts: list[list[int]], lengths: Sequence[int], count: int) -> list[list[int]]:
    parts = list(parts)
    while len(parts) < count:
        # The costliest of those that can be split; a part is as wide as its first sample.
        place = max(
            (n for n, part in enumerate(parts) if len(part) > 1),
            key=lambda n: (len(parts[n]) * lengths[parts[n][0]], -n),
            default=None,
        )
        if place is None:
            return parts + [[] for _ in range(count - len(parts))]
        part = parts[place]
        half = (len(part) + 1) // 2
        parts[place : place + 1] = [part[:half], part[half:]]
    return parts


def _longest_first(samples: Sequence[int], lengths: Sequence[int]) -> list[int]:
    return sorted(samples, key=lambda sample: (-lengths[sample], sample))
