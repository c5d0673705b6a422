"use strict";
// What a user of @defer/client 2 does, method by method; the answers are judged in Python.

const { run, thrown, until } = require("../scenarios.cjs");
const { randomUUID } = require("node:crypto");
const { mkdtempSync, writeFileSync } = require("node:fs");
const { join } = require("node:path");
const defer = require("@defer/client");
const { asNextRoute } = require("@defer/client/next");
const theirs = require("./defer/greetings.js");

const { assignOptions, awaitResult, cancelExecution, getExecution, getExecutionResult } = defer;
const { listExecutionAttempts, listExecutions, reRunExecution, rescheduleExecution } = defer;
const stays = defer.defer(async function stays() {});
const NEVER = "0198f0c0a0b07c0d8e0f101112131415";
const folder = mkdtempSync(join(process.cwd(), "files-"));

const isIn = (state) => async (execution) => (await getExecution(execution.id)).state === state;
const reached = async (execution, state) => {
  await until(() => isIn(state)(execution));
  return execution;
};
const ended = (execution) => reached(execution, "succeed");
const later = (fn) => assignOptions(fn, { delay: "1h" });
const tagged = (fn, tag, more) => assignOptions(fn, { metadata: { tag }, ...more });
const isInAnHour = (made, asked) => made.scheduledAt - 3_600_000 >= asked && made.scheduledAt - 3_600_000 <= Date.now();
const withTag = (...values) => ({ metadata: [{ key: "tag", values }] });
const ids = (page) => page.data.map((each) => each.id);

/** One of each state that lasts, and what belongs to it. */
async function inState(state) {
  if (state === "created") return later(theirs.hello)("x");
  if (state === "started") return reached(await stays(), "started");
  if (state === "succeed") return ended(await theirs.hello("x"));
  if (state === "failed") return reached(await theirs.fails("broken"), "failed");
  if (state === "discarded") return reached(await assignOptions(theirs.hello, { delay: "1h", discardAfter: "300ms" })("x"), state);
  const made = await inState(state === "cancelled" ? "created" : "started");
  await cancelExecution(made.id, true);
  return reached(made, state);
}

