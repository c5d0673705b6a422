'use strict';
// MessagePack, as far as the worker protocol uses it: nil, booleans, numbers, text, bytes, arrays and maps.

const INT_MAX = Number.MAX_SAFE_INTEGER;

/** One value as bytes. Throws TypeError for what has no place in a message. */
function encode(value) {
  const out = new Output();
  write(out, value);
  return out.bytes();
}

/** The one value in these bytes. Throws RangeError when they are cut short, overlong, or no MessagePack. */
function decode(bytes) {
  const input = new Input(bytes);
  const value = read(input);
  if (input.at !== bytes.length) throw new RangeError(`${bytes.length - input.at} bytes too many`);
  return value;
}

class Output {
  constructor() {
    this.buffer = Buffer.allocUnsafe(1024);
    this.at = 0;
  }

  bytes() {
    return this.buffer.subarray(0, this.at);
  }

  /** Where the next `size` bytes go. */
  room(size) {
    const start = this.at;
    this.at += size;
    if (this.at > this.buffer.length) {
      const larger = Buffer.allocUnsafe(Math.max(this.at, this.buffer.length * 2));
      this.buffer.copy(larger, 0, 0, start);
      this.buffer = larger;
    }
    return start;
  }

  byte(value) {
    const at = this.room(1);
    this.buffer[at] = value;
  }

  /** A type byte and its operand of 1, 2 or 4 bytes. */
  sized(type, width, value) {
    const at = this.room(1 + width);
    this.buffer[at] = type;
    this.buffer.writeUIntBE(value, at + 1, width);
  }

  raw(bytes) {
    const at = this.room(bytes.length);
    this.buffer.set(bytes, at);
  }
}

function write(out, value) {
  if (value === null || value === undefined) return out.byte(0xc0);
  switch (typeof value) {
    case 'boolean':
      return out.byte(value ? 0xc3 : 0xc2);
    case 'number':
      return Number.isSafeInteger(value) && !Object.is(value, -0) ? writeInteger(out, value) : writeFloat(out, value);
    case 'string':
      return writeText(out, value);
    case 'object':
      if (value instanceof Uint8Array) return writeBytes(out, value);
      return Array.isArray(value) ? writeArray(out, value) : writeMap(out, value);
    default:
      throw new TypeError(`a ${typeof value} cannot be part of a message`);
  }
}

function writeInteger(out, value) {
  if (value >= 0) {
    if (value < 0x80) return out.byte(value);
    if (value <= 0xff) return out.sized(0xcc, 1, value);
    if (value <= 0xffff) return out.sized(0xcd, 2, value);
    if (value <= 0xffffffff) return out.sized(0xce, 4, value);
    const at = out.room(9);
    out.buffer[at] = 0xcf;
    return out.buffer.writeBigUInt64BE(BigInt(value), at + 1);
  }
  if (value >= -32) return out.byte(value + 0x100);
  const at = out.room(9);
  out.buffer[at] = 0xd3;
  return out.buffer.writeBigInt64BE(BigInt(value), at + 1);
}

function writeFloat(out, value) {
  const at = out.room(9);
  out.buffer[at] = 0xcb;
  out.buffer.writeDoubleBE(value, at + 1);
}

function writeText(out, value) {
  const size = Buffer.byteLength(value);
  if (size < 32) out.byte(0xa0 | size);
  else writeSize(out, size, [0xd9, 0xda, 0xdb]);
  const at = out.room(size);
  out.buffer.write(value, at, size, 'utf8');
}

function writeBytes(out, value) {
  writeSize(out, value.length, [0xc4, 0xc5, 0xc6]);
  out.raw(value);
}

function writeArray(out, value) {
  if (value.length < 16) out.byte(0x90 | value.length);
  else writeSize(out, value.length, [undefined, 0xdc, 0xdd]);
  for (const item of value) write(out, item);
}

