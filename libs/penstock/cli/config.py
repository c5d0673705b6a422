"""`penstock config`: every setting with its value, where the value comes from, its default and what it means."""

import os

from penstock.cli.output import Json, console, print_json, print_table
from penstock.service.settings import PREFIX, SECRET, Settings, explanations, load_settings, unknown_variables

HIDDEN = "(set, hidden)"


def config(*, as_json: Json = False) -> None:
    """Explain every setting."""
    rows = list(_rows(load_settings()))
    if as_json:
        print_json({"data": rows})
        return
    print_table(
        ("variable", "value", "meaning"),
        [(row["variable"], _value(row), row["meaning"]) for row in rows],
        "",
    )
    for variable in unknown_variables():
        console.print(f"without effect: {variable}", markup=False)


def _rows(settings: Settings) -> list[dict[str, str]]:
    meanings = explanations()
    defaults = Settings()
    rows = []
    for field in Settings.__struct_fields__:
        variable = PREFIX + field.upper()
        value = getattr(settings, field)
        rows.append(
            {
                "variable": variable,
                "value": HIDDEN if field in SECRET and value else _shown(value),
                "source": "environment" if os.environ.get(variable) else "default",
                "default": _shown(getattr(defaults, field)),
                "meaning": meanings[field],
            }
        )
    return rows


def _value(row: dict[str, str]) -> str:
    """The value, and where it comes from if that is not the default."""
    if row["source"] == "default":
        return row["value"]
    return f"{row['value']} ({row['source']}; default {row['default']})"


def _shown(value: object) -> str:
    return str(value) if value != "" else "(empty)"
