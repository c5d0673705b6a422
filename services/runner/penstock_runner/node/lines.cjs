'use strict';
// Lines of user code: what is written to the console, stdout and stderr goes to the attempt that wrote it.

const limits = require('./limits.cjs');
const { cut } = require('./errors.cjs');
const { current } = require('./current.cjs');

const LEVELS = { debug: 'debug', log: 'info', info: 'info', warn: 'warning', error: 'error' };

/** The lines of one attempt: cut at the limits, sent at once, so that they outlive the process. */
class Writer {
  constructor(link, number) {
    this._link = link;
    this._number = number;
    this._sent = 0;
    this._partial = { stdout: '', stderr: '' };
  }

  /** Text as a stream gets it; whole lines are sent. */
  write(stream, text, level) {
    if (this._sent > limits.log_lines_per_attempt_max) return;
    const whole = (this._partial[stream] + text).split('\n');
    this._partial[stream] = whole.pop().slice(0, limits.log_line_chars_max);
    if (whole.length > 0) this._send(stream, whole, level ?? (stream === 'stdout' ? 'info' : 'error'));
  }

  /** Send what was written without a line end. */
  finish() {
    for (const [stream, text] of Object.entries(this._partial)) if (text !== '') this.write(stream, '\n');
  }

  _send(stream, texts, level) {
    const at = Date.now() * 1000;
    // One line more than the limit goes out: it tells the runner that there was more.
    const room = limits.log_lines_per_attempt_max + 1 - this._sent;
    const lines = texts.slice(0, room).map((text) => [at, stream, level, cut(text, limits.log_line_chars_max)]);
    this._sent += lines.length;
    this._link.send(['lines', this._number, lines]);
  }
}

/** Make `process.stdout`, `process.stderr` and the console go to attempts. */
function route() {
  let level;
  for (const stream of ['stdout', 'stderr']) routeStream(process[stream], stream, () => level);
  for (const [method, name] of Object.entries(LEVELS)) {
    const original = console[method];
    console[method] = function routed(...values) {
      const before = level;
      level = name;
      try {
        return original.apply(console, values);
      } finally {
        level = before;
      }
    };
  }
}

function routeStream(stream, name, levelNow) {
  const original = stream.write.bind(stream);
  stream.write = function write(data, encoding, done) {
    const attempt = current.getStore();
    if (attempt === undefined || attempt.isOver) return original(data, encoding, done);
    const text = typeof data === 'string' ? data : Buffer.from(data).toString('utf8');
    attempt.writer.write(name, text, levelNow());
    const callback = typeof encoding === 'function' ? encoding : done;
    if (typeof callback === 'function') process.nextTick(callback);
    return true;
  };
}

module.exports = { Writer, route };
