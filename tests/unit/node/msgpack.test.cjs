'use strict';
// The MessagePack codec of the Node host: what goes in comes out, in the shortest form, and nonsense is refused.

const assert = require('node:assert/strict');
const { test } = require('node:test');
const { decode, encode } = require(`${process.env.NODE_HOST}/msgpack.cjs`);

const VALUES = [
  ...[null, true, false, 0, 127, 128, 255, 256, 65535, 65536, 2 ** 32 - 1, 2 ** 32, Number.MAX_SAFE_INTEGER],
  ...[-1, -32, -33, -128, -129, -32769, -(2 ** 31) - 1, Number.MIN_SAFE_INTEGER, 0.5, -1e300, Infinity],
  ...['', 'x'.repeat(31), 'x'.repeat(32), 'x'.repeat(256), 'x'.repeat(65536), 'naïve 𝄞'],
  ...[[], Array(15).fill(1), Array(16).fill(2), Array(65536).fill(0), {}, { a: { b: [1, 'c'] } }],
  Object.fromEntries(Array.from({ length: 16 }, (_, index) => [`key${index}`, index])),
];

test('every value comes back as it was', () => {
  for (const value of VALUES) assert.deepEqual(decode(encode(value)), value);
});

test('a map may have more members than two bytes count', () => {
  const members = Object.fromEntries(Array.from({ length: 65536 }, (_, index) => [`key${index}`, index]));
  const decoded = decode(encode(members));
  assert.deepEqual([Object.keys(decoded).length, decoded.key65535], [65536, 65535]);
});

test('bytes come back as bytes, whatever their size', () => {
  for (const size of [0, 1, 255, 256, 65535, 65536]) {
    assert.deepEqual(decode(encode(Buffer.alloc(size, 7))), Buffer.alloc(size, 7));
  }
});

test('a number has the shortest form of its sign', () => {
  const sizes = [127, 128, 256, 65536, 2 ** 32, -32, 0.5].map((value) => encode(value).length);
  assert.deepEqual(sizes, [1, 2, 3, 5, 9, 1, 9]);
});

test('a member without a value is left out, and undefined in an array is nil', () => {
  assert.deepEqual(decode(encode({ a: undefined, b: [undefined] })), { b: [null] });
});

test('a key called __proto__ is a key', () => {
  const decoded = decode(Buffer.from([0x81, 0xa9, ...Buffer.from('__proto__'), 0x01]));
  assert.deepEqual(Object.keys(decoded), ['__proto__']);
  assert.equal(Object.getPrototypeOf(decoded), Object.prototype);
});

test('a whole number beyond what is exact is a BigInt', () => {
  assert.equal(decode(Buffer.from([0xcf, 0xff, 0, 0, 0, 0, 0, 0, 0])), 0xff00000000000000n);
});

test('what has no place in a message is refused', () => {
  for (const value of [() => 1, Symbol('s'), 1n]) assert.throws(() => encode([value]), TypeError);
});

test('what is cut short, overlong or no MessagePack is refused', () => {
  const whole = encode({ a: [1, 'text', Buffer.from('b')] });
  for (let size = 0; size < whole.length; size += 1) assert.throws(() => decode(whole.subarray(0, size)), RangeError);
  assert.throws(() => decode(Buffer.concat([whole, whole])), RangeError);
  for (const type of [0xc1, 0xc7, 0xd4]) assert.throws(() => decode(Buffer.from([type, 1, 1])), RangeError);
});
