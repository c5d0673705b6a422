'use strict';
// The functions of the conformance suite in JavaScript.

const { awaitResult, defer } = require('@defer/client');
const { context, RetryAfter, Terminal } = require('penstock');

const echo = defer(async function echo(...values) {
  return values;
});

exports.echo = echo;
exports.fail = defer(async function fail(message) {
  throw new RangeError(message);
});
exports.give_up = defer(async function give_up(message) {
  throw new Terminal(message);
});
exports.retry_in = defer(async function retry_in(seconds) {
  throw new RetryAfter(seconds);
});
exports.shout = defer(async function shout(text) {
  console.log(text);
  console.error(text);
  process.stdout.write(text);
});
exports.large = defer(async function large(size) {
  return 'x'.repeat(size);
});
exports.unstorable = defer(async function unstorable() {
  return 1n;
});
exports.relay = defer(async function relay(value) {
  return awaitResult(echo)(value);
});
exports.endless = defer(function endless() {
  console.log('waiting');
  const { signal } = context();
  return new Promise((resolve, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason));
  });
});
exports.deaf = defer(async function deaf() {
  await null;
  for (;;) performance.now();
});
exports.die = defer(async function die() {
  console.log('dying');
  process.exit(3);
});
exports.nightly = defer.cron(async function nightly() {}, '0 2 * * *', { retry: 2 });
