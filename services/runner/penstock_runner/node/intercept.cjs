'use strict';
// Packages that this host stands in for: what a function imports under these names comes from here, installed or not.

const Module = require('node:module');
const path = require('node:path');
const { pathToFileURL } = require('node:url');
const { currentContext } = require('./netlify.cjs');

const OURS = Object.fromEntries(
  [
    ['@defer/client', 'defer_client.cjs'],
    ['@netlify/functions', 'netlify_functions.cjs'],
    ['penstock', 'penstock.cjs'],
  ].map(([name, file]) => [name, path.join(__dirname, 'modules', file)]),
);

/** Make `require` and `import` find them. */
function intercept() {
  const resolve = Module._resolveFilename;
  Module._resolveFilename = function resolved(request, ...rest) {
    return Object.hasOwn(OURS, request) ? OURS[request] : resolve.call(this, request, ...rest);
  };
  const urls = Object.fromEntries(Object.entries(OURS).map(([name, file]) => [name, pathToFileURL(file).href]));
  if (typeof Module.registerHooks === 'function') {
    Module.registerHooks({
      resolve: (specifier, context, next) =>
        Object.hasOwn(urls, specifier) ? { url: urls[specifier], shortCircuit: true } : next(specifier, context),
    });
  } else {
    Module.register('./resolve.mjs', { parentURL: pathToFileURL(__filename), data: urls });
  }
  globalThis.Netlify ??= {
    env: {
      get: (name) => process.env[name],
      has: (name) => name in process.env,
      set: (name, value) => {
        process.env[name] = value;
      },
      delete: (name) => {
        delete process.env[name];
      },
      toObject: () => ({ ...process.env }),
    },
    get context() {
      return currentContext();
    },
  };
}

module.exports = { intercept };
