"""Functions of a module that others stand in for, and that come back."""

import types

import pytest

from keras_gen.engine.swapping import swapped


def first():
    return 1


def second():
    return 2


def module():
    place = types.ModuleType("place")
    place.f, place.g = (lambda: 0), (lambda: "g")
    return place


def test_blocks_that_overlap_leave_the_modules_own_function_behind():
    place = module()
    own = place.f
    one, two = swapped(place, {"f": first}), swapped(place, {"f": second})
    one.__enter__()
    two.__enter__()
    assert place.f() == 2
    one.__exit__(None, None, None)
    assert place.f() == 2
    two.__exit__(None, None, None)
    assert place.f is own and place.g() == "g"


def test_a_block_inside_itself_and_one_that_fails_put_it_back():
    place = module()
    own = place.f
    with pytest.raises(KeyError), swapped(place, {"f": first}):
        with swapped(place, {"f": first}):
            assert place.f() == 1
        assert place.f() == 1
        raise KeyError
    assert place.f is own
