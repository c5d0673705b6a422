"""`App` and its functions: declared once, still plain callables, and enqueued by name."""

import functools
import inspect
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, cast, overload

from msgspec.structs import replace

from penstock.client.execution import Execution
from penstock.domain.durations import seconds
from penstock.domain.errors import Rejected
from penstock.domain.execution.hooks import NO_HOOKS
from penstock.domain.flow.limits import key_expressions
from penstock.domain.function.options import CallOptions, FunctionSpec, validate_spec
from penstock.domain.ids import is_function_name
from penstock.domain.limits import losses_max
from penstock.functions.backoff import policy
from penstock.functions.batches import BatchParameters, element_of
from penstock.functions.calls import enqueue
from penstock.functions.flow import flow_options
from penstock.functions.foreign import (
    COMMAND_OPTIONS,
    HTTP_OPTIONS,
    command_target,
    elsewhere,
    http_target,
    split_options,
)
from penstock.functions.hooks import check_hook, hook_options
from penstock.functions.options import (
    APP_OPTIONS,
    FUNCTION_OPTIONS,
    KEY_NAMES,
    call_options,
    check_expression,
    check_names,
    check_types,
    memory_bytes,
)
from penstock.functions.parameters import Parameters

if TYPE_CHECKING:
    from penstock.domain.function.target import Target
    from penstock.domain.schedule.spec import ScheduleRule, ScheduleSpec

P = ParamSpec("P")
R = TypeVar("R")


