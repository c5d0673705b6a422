"""When the next attempt may start."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.domain.execution.retries import RetryPolicy, delay_window, policy_for, retry_delay

DEFAULT = RetryPolicy()
policies = st.builds(
    RetryPolicy,
    shape=st.sampled_from(["quartic", "exponential", "linear", "fixed"]),
    initial=st.floats(0.0, 1e6),
    factor=st.floats(1.0, 1000.0),
    cap=st.floats(0.0, 1e8),
    jitter=st.floats(0.0, 1.0),
)


@pytest.mark.parametrize("k", [1, 2, 3, 4, 10])
@pytest.mark.parametrize("dice", [0.0, 0.25, 0.999])
def test_the_default_is_the_published_schedule(k: int, dice: float) -> None:
    """k^4 + 15 + uniform(0..10) * (k + 1) seconds."""
    assert retry_delay(DEFAULT, k, dice) == pytest.approx(k**4 + 15 + dice * 10 * (k + 1))


@pytest.mark.parametrize(("k", "window"), [(1, (16, 36)), (2, (31, 61)), (3, (96, 136)), (4, (271, 321))])
def test_the_default_window(k: int, window: tuple[float, float]) -> None:
    """The first four windows, computed by hand."""
    assert delay_window(DEFAULT, k) == pytest.approx(window)


def test_the_policy_of_netlify_comes_after_one_and_two_minutes() -> None:
    """Two retries, whatever the dice say; it goes before what the function declared."""
    policy = policy_for("netlify", RetryPolicy(retries=9))
    assert policy.retries == 2
    assert [delay_window(policy, k) for k in (1, 2)] == [(60, 60), (120, 120)]


@pytest.mark.parametrize("name", ["", "of a later program"])
def test_without_a_known_name_the_function_decides(name: str) -> None:
    """A name that this program does not know stops nothing."""
    assert policy_for(name, RetryPolicy(retries=9)).retries == 9


def test_the_default_makes_no_retry() -> None:
    """Retries are asked for."""
    assert DEFAULT.retries == 0


def test_exponential_doubles() -> None:
    """initial * factor^(k-1)."""
    policy = RetryPolicy(shape="exponential", initial=1.0, factor=2.0)
    assert [retry_delay(policy, k, 0.7) for k in (1, 2, 3, 4)] == [1, 2, 4, 8]


def test_linear_adds() -> None:
    """initial * k."""
    policy = RetryPolicy(shape="linear", initial=3.0)
    assert [retry_delay(policy, k, 0.7) for k in (1, 2, 3)] == [3, 6, 9]


def test_fixed_stays() -> None:
    """Always initial."""
    policy = RetryPolicy(shape="fixed", initial=3.0)
    assert [retry_delay(policy, k, 0.7) for k in (1, 2, 100)] == [3, 3, 3]


@pytest.mark.parametrize("shape", ["exponential", "linear", "fixed"])
def test_the_cap_holds(shape: str) -> None:
    """No delay is longer."""
    policy = RetryPolicy(shape=shape, initial=50.0, factor=10.0, cap=40.0)  # type: ignore[arg-type]
    assert retry_delay(policy, 7, 0.0) == 40.0


def test_the_cap_holds_beyond_the_largest_float() -> None:
    """1000.0 ** 999 is no number any more; the cap is."""
    policy = RetryPolicy(shape="exponential", initial=1.0, factor=1000.0, cap=600.0)
    assert retry_delay(policy, 1000, 0.0) == 600.0


def test_jitter_takes_away() -> None:
    """With jitter j the delay lies in [d * (1 - j), d]."""
    policy = RetryPolicy(shape="fixed", initial=10.0, jitter=0.5)
    assert delay_window(policy, 1) == (5.0, 10.0)


@given(policy=policies, k=st.integers(1, 1000), dice=st.floats(0.0, 1.0, exclude_max=True))
def test_every_delay_lies_within_its_window(policy: RetryPolicy, k: int, dice: float) -> None:
    """Whatever the dice say."""
    shortest, longest = delay_window(policy, k)
    assert 0 <= shortest <= retry_delay(policy, k, dice) <= longest


@given(policy=policies, k=st.integers(1, 1000))
def test_no_delay_exceeds_the_cap(policy: RetryPolicy, k: int) -> None:
    """The published schedule has none; all others have one."""
    if policy.shape != "quartic":
        assert delay_window(policy, k)[1] <= policy.cap
