'use strict';
// Values of user code as JSON.

const assert = require('node:assert/strict');
const { test } = require('node:test');

const HOST = process.env.NODE_HOST;
const { stringify } = require(`${HOST}/json.cjs`);

test('half a character becomes the sign for an unreadable one', () => {
  assert.equal(stringify({ cut: 'a😀'.slice(0, 2) }), '{"cut":"a\\ufffd"}');
  assert.equal(JSON.parse(stringify('\udE00b')), '\ufffdb');
});

test('whole characters and what only looks like half of one stay', () => {
  for (const text of ['😀', '\\ud83d', 'C:\\udd83', '"\\\ud83d\ude00']) assert.equal(stringify(text), JSON.stringify(text));
  assert.equal(stringify('\\\ud83d'), '"\\\\\\ufffd"');
  assert.equal(stringify(undefined), undefined);
});
