"""The runner: takes runnable executions from the log and runs their attempts in worker processes."""
