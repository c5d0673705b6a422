'use strict';
// Netlify functions: files that export a `handler`, or a default function that runs in the background or by schedule.

const path = require('node:path');
const { current } = require('./current.cjs');
const { completed, requestOf, scheduledEvent } = require('./netlify_event.cjs');
const { callbackContext, requestContext } = require('./netlify_context.cjs');

const BACKGROUND_SECONDS = 900;
const SCHEDULED_SECONDS = 30;
/** One minute after the first failure, two after the second. */
const RETRIES = { retries: 2, shape: 'linear', initial: 60 };

/** Handler -> cron expression, of those that went through `schedule` of @netlify/functions. */
const crons = new WeakMap();

/** What these exports declare. */
function netlify(root, file, exported) {
  const name = nameOf(root, file);
  if (name === undefined) return [];
  const config = exported.config ?? exported.default?.config ?? {};
  const modern = modernOf(exported.default);
  const isBackground = name.endsWith('-background') || config.background === true;
  const isFunction = isBackground || exported.config !== undefined || config.schedule !== undefined;
  if (typeof exported.handler === 'function') {
    const cron = crons.get(exported.handler) ?? config.schedule;
    return [declare(name, isBackground, cron, exported.handler, startHandler)];
  }
  return modern !== undefined && isFunction ? [declare(name, isBackground, config.schedule, modern, startModern)] : [];
}

/** A file at the top of the folder, or in a folder of its own name, or the index of one. */
function nameOf(root, file) {
  const parts = path.relative(root, file).split(path.sep);
  const stem = path.parse(file).name;
  if (parts.length === 1) return stem;
  return parts.length === 2 && (stem === parts[0] || stem === 'index') ? parts[0] : undefined;
}

function modernOf(exported) {
  if (typeof exported === 'function' && exported.__fn === undefined) return exported;
  if (typeof exported?.fetch === 'function') return exported.fetch.bind(exported);
  return undefined;
}

function declare(name, isBackground, cron, handler, start) {
  // All of them run in the background here; only a scheduled one has the shorter limits.
  const isShort = cron !== undefined && !isBackground;
  const timeout = isShort ? SCHEDULED_SECONDS : BACKGROUND_SECONDS;
  return {
    spec: { name, policy: isShort ? {} : RETRIES, timeout, is_async: true, background: isBackground },
    cron,
    identity: handler,
    start: (args, attempt) => start(handler, eventOf(name, args, attempt), attempt, timeout),
  };
}

function eventOf(name, args, attempt) {
  const tick = attempt.event;
  const given = tick === null ? args[0] : scheduledEvent(tick);
  return completed(given, name, attempt.executionId);
}

/** The older form, as on AWS Lambda: an answer by promise, by callback or by `context.succeed`. */
async function startHandler(handler, event, attempt, timeout) {
  const value = await new Promise((resolve, reject) => {
    const done = (error, answer) => (error ? reject(error) : resolve(answer));
    const context = callbackContext(event, attempt, timeout, done);
    const returned = handler(event, context, done);
    // Who takes a callback and returns nothing will call it.
    if (typeof returned?.then === 'function' || handler.length < 3) resolve(returned);
  });
  warnOf(value?.statusCode);
}

/** The newer form: a web Request, and a context. */
async function startModern(handler, event, attempt) {
  const context = requestContext(event, attempt);
  attempt.netlify = context;
  const answer = await handler(requestOf(event, attempt.signal), context);
  await context.settled();
  warnOf(answer?.status);
}

/** The answer itself is thrown away, as the platform does. */
function warnOf(status) {
  if (status >= 400) console.warn(`The function answered with status ${status}. Nobody sees it, and it is no failure.`);
}

/** The context of the function that runs, for `getContext` and the global `Netlify`. */
function currentContext() {
  return current.getStore()?.netlify ?? null;
}

module.exports = { netlify, crons, currentContext, BACKGROUND_SECONDS, SCHEDULED_SECONDS };
