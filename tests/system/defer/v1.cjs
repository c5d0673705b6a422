"use strict";
// What a user of @defer/client 1 does, method by method; the answers are judged in Python.

const { run, thrown, until } = require("../scenarios.cjs");
const { mkdtempSync, writeFileSync } = require("node:fs");
const { join } = require("node:path");
const defer = require("@defer/client");
const { asNextRoute } = require("@defer/client/next");
const theirs = require("./defer/greetings.js");

const { assignOptions, awaitResult, cancelExecution, getExecution, getExecutionTries, rescheduleExecution } = defer;
const stays = defer.defer(async function stays() {});
const NEVER = "0198f0c0a0b07c0d8e0f101112131415";
const folder = mkdtempSync(join(process.cwd(), "files-"));

const reached = (made, ...states) =>
  until(async () => {
    const found = await getExecution(made.id);
    return states.includes(found.state) && found;
  });
const later = (fn) => assignOptions(fn, { delay: "1h" });

const scenarios = {
  async enqueue() {
    const made = await theirs.hello("Ada");
    return { made: Object.keys(made), found: await reached(made, "succeed"), isSame: (await getExecution(made.id)).id === made.id };
  },

  async options() {
    const made = await assignOptions(theirs.hello, { delay: "1h", metadata: { user: "u1" }, discardAfter: "300ms" })("x");
    return reached(made, "discarded").then((found) => ({ state: found.state, hasResult: "result" in found }));
  },

  async results() {
    const values = ["text", 0, false, "", null, { deep: [1.5, "ä€😀"] }];
    const made = await Promise.all(values.map((value) => theirs.echo(value)));
    return { wanted: values, got: await Promise.all(made.map(async (each) => (await reached(each, "succeed")).result)) };
  },

  async failure() {
    return (await reached(await theirs.fails("broken"), "failed")).result;
  },

  awaitResult: () => awaitResult(theirs.hello)("Ada"),

  awaitFailure: () => thrown(awaitResult(theirs.fails)("out of luck")),

  async awaitOverRetries() {
    const file = join(folder, "needed");
    const answer = awaitResult(theirs.needsFile)(file);
    setTimeout(() => writeFileSync(file, ""), 700);
    return answer;
  },

  async cancel() {
    const created = await later(theirs.hello)("x");
    const plain = await cancelExecution(created.id);
    const started = await reached(await stays(), "started");
    const refused = await thrown(cancelExecution(started.id));
    const forced = await cancelExecution(started.id, true);
    return {
      plain: plain.id === created.id,
      state: (await getExecution(created.id)).state,
      refused,
      forced: forced.id === started.id,
      end: (await reached(started, "aborted")).state,
      again: await thrown(cancelExecution(started.id, true)),
    };
  },

  async reschedule() {
    const made = await later(theirs.hello)("x");
    await rescheduleExecution(made.id, "2h");
    const state = (await getExecution(made.id)).state;
    await rescheduleExecution(made.id);
    const found = await reached(made, "succeed");
    return { state, result: found.result, tooLate: await thrown(rescheduleExecution(made.id)) };
  },

  async tries() {
    const made = await theirs.failsTwice("still broken");
    await reached(made, "failed");
    const tries = await getExecutionTries(made.id);
    const own = await Promise.all(tries.map((each) => getExecution(each.id)));
    return { tries: tries.map((each) => [Object.keys(each).sort(), each.state]), messages: own.map((each) => each.result.message) };
  },

  async unknown() {
    const calls = [getExecution, cancelExecution, rescheduleExecution, getExecutionTries];
    return {
      ids: await Promise.all(calls.map((call) => thrown(call(NEVER)))),
      function: await thrown(defer.defer(async function nowhere() {})()),
    };
  },

  async nextRoute() {
    const route = asNextRoute(theirs.hello);
    const made = await (await route.PostHandler({ json: async () => ["Ada"] })).json();
    await reached(made, "succeed");
    return (await route.GetHandler({ nextUrl: new URL(`http://site/api?id=${made.id}`) })).json();
  },
};

(async () => {
  const answers = await run(scenarios);
  process.env.DEFER_TOKEN = "wrong";
  Object.assign(answers, await run({ wrongToken: () => thrown(theirs.hello("x")) }));
  process.stdout.write(JSON.stringify(answers));
})();
