'use strict';
// Durations as Defer's users write them: "1h", "2 days", "1h 30m"; a bare number is milliseconds.

const UNITS = [
  [/^(ms|msecs?|milliseconds?)?$/, 1],
  [/^(s|secs?|seconds?)$/, 1000],
  [/^(m|mins?|minutes?)$/, 60_000],
  [/^(h|hrs?|hours?)$/, 3_600_000],
  [/^(d|days?)$/, 86_400_000],
  [/^(w|wks?|weeks?)$/, 7 * 86_400_000],
  [/^(b|months?)$/, 30.4375 * 86_400_000],
  [/^(y|yrs?|years?)$/, 365.25 * 86_400_000],
];
const PART = /(-?\d+(?:\.\d+)?)\s*([a-z]*)/gi;

/** Milliseconds, or null where the text is no duration. */
function milliseconds(text) {
  if (typeof text === 'number') return text;
  let total = null;
  for (const [, amount, unit] of String(text).matchAll(PART)) {
    const known = UNITS.find(([pattern]) => pattern.test(unit.toLowerCase()));
    if (known !== undefined) total = (total ?? 0) + Number(amount) * known[1];
  }
  return total;
}

module.exports = { milliseconds };
