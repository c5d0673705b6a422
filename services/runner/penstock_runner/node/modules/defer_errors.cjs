'use strict';
// The errors of @defer/client, by name, and which of them an answer of the runner means.

class DeferError extends Error {
  constructor(message) {
    super(message);
    this.name = new.target.name;
  }
}

class ExecutionNotFound extends DeferError {}
class ExecutionNotCancellable extends DeferError {}
class ExecutionNotReschedulable extends DeferError {}

class ExecutionResultNotAvailable extends DeferError {
  constructor() {
    super('result is not available');
  }
}

class ExecutionResultNotAvailableYet extends DeferError {
  constructor() {
    super('result is not available yet');
  }
}

/** The error for user code. What the caller of `ask` has to look at itself passes through. */
function translated(error, [operation]) {
  if (error.code === 'unknown_execution') return new ExecutionNotFound(error.message);
  if (error.code === 'wrong_state' && operation === 'cancel') return new ExecutionNotCancellable(error.message);
  if (error.code === 'wrong_state' && operation === 'reschedule') return new ExecutionNotReschedulable(error.message);
  if (operation === 'result') return error;
  const translation = new DeferError(error.message);
  translation.code = error.code;
  return translation;
}

module.exports = {
  DeferError,
  ExecutionNotReschedulable,
  ExecutionResultNotAvailable,
  ExecutionResultNotAvailableYet,
  translated,
};
