'use strict';
// What a function that knows about Penstock may import as "penstock".

const { current } = require('../current.cjs');
const { RetryAfter, Terminal } = require('../errors.cjs');

/** The attempt that runs: ids, metadata, and a signal that is aborted when it shall stop. Throws outside of one. */
function context() {
  const attempt = current.getStore();
  if (attempt === undefined) throw new Error('context() is for functions that run; nothing runs here.');
  const { executionId, attempt: number, function: name, metadata, parentId, rootId, traceId, signal, event } = attempt;
  return {
    executionId, attempt: number, function: name, metadata, parentId, rootId, traceId, signal, event,
    /** A directory for this attempt alone. */
    get scratch() {
      return attempt.scratch;
    },
    /** Let this attempt take so long from now on. */
    extendTimeout(seconds) {
      if (!(seconds > 0)) throw new RangeError('extendTimeout() takes a number of seconds above 0.');
      attempt.tell('extend', seconds);
    },
  };
}

module.exports = { context, RetryAfter, Terminal };
