'use strict';
// Which attempt the code that runs now belongs to.

const { AsyncLocalStorage } = require('node:async_hooks');

/** Holds an Attempt in all code that one starts, directly or by callback; undefined outside. */
const current = new AsyncLocalStorage();

module.exports = { current };
