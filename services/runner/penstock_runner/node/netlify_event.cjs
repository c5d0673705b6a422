'use strict';
// What a Netlify function is called with: the event of the older form, and the Request of the newer one.

const ORIGIN = 'http://localhost';

/** The event with all its members; what the caller left out is filled in. */
function completed(given, name, executionId) {
  const event = given !== null && typeof given === 'object' ? given : {};
  const url = new URL(event.rawUrl ?? `${ORIGIN}${event.path ?? `/.netlify/functions/${name}`}${queryOf(event)}`);
  const headers = { 'x-nf-request-id': executionId, ...event.headers };
  return {
    path: url.pathname,
    httpMethod: 'POST',
    multiValueHeaders: lists(headers),
    queryStringParameters: joined(url.searchParams),
    multiValueQueryStringParameters: gathered(url.searchParams),
    body: null,
    isBase64Encoded: false,
    rawUrl: url.href,
    rawQuery: url.search.replace(/^\?/, ''),
    ...event,
    headers,
  };
}

/** The event of a scheduled function. */
function scheduledEvent(tick) {
  return {
    httpMethod: 'POST',
    headers: { 'content-type': 'application/json', 'user-agent': 'Netlify Clockwork', 'x-nf-event': 'schedule' },
    body: JSON.stringify({ next_run: tick.data?.next ?? null }),
  };
}

/** The same as a web Request; `signal` is aborted when the execution is stopped. */
function requestOf(event, signal) {
  const takesBody = event.httpMethod !== 'GET' && event.httpMethod !== 'HEAD';
  const body = takesBody && event.body !== null ? event.body : undefined;
  return new Request(event.rawUrl, {
    method: event.httpMethod,
    headers: event.headers,
    body: body !== undefined && event.isBase64Encoded ? Buffer.from(body, 'base64') : body,
    signal,
  });
}

function queryOf(event) {
  const query = event.rawQuery ?? new URLSearchParams(event.queryStringParameters ?? {}).toString();
  return query === '' || query.startsWith('?') ? query : `?${query}`;
}

function lists(headers) {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, [value]]));
}

function gathered(parameters) {
  return Object.fromEntries([...new Set(parameters.keys())].map((name) => [name, parameters.getAll(name)]));
}

function joined(parameters) {
  return Object.fromEntries(Object.entries(gathered(parameters)).map(([name, values]) => [name, values.join(', ')]));
}

module.exports = { completed, requestOf, scheduledEvent };
