// A function that says where its own span stands, by a real SDK of OpenTelemetry.

import { setTimeout as pause } from 'node:timers/promises';
import { propagation, context, trace } from '@opentelemetry/api';
import { NodeTracerProvider } from '@opentelemetry/sdk-trace-node';
import { defer } from '@defer/client';

new NodeTracerProvider().register();

export const traced = defer(async function traced() {
  await pause(1);
  return trace.getTracer('shop').startActiveSpan('inside', (span) => {
    const { traceId, traceState } = span.spanContext();
    const baggage = propagation.getBaggage(context.active())?.getAllEntries() ?? [];
    return {
      trace: traceId,
      parent: span.parentSpanId,
      state: traceState?.serialize() ?? null,
      baggage: baggage.map(([name, { value }]) => [name, value]),
    };
  });
});
