'use strict';
// The span of an attempt as the current one of OpenTelemetry, so that spans of user code nest below it.
//
// Only where user code has set OpenTelemetry up, with a copy of its API that the folder can find.

const path = require('node:path');
const { createRequire } = require('node:module');

const API = '@opentelemetry/api';
/** Where all copies of the API keep what was registered with one of them. */
const REGISTERED = Symbol.for('opentelemetry.js.api.1');

/** The API as the functions of this folder have it; null where there is none. */
function apiOf(folder) {
  try {
    return createRequire(path.join(path.resolve(folder), 'index.js'))(API);
  } catch {
    return null;
  }
}

/** Runs code within the span and the baggage of an attempt; `folder` is the one that its functions came from. */
class Tracing {
  constructor(folder) {
    this._folder = folder;
    this._api = undefined;
  }

  /** What `code` returns. Without anybody who keeps contexts there would be nothing to see them. */
  within(attempt, code) {
    if (attempt.spanId === '' || globalThis[REGISTERED]?.context === undefined) return code();
    if (this._api === undefined) this._api = apiOf(this._folder);
    return this._api === null ? code() : this._api.context.with(contextOf(this._api, attempt), code);
  }
}

function contextOf(api, { traceId, spanId, tracestate, baggage }) {
  const span = { traceId, spanId, traceFlags: api.TraceFlags.SAMPLED, isRemote: true };
  if (tracestate !== '') span.traceState = api.createTraceState(tracestate);
  const context = api.trace.setSpanContext(api.ROOT_CONTEXT, span);
  return baggage === '' ? context : api.propagation.setBaggage(context, api.propagation.createBaggage(entriesOf(api, baggage)));
}

/** The members of a W3C baggage header; one that cannot be read is left out. */
function entriesOf(api, header) {
  const entries = {};
  for (const member of header.split(',')) {
    const [pair, ...properties] = member.split(';');
    const at = pair.indexOf('=');
    if (at < 1) continue;
    try {
      const value = decodeURIComponent(pair.slice(at + 1).trim());
      const metadata = properties.length > 0 ? api.baggageEntryMetadataFromString(properties.join(';').trim()) : undefined;
      entries[decodeURIComponent(pair.slice(0, at).trim())] = { value, metadata };
    } catch {
      continue;
    }
  }
  return entries;
}

module.exports = { Tracing };
