'use strict';
// The second argument of a Netlify function: AWS Lambda's context in the older form, Netlify's own in the newer.

const MEMORY_MEGABYTES = '1024';

/** The context of the older form. `done(error, answer)` ends the function. */
function callbackContext(event, attempt, timeout, done) {
  return {
    callbackWaitsForEmptyEventLoop: true,
    functionName: attempt.function,
    functionVersion: '$LATEST',
    invokedFunctionArn: attempt.function,
    memoryLimitInMB: MEMORY_MEGABYTES,
    awsRequestId: event.headers['x-nf-request-id'],
    logGroupName: attempt.function,
    logStreamName: attempt.executionId,
    getRemainingTimeInMillis: () => Math.max(0, attempt.startedAt + timeout * 1000 - Date.now()),
    done,
    fail: (error) => done(error ?? new Error('The function called context.fail.')),
    succeed: (answer) => done(null, answer),
  };
}

/** The context of the newer form. `settled` waits for what went to `waitUntil`. */
function requestContext(event, attempt) {
  const waiting = [];
  return {
    account: { id: '' },
    cookies: cookiesOf(event.headers.cookie ?? ''),
    deploy: { context: 'production', id: '0', published: true },
    geo: {},
    ip: event.headers['x-nf-client-connection-ip'] ?? event.headers['client-ip'] ?? '',
    json: (value, init) => Response.json(value, init),
    log: (...values) => console.log(...values),
    next: () => Promise.reject(new Error('A background function has no next in line.')),
    params: {},
    requestId: event.headers['x-nf-request-id'],
    server: { region: '' },
    site: { id: '', name: '', url: new URL(event.rawUrl).origin },
    url: new URL(event.rawUrl),
    waitUntil: (promise) => {
      waiting.push(promise);
    },
    settled: async () => {
      // What is waited for may itself ask to wait for more.
      while (waiting.length > 0) await waiting.shift();
    },
  };
}

/** Cookies of the request; what is set goes nowhere, like the rest of the answer. */
function cookiesOf(header) {
  const held = new Map();
  for (const part of header.split(';')) {
    const [name, ...value] = part.trim().split('=');
    if (name !== '') held.set(name, decoded(value.join('=')));
  }
  return {
    get: (name) => held.get(typeof name === 'object' ? name.name : name) ?? '',
    set: (name, value) => {
      if (typeof name === 'object') held.set(name.name, name.value);
      else held.set(name, value);
    },
    delete: (name) => {
      held.delete(typeof name === 'object' ? name.name : name);
    },
  };
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

module.exports = { callbackContext, requestContext };
