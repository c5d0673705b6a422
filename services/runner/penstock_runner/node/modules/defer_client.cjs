'use strict';
// Stands in for @defer/client inside the host: what a function enqueues or asks goes through its runner, with no token.

const { createHash } = require('node:crypto');
const { current } = require('../current.cjs');
const { isDeferred, nameOf } = require('../deferred.cjs');
const { milliseconds } = require('../duration.cjs');
const { stringify } = require('../json.cjs');
const {
  DeferError,
  ExecutionNotReschedulable,
  ExecutionResultNotAvailable,
  ExecutionResultNotAvailableYet,
  translated,
} = require('./defer_errors.cjs');

const MANIFEST_VERSION = 6;
const KEY_HASH_CHARS = 24;
/** Of calls whose order nobody checks on a later attempt. */
const NO_POSITION = 0;
const RETRIES_OF_TRUE = 13;
const RETRY_DEFAULTS = {
  maxAttempts: 0,
  initialInterval: 30,
  randomizationFactor: 0.5,
  multiplier: 1.5,
  maxInterval: 600,
};

/** Make a function one that is enqueued when it is called. */
function defer(fn, config) {
  return wrapped(fn, manifestOf(fn, config));
}

defer.cron = function cron(fn, expression, config) {
  return wrapped(fn, { ...manifestOf(fn, config), cron: expression });
};

function manifestOf(fn, { retry, concurrency, maxDuration, maxConcurrencyAction } = {}) {
  return {
    name: fn.name,
    version: MANIFEST_VERSION,
    retry: retryOf(retry),
    concurrency,
    maxDuration,
    maxConcurrencyAction,
  };
}

function retryOf(retry) {
  if (retry === undefined || typeof retry === 'boolean') {
    return { ...RETRY_DEFAULTS, maxAttempts: retry ? RETRIES_OF_TRUE : 0 };
  }
  if (typeof retry === 'number') return { ...RETRY_DEFAULTS, maxAttempts: retry };
  if (typeof retry === 'object' && retry !== null) return { ...RETRY_DEFAULTS, ...retry };
  throw new Error('invalid retry options');
}

function wrapped(fn, manifest, options) {
  const enqueued = (...args) => enqueue(enqueued, args);
  enqueued.__fn = fn;
  enqueued.__metadata = manifest;
  if (options !== undefined) enqueued.__execOptions = options;
  return enqueued;
}

/** The same function with options for its calls; later ones win. */
function assignOptions(fn, options) {
  return wrapped(fn.__fn, fn.__metadata, { ...fn.__execOptions, ...options });
}

const delay = (fn, value) => assignOptions(fn, { delay: value });
const addMetadata = (fn, metadata) => assignOptions(fn, { metadata });
const discardAfter = (fn, value) => assignOptions(fn, { discardAfter: value });

/** Inside the host a call is always enqueued, never run in place. */
function deferEnabled() {
  return true;
}

async function enqueue(fn, args, isAwaited = false) {
  if (!isDeferred(fn)) throw new DeferError('only a function made by defer() can be enqueued');
  const name = nameOf(fn);
  const now = Date.now();
  const options = optionsOf(fn.__execOptions ?? {}, now);
  const key = keyOf(name, [args, fn.__execOptions ?? {}], isAwaited);
  const items = [[json(args), json({})]];
  const [id] = await ask('do', ['call_children', key, NO_POSITION, name, items, json(options), true, 'leave']);
  const createdAt = new Date(now);
  const scheduledAt = options.at === undefined ? createdAt : new Date(options.at);
  return {
    id, state: 'created', functionName: name, functionId: name, scheduledAt, createdAt, updatedAt: createdAt,
  };
}

/**
 * The key of a call. The runner makes the same call of an execution once: so what an earlier attempt has enqueued is
 * not enqueued again. Whose result is waited for is, since it may have failed.
 */
function keyOf(name, content, isAwaited) {
  const { attempt, calls } = current.getStore() ?? outside();
  const hash = createHash('sha256').update(JSON.stringify(content)).digest('hex').slice(0, KEY_HASH_CHARS);
  const base = isAwaited ? `${name}@${hash}.${attempt}` : `${name}@${hash}`;
  const count = (calls.get(base) ?? 0) + 1;
  calls.set(base, count);
  return count === 1 ? base : `${base}#${count}`;
}

