'use strict';
// The functions of a folder: its JavaScript files are loaded, and what they export is looked at.

const fs = require('node:fs');
const path = require('node:path');
const { pathToFileURL } = require('node:url');
const { deferred } = require('./deferred.cjs');
const { netlify } = require('./netlify.cjs');

const EXTENSIONS = ['.js', '.mjs', '.cjs'];
const LEFT_OUT = new Set(['node_modules', '__tests__', '__mocks__']);
const TEST_FILE = /\.(test|spec)\.[cm]?js$/;

/** Somebody has to act before this folder can be served; the message is for them. */
class Refused extends Error {}

/** Everything found: `functions` by name, and what the runner is told about them. Throws Refused. */
async function load(folder) {
  const root = path.resolve(folder);
  const files = filesOf(root);
  const app = appName(root);
  const functions = new Map();
  for (const file of files) {
    const exported = await exportsOf(file);
    for (const declared of [...deferred(file, exported), ...netlify(root, file, exported)]) {
      add(functions, declared, file);
    }
  }
  if (functions.size === 0) throw new Refused(`${root} ${whyNone(root, files)}`);
  const all = [...functions.values()];
  const scheduled = all.filter((declared) => declared.cron !== undefined);
  return {
    app,
    functions,
    specs: all.map(({ spec }) => ({ ...spec, host: 'node' })),
    schedules: Object.fromEntries(
      scheduled.map(({ spec, cron }) => [spec.name, { function: spec.name, rule: { cron }, app }]),
    ),
  };
}

function add(functions, declared, file) {
  const known = functions.get(declared.spec.name);
  // The same function, exported again by an index file.
  if (known !== undefined && known.identity === declared.identity) return;
  if (known !== undefined) {
    throw new Refused(`${file} and ${known.file} both have a function ${declared.spec.name}; rename one.`);
  }
  functions.set(declared.spec.name, { ...declared, file });
}

function filesOf(folder) {
  let entries;
  try {
    entries = fs.readdirSync(folder, { withFileTypes: true });
  } catch (error) {
    throw new Refused(`The folder ${folder} cannot be read: ${error.message}.`);
  }
  const found = [];
  for (const entry of entries.sort((one, other) => (one.name < other.name ? -1 : 1))) {
    const file = path.join(folder, entry.name);
    if (entry.name.startsWith('.') || LEFT_OUT.has(entry.name)) continue;
    if (fs.statSync(file, { throwIfNoEntry: false })?.isDirectory()) found.push(...filesOf(file));
    else if (EXTENSIONS.includes(path.extname(file)) && !TEST_FILE.test(file)) found.push(file);
  }
  return found;
}

/** Exported name -> value, whichever kind of module it is. */
async function exportsOf(file) {
  const loaded = await import(pathToFileURL(file));
  const commonjs = require.cache[fs.realpathSync(file)];
  if (commonjs === undefined) return { ...loaded };
  // `import` does not see every export of a CommonJS module by its name.
  const own = commonjs.exports;
  return typeof own === 'function' ? { default: own, ...own } : { ...own };
}

function whyNone(root, files) {
  if (files.length > 0) {
    return `has no functions: no file exports one made by defer(...), and none at its top exports a Netlify handler.`;
  }
  const hasTypeScript = fs.readdirSync(root).some((name) => /\.[cm]?tsx?$/.test(name));
  return hasTypeScript
    ? 'holds TypeScript; compile it to JavaScript first and name the folder that the compiler writes.'
    : 'holds no .js, .mjs or .cjs file.';
}

/** The name under which schedules are declared: that of package.json, else of the folder. */
function appName(root) {
  let name = path.basename(root);
  try {
    name = JSON.parse(fs.readFileSync(path.join(root, 'package.json'), 'utf8')).name ?? name;
  } catch {
    // Without a package.json the folder's name serves.
  }
  return name.replace(/^@/, '').replace(/[^A-Za-z0-9_-]/g, '-').slice(0, 64) || 'node';
}

module.exports = { load, Refused };
