// Judges dashboards by the types of Grafana's own package: every key is one that Grafana reads, every value one that it knows.
//
//   node check.mjs DASHBOARD…
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { basename } from "node:path";
import Ajv from "ajv";
import { createGenerator } from "ts-json-schema-generator";

const PANELS = { row: "Row", stat: "Stat", "state-timeline": "StateTimeline", timeseries: "TimeSeries" };

const schema = createGenerator({ path: "types.ts", tsconfig: "tsconfig.json", skipTypeCheck: true, additionalProperties: false }).createSchema("*");
const ajv = new Ajv({ allErrors: true, strict: false });
ajv.addSchema(schema, "grafana");

function faultsOf(name, value, path) {
  const validate = ajv.getSchema(`grafana#/definitions/${name}`);
  validate(value);
  return (validate.errors ?? []).map(({ instancePath, message, params }) => {
    const what = params.additionalProperty ?? params.allowedValues?.join(", ") ?? "";
    return `${path}${instancePath}: ${message} ${what}`.trim();
  });
}

function check(dashboard) {
  const panels = dashboard.panels.flatMap((panel, index) => {
    const path = `/panels/${index}`;
    const name = PANELS[panel.type];
    return name ? faultsOf(name, panel, path) : [`${path}/type: ${panel.type} is none of ${Object.keys(PANELS).join(", ")}`];
  });
  return [...faultsOf("Dashboard", dashboard, ""), ...panels];
}

const files = process.argv.slice(2);
assert.ok(files.length > 0, "no dashboard to judge");
let failed = false;
for (const file of files) {
  const faults = check(JSON.parse(readFileSync(file, "utf8")));
  failed ||= faults.length > 0;
  console.log(`  ${faults.length === 0 ? "ok" : "wrong"} ${basename(file)}`);
  for (const fault of faults) console.log(`    ${fault}`);
}

// A judge that finds nothing must be one that could: of each kind, a fault is planted.
const lines = (dashboard) => dashboard.panels.find(({ type }) => type === "timeseries");
const plants = {
  "a key of the dashboard": (dashboard) => (dashboard.graphToolTip = 1),
  "a key of a panel": (dashboard) => (lines(dashboard).fieldConfigs = {}),
  "an option": (dashboard) => (lines(dashboard).options.legend.displayMode = "grid"),
  "a setting of fields": (dashboard) => (lines(dashboard).fieldConfig.defaults.custom.fillOpacty = 10),
  "a number of Grafana's": (dashboard) => (dashboard.graphTooltip = 3),
  "a link": (dashboard) => delete dashboard.links[0].asDropdown,
};
for (const [what, plant] of Object.entries(plants)) {
  const dashboard = JSON.parse(readFileSync(files.find((file) => lines(JSON.parse(readFileSync(file, "utf8")))), "utf8"));
  plant(dashboard);
  assert.notDeepEqual(check(dashboard), [], `${what} that is wrong was not found`);
}
console.log(`  ${files.length} dashboards, and ${Object.keys(plants).length} planted faults found`);
process.exit(failed ? 1 : 0);