/** Options of a call as the runner takes them. Here `discardAfter` counts from the call, there from the start. */
function optionsOf({ delay: wait, discardAfter: discard, metadata }, now) {
  const options = {};
  const startsAt = instantOf(wait, now, 'delay');
  const endsAt = instantOf(discard, now, 'discardAfter');
  if (startsAt !== undefined && startsAt > now) options.at = new Date(startsAt).toISOString();
  if (endsAt !== undefined) options.discard_after = Math.max((endsAt - Math.max(startsAt ?? now, now)) / 1000, 0.001);
  if (metadata !== undefined) options.metadata = metadata;
  return options;
}

function instantOf(value, now, option) {
  if (value === undefined || value === null) return undefined;
  if (value instanceof Date) return value.getTime();
  const wait = milliseconds(value);
  if (wait === null) console.warn(`${option}: ${JSON.stringify(value)} is no duration and counts as now.`);
  return now + (wait ?? 0);
}

/** Enqueue, and wait for the result. */
function awaitResult(fn) {
  return async function awaited(...args) {
    const { id } = await enqueue(fn, args, true);
    try {
      return await ask('ask', 'result', id, json({ timeout: null }));
    } catch (error) {
      throw await failureOf(error, id);
    }
  };
}

async function failureOf(error, id) {
  const failed = error.members;
  if (failed?.state === undefined) return error;
  if (failed.state !== 'failed') return new DeferError(`execution "${id}" was "${(await look(id)).state}"`);
  const failure = new DeferError(failed.message || `execution ${id} has failed`);
  if (failed.stack) failure.stack = failed.stack;
  return failure;
}

/** The execution, and its result once there is one: the older client has it there. */
async function getExecution(id) {
  const found = await look(id);
  if (found.state === 'succeed' || found.state === 'failed') found.result = await getExecutionResult(id);
  return found;
}

async function look(id) {
  const found = await ask('ask', 'defer', id, json({}));
  return {
    id: found.id,
    state: found.state,
    functionName: found.function_name,
    functionId: found.function_id,
    scheduledAt: new Date(found.scheduled_at),
    updatedAt: new Date(found.updated_at),
    createdAt: new Date(found.created_at),
  };
}

async function getExecutionResult(id) {
  try {
    return await ask('ask', 'result', id, json({ timeout: 0 }));
  } catch (error) {
    if (error.code === 'timeout') throw new ExecutionResultNotAvailableYet();
    const failed = error.members;
    if (failed?.state === 'failed') {
      return { name: failed.type || failed.code, message: failed.message, cause: null, stack: failed.stack };
    }
    throw failed?.state === undefined ? error : new ExecutionResultNotAvailable();
  }
}

async function cancelExecution(id, force = false) {
  // Without force only what has not begun is cancelled.
  await ask('ask', 'cancel', id, json(force ? { force: true } : { attempts_max: 0 }));
  return look(id);
}

async function rescheduleExecution(id, value) {
  const now = Date.now();
  const startsAt = instantOf(value, now, 'rescheduleExecution');
  const wait = startsAt === undefined || startsAt <= now ? null : (startsAt - now) / 1000;
  const { state } = await look(id);
  if (state !== 'created') throw new ExecutionNotReschedulable(`cannot reschedule execution in ${state} state`);
  await ask('ask', 'reschedule', id, json({ delay: wait, or_discard: true }));
  return look(id);
}

async function reRunExecution(id) {
  return look(await ask('ask', 'rerun', id, json({})));
}

/** Lists are pages of the view, which a worker process does not see. */
async function overHttp() {
  throw new DeferError('lists are not available inside a function; ask the HTTP API');
}

const listExecutions = overHttp;
const listExecutionAttempts = overHttp;
const getExecutionTries = overHttp;

async function ask(kind, ...fields) {
  const attempt = current.getStore() ?? outside();
  try {
    return await attempt.ask(kind, ...fields);
  } catch (error) {
    throw translated(error, fields);
  }
}

function outside() {
  throw new DeferError('this works inside a running function only, not while a file loads');
}

function json(value) {
  return Buffer.from(stringify(value), 'utf8');
}

module.exports = {
  addMetadata,
  assignOptions,
  awaitResult,
  cancelExecution,
  defer,
  deferEnabled,
  delay,
  discardAfter,
  getExecution,
  getExecutionResult,
  getExecutionTries,
  listExecutionAttempts,
  listExecutions,
  reRunExecution,
  rescheduleExecution,
};
