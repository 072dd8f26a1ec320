"""The count of work: the same each time, and able to tell linear from quadratic."""

from tests.counted_work import count_calls, find_growth


def _look(size):
    return [len(str(number)) for number in range(size)]


def test_a_count_is_the_same_each_time():
    assert count_calls(lambda: _look(500)) == count_calls(lambda: _look(500))


def test_work_that_grows_with_the_input_is_accepted():
    assert find_growth(_look, 500) == ""


def test_work_that_grows_with_its_square_is_named():
    assert find_growth(lambda size: [_look(size) for _ in range(size)], 50).endswith("for 100")
