import { defer } from "@defer/client";

/** Runs every night at two, UTC; the next one is left out while one still runs. */
async function nightlyCleanUp() {
  console.log("nothing to clean up tonight");
}

export default defer.cron(nightlyCleanUp, "0 2 * * *", { concurrency: 1, maxConcurrencyAction: "cancel" });
