"""How attempts end: well, badly, late, and with their process."""


from runner_bench import Bench, StartRunner


async def test_an_async_function_runs_to_its_result(bench: Bench, start_runner: StartRunner) -> None:
    """Three facts: enqueued, started, succeeded."""
    await start_runner()
    execution = await bench.enqueue("add", 1, b=2)
    assert await bench.result(execution) == 3
    assert await bench.kinds(execution) == ["Enqueued", "Started", "Succeeded"]


async def test_a_plain_function_runs_to_its_result(bench: Bench, start_runner: StartRunner) -> None:
    """In a process of its own."""
    await start_runner()
    assert await bench.result(await bench.enqueue("add_sync", 1, 2)) == 3
