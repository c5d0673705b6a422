"use strict";
// A small Defer project, as its build writes it. Penstock runs these; the scenarios import the same file with the real client.

const { existsSync } = require("node:fs");
const { setTimeout: pause } = require("node:timers/promises");
const { assignOptions, defer } = require("@defer/client");

async function hello(name) {
  return `Hello, ${name}`;
}

async function echo(value) {
  return value;
}

async function nothing() {}

async function fails(message) {
  throw new Error(message);
}

/** Fails as long as the file is not there; its own retry makes the next attempt soon. */
async function needsFile(path) {
  if (!existsSync(path)) throw new Error(`no ${path}`);
  return "found";
}

async function failsTwice(message) {
  throw new TypeError(message);
}

async function family(tag) {
  const child = await assignOptions(exports.hello, { metadata: { family: tag } })("child");
  return child.id;
}

/** Takes as long as it may, and ends when its time is over: what did not would take the others of its process along. */
async function tooLong() {
  const { signal } = require("penstock").context();
  await pause(60_000, undefined, { signal });
}

const soon = { initialInterval: 0.2, maxInterval: 1 };

exports.hello = defer(hello);
exports.echo = defer(echo);
exports.nothing = defer(nothing);
exports.fails = defer(fails);
exports.needsFile = defer(needsFile, { retry: { maxAttempts: 30, ...soon } });
exports.failsTwice = defer(failsTwice, { retry: { maxAttempts: 1, ...soon } });
exports.family = defer(family);
exports.tooLong = defer(tooLong, { maxDuration: 0.3 });
exports.nightly = defer.cron(async function nightly() {
  return "tidy";
}, "0 2 * * *");
