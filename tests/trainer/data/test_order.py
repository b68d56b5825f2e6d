"""The order of an epoch, by line and by block."""

from hypothesis import given
from hypothesis import strategies as st

from rljob_trainer.data.order import Order


def lines_of(order: Order, size: int) -> list[int]:
    return [order.place(position).line for position in range(size)]


@given(
    size=st.integers(1, 400),
    block=st.none() | st.integers(1, 500),
    seed=st.integers(0, 2**62),
    epoch=st.integers(0, 99),
)
def test_every_line_once(size: int, block: int | None, seed: int, epoch: int) -> None:
    assert sorted(lines_of(Order(size, block, seed, epoch), size)) == list(range(size))


@given(size=st.integers(1, 400), block=st.integers(1, 500), data=st.data())
def test_any_place_can_be_asked_for_first(size: int, block: int, data: st.DataObject) -> None:
    whole = Order(size, block, 1, 2)
    places = [whole.place(position) for position in range(size)]
    position = data.draw(st.integers(0, size - 1))
    assert Order(size, block, 1, 2).place(position) == places[position]


@given(size=st.integers(1, 400), block=st.integers(1, 500), epoch=st.integers(0, 9))
def test_lines_of_a_block_are_neighbours_and_come_together(
    size: int, block: int, epoch: int
) -> None:
    order = Order(size, block, 5, epoch)
    places = [order.place(position) for position in range(size)]
    for begin in range(0, size, block):
        together = places[begin : begin + block]
        (first,) = {place.block for place in together}
        assert {place.lines for place in together} == {len(together)}
        expected = {(first + n) % size for n in range(len(together))}
        assert {place.line for place in together} == expected


def test_blocks_and_their_lines_change_from_epoch_to_epoch() -> None:
    epochs = [lines_of(Order(1000, 10, 1, epoch), 1000) for epoch in range(20)]
    assert len({tuple(lines) for lines in epochs}) == 20
    assert len({frozenset(lines[:10]) for lines in epochs}) == 20
    # The lines that have no whole block come last: they are others each time.
    odd = [frozenset(lines_of(Order(1003, 10, 1, epoch), 1003)[-3:]) for epoch in range(20)]
    assert len(set(odd)) >= 19


def test_seed_decides() -> None:
    assert lines_of(Order(50, 8, 1, 0), 50) == lines_of(Order(50, 8, 1, 0), 50)
    assert lines_of(Order(50, 8, 1, 0), 50) != lines_of(Order(50, 8, 2, 0), 50)
