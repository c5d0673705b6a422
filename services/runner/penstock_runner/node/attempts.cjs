'use strict';
// The attempts of this process: begun by `run`, ended by `returned` or `raised`, many at a time on one event loop.

const fs = require('node:fs');
const path = require('node:path');
const { randomBytes } = require('node:crypto');
const limits = require('./limits.cjs');
const { current } = require('./current.cjs');
const { InvalidArguments, ResultNotSerialisable, raised, stackOf } = require('./errors.cjs');
const { stringify } = require('./json.cjs');
const { Writer } = require('./lines.cjs');
const { Tracing } = require('./tracing.cjs');

/** Larger results go through a file in the scratch directory, not through the socket in one piece. */
const RESULT_INLINE_BYTES = 1024 * 1024;
/** Where `tracestate` stands in `run`. */
const TRACE_AT = 16;

class Attempts {
  constructor(link, marker, scratch) {
    this.link = link;
    this.marker = marker;
    this.scratch = scratch;
    this.functions = new Map();
    this.active = new Map();
    this.tracing = new Tracing('');
  }

  /** Run an attempt; its end is reported, whatever happens. */
  run(message) {
    const attempt = new Attempt(this, message);
    this.active.set(attempt.number, attempt);
    this.marker.hold(attempt.number);
    current.run(attempt, () => {
      this.tracing.within(attempt, () => attempt.begin(this.functions.get(attempt.function)));
    });
  }

  cancel(number) {
    this.active.get(number)?.cancel();
  }

  answered(number, call, body, code, detail) {
    this.active.get(number)?.answered(call, body, code, detail);
  }
}

/** One attempt. Answers of the runner that user code waits for are in `_waiting`. */
class Attempt {
  constructor(all, message) {
    const [, number, executionId, name, attempt, args, kwargs, traceId, event, metadata, parentId, rootId] = message;
    const [tracestate, baggage, spanId] = message.slice(TRACE_AT);
    this.number = number;
    this.executionId = executionId;
    this.function = name;
    this.attempt = attempt;
    this.traceId = traceId;
    this.spanId = spanId ?? '';
    this.tracestate = tracestate ?? '';
    this.baggage = baggage ?? '';
    this.metadata = metadata ?? {};
    this.parentId = parentId ?? null;
    this.rootId = rootId ?? null;
    this.writer = new Writer(all.link, number);
    this.startedAt = Date.now();
    this.isOver = false;
    /** How often each call was made, by its key. */
    this.calls = new Map();
    this._all = all;
    this._args = args;
    this._kwargs = kwargs;
    this._event = event;
    this._abort = new AbortController();
    this._waiting = new Map();
    this._lastCall = 0;
    this._directory = null;
  }

  /** Aborted when the execution is cancelled or its time is over. */
  get signal() {
    return this._abort.signal;
  }

  /** The event that started the execution, if one did. */
  get event() {
    return this._event ? JSON.parse(this._event.toString('utf8')) : null;
  }

  /** A directory for this attempt alone; it is removed when the attempt has ended. */
  get scratch() {
    if (this._directory === null) {
      this._directory = path.join(process.env.PENSTOCK_SCRATCH, String(this.number));
      fs.mkdirSync(this._directory, { mode: 0o700 });
    }
    return this._directory;
  }

  /** Tell the runner something about the time that this attempt takes; there is no answer. */
  tell(kind, ...fields) {
    if (!this.isOver) this._all.link.send([kind, this.number, ...fields]);
  }

  async begin(declared) {
    try {
      if (declared === undefined) throw new InvalidArguments(`There is no function ${this.function} in the folder.`);
      const kwargs = JSON.parse(this._kwargs.toString('utf8'));
      if (Object.keys(kwargs).length > 0) {
        throw new InvalidArguments(`${this.function} is JavaScript and takes arguments by position only.`);
      }
      const value = await declared.start(JSON.parse(this._args.toString('utf8')), this);
      this._end(() => this._returned(value));
    } catch (error) {
      this.fail(error);
    }
  }

  /** The attempt failed; also called for errors that nobody caught. The first end counts. */
  fail(error) {
    this._end(() => raised(this.number, error));
  }

  cancel() {
    this._abort.abort(new DOMException('The execution was stopped.', 'AbortError'));
  }

  /** Ask the runner something; resolves to the value of its answer. */
  ask(kind, ...fields) {
    if (this.isOver) return Promise.reject(new Error('The attempt that asks is over.'));
    this._lastCall += 1;
    const call = this._lastCall;
    return new Promise((resolve, reject) => {
      this._waiting.set(call, { resolve, reject });
      this._all.link.put([kind, this.number, call, ...fields]);
    });
  }

  answered(call, body = Buffer.from('null'), code = '', detail = '') {
    const waiting = this._waiting.get(call);
    this._waiting.delete(call);
    const value = JSON.parse(body.toString('utf8'));
    if (code === '') waiting?.resolve(value);
    else waiting?.reject(Object.assign(new Error(detail), { code, members: value }));
  }

  _end(describe) {
    if (this.isOver) return;
    let message;
    try {
      message = describe();
    } catch (error) {
      message = raised(this.number, error);
    }
    this.writer.finish();
    this.isOver = true;
    this._all.active.delete(this.number);
    this._all.link.put(message);
    if (this._directory !== null) removeTree(this._directory);
  }

  _returned(value) {
    const data = toJson(value);
    if (data.length <= RESULT_INLINE_BYTES) return ['returned', this.number, data, ''];
    if (data.length > limits.result_bytes_max) {
      throw new ResultNotSerialisable(`It has ${data.length} bytes; at most ${limits.result_bytes_max} can be stored.`);
    }
    const file = path.join(this._all.scratch, `result-${randomBytes(8).toString('hex')}`);
    fs.writeFileSync(file, data, { mode: 0o600, flag: 'wx' });
    return ['returned', this.number, Buffer.from('null'), file];
  }
}

/** What cannot go now goes with the directory of the process. */
function removeTree(directory) {
  current.exit(() => fs.rm(directory, { recursive: true, force: true }, () => {}));
}

function toJson(value) {
  let text;
  try {
    text = stringify(value);
  } catch (error) {
    throw new ResultNotSerialisable(`The result is no JSON: ${error.message}`);
  }
  return Buffer.from(text ?? 'null', 'utf8');
}

/** Errors that nobody caught fail the attempt they belong to; the others go to stderr. */
function catchUncaught() {
  const take = (error) => {
    const attempt = current.getStore();
    if (attempt !== undefined && !attempt.isOver) attempt.fail(error);
    else current.exit(() => process.stderr.write(`Nobody caught this: ${stackOf(error) || String(error)}\n`));
  };
  process.on('uncaughtException', take);
  process.on('unhandledRejection', take);
}

module.exports = { Attempts, catchUncaught, toJson };
