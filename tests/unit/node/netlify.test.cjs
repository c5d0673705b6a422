'use strict';
// Which files the Node host takes for Netlify functions, and what it calls them with.

const assert = require('node:assert/strict');
const { test } = require('node:test');

const HOST = process.env.NODE_HOST;
const { netlify } = require(`${HOST}/netlify.cjs`);
const { completed, requestOf, scheduledEvent } = require(`${HOST}/netlify_event.cjs`);
const { requestContext } = require(`${HOST}/netlify_context.cjs`);
const { schedule } = require(`${HOST}/modules/netlify_functions.cjs`);

const attempt = { function: 'hello', executionId: 'e'.repeat(32), startedAt: Date.now(), event: null };
const found = (file, exported) => netlify('/site', `/site/${file}`, exported)[0];
const answering = async () => ({ statusCode: 200 });

test('a handler has the limits of a background function', () => {
  const { spec } = found('hello-background.js', { handler: answering });
  assert.deepEqual(
    [spec.name, spec.timeout, spec.policy],
    ['hello-background', 900, { retries: 2, shape: 'linear', initial: 60 }],
  );
});

test('a file is named by its place', () => {
  const names = ['one.js', 'two/two.mjs', 'three/index.cjs', 'four/library.js', 'five/five/five.js'];
  assert.deepEqual(
    names.map((file) => found(file, { handler: answering })?.spec.name),
    ['one', 'two', 'three', undefined, undefined],
  );
});

test('a default function counts where it is marked', () => {
  const marked = (file, config) => found(file, config ? { default: answering, config } : { default: answering });
  assert.equal(marked('library.js'), undefined);
  assert.equal(marked('hello-background.js').spec.timeout, 900);
  assert.equal(marked('hello.js', { background: true }).spec.timeout, 900);
  assert.deepEqual([marked('nightly.js', { schedule: '@daily' }).cron, marked('nightly.js', { schedule: '@daily' }).spec.timeout], ['@daily', 30]);
  assert.equal(found('hello.js', { default: { fetch: answering, config: { background: true } } }).spec.name, 'hello');
});

test('what may be started at the address of the platform says so', () => {
  const handler = (file, config) => found(file, { handler: answering, config }).spec.background;
  assert.deepEqual([handler('hello-background.js'), handler('hello.js')], [true, false]);
  assert.equal(found('hello.js', { default: answering, config: { background: true } }).spec.background, true);
  assert.equal(found('nightly.js', { default: answering, config: { schedule: '@daily' } }).spec.background, false);
});

test('schedule() declares when a handler starts by itself', () => {
  assert.equal(found('nightly.js', { handler: schedule('5 4 * * *', async () => {}) }).cron, '5 4 * * *');
});

test('an event is completed from what was given', () => {
  const event = completed({ path: '/x', rawQuery: 'a=1&a=2&b=%20', headers: { Host: 'h' } }, 'hello', 'id');
  assert.equal(event.rawUrl, 'http://localhost/x?a=1&a=2&b=%20');
  assert.deepEqual(event.queryStringParameters, { a: '1, 2', b: ' ' });
  assert.deepEqual(event.multiValueQueryStringParameters, { a: ['1', '2'], b: [' '] });
  assert.deepEqual(event.multiValueHeaders, { 'x-nf-request-id': ['id'], Host: ['h'] });
  assert.deepEqual([event.httpMethod, event.body, event.isBase64Encoded], ['POST', null, false]);
  assert.equal(completed(undefined, 'hello', 'id').path, '/.netlify/functions/hello');
});

test('a Request has the event\'s method, headers and body', async () => {
  const body = Buffer.from('naïve').toString('base64');
  const request = requestOf(completed({ body, isBase64Encoded: true, headers: { 'x-a': '1' } }, 'hello', 'id'));
  assert.deepEqual([request.method, request.headers.get('x-a'), await request.text()], ['POST', '1', 'naïve']);
  assert.equal(requestOf(completed({ httpMethod: 'GET', body: 'x' }, 'hello', 'id')).body, null);
});

test('a tick comes as the platform sends it', () => {
  const event = scheduledEvent({ data: { tick: '2027-01-01T00:00:00Z', next: '2027-01-02T00:00:00Z' } });
  assert.deepEqual(JSON.parse(event.body), { next_run: '2027-01-02T00:00:00Z' });
  assert.equal(event.headers['x-nf-event'], 'schedule');
});

test('an error fails the function, a status does not', async () => {
  const run = (handler) => found('hello.js', { handler }).start([], attempt);
  await assert.rejects(run(async () => { throw new Error('no'); }), /no/);
  await assert.rejects(run((event, context, done) => done(new Error('by callback'))), /by callback/);
  await assert.rejects(run((event, context) => { context.fail('by context'); }), /by context/);
  assert.equal(await run(async () => ({ statusCode: 500 })), undefined);
  assert.equal(await run((event, context, done) => { setImmediate(done, null, {}); }), undefined);
});

test('the context tells the request and the time that is left', async () => {
  let seen;
  const handler = async (event, context) => { seen = context; };
  await found('hello.js', { handler }).start([{ headers: { 'x-nf-request-id': 'r1' } }], attempt);
  assert.equal(seen.awsRequestId, 'r1');
  assert.ok(seen.getRemainingTimeInMillis() > 890_000 && seen.getRemainingTimeInMillis() <= 900_000);
});

test('an event of the door comes through as it is', async () => {
  const headers = { host: 'site.example', 'content-length': '2', connection: 'close', 'x-nf-request-id': 'r1', cookie: 'a=1' };
  const event = {
    path: '/.netlify/functions/hello/a%20b', httpMethod: 'PUT', headers,
    multiValueHeaders: { host: ['site.example'] }, queryStringParameters: {}, multiValueQueryStringParameters: {},
    body: 'e30=', isBase64Encoded: true, rawUrl: 'https://site.example/.netlify/functions/hello/a%20b', rawQuery: '',
  };
  const seen = completed(event, 'hello', 'another id');
  assert.deepEqual(seen, event);
  const request = requestOf(seen);
  assert.deepEqual([request.method, request.url, await request.json()], ['PUT', event.rawUrl, {}]);
  assert.deepEqual([request.headers.get('x-nf-request-id'), requestContext(seen, attempt).requestId], ['r1', 'r1']);
});

test('the newer context waits for what it was given to wait for', async () => {
  const context = requestContext(completed({ headers: { cookie: 'a=1; b=%20' } }, 'hello', 'id'), attempt);
  let isDone = false;
  context.waitUntil(new Promise((resolve) => setImmediate(resolve)).then(() => { isDone = true; }));
  await context.settled();
  assert.deepEqual([isDone, context.cookies.get('b'), context.requestId], [true, ' ', 'id']);
});
