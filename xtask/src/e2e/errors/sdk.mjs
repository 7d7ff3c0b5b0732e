// Reports events by Sentry's SDK for Node: sdk.mjs DSN COUNT. Prints their ids, a line each.
import * as Sentry from "@sentry/node";

const [dsn, count] = process.argv.slice(2);
Sentry.init({ dsn, defaultIntegrations: false, transportOptions: { bufferSize: 10_000 } });
for (let number = 0; number < Number(count); number++) {
  console.log(Sentry.captureException(new Error(`node order ${number} failed`)));
}
if (!(await Sentry.flush(60_000))) process.exitCode = 1;