function writeMap(out, value) {
  const members = Object.entries(value).filter(([, member]) => member !== undefined);
  if (members.length < 16) out.byte(0x80 | members.length);
  else writeSize(out, members.length, [undefined, 0xde, 0xdf]);
  for (const [key, member] of members) {
    writeText(out, key);
    write(out, member);
  }
}

/** `types` are the type bytes for sizes of 1, 2 and 4 bytes. */
function writeSize(out, size, types) {
  if (size <= 0xff && types[0] !== undefined) return out.sized(types[0], 1, size);
  if (size <= 0xffff) return out.sized(types[1], 2, size);
  return out.sized(types[2], 4, size);
}

class Input {
  constructor(bytes) {
    this.bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
    this.at = 0;
  }

  /** The position of the next `size` bytes, which must be there. */
  take(size) {
    const start = this.at;
    if (start + size > this.bytes.length) throw new RangeError('the message is cut short');
    this.at += size;
    return start;
  }

  unsigned(width) {
    return this.bytes.readUIntBE(this.take(width), width);
  }

  text(size) {
    const start = this.take(size);
    return this.bytes.toString('utf8', start, start + size);
  }

  /** A copy: the buffer that it came in is used again. */
  slice(size) {
    const start = this.take(size);
    return Buffer.from(this.bytes.subarray(start, start + size));
  }
}

function read(input) {
  const type = input.bytes[input.take(1)];
  if (type < 0x80) return type;
  if (type < 0x90) return readMap(input, type & 0x0f);
  if (type < 0xa0) return readArray(input, type & 0x0f);
  if (type < 0xc0) return input.text(type & 0x1f);
  if (type >= 0xe0) return type - 0x100;
  const reader = READERS.get(type);
  if (reader === undefined) throw new RangeError(`0x${type.toString(16)} begins no value of this protocol`);
  return reader(input);
}

const READERS = new Map([
  [0xc0, () => null],
  [0xc2, () => false],
  [0xc3, () => true],
  [0xc4, (input) => input.slice(input.unsigned(1))],
  [0xc5, (input) => input.slice(input.unsigned(2))],
  [0xc6, (input) => input.slice(input.unsigned(4))],
  [0xca, (input) => input.bytes.readFloatBE(input.take(4))],
  [0xcb, (input) => input.bytes.readDoubleBE(input.take(8))],
  [0xcc, (input) => input.unsigned(1)],
  [0xcd, (input) => input.unsigned(2)],
  [0xce, (input) => input.unsigned(4)],
  [0xcf, (input) => whole(input.bytes.readBigUInt64BE(input.take(8)))],
  [0xd0, (input) => input.bytes.readInt8(input.take(1))],
  [0xd1, (input) => input.bytes.readInt16BE(input.take(2))],
  [0xd2, (input) => input.bytes.readInt32BE(input.take(4))],
  [0xd3, (input) => whole(input.bytes.readBigInt64BE(input.take(8)))],
  [0xd9, (input) => input.text(input.unsigned(1))],
  [0xda, (input) => input.text(input.unsigned(2))],
  [0xdb, (input) => input.text(input.unsigned(4))],
  [0xdc, (input) => readArray(input, input.unsigned(2))],
  [0xdd, (input) => readArray(input, input.unsigned(4))],
  [0xde, (input) => readMap(input, input.unsigned(2))],
  [0xdf, (input) => readMap(input, input.unsigned(4))],
]);

/** A number where it is exact, else a BigInt. */
function whole(value) {
  return value <= BigInt(INT_MAX) && value >= -BigInt(INT_MAX) ? Number(value) : value;
}

function readArray(input, size) {
  const items = [];
  for (let index = 0; index < size; index += 1) items.push(read(input));
  return items;
}

function readMap(input, size) {
  const members = {};
  for (let index = 0; index < size; index += 1) {
    const key = read(input);
    // Not by assignment: "__proto__" is a key like any other.
    Object.defineProperty(members, key, { value: read(input), enumerable: true, writable: true, configurable: true });
  }
  return members;
}

module.exports = { encode, decode };
