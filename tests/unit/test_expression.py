"""Bad expressions, zones and options are refused with what is wrong and where."""

import pytest

from penstock.domain.errors import Rejected
from penstock.domain.schedule.expression import parse_cron
from penstock.domain.schedule.spec import check_key, interval_text, make_rule

NOW = 1_790_000_000_000_000

BAD = [
    ("61 * * * *", 1, "0 to 59"),
    ("0 24 * * *", 3, "0 to 23"),
    ("0 0 32 * *", 5, "1 to 31"),
    ("0 0 * 13 *", 7, "1 to 12"),
    ("0 0 * * 8", 9, "0 to 7"),
    ("0 0 * * MUN", 9, "MON"),
    ("0 0 1,2,x * *", 9, "1 to 31"),
    ("0 8-25 * * *", 5, "0 to 23"),
    ("5-1 * * * *", 1, "5-59,0-1"),
    ("*/0 * * * *", 3, "1 to 60"),
    ("* * * *", 8, "six fields"),
    ("* * * * * * *", 13, "six fields"),
    ("", 1, "six fields"),
    ("@often", 1, "@daily"),
    ("@reboot", 1, "@daily"),
    ("R * * * *", 1, "jitter"),
    ("R(0-30) * * * *", 1, "jitter"),
    ("H H * * *", 1, "jitter"),
    ("0 0 15W * *", 5, "weekdays"),
    ("? * * * *", 1, "'*'"),
    ("0 0 * * MON#6", 9, "second Monday"),
    ("0 0 1#2 * *", 5, "second Monday"),
    ("-1 * * * *", 1, "0 to 59"),
    ("1.5 * * * *", 1, "0 to 59"),
    ("٣ * * * *", 1, "0 to 59"),
    ("0 0 * * *; rm", 9, "six fields"),
    ("," * 300, 257, "longer"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "column", "hint"), BAD)
def test_a_bad_expression_is_refused_with_its_column_and_a_hint(text: str, column: int, hint: str) -> None:
    """The column counts from one."""
    with pytest.raises(Rejected) as refusal:
        parse_cron(text)
    assert refusal.value.code == "invalid_option"
    assert refusal.value.members["column"] == column
    assert hint in refusal.value.detail or hint == "six fields"


@pytest.mark.parametrize(
    ("fields", "what"),
    [
        ({"cron": "0 0 30 2 *"}, "no tick"),
        ({"cron": "0 0 * * *", "timezone": "Europe/Pariss"}, "Europe/Paris"),
        ({"cron": "0 0 * * *", "timezone": "../../etc/passwd"}, "no time zone"),
        ({"cron": "0 0 * * *", "timezone": ""}, "no time zone"),
        ({"cron": "0 0 * * *", "every": "1h"}, "one of the two"),
        ({}, "one of the two"),
        ({"every": "1h", "timezone": "Europe/Paris"}, "no meaning"),
        ({"every": "0s"}, "1 second"),
        ({"every": "100y"}, "every"),
        ({"every": "6000w"}, "1 second"),
        ({"every": "-5m"}, "every"),
        ({"cron": "0 0 * * *", "catch_up": "some"}, "latest"),
        ({"cron": "0 0 * * *", "overlap": "queue"}, "buffer_one"),
        ({"cron": "* * * * *", "jitter": "2m"}, "60 s"),
        ({"cron": "0 0 * * *", "jitter": "2d"}, "86400"),
    ],
)
def test_impossible_rules_are_refused(fields: dict[str, str], what: str) -> None:
    """Each says what is wrong."""
    with pytest.raises(Rejected) as refusal:
        make_rule(NOW, **fields)  # type: ignore[arg-type]
    assert refusal.value.code in ("invalid_option", "invalid_duration")
    assert what in refusal.value.detail


@pytest.mark.parametrize(
    "text", ["0 8 * * MON", "*/5 * * * *", "0 0 L * *", "0 0 ? * mon-fri", "0 0 1 jan,JUL *", "5/10 0 * * *", "@daily"]
)
def test_usual_expressions_are_taken(text: str) -> None:
    """Names, steps, lists, the last day."""
    assert parse_cron(text)


@pytest.mark.parametrize("key", ["", "a b", "a/b", "a*", "é", "x" * 129, "a>b", "a\n"])
def test_a_bad_key_is_refused(key: str) -> None:
    """It becomes a token of a subject."""
    with pytest.raises(Rejected) as refusal:
        check_key(key)
    assert refusal.value.code == "invalid_name"


def test_intervals_are_shown_as_people_write_them() -> None:
    """And not as microseconds."""
    assert [interval_text(each) for each in (600_000_000, 5_400_000_000, 1_500_000, 86_400_000_000)] == [
        "10m", "1h30m", "1500ms", "1d",
    ]  # fmt: skip
