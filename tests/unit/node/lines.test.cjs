'use strict';
// How the Node host cuts what user code writes into lines.

const assert = require('node:assert/strict');
const { test } = require('node:test');

const HOST = process.env.NODE_HOST;
const limits = require(`${HOST}/limits.cjs`);
const { Writer } = require(`${HOST}/lines.cjs`);

/** A writer, and the lines that it sent. */
function writer() {
  const sent = [];
  return [new Writer({ send: ([, , lines]) => sent.push(...lines) }, 1), sent];
}

test('a line goes out when it is complete', () => {
  const [own, sent] = writer();
  own.write('stdout', 'one\ntwo');
  own.write('stderr', 'other\n');
  assert.deepEqual(sent.map(([, stream, level, text]) => [stream, level, text]), [
    ['stdout', 'info', 'one'], ['stderr', 'error', 'other'],
  ]);
  own.write('stdout', ' and a half\n');
  assert.equal(sent.at(-1)[3], 'two and a half');
});

test('the last line goes out without its end', () => {
  const [own, sent] = writer();
  own.write('stdout', 'one\ntwo');
  own.finish();
  own.finish();
  assert.deepEqual(sent.map((line) => line[3]), ['one', 'two']);
});

test('a line is cut at its limit, and says so', () => {
  const [own, sent] = writer();
  const limit = limits.log_line_chars_max;
  own.write('stdout', `${'x'.repeat(limit)}\n${'x'.repeat(limit + 1)}\n`);
  assert.deepEqual(sent.map((line) => [line[3].length, line[3].at(-1)]), [[limit, 'x'], [limit, '…']]);
});

test('a line that never ends does not fill the memory', () => {
  const [own, sent] = writer();
  for (let count = 0; count < 100; count += 1) own.write('stdout', 'x'.repeat(limits.log_line_chars_max));
  own.finish();
  assert.equal(sent.length, 1);
});

test('one line more than may be kept goes out, and then none', () => {
  const [own, sent] = writer();
  for (let count = 0; count < limits.log_lines_per_attempt_max + 10; count += 1) own.write('stdout', 'x\n');
  assert.equal(sent.length, limits.log_lines_per_attempt_max + 1);
});
