'use strict';
// Values of user code as JSON that everybody can read.

const ESCAPE = /\\(u[dD][89a-fA-F][0-9a-fA-F]{2}|.)/g;

/**
 * JSON text; undefined for what JSON has no word for. A string cut in the middle of a character holds half of it, which
 * other languages refuse; it becomes the sign for an unreadable one, as it does wherever Node writes text.
 */
function stringify(value) {
  const text = JSON.stringify(value);
  if (text === undefined || !/\\u[dD]/.test(text)) return text;
  // `stringify` escapes halves only; whole characters stand there as they are.
  return text.replace(ESCAPE, (whole, escaped) => (escaped.length > 1 ? '\\ufffd' : whole));
}

module.exports = { stringify };
