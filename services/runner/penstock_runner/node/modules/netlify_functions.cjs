'use strict';
// Stands in for @netlify/functions inside the host.

const { crons, currentContext, BACKGROUND_SECONDS, SCHEDULED_SECONDS } = require('../netlify.cjs');

const BACKGROUND_FUNCTION_TIMEOUT = BACKGROUND_SECONDS;
const SYNCHRONOUS_FUNCTION_TIMEOUT = SCHEDULED_SECONDS;

/** Declare when the handler starts by itself. */
function schedule(cron, handler) {
  crons.set(handler, cron);
  return handler;
}

/** Answers are thrown away here, so there is nothing to cache. */
function builder(handler) {
  return handler;
}

/** Answers are thrown away here, so there is nobody to stream to. */
function stream(handler) {
  return handler;
}

/** The context of the function that runs. */
function getContext() {
  const context = currentContext();
  if (context === null) throw new Error('getContext() is for functions that run, in the form with a Request.');
  return context;
}

/** There is no cache in front of functions here. */
function purgeCache() {
  return Promise.reject(new Error('purgeCache() needs the cache of Netlify, which is not here.'));
}

module.exports = {
  BACKGROUND_FUNCTION_TIMEOUT,
  SYNCHRONOUS_FUNCTION_TIMEOUT,
  builder,
  getContext,
  purgeCache,
  schedule,
  stream,
};
