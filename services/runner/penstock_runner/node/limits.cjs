'use strict';
// The limits of `penstock/domain/limits.py` that a worker process keeps by itself; a test compares the two files.

module.exports = {
  log_line_chars_max: 8192,
  log_lines_per_attempt_max: 10_000,
  error_message_chars_max: 4096,
  error_stack_chars_max: 16_384,
  result_bytes_max: 1024 * 1024 * 1024,
};
