'use strict';
// What the Node host makes of functions that went through defer(), and of the durations that Defer's users write.

const assert = require('node:assert/strict');
const { test } = require('node:test');

const HOST = process.env.NODE_HOST;
const { defer, assignOptions } = require(`${HOST}/modules/defer_client.cjs`);
const { deferred, policyOf } = require(`${HOST}/deferred.cjs`);
const { milliseconds } = require(`${HOST}/duration.cjs`);

const specOf = (wrapped) => deferred('/folder/send.js', { default: wrapped })[0].spec;

test('a bare function has Defer\'s defaults: no retry, half an hour, no limit', () => {
  const spec = specOf(defer(async function send() {}));
  assert.deepEqual(
    [spec.name, spec.policy, spec.timeout, spec.concurrency, spec.flow], ['send', {}, 1800, null, {}],
  );
});

test('retry is a switch, a number or a policy', () => {
  const retries = (retry) => specOf(defer(async function send() {}, { retry })).policy.retries;
  assert.deepEqual([retries(true), retries(5), retries({ maxAttempts: 2 })], [13, 5, 2]);
  assert.deepEqual([retries(false), retries(0), retries({ initialInterval: 5 })], [undefined, undefined, undefined]);
});

test('a policy object of the user is left as it was', () => {
  const retry = { initialInterval: 5 };
  defer(async function send() {}, { retry });
  assert.deepEqual(retry, { initialInterval: 5 });
});

test('the delays are those that Defer documents, to both ends', () => {
  const { initial, factor, cap, jitter } = policyOf({
    maxAttempts: 13, initialInterval: 30, randomizationFactor: 0.5, multiplier: 1.5, maxInterval: 600,
  });
  const longest = (k) => Math.min(initial * factor ** (k - 1), cap);
  const shortest = (k) => longest(k) * (1 - jitter);
  const window = (k) => [shortest(k), longest(k)].map((value) => Math.round(value * 10) / 10);
  assert.deepEqual([window(1), window(2), window(5), window(9)], [[15, 45], [22.5, 67.5], [75.9, 227.8], [300, 900]]);
});

test('no randomization means none', () => {
  const { policy } = specOf(defer(async function send() {}, { retry: { maxAttempts: 1, randomizationFactor: 0 } }));
  assert.deepEqual([policy.initial, policy.jitter], [30, 0]);
});

test('cancel at the limit needs a limit', () => {
  const flow = (options) => specOf(defer(async function send() {}, { maxConcurrencyAction: 'cancel', ...options })).flow;
  assert.deepEqual([flow({ concurrency: 1 }), flow({})], [{ at_limit: 'cancel_newest' }, {}]);
});

test('a function without a name has that of its export, or of its file', () => {
  const names = deferred('/folder/send.js', { default: defer(async () => {}), letter: defer(async () => {}) });
  assert.deepEqual(names.map(({ spec }) => spec.name), ['send', 'letter']);
});

test('a manifest of the older client has no name, and the function\'s is taken', () => {
  const wrapped = Object.assign(async () => {}, { __fn: async function send() {}, __metadata: { version: 6 } });
  assert.equal(specOf(wrapped).name, 'send');
});

test('a variant with options is not a function of its own', () => {
  const send = defer(async function send() {});
  const found = deferred('/folder/send.js', { send, later: assignOptions(send, { delay: '1h' }) });
  assert.equal(found.length, 1);
});

test('a cron function carries its expression', () => {
  const [found] = deferred('/folder/send.js', { default: defer.cron(async function send() {}, '0 8 * * MON') });
  assert.equal(found.cron, '0 8 * * MON');
});

test('calling one outside of a running function is refused', async () => {
  await assert.rejects(defer(async function send() {})(1), /inside a running function/);
});

test('durations are read as Defer\'s client reads them', () => {
  const texts = ['5m', '1h 30m', '2 days', '1month', '1M', '250', 'soon', 90];
  assert.deepEqual(texts.map(milliseconds), [300000, 5400000, 172800000, 2629800000, 60000, 250, null, 90]);
});
