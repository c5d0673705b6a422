"use strict";
// What the scenarios of both clients share: they run at the same time, and what each comes to is printed as one JSON object.

const { setTimeout: pause } = require("node:timers/promises");

// The clients pause up to 15 s between two looks, and take this over when they are loaded.
Math.random = () => 0;

/** The first truthy answer of `look`. */
async function until(look) {
  const deadline = Date.now() + 40_000;
  for (;;) {
    const found = await look();
    if (found) return found;
    if (Date.now() > deadline) throw new Error(`never: ${look}`);
    await pause(30);
  }
}

/** What is thrown, in words that can be printed. */
async function thrown(promise) {
  try {
    return { returned: await promise };
  } catch (error) {
    return { name: error.constructor.name, message: error.message, code: error.code, stack: error.stack };
  }
}

async function run(scenarios) {
  const answers = {};
  const one = async ([name, scenario]) => {
    answers[name] = await scenario().then(
      (value) => ({ value: value ?? null }),
      (error) => ({ error: error?.stack ?? String(error) }),
    );
  };
  await Promise.all(Object.entries(scenarios).map(one));
  return answers;
}

module.exports = { run, thrown, until };
