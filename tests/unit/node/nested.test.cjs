'use strict';
// What a function asks of its runner when it calls another one or looks at an execution.

const assert = require('node:assert/strict');
const { test } = require('node:test');

const HOST = process.env.NODE_HOST;
const { current } = require(`${HOST}/current.cjs`);
const client = require(`${HOST}/modules/defer_client.cjs`);

const send = client.defer(async function send() {});

/** Runs `code` as an attempt whose runner answers with these values or errors; gives what was asked, as values. */
async function asked(code, answers, attempt = 1) {
  const all = [];
  const ask = async (...fields) => {
    all.push(JSON.parse(JSON.stringify(fields, (_, value) => (value?.type === 'Buffer' ? JSON.parse(Buffer.from(value.data)) : value))));
    const answer = answers.shift();
    if (answer instanceof Error) throw answer;
    return answer;
  };
  const result = await current.run({ attempt, calls: new Map(), ask }, code).catch((error) => error);
  return { all, result };
}

const refusal = (code, members = null) => Object.assign(new Error(`refused: ${code}`), { code, members });
const optionsOf = async (options) => (await asked(() => client.assignOptions(send, options)(), [['id']])).all[0][1][5];
const secondsUntil = (instant) => (Date.parse(instant) - Date.now()) / 1000;

test('a call becomes a child with its arguments', async () => {
  const { all, result } = await asked(() => send(1, { a: undefined, b: new Date(0) }), [['id']]);
  const [kind, [action, key, position, name, items, options, isDetached, onCancel]] = all[0];
  assert.deepEqual([kind, action, position, name, isDetached, onCancel], ['do', 'call_children', 0, 'send', true, 'leave']);
  assert.deepEqual([items, options], [[[[1, { b: '1970-01-01T00:00:00.000Z' }], {}]], {}]);
  assert.match(key, /^send@[0-9a-f]{24}$/);
  assert.deepEqual([result.id, result.state, result.functionName], ['id', 'created', 'send']);
});

test('the same call has the same key in every attempt, and a number when it is made twice', async () => {
  const keysOf = async (attempt) => (await asked(async () => {
    await send(1);
    await send(2);
    await send(1);
  }, [['a'], ['b'], ['c']], attempt)).all.map(([, action]) => action[1]);
  const [one, two, again] = await keysOf(1);
  assert.deepEqual(await keysOf(2), [one, two, again]);
  assert.deepEqual([again, one === two], [`${one}#2`, false]);
});

test('a call whose result is waited for is made anew in each attempt', async () => {
  const keyOf = async (attempt) => {
    const { all, result } = await asked(() => client.awaitResult(send)(1), [['id'], 42], attempt);
    assert.deepEqual([result, all[1]], [42, ['ask', 'result', 'id', { timeout: null }]]);
    return all[0][1][1];
  };
  assert.notEqual(await keyOf(1), await keyOf(2));
});

test('a delay becomes an instant, from text or from a Date', async () => {
  assert.ok(Math.abs(secondsUntil((await optionsOf({ delay: '1h' })).at) - 3600) < 5);
  assert.equal((await optionsOf({ delay: new Date('2100-01-01') })).at, '2100-01-01T00:00:00.000Z');
  assert.deepEqual(await optionsOf({ delay: new Date('2000-01-01') }), {});
});

test('discardAfter counts from the call, whenever the start is', async () => {
  assert.ok(Math.abs((await optionsOf({ discardAfter: '5m' })).discard_after - 300) < 5);
  assert.ok(Math.abs((await optionsOf({ delay: '1m', discardAfter: '5m' })).discard_after - 240) < 5);
  assert.equal((await optionsOf({ delay: '1h', discardAfter: '5m' })).discard_after, 0.001);
});

test('later options win, and metadata is replaced as a whole', async () => {
  const first = client.addMetadata(send, { a: '1' });
  const { all } = await asked(() => client.assignOptions(first, { metadata: { b: '2' } })(), [['id']]);
  assert.deepEqual(all[0][1][5], { metadata: { b: '2' } });
});

const shape = (state) => ({ id: 'id', state, function_name: 'send', function_id: 'send', scheduled_at: AT, created_at: AT, updated_at: AT });
const AT = '2026-01-31T08:00:00.000Z';

test('an execution has all its members, and its result when there is one', async () => {
  const { all, result } = await asked(() => client.getExecution('id'), [shape('started')]);
  const at = new Date(AT);
  assert.deepEqual(all, [['ask', 'defer', 'id', {}]]);
  assert.deepEqual(result, { id: 'id', state: 'started', functionName: 'send', functionId: 'send', scheduledAt: at, updatedAt: at, createdAt: at });
  assert.equal((await asked(() => client.getExecution('id'), [shape('succeed'), 42])).result.result, 42);
});

test('a cancel without force is for what has not begun', async () => {
  const bodyOf = async (...given) => (await asked(() => client.cancelExecution('id', ...given), [null, shape('cancelled')])).all[0][3];
  assert.deepEqual([await bodyOf(), await bodyOf(true)], [{ attempts_max: 0 }, { force: true }]);
});

test('awaiting what was stopped says how it was', async () => {
  const stopped = [['id'], refusal('cancelled', { state: 'cancelled' }), shape('aborted')];
  const { result } = await asked(() => client.awaitResult(send)(), stopped);
  assert.equal(result.message, 'execution "id" was "aborted"');
});

test('refusals have Defer\'s names', async () => {
  const nameOf = async (code, answer) => (await asked(code, [answer])).result.name;
  const missing = refusal('unknown_execution');
  assert.equal(await nameOf(() => client.getExecution('id'), missing), 'ExecutionNotFound');
  assert.equal(await nameOf(() => client.getExecutionResult('id'), missing), 'ExecutionNotFound');
  const wrong = refusal('wrong_state');
  assert.equal(await nameOf(() => client.cancelExecution('id'), wrong), 'ExecutionNotCancellable');
  assert.equal(await nameOf(() => client.rescheduleExecution('id', '5m'), shape('started')), 'ExecutionNotReschedulable');
  assert.equal(await nameOf(() => client.getExecutionResult('id'), refusal('timeout')), 'ExecutionResultNotAvailableYet');
  const gone = refusal('cancelled', { state: 'cancelled' });
  assert.equal(await nameOf(() => client.getExecutionResult('id'), gone), 'ExecutionResultNotAvailable');
  assert.equal(await nameOf(() => client.listExecutions(), null), 'DeferError');
});

test('the result of a failed execution is its error, and awaiting it throws that', async () => {
  const failed = { state: 'failed', type: 'TypeError', message: 'no', stack: 'TypeError: no\n    at there' };
  const { result } = await asked(() => client.getExecutionResult('id'), [refusal('user_error', failed)]);
  assert.deepEqual(result, { name: 'TypeError', message: 'no', cause: null, stack: failed.stack });
  const awaited = await asked(() => client.awaitResult(send)(), [['id'], refusal('user_error', failed)]);
  assert.deepEqual([awaited.result.name, awaited.result.message, awaited.result.stack], ['DeferError', 'no', failed.stack]);
});