const scenarios = {
  async enqueue() {
    const made = await theirs.hello("Ada");
    const found = await getExecution(made.id);
    return { made, found, result: await getExecutionResult((await ended(made)).id) };
  },

  async python() {
    const add = defer.defer(async function add() {});
    return getExecutionResult((await ended(await add(1, 2))).id);
  },

  async delay() {
    const asked = Date.now();
    const byDuration = await later(theirs.hello)("x");
    const instant = new Date(asked + 7_200_000);
    const byDate = await assignOptions(theirs.hello, { delay: instant })("x");
    const past = await assignOptions(theirs.hello, { delay: new Date(asked - 60_000) })("x");
    return {
      inAnHour: isInAnHour(byDuration, asked),
      state: byDuration.state,
      exact: byDate.scheduledAt.getTime() === instant.getTime(),
      past: (await getExecution((await ended(past)).id)).state,
    };
  },

  async options() {
    const asked = Date.now();
    const [one, two] = [randomUUID(), randomUUID()];
    const first = assignOptions(theirs.hello, { delay: "1h", metadata: { tag: one } });
    const made = await assignOptions(first, { metadata: { tag: two, other: "1" } })("x");
    const old = await defer.addMetadata(defer.delay(theirs.hello, "1h"), { tag: one })("x");
    return {
      inAnHour: isInAnHour(made, asked),
      one: ids(await listExecutions({}, withTag(one))).map((id) => id === old.id),
      two: ids(await listExecutions({}, withTag(two))).map((id) => id === made.id),
    };
  },

  async badMetadata() {
    const many = Object.fromEntries(Array.from({ length: 26 }, (_, n) => [`k${n}`, "v"]));
    const given = [{ n: 1 }, { n: "" }, { n: "é" }, many];
    return Promise.all(given.map((metadata) => thrown(assignOptions(theirs.hello, { metadata })("x"))));
  },

  async discard() {
    const made = await inState("discarded");
    const old = await defer.discardAfter(later(theirs.hello), "300ms")("x");
    return { result: await thrown(getExecutionResult(made.id)), old: (await reached(old, "discarded")) && "discarded" };
  },

  async results() {
    const values = ["text", 0, false, "", null, { deep: [1.5, "ä€😀", null] }, [[]]];
    const made = await Promise.all(values.map((value) => theirs.echo(value)));
    return { wanted: values, got: await Promise.all(made.map(async (each) => getExecutionResult((await ended(each)).id))) };
  },

  async large() {
    const text = "ä".repeat(500_000);
    const made = await ended(await theirs.echo(text));
    return (await getExecutionResult(made.id)) === text;
  },

  async noResult() {
    const answers = {};
    for (const state of ["created", "started", "cancelled", "aborted"]) {
      answers[state] = await thrown(getExecutionResult((await inState(state)).id));
    }
    return answers;
  },

  async nothing() {
    return { result: await getExecutionResult((await ended(await theirs.nothing())).id) };
  },

  async failure() {
    return getExecutionResult((await inState("failed")).id);
  },

  awaitResult: () => awaitResult(theirs.hello)("Ada"),

  awaitFailure: () => thrown(awaitResult(theirs.fails)("out of luck")),

  async awaitOverRetries() {
    const file = join(folder, "needed");
    const answer = awaitResult(tagged(theirs.needsFile, file))(file);
    const waits = await until(async () => (await listExecutions({}, withTag(file))).data[0]);
    await until(async () => (await listExecutionAttempts(waits.id)).data.length > 2);
    writeFileSync(file, "");
    return answer;
  },

  awaitFailedRetries: () => thrown(awaitResult(theirs.failsTwice)("still broken")),

  awaitDiscarded: () => thrown(awaitResult(assignOptions(theirs.hello, { delay: "1h", discardAfter: "300ms" }))("x")),

  async cancelCreated() {
    const plain = await later(theirs.hello)("x");
    const forced = await later(theirs.hello)("x");
    return [(await cancelExecution(plain.id)).state, (await cancelExecution(forced.id, true)).state];
  },

  async cancelStarted() {
    const made = await inState("started");
    const refused = await thrown(cancelExecution(made.id));
    const accepted = await cancelExecution(made.id, true);
    await reached(made, "aborted");
    return { refused, state: accepted.state };
  },

  async cancelAborting() {
    const file = join(folder, "place");
    const book = defer.defer(async function book() {});
    const made = await reached(await book(file), "started");
    const steps = async () => (await fetch(`${process.env.DEFER_ENDPOINT}/v1/executions/${made.id}/steps`, {
      headers: { authorization: `Bearer ${process.env.DEFER_TOKEN}` },
    })).json();
    await until(async () => (await steps()).data?.some((step) => step.state === "completed"));
    const first = (await cancelExecution(made.id, true)).state;
    const again = await thrown(cancelExecution(made.id, true));
    const gently = await thrown(cancelExecution(made.id));
    writeFileSync(file, "");
    await reached(made, "aborted");
    return { first, again, gently };
  },

  async cancelFinal() {
    const answers = {};
    for (const state of ["succeed", "failed", "cancelled", "aborted", "discarded"]) {
      const made = await inState(state);
      answers[state] = [await thrown(cancelExecution(made.id)), await thrown(cancelExecution(made.id, true))];
    }
    return answers;
  },

  async cancelWithAnObject() {
    return thrown(cancelExecution((await later(theirs.hello)("x")).id, { force: true }));
  },

  async reschedule() {
    const made = await later(theirs.hello)("x");
    const instant = new Date(Date.now() + 7_200_000);
    const moved = await rescheduleExecution(made.id, instant);
    const found = await getExecution(made.id);
    const now = await rescheduleExecution(made.id);
    await ended(now);
    return {
      exact: [moved, found].map((each) => each.scheduledAt.getTime() === instant.getTime()),
      updated: moved.updatedAt > made.updatedAt,
      created: found.createdAt.getTime() === made.createdAt.getTime(),
      state: now.state,
    };
  },

  async rescheduleTooLate() {
    const answers = {};
    for (const state of ["started", "succeed", "cancelled"]) {
      answers[state] = await thrown(rescheduleExecution((await inState(state)).id, "1h"));
    }
    return answers;
  },

  async rerun() {
    const answers = {};
    for (const state of ["succeed", "failed", "created", "cancelled"]) {
      const made = await inState(state);
      const before = await getExecution(made.id);
      const again = await reRunExecution(made.id);
      await until(async () => ["succeed", "failed"].includes((await getExecution(again.id)).state));
      answers[state] = {
        isNew: again.id !== made.id,
        state: again.state,
        end: (await getExecution(again.id)).state,
        attempts: (await listExecutionAttempts(again.id)).data.length,
        untouched: JSON.stringify(before) === JSON.stringify(await getExecution(made.id)),
      };
    }
    return answers;
  },

  async attempts() {
    const made = await reached(await theirs.failsTwice("still broken"), "failed");
    const listed = await listExecutionAttempts(made.id);
    const own = listed.data.map((each) => each.id);
    return {
      states: listed.data.map((each) => each.state),
      unlike: new Set([made.id, ...own]).size,
      pageInfo: listed.pageInfo,
      found: await Promise.all(own.map(async (id) => (await getExecution(id)).state)),
      messages: await Promise.all(own.map(async (id) => (await getExecutionResult(id)).message)),
      failed: (await listExecutionAttempts(made.id, { first: 1 }, { states: ["failed"] })).data.length,
      none: (await listExecutionAttempts(made.id, {}, { states: ["succeed"] })).data.length,
      tries: (await defer.getExecutionTries(made.id)).data.length,
      single: (await listExecutionAttempts((await later(theirs.hello)("x")).id)).data.map((each) => each.state),
    };
  },

  async pages() {
    const tag = randomUUID();
    const made = [];
    for (const n of [1, 2, 3, 4, 5]) made.push((await tagged(theirs.hello, tag, { delay: "1h" })(n)).id);
    const list = (page) => listExecutions(page, withTag(tag));
    const numbers = (page) => ids(page).map((id) => made.indexOf(id) + 1);
    const newest = await list({ first: 2 });
    const middle = await list({ first: 2, after: newest.pageInfo.endCursor });
    await tagged(theirs.hello, tag, { delay: "1h" })("meanwhile");
    const oldest = await list({ first: 2, after: middle.pageInfo.endCursor });
    const back = await list({ last: 2, before: oldest.pageInfo.startCursor });
    const front = await list({ last: 5, before: back.pageInfo.startCursor });
    const tail = await list({ last: 2 });
    const named = Object.entries({ newest, middle, oldest, back, front, tail });
    return {
      ...Object.fromEntries(named.map(([name, page]) => [name, [numbers(page), page.pageInfo.hasPrevPage, page.pageInfo.hasNextPage]])),
      all: numbers(await list()),
      none: await listExecutions({ first: 2 }, withTag("nobody has this")),
      negative: await thrown(list({ first: -1 })),
    };
  },

  async filters() {
    const [tag, other] = [randomUUID(), randomUUID()];
    const from = new Date();
    const delayed = await tagged(theirs.hello, tag, { delay: "2h" })("x");
    const failed = await reached(await tagged(theirs.fails, tag)("x"), "failed");
    const late = await reached(await tagged(theirs.tooLong, tag)(), "failed");
    const good = await ended(await assignOptions(theirs.echo, { metadata: { tag: other, kind: "a" } })("x"));
    const cancelled = await tagged(theirs.hello, tag, { delay: "1h" })("x");
    await cancelExecution(cancelled.id);
    const aborted = await reached(await tagged(stays, tag)(), "started");
    await cancelExecution(aborted.id, true);
    await reached(aborted, "aborted");
    const all = { delayed, failed, late, good, cancelled, aborted };
    const list = async (filters, ...tags) => {
      const page = await listExecutions({}, { ...withTag(...(tags.length > 0 ? tags : [tag, other])), ...filters });
      return ids(page).map((id) => Object.keys(all).find((name) => all[name].id === id)).sort();
    };
    const hour = 3_600_000;
    const soon = new Date(Date.now() + hour / 2);
    return {
      all: await list({}),
      one: await list({}, other),
      both: ids(await listExecutions({}, { metadata: [...withTag(tag).metadata, { key: "kind", values: ["a"] }] })),
      created: await list({ states: ["created"] }),
      failed: await list({ states: ["failed", "succeed"] }),
      cancelled: await list({ states: ["cancelled"] }),
      aborted: await list({ states: ["aborted"] }),
      functions: await list({ functionIds: [good.functionId, failed.functionId] }),
      threw: await list({ errorCodes: ["ER0003"] }),
      tooLong: await list({ errorCodes: ["ER0001", "ER0002"] }),
      later: await list({ scheduleAt: { from: new Date(delayed.scheduledAt - 1000) } }),
      until: await list({ scheduleAt: { from, to: soon }, states: ["failed"] }),
      started: await list({ startedAt: { from } }),
      notStarted: await list({ startedAt: { to: from } }),
      empty: await list({ states: [], functionIds: [], errorCodes: [] }),
      unknown: await thrown(list({ states: ["succeeded"] })),
    };
  },

  async executedBy() {
    const tag = randomUUID();
    const parent = await ended(await theirs.family(tag));
    const child = await getExecutionResult(parent.id);
    const found = await listExecutions({}, { executedBy: parent.id });
    const byAttempt = await listExecutions({}, { executedBy: (await listExecutionAttempts(parent.id)).data[0].id });
    return { child: ids(found).map((id) => id === child), byAttempt: ids(byAttempt).map((id) => id === child) };
  },

  async unknownIds() {
    const calls = [getExecution, getExecutionResult, cancelExecution, rescheduleExecution, reRunExecution, listExecutionAttempts];
    const answers = {};
    for (const id of [NEVER, "AYcQoW-never", `${NEVER}-1`]) {
      answers[id] = await Promise.all(calls.map((call) => thrown(call(id))));
    }
    return answers;
  },

  async unknownFunction() {
    return thrown(defer.defer(async function nowhere() {})());
  },

  async cron() {
    return getExecutionResult((await ended(await theirs.nightly())).id);
  },

  async nextRoute() {
    const route = asNextRoute(theirs.hello);
    const failing = asNextRoute(theirs.fails);
    const post = async (handlers, args) => (await handlers.PostHandler({ json: async () => args })).json();
    const get = async (id) => {
      const answer = await route.GetHandler({ nextUrl: new URL(`http://site/api?id=${id}`) });
      return { status: answer.status, ...(await answer.json()) };
    };
    const [good, bad] = [await post(route, ["Ada"]), await post(failing, ["broken"])];
    await until(() => isIn("succeed")(good));
    await until(() => isIn("failed")(bad));
    const waiting = await post(asNextRoute(later(theirs.hello)), ["x"]);
    return { good: await get(good.id), bad: await get(bad.id), waiting: await get(waiting.id), unknown: await get(NEVER) };
  },
};

(async () => {
  const answers = await run(scenarios);
  process.env.DEFER_TOKEN = "wrong";
  Object.assign(answers, await run({ wrongToken: () => thrown(theirs.hello("x")), wrongTokenGet: () => thrown(getExecution(NEVER)) }));
  process.stdout.write(JSON.stringify(answers));
})();
