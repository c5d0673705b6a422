'use strict';
// JavaScript functions that end in every way, for the tests of the runner with the Node host.

const { existsSync, readdirSync, writeFileSync } = require('node:fs');
const { assignOptions, awaitResult, cancelExecution, defer, getExecution, getExecutionResult, reRunExecution } = require('@defer/client');
const { context } = require('penstock');

const pause = () => new Promise((resolve) => setTimeout(resolve, 5));

async function until(file) {
  while (!existsSync(file)) await pause();
}

exports.about = defer(async function about(word) {
  await pause();
  console.log(word);
  const { attempt, metadata, parentId } = context();
  return { attempt, metadata, parentId };
});

exports.fails = defer(async function fails(broken) {
  return broken.member;
});

exports.waits = defer(async function waits(file) {
  console.log('waiting');
  await until(file);
  return context().attempt;
});

exports.heeds = defer(async function heeds() {
  console.log('waiting');
  const { signal } = context();
  while (!signal.aborted) await pause();
  console.log('cleaned up');
  throw signal.reason;
});

exports.ignores = defer(async function ignores() {
  console.log('waiting');
  await new Promise(() => {});
}, { maxDuration: 60 });

exports.spins = defer(async function spins() {
  await pause();
  for (;;) performance.now();
}, { maxDuration: 0.2 });

exports.leaks = defer(async function leaks() {
  setTimeout(() => {
    throw new RangeError('nobody caught this');
  }, 5);
  await new Promise(() => {});
});

exports.quits = defer(async function quits() {
  await pause();
  process.exit(0);
});

exports.orders = defer(async function orders() {
  const about = await awaitResult(exports.about)('as a child');
  const execution = await assignOptions(exports.ignores, { delay: '1h' })();
  const before = await getExecution(execution.id);
  const refusal = await getExecutionResult(execution.id).catch((error) => error.name);
  const own = await cancelExecution(context().executionId).catch((error) => error.name);
  const { state: after } = await cancelExecution(execution.id);
  const failure = await awaitResult(exports.fails)(null).catch((error) => error.message);
  return { about, before: before.functionName, refusal, own, after, failure };
});

exports.runsAgain = defer(async function runsAgain(id) {
  return (await reRunExecution(id)).id;
});

exports.repeats = defer(async function repeats() {
  const twice = [await exports.about('same'), await exports.about('same')];
  await awaitResult(exports.about)('awaited');
  if (context().attempt === 1) throw new Error('once more');
  return new Set(twice.map((execution) => execution.id)).size;
}, { retry: { maxAttempts: 1, initialInterval: 1 } });

exports.looks = defer(async function looks(paths) {
  const { readFileSync } = require('node:fs');
  const read = (path) => {
    try {
      return readFileSync(path, 'utf8');
    } catch (error) {
      return error.code;
    }
  };
  return paths.map(read);
});

exports.keeps = defer(async function keeps() {
  const { scratch } = context();
  writeFileSync(`${scratch}/note`, 'x');
  return [scratch, readdirSync(context().scratch)];
});

exports.asksForTime = defer(async function asksForTime() {
  context().extendTimeout(60);
  await new Promise((resolve) => setTimeout(resolve, 800));
  return 'in time';
}, { maxDuration: 0.4 });

exports.half = defer(async function half() {
  const cut = 'x😀'.slice(0, 2);
  await exports.about(cut);
  return cut;
});

exports.nested = defer(async function nested(depth) {
  let value = 0;
  for (let at = 0; at < depth; at += 1) value = [value];
  return value;
});
