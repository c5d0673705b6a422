"""Functions that run because an execution has ended: their names, and which of them an outcome asks for."""

import msgspec


class Hooks(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Names of functions, empty where there is none."""

    on_failure: str = ""
    on_success: str = ""
    on_cancel: str = ""
    """Also for what is discarded: it ended without a result, and without having failed."""

    def over(self, other: "Hooks") -> "Hooks":
        """These, and those of `other` where there is none."""
        return Hooks(
            on_failure=self.on_failure or other.on_failure,
            on_success=self.on_success or other.on_success,
            on_cancel=self.on_cancel or other.on_cancel,
        )

    def of(self, state: str) -> str:
        """The function that a final state starts; empty if none."""
        match state:
            case "failed":
                return self.on_failure
            case "succeeded":
                return self.on_success
            case "cancelled" | "discarded":
                return self.on_cancel
            case _:
                return ""


NO_HOOKS = Hooks()
HOOKS = Hooks.__struct_fields__
