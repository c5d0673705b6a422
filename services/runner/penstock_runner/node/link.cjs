'use strict';
// The worker process's end of the socket: frames of a length and a batch of messages, both ways.

const net = require('node:net');
const { encode, decode } = require('./msgpack.cjs');

const HEAD_BYTES = 4;

/** A batch of messages as it goes over the socket. */
function frame(messages) {
  const body = encode(messages);
  const head = Buffer.allocUnsafe(HEAD_BYTES);
  head.writeUInt32LE(body.length);
  return Buffer.concat([head, body]);
}

/** Bytes as they arrive, cut into messages. */
class Frames {
  constructor() {
    this._chunks = [];
    this._size = 0;
  }

  /** All messages that are complete now. */
  feed(data) {
    this._chunks.push(data);
    this._size += data.length;
    const messages = [];
    while (this._size >= HEAD_BYTES) {
      if (this._chunks[0].length < HEAD_BYTES) this._join();
      const size = this._chunks[0].readUInt32LE();
      if (this._size < HEAD_BYTES + size) break;
      if (this._chunks[0].length < HEAD_BYTES + size) this._join();
      const whole = this._chunks[0];
      messages.push(...decode(whole.subarray(HEAD_BYTES, HEAD_BYTES + size)));
      this._size -= HEAD_BYTES + size;
      this._chunks[0] = whole.subarray(HEAD_BYTES + size);
      if (this._chunks[0].length === 0) this._chunks.shift();
    }
    return messages;
  }

  _join() {
    this._chunks = [Buffer.concat(this._chunks)];
  }
}

/** Messages to and from the runner. `onMessage` gets each; `onClose` is called when either side closed the socket. */
class Link {
  constructor(fd, onMessage, onClose) {
    this._waiting = [];
    this._isFlushing = false;
    const frames = new Frames();
    this._socket = new net.Socket({ fd, readable: true, writable: true });
    this._socket.on('data', (data) => {
      for (const message of frames.feed(data)) onMessage(message);
    });
    this._socket.on('close', onClose);
    // A write to a runner that is gone; `close` follows.
    this._socket.on('error', () => {});
  }

  /** Close it when everything is sent. */
  end() {
    this._socket.end(() => this._socket.destroy());
  }

  /** Send at the end of this turn of the event loop, together with what else it brings. */
  put(message) {
    this._waiting.push(message);
    if (!this._isFlushing) {
      this._isFlushing = true;
      setImmediate(() => this.flush());
    }
  }

  /** Send it now, behind what waits. */
  send(message) {
    this._waiting.push(message);
    this.flush();
  }

  flush() {
    this._isFlushing = false;
    const waiting = this._waiting;
    if (waiting.length === 0) return;
    this._waiting = [];
    // The kernel takes it at once unless its buffer is full: it then outlives this process.
    this._socket.write(frame(waiting));
  }
}

module.exports = { Link, Frames, frame };
