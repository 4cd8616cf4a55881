"""`check_loss` finds nothing against any registered loss, whatever its parameters."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from laws.cases import NAMES, losses
from sklosses.losses import check_loss, get_loss

#: Each looks at tens of thousands of places: fewer examples than of other laws, 3 or 33.
EXAMPLES = settings.default.max_examples // 30


@pytest.mark.parametrize("name", NAMES)
def test_with_default_parameters(name):
    assert len(check_loss(get_loss(name), verbose=False)) >= 9


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=EXAMPLES)
@given(data=st.data())
def test_with_any_parameters(name, data):
    check_loss(data.draw(losses(name)), verbose=False)
