'use strict';
// Functions made by `defer(...)` and `defer.cron(...)` of @defer/client, whichever version made them.

const path = require('node:path');

/** Defer's default for `maxDuration`. */
const TIMEOUT_SECONDS = 30 * 60;

/** Function as the author wrote it -> the name under which it was declared. */
const names = new WeakMap();

/** What these exports declare. */
function deferred(file, exported) {
  const found = [];
  for (const [exportedAs, value] of Object.entries(exported)) {
    if (!isDeferred(value) || value.__execOptions !== undefined) continue;
    const { __fn: fn, __metadata: manifest } = value;
    const name = manifest.name || fn.name || (exportedAs === 'default' ? path.parse(file).name : exportedAs);
    names.set(fn, name);
    found.push({
      spec: specOf(name, manifest),
      cron: manifest.cron,
      identity: fn,
      // A schedule starts it without arguments.
      start: (args) => fn(...args),
    });
  }
  return found;
}

function isDeferred(value) {
  return typeof value === 'function' && typeof value.__fn === 'function' && typeof value.__metadata === 'object';
}

/** The name under which the function behind a deferred one was declared. */
function nameOf(wrapped) {
  return names.get(wrapped.__fn) || wrapped.__metadata.name || wrapped.__fn.name;
}

function specOf(name, { retry, concurrency, maxDuration, maxConcurrencyAction }) {
  const isLimited = concurrency !== undefined && concurrency !== null;
  return {
    name,
    policy: retry?.maxAttempts > 0 ? policyOf(retry) : {},
    timeout: maxDuration ?? TIMEOUT_SECONDS,
    concurrency: isLimited ? concurrency : null,
    // Without a limit there is nothing to be at.
    flow: isLimited && maxConcurrencyAction === 'cancel' ? { at_limit: 'cancel_newest' } : {},
    is_async: true,
  };
}

/** Defer spreads a delay to both sides of its base; ours is the longest one, of which the jitter is taken away. */
function policyOf({ maxAttempts, initialInterval, randomizationFactor, multiplier, maxInterval }) {
  const spread = randomizationFactor;
  return {
    retries: maxAttempts,
    shape: 'exponential',
    initial: initialInterval * (1 + spread),
    factor: multiplier,
    cap: maxInterval * (1 + spread),
    jitter: (2 * spread) / (1 + spread),
  };
}

module.exports = { deferred, isDeferred, nameOf, policyOf };
