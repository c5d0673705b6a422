'use strict';
// Eight bytes shared with the runner that name the attempt which holds the event loop, or are zero.
//
// When this process dies or hangs, the runner reads there who did it, and does not charge the others.

const { createHook } = require('node:async_hooks');
const fs = require('node:fs');
const os = require('node:os');
const { current } = require('./current.cjs');

class Marker {
  constructor(fd) {
    this._fd = fd;
    this._bytes = Buffer.alloc(8);
    this._shown = 0;
    this._isReleasing = false;
    // Every callback and every continuation of a promise begins here.
    createHook({
      before: () => {
        const attempt = current.getStore();
        if (attempt !== undefined) this.hold(attempt.number);
      },
    }).enable();
  }

  /** Attempt `number` has the event loop, until this turn of it is over or another attempt says so. */
  hold(number) {
    this._show(number);
    if (this._isReleasing) return;
    this._isReleasing = true;
    // Outside of the attempt, or this callback would itself be one that begins in it.
    current.exit(() => setImmediate(() => this._release()));
  }

  _release() {
    this._isReleasing = false;
    this._show(0);
  }

  _show(number) {
    if (number === this._shown) return;
    this._shown = number;
    const [low, high] = [number % 0x1_0000_0000, Math.floor(number / 0x1_0000_0000)];
    if (os.endianness() === 'LE') {
      this._bytes.writeUInt32LE(low, 0);
      this._bytes.writeUInt32LE(high, 4);
    } else {
      this._bytes.writeUInt32BE(high, 0);
      this._bytes.writeUInt32BE(low, 4);
    }
    fs.writeSync(this._fd, this._bytes, 0, 8, 0);
  }
}

module.exports = { Marker };
