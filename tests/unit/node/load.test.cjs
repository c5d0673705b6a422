'use strict';
// Which files the Node host loads, and how it finds exports in every kind of module.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { after, before, test } = require('node:test');

const HOST = process.env.NODE_HOST;
const { intercept } = require(`${HOST}/intercept.cjs`);
const { load, Refused } = require(`${HOST}/load.cjs`);

let home;
let count = 0;

before(() => {
  intercept();
  home = fs.mkdtempSync(path.join(os.tmpdir(), 'penstock-load-'));
});
after(() => fs.rmSync(home, { recursive: true }));

/** The names of the functions in a folder of these files. */
async function names(files) {
  return [...(await load(folderOf(files))).functions.keys()];
}

function folderOf(files) {
  count += 1;
  const folder = path.join(home, `folder${count}`);
  for (const [name, text] of Object.entries(files)) {
    fs.mkdirSync(path.dirname(path.join(folder, name)), { recursive: true });
    fs.writeFileSync(path.join(folder, name), text);
  }
  return folder;
}

const REQUIRE = "const { defer } = require('@defer/client');";
const IMPORT = "import { defer } from '@defer/client';";

test('every way to export is found', async () => {
  const found = await names({
    'a.js': `${REQUIRE} exports.default = defer(async function a() {});`,
    'b.js': `${REQUIRE} module.exports = defer(async function b() {});`,
    'c.cjs': `${REQUIRE} exports['c-' + 1] = defer(async function c() {});`,
    'd.js': `${REQUIRE} Object.defineProperty(exports, '__esModule', { value: true }); exports.default = defer(async function d() {});`,
    'e.mjs': `${IMPORT} export default defer(async function e() {});`,
    'f.mjs': `${IMPORT} export const g = defer(async () => {});`,
    'sub/package.json': '{"type": "module"}',
    'sub/deeper/h.js': `${IMPORT} export const h = defer(async function h() {});`,
  });
  assert.deepEqual(found, ['a', 'b', 'c', 'd', 'e', 'g', 'h']);
});

test('what belongs to somebody else is not loaded', async () => {
  const loud = "throw new Error('loaded');";
  const found = await names({
    'a.js': `${REQUIRE} exports.a = defer(async function a() {});`,
    'node_modules/x/index.js': loud,
    '.hidden/index.js': loud,
    'a.test.js': loud,
    '__tests__/b.js': loud,
    'types.d.ts': loud,
  });
  assert.deepEqual(found, ['a']);
});

test('a function that an index exports again is one function', async () => {
  const found = await names({
    'a.js': `${REQUIRE} exports.a = defer(async function a() {});`,
    'index.js': "exports.a = require('./a').a;",
  });
  assert.deepEqual(found, ['a']);
});

test('two functions of one name are refused, with both files', async () => {
  const text = `${REQUIRE} exports.a = defer(async function a() {});`;
  await assert.rejects(load(folderOf({ 'a.js': text, 'b.js': text })), (error) => {
    assert.ok(error instanceof Refused);
    return /a\.js/.test(error.message) && /b\.js/.test(error.message);
  });
});

test('a cron expression becomes a schedule of the app', async () => {
  const folder = folderOf({
    'package.json': '{"name": "@us/mail-jobs"}',
    'a.js': `${REQUIRE} exports.a = defer.cron(async function a() {}, '@daily');`,
  });
  const { app, schedules } = await load(folder);
  assert.equal(app, 'us-mail-jobs');
  assert.deepEqual(schedules, { a: { function: 'a', rule: { cron: '@daily' }, app: 'us-mail-jobs' } });
});