class Function(Generic[P, R]):
    """A declared function. Calling it runs it here and now, as if it were not declared at all."""

    def __init__(self, function: Callable[P, R], spec: FunctionSpec, parameters: Parameters) -> None:
        functools.update_wrapper(self, function)
        self.function = function
        self.spec = spec
        self.parameters = parameters
        self.reads = element_of(function) if isinstance(parameters, BatchParameters) else function
        """The function whose return hint the result of one execution has."""
        self.schedule: ScheduleRule | None = None
        """When it starts by itself; set by `@app.cron` and `@app.every`."""

    @property
    def name(self) -> str:
        return self.spec.name

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return self.function(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<function {self.spec.name} of penstock>"

    def options(self, **options: Any) -> "Bound":
        """The same function with options for one call.

        They are delay, at, metadata, idempotency_key, discard_after, priority, retries, timeout and total_timeout.
        Raises Rejected `invalid_option`.
        """
        return Bound(self, call_options(options))

    def call_target(self) -> tuple[str, CallOptions, Callable[..., Any]]:
        """Name, options and what reads results: what `ctx.call` needs to know."""
        return self.spec.name, CallOptions(), self.reads

    def check_arguments(self, args: bytes, kwargs: bytes) -> None:
        """Raises Rejected `invalid_arguments` when it does not take them."""
        self.parameters.bind(args, kwargs)

    def enqueue(self, *args: Any, **kwargs: Any) -> Execution:
        """Make an execution of it. Await this, except in a plain `def` function that a worker process runs."""
        return enqueue(self.spec.name, args, kwargs, CallOptions(), self.parameters)


def plain(function: Callable[..., Any]) -> Callable[..., Any]:
    """The callable itself, for a function of an app."""
    return function.function if isinstance(function, Function) else function


class Bound:
    """A function together with the options of one call."""

    def __init__(self, function: Function[Any, Any], options: CallOptions) -> None:
        self._function = function
        self._options = options

    def call_target(self) -> tuple[str, CallOptions, Callable[..., Any]]:
        """As `Function.call_target`, with these options."""
        return self._function.spec.name, self._options, self._function.reads

    def check_arguments(self, args: bytes, kwargs: bytes) -> None:
        """As `Function.check_arguments`."""
        self._function.check_arguments(args, kwargs)

    def enqueue(self, *args: Any, **kwargs: Any) -> Execution:
        """Make an execution with these options. Await this as `Function.enqueue`."""
        return enqueue(self._function.spec.name, args, kwargs, self._options, self._function.parameters)


class App:
    """A set of functions with a name. Options given here hold for every function that does not set its own."""

    def __init__(self, name: str, *, version: str = "", **defaults: Any) -> None:
        if not is_function_name(name):
            raise Rejected("invalid_name", f"An app name is 1 to 64 of A-Z a-z 0-9 _ -, not {name!r:.80}.")
        check_names(defaults, APP_OPTIONS, f"App {name!r}")
        check_types(defaults, f"App {name!r}")
        self.name = name
        self.version = version
        self.functions: dict[str, Function[Any, Any]] = {}
        self._defaults = defaults
        self._hooks = NO_HOOKS
        self._own: list[Function[Any, Any]] = []
        """Those that were not included: the hooks of the app are for them."""

    @overload
    def function(self, function: Callable[P, R], /) -> Function[P, R]: ...

    @overload
    def function(self, /, **options: Any) -> Callable[[Callable[P, R]], Function[P, R]]: ...

    def function(self, function: Callable[..., Any] | None = None, /, **options: Any) -> Any:
        """Declare a function, with or without options: those of `FUNCTION_OPTIONS`, which the README explains.

        Raises Rejected `invalid_option` or `invalid_name` at once: a mistake is seen when the module is imported.
        """
        if function is not None:
            return self._declare(function, options)
        return functools.partial(self._declare, options=options)

    def cron(
        self,
        expression: str | None = None,
        /,
        *,
        every: str | float | timedelta | None = None,
        timezone: str | None = None,
        catch_up: str = "latest",
        overlap: str = "allow",
        jitter: str | float | timedelta | None = None,
        **options: Any,
    ) -> Callable[[Callable[P, R]], Function[P, R]]:
        """Declare a function that starts by a cron expression (5 fields, or 6 with the second first) or an interval.

        `options` are those of `function`. It takes no arguments besides `ctx` and `event`; calling it is an ordinary
        execution. Raises Rejected `invalid_option`.
        """
        given = {"timezone": timezone, "catch_up": catch_up, "overlap": overlap, "jitter": jitter}

        def declare(function: Callable[P, R]) -> Function[P, R]:
            # Loaded only by those who use it.
            from penstock.functions.schedules import check_parameters, declared_rule

            where = getattr(function, "__name__", repr(function))
            rule = declared_rule(expression, every, given, where)
            check_parameters(Parameters(function, where), where)
            declared = cast(Function[P, R], self._declare(function, options))
            declared.schedule = rule
            return declared

        return declare

    def http(
        self, name: str, url: str, *, secret_env: str = "", secret_file: str = "", description: str = "", **options: Any
    ) -> Function[..., Any]:
        """Declare a function that runs behind a URL: each attempt is a signed POST, its answer is the result.

        The secret (`whsec_` and base64) is read by the runner from an environment variable or a file. `options` are
        those of `function` without `name` and `memory`, and those of `cron` (`cron=`, `every=`, ...).
        Raises Rejected `invalid_option` or `invalid_name`.
        """
        check_names(options, HTTP_OPTIONS, f"Function {name!r:.80}")
        target = http_target(name, url, secret_env, secret_file)
        return self._declare_target(name, target, description, {**options, "memory": None})

    def command(
        self, name: str, command: Sequence[str], *, description: str = "", **options: Any
    ) -> Function[..., Any]:
        """Declare a function that is an executable: JSON on its stdin, the result as JSON on file descriptor 3.

        `command` is its path and its arguments. `options` are those of `function` without `name`, and those of `cron`
        (`cron=`, `every=`, ...). Raises Rejected `invalid_option` or `invalid_name`.
        """
        check_names(options, COMMAND_OPTIONS, f"Function {name!r:.80}")
        return self._declare_target(name, command_target(name, command), description, options)

    def every(self, interval: str | float | timedelta, /, **options: Any) -> Callable[[Callable[P, R]], Function[P, R]]:
        """The same by an interval such as "10m", counted from the epoch. Raises Rejected `invalid_option`."""
        return self.cron(every=interval, **options)

    def on_failure(self, function: Callable[..., Any] | None = None, /, **options: Any) -> Any:
        """Declare a function that runs, as an execution of its own, when one of this app has failed.

        It gets `event` (and `ctx`) only. A function with `on_failure=` of its own starts that one instead. Takes the
        options of `function`, or a function that is declared already. Raises Rejected `invalid_option`.
        """
        return self._hook("on_failure", function, options)

    def on_success(self, function: Callable[..., Any] | None = None, /, **options: Any) -> Any:
        """As `on_failure`, for executions that have succeeded. Raises Rejected `invalid_option`."""
        return self._hook("on_success", function, options)

    def on_cancel(self, function: Callable[..., Any] | None = None, /, **options: Any) -> Any:
        """As `on_failure`, for executions that were cancelled or discarded. Raises Rejected `invalid_option`."""
        return self._hook("on_cancel", function, options)

    def schedules(self) -> "dict[str, ScheduleSpec]":
        """The schedules that this app declares, by key."""
        rules = {name: each.schedule for name, each in self.functions.items() if each.schedule is not None}
        if not rules:
            return {}
        from penstock.functions.schedules import schedule_specs

        return schedule_specs(self.name, rules)

    def include(self, other: "App") -> None:
        """Serve the functions of another app too, with its options. Raises Rejected `invalid_name`."""
        for name, function in other.functions.items():
            if name in self.functions:
                raise Rejected("invalid_name", f"App {self.name!r} has a function {name!r} already.")
            self.functions[name] = function

    def specs(self) -> list[FunctionSpec]:
        """What a runner declares to the registry."""
        return [function.spec for function in self.functions.values()]

    def _hook(self, outcome: str, function: Callable[..., Any] | None, options: dict[str, Any]) -> Any:
        if function is None:
            return lambda decorated: self._hook(outcome, decorated, options)
        if getattr(self._hooks, outcome):
            raise Rejected("invalid_option", f"App {self.name!r} has an {outcome} hook already.")
        if isinstance(function, Function) and options:
            raise Rejected("invalid_option", f"{function.name} is declared already: give it its options there.")
        declared = function if isinstance(function, Function) else self._declare(function, options)
        check_hook(declared, outcome)
        self._hooks = replace(self._hooks, **{outcome: declared.name})
        for each in self._own:
            each.spec = replace(each.spec, hooks=each.spec.hooks.over(self._hooks))
        return declared

    def _declare_target(
        self, name: str, target: "Target", description: str, options: dict[str, Any]
    ) -> Function[..., Any]:
        # Defaults of the app for what the function cannot have are meant for others.
        own, start = split_options({**options, "heartbeat": None})
        rule = None
        if start:
            from penstock.functions.schedules import declared_rule

            rule = declared_rule(start.pop("cron", None), start.pop("every", None), start, name)
        declared = self._declare(elsewhere(name, description), own, target)
        declared.schedule = rule
        return declared

    def _declare(
        self, function: Callable[..., Any], options: dict[str, Any], target: "Target | None" = None
    ) -> Function[..., Any]:
        where = getattr(function, "__name__", repr(function))
        if (
            not inspect.isroutine(function)
            or inspect.isgeneratorfunction(function)
            or inspect.isasyncgenfunction(function)
        ):
            raise Rejected("invalid_option", f"{where} is no plain function or coroutine function.")
        check_names(options, FUNCTION_OPTIONS, f"Function {where}")
        check_types(options, where)
        merged = {**self._defaults, **options}
        name = cast(str, merged.get("name") or where)
        if name in self.functions:
            raise Rejected("invalid_name", f"App {self.name!r} has a function {name!r} already; give one another name.")
        parameters = _parameters(function, name, merged)
        spec = validate_spec(self._spec(function, name, merged, parameters, target))
        if spec.when is not None:
            if not spec.on:
                raise Rejected("invalid_option", f"when of {name} needs `on`: it chooses among the events named there.")
            check_expression(spec.when, name)
        needed = [field.name for field in parameters.fields if field.required]
        if spec.on and needed and spec.flow.batch is None and target is None:
            raise Rejected(
                "invalid_option",
                f"{name} is started by events, which give it an `event: Event` only, and it needs {', '.join(needed)}.",
            )
        for label, text in key_expressions(spec.flow).items():
            check_expression(text, name, f"The key of {label}", KEY_NAMES)
        declared = Function(function, spec, parameters)
        self.functions[name] = declared
        self._own.append(declared)
        return declared

    def _spec(
        self,
        function: Callable[..., Any],
        name: str,
        options: dict[str, Any],
        parameters: Parameters,
        target: "Target | None",
    ) -> FunctionSpec:
        on = options.get("on") or []
        memory = options.get("memory")
        return FunctionSpec(
            name=name,
            policy=policy(options.get("retries") or 0, options.get("backoff")),
            timeout=_seconds(options, "timeout"),
            total_timeout=_seconds(options, "total_timeout"),
            heartbeat=_seconds(options, "heartbeat"),
            memory=memory_bytes(memory) if memory is not None else None,
            losses=options.get("losses", losses_max),
            concurrency=options.get("concurrency"),
            on=[on] if isinstance(on, str) else list(on),
            when=options.get("when"),
            version=self.version,
            is_async=target is not None or inspect.iscoroutinefunction(function),
            parameters=parameters.schema,
            positional=parameters.positional,
            pause_on_failure=bool(options.get("pause_on_failure")),
            flow=flow_options(options, isinstance(parameters, BatchParameters) and parameters.of_events),
            on_version_change=options.get("on_version_change", "continue"),
            hooks=hook_options(options, name).over(self._hooks),
            description=(inspect.getdoc(function) or "").partition("\n")[0],
            target=target,
        )


def _parameters(function: Callable[..., Any], name: str, options: dict[str, Any]) -> Parameters:
    return Parameters(function, name) if options.get("batch") is None else BatchParameters(function, name)


def _seconds(options: dict[str, Any], name: str) -> float | None:
    return seconds(options[name], name) if options.get(name) is not None else None
