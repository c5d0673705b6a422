'use strict';
// Errors of user code as text: bounded, without our own frames, safe when they cannot be shown.

const path = require('node:path');
const limits = require('./limits.cjs');

const CAUSES_MAX = 5;

/** Thrown by user code: retries would not help. */
class Terminal extends Error {
  constructor(message, options) {
    super(message, options);
    this.name = 'Terminal';
  }
}

/** Thrown by user code: try again in `delay` seconds. */
class RetryAfter extends Error {
  constructor(delay, message = '') {
    super(message);
    this.name = 'RetryAfter';
    this.delay = Number(delay);
  }
}

/** What the function returned cannot be stored. */
class ResultNotSerialisable extends Error {
  constructor(message) {
    super(message);
    this.name = 'ResultNotSerialisable';
  }
}

/** The arguments do not fit. */
class InvalidArguments extends Error {
  constructor(message) {
    super(message);
    this.name = 'InvalidArguments';
  }
}

/** The message `raised` about a failed attempt. */
function raised(number, error) {
  let [code, terminal, retryAfter] = ['user_error', false, null];
  if (error instanceof ResultNotSerialisable) [code, terminal] = ['result_not_serialisable', true];
  else if (error instanceof InvalidArguments) [code, terminal] = ['invalid_arguments', true];
  else if (error instanceof Terminal) terminal = true;
  else if (error instanceof RetryAfter && error.delay >= 0) retryAfter = error.delay;
  return ['raised', number, code, typeOf(error), messageOf(error), stackOf(error), terminal, retryAfter];
}

/** Text cut to its limit. */
function cut(text, limit) {
  return text.length > limit ? `${text.slice(0, limit - 1)}…` : text;
}

function typeOf(error) {
  try {
    const name = error instanceof Error ? error.name || error.constructor.name : typeof error;
    return cut(String(name), 256);
  } catch {
    return 'Error';
  }
}

function messageOf(error) {
  try {
    if (error instanceof Error) return cut(String(error.message), limits.error_message_chars_max);
    const text = typeof error === 'object' && error !== null ? JSON.stringify(error) : String(error);
    return cut(`The function threw ${text}, which is no Error.`, limits.error_message_chars_max);
  } catch (second) {
    return `What the function threw cannot be shown: ${typeOf(second)}.`;
  }
}

function stackOf(error) {
  try {
    const parts = [];
    let at = error;
    while (at instanceof Error && parts.length < CAUSES_MAX) {
      parts.push(withoutOurs(String(at.stack ?? `${at.name}: ${at.message}`)));
      at = at.cause;
    }
    const text = parts.join('\nCaused by: ');
    // The end of it when it is long: Node puts the frames behind the message.
    const limit = limits.error_stack_chars_max;
    return text.length > limit ? `…${text.slice(text.length - limit + 1)}` : text;
  } catch (second) {
    return `The stack cannot be shown: ${typeOf(second)}.`;
  }
}

/** Our frames above the user's are the way out of our code, those below it the way in: only what is between counts. */
function withoutOurs(stack) {
  const ours = __dirname + path.sep;
  const lines = stack.split('\n');
  const isOurs = (line) => line.trimStart().startsWith('at ') && line.includes(ours);
  const first = lines.findIndex((line) => line.trimStart().startsWith('at '));
  if (first === -1) return stack;
  const frames = lines.slice(first);
  const own = frames.findIndex((line) => !isOurs(line));
  const after = frames.findIndex((line, index) => index > own && isOurs(line));
  const kept = frames.slice(Math.max(own, 0), after === -1 ? undefined : after);
  return [...lines.slice(0, first), ...kept].join('\n');
}

module.exports = { raised, cut, typeOf, stackOf, Terminal, RetryAfter, ResultNotSerialisable, InvalidArguments };
