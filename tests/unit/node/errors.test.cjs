'use strict';
// How the Node host tells what user code threw, whatever that is.

const assert = require('node:assert/strict');
const { test } = require('node:test');

const HOST = process.env.NODE_HOST;
const limits = require(`${HOST}/limits.cjs`);
const { InvalidArguments, ResultNotSerialisable, RetryAfter, Terminal, raised } = require(`${HOST}/errors.cjs`);

/** The members of the message by name. */
function told(error) {
  const [, , code, type, message, stack, terminal, retryAfter] = raised(1, error);
  return { code, type, message, stack, terminal, retryAfter };
}

test('an error comes with its class, its message, its frames and its causes', () => {
  const { code, type, message, stack } = told(new RangeError('outer', { cause: new TypeError('inner') }));
  assert.deepEqual([code, type, message], ['user_error', 'RangeError', 'outer']);
  assert.match(stack, /^RangeError: outer\n +at .*errors\.test\.cjs[^]*\nCaused by: TypeError: inner\n/);
});

test('causes in a circle come to an end', () => {
  const error = new Error('round');
  error.cause = error;
  assert.equal(told(error).stack.split('Caused by').length, 5);
});

test('user code says what becomes of its retry', () => {
  assert.equal(told(new Terminal('never')).terminal, true);
  assert.equal(told(new RetryAfter(90)).retryAfter, 90);
  assert.equal(told(new RetryAfter('soon')).retryAfter, null);
});

test('our own refusals have codes of their own', () => {
  assert.deepEqual(
    [new InvalidArguments('a'), new ResultNotSerialisable('b')].map(told).map(({ code, terminal }) => [code, terminal]),
    [['invalid_arguments', true], ['result_not_serialisable', true]],
  );
});

test('what is no Error is shown as it is', () => {
  assert.deepEqual(['text', { a: 1 }, undefined, null, 1n].map((value) => told(value).message), [
    'The function threw text, which is no Error.',
    'The function threw {"a":1}, which is no Error.',
    'The function threw undefined, which is no Error.',
    'The function threw null, which is no Error.',
    'The function threw 1, which is no Error.',
  ]);
});

test('what breaks when it is looked at is still an error', () => {
  const error = new Error('x');
  // The stack first: it is made of the message when it is looked at.
  for (const name of ['stack', 'message']) {
    Object.defineProperty(error, name, { get: () => { throw new RangeError('no'); } });
  }
  assert.match(told(error).message, /cannot be shown: RangeError/);
  assert.match(told(error).stack, /cannot be shown: RangeError/);
});

test('message and stack are cut at their limits', () => {
  const edge = told(new Error('x'.repeat(limits.error_message_chars_max)));
  const over = told(new Error('x'.repeat(limits.error_message_chars_max + 1)));
  assert.deepEqual([edge.message.at(-1), over.message.at(-1)], ['x', '…']);
  assert.deepEqual([edge, over].map(({ message }) => message.length), [4096, 4096]);
  const { stack } = told(new Error('x'.repeat(limits.error_stack_chars_max)));
  assert.deepEqual([stack.length, stack[0]], [limits.error_stack_chars_max, '…']);
});
