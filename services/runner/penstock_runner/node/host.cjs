'use strict';
// Entry of a worker process for JavaScript: load the folder, say hello, run attempts until the socket closes.
//
// Started as `node host.cjs SOCKET MARKER RUNNER`: two inherited descriptors and the runner's process id.

const { Attempts, catchUncaught } = require('./attempts.cjs');
const { stackOf } = require('./errors.cjs');
const { intercept } = require('./intercept.cjs');
const { route } = require('./lines.cjs');
const { Link } = require('./link.cjs');
const { load, Refused } = require('./load.cjs');
const { Marker } = require('./marker.cjs');
const { Tracing } = require('./tracing.cjs');

/** Set when the runner has said what to load. */
let attempts;
let link;

async function greet(folder) {
  try {
    const found = await load(folder);
    attempts.functions = found.functions;
    link.send(['hello', found.app, found.specs, found.schedules, '']);
  } catch (error) {
    const text = error instanceof Refused ? error.message : stackOf(error) || String(error);
    link.send(['hello', '', [], {}, text]);
    link.end();
  }
}

function onMessage(message) {
  switch (message[0]) {
    case 'setup':
      attempts.scratch = message[3];
      attempts.tracing = new Tracing(message[1]);
      greet(message[1]);
      break;
    case 'run':
      attempts.run(message);
      break;
    case 'cancel':
      attempts.cancel(message[1]);
      break;
    case 'answer':
      attempts.answered(...message.slice(1));
      break;
    default:
    // A newer runner may say more than we know.
  }
}

function main() {
  const [socket, marker] = process.argv.slice(2, 4).map(Number);
  const leave = process.exit.bind(process, 0);
  route();
  catchUncaught();
  intercept();
  link = new Link(socket, onMessage, leave);
  attempts = new Attempts(link, new Marker(marker), '');
}

main();
