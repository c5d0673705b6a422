"""Every limit, with its unit last in the name. Each has an error and a test at its edge."""

payload_inline_bytes_max = 128 * 1024
"""Arguments, results and events up to this size travel inside a fact; larger ones go to the object store."""
request_bytes_max = 8 * 1024 * 1024
"""Largest body of one HTTP request (one execution, one event or a whole batch)."""
event_bytes_max = 512 * 1024
"""Largest event, over HTTP and over NATS, headers included (the server's own limit is 1 MiB)."""
netlify_body_bytes_max = 256 * 1024
"""Largest body of a request to a Netlify function, as it travels in the event: base64 is a third more."""
netlify_head_bytes_max = 32 * 1024
"""Address and headers of such a request together."""
arguments_bytes_max = 4 * 1024 * 1024
"""Largest arguments of one execution over HTTP; over NATS `event_bytes_max` holds."""
result_bytes_max = 1024 * 1024 * 1024
"""Largest result of one execution."""
foreign_result_bytes_max = 8 * 1024 * 1024
"""Largest result of a function that runs elsewhere (`http`) or in another language (`command`)."""
url_chars_max = 2048
command_words_max = 256
command_chars_max = 32 * 1024
"""Words of a command, and all their characters together."""
signing_secret_bytes_min = 24
signing_secret_bytes_max = 64
"""The random bytes of a signing secret, as Standard Webhooks wants them."""
http_seconds_max = 3600
"""Longest time that one request of an `http` function may take; what takes longer answers 202 and calls back."""
json_depth_max = 64
"""Deepest nesting of arrays and objects in arguments and event data."""
batch_items_max = 1000
"""Items in one batch of executions or events."""
atomic_batch_messages_max = 500
"""Messages in one atomic batch; the server's limit is 1,000."""
metadata_keys_max = 32
metadata_key_chars_max = 64
metadata_value_chars_max = 512
defer_metadata_keys_max = 25
defer_metadata_chars_max = 256
"""Metadata that comes in by Defer's API: its keys and its values, each of at least one character."""
idempotency_key_chars_max = 256
event_source_chars_max = 512
event_id_chars_max = 256
expression_chars_max = 1024
fan_out_functions_max = 500
"""Functions that one event may start."""
functions_max = 900
"""Functions with a consumer of their own; the server allows 1,000 consumers on a stream by default."""
retries_max = 1000
concurrency_max = 10_000
flow_limits_max = 8
"""Further limits (`limits=`) of one function."""
flow_key_chars_max = 256
"""What a key expression may come to."""
window_items_max = 10_000
"""Largest number of a throttle or rate limit: that many times are remembered per key."""
hook_result_bytes_max = 64 * 1024
"""A result up to this size travels to an `on_success` hook; a larger one is read by its path."""
followers_max = 10_000
"""Executions that may join one other: a debounced burst starts early when it has so many, a singleton takes no more."""
batch_members_max = 400
"""Executions in one batch: it is made in one atomic append together with the facts of its members."""
batch_bytes_max = 32 * 1024 * 1024
"""Arguments of one batch, and its result: a batch that would have more starts with what is there. Arguments in the
object store count as the largest ones."""
heartbeat_seconds_min = 1
"""Shortest gap between heartbeats that a function may promise."""
timeout_seconds_max = 7 * 24 * 3600
delay_seconds_max = 20 * 365 * 24 * 3600
memory_bytes_min = 16 * 1024 * 1024
log_line_chars_max = 8192
log_lines_per_attempt_max = 10_000
error_message_chars_max = 4096
error_stack_chars_max = 16_384
losses_max = 3
"""How often the process that runs an execution may be lost before it fails (poison guard), unless its function says."""
losses_option_max = 100
"""What a function may say."""
steps_per_execution_max = 100_000
"""Steps, waits and calls together."""
step_name_chars_max = 128
"""Also the names of waits, calls and channels."""
waits_open_max = 1000
"""Waits of one execution that are open at once."""
waits_opened_bytes_max = 512 * 1024
"""Waits that are opened together, with what they match: they travel in one fact."""
token_chars_max = 1024
"""Longest token of a wait: the name of the wait is part of it."""
message_bytes_max = 128 * 1024
"""Largest body of a message to an execution, and of what a token is completed with."""
messages_unread_max = 1000
"""Messages to an execution that it has not received yet."""
children_per_call_max = 1000
"""Children of one `ctx.call_many`."""
metric_series_max = 10_000
"""Series of one metric; what goes beyond is counted together under the label value `other`."""
page_items_max = 500
page_items_default = 50
filter_values_max = 50
wait_seconds_max = 60
"""Longest `Prefer: wait` and `?after=` wait of one request."""
catch_up_seconds_max = 1
"""Longest wait of a list that shows what its reader has just written, without having been told a position."""
stream_readers_max = 200
"""Readers of the stream of changes that one process serves at a time."""
stream_replay_facts_max = 100_000
"""How far behind a reader of the stream may come back: what is older is left out, and the reader is told."""
integer_max = 2**63 - 1
"""Whole numbers in JSON beyond 64 bits lose their value in most languages and are refused."""
cron_chars_max = 256
"""Longest cron expression; a huge list costs its length at every tick."""
schedule_key_chars_max = 128
schedule_interval_seconds_min = 1
schedule_interval_seconds_max = 5 * 365 * 24 * 3600
jitter_seconds_max = 24 * 3600
tick_missed_seconds = 3
"""A tick that is decided later than this after it was due was missed: `catch_up` says what becomes of it."""
tick_late_milliseconds = 1000
"""A tick that starts later than this is `late` in the ledger."""
catch_up_ticks_max = 100
"""Missed ticks that `catch_up="all"` makes up for; older ones are skipped."""
ticks_counted_max = 1000
"""Skipped ticks of a cron expression are counted up to this number."""
backfill_ticks_max = 1000
"""Ticks of one backfill."""
tick_arguments_bytes_max = 16 * 1024
"""Arguments of a schedule: each tick carries them into the log."""
notify_channels_max = 50
notify_rules_max = 100
"""Each rule looks at every fact."""
baggage_bytes_max = 8192
"""Of the `baggage` that a caller sends, so much is kept: further members are left out, and nothing is refused."""
baggage_members_max = 64
tracestate_chars_max = 512
"""A longer `tracestate` is left out."""
