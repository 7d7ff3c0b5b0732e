// Judges dashboards by the types of Grafana's own package: every key is one that Grafana reads, every value one that it knows.
//
//   node check.mjs DASHBOARD…
//
// A dashboard is in the classic model, or a resource in the model V2.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import Ajv from "ajv";
import { createGenerator } from "ts-json-schema-generator";

const PANELS = { stat: "Stat", "state-timeline": "StateTimeline", timeseries: "TimeSeries" };

const ajv = new Ajv({ allErrors: true, strict: false });
for (const [name, path] of [["classic", "types.ts"], ["v2", "resource.ts"]]) {
  const options = { path, tsconfig: "tsconfig.json", skipTypeCheck: true, additionalProperties: false };
  ajv.addSchema(createGenerator(options).createSchema("*"), name);
}

function faultsOf(type, value, path) {
  const validate = ajv.getSchema(type);
  validate(value);
  return (validate.errors ?? []).map(({ instancePath, message, params }) => {
    const what = params.additionalProperty ?? params.allowedValues?.join(", ") ?? "";
    return `${path}${instancePath}: ${message} ${what}`.trim();
  });
}

function unknownPanel(path, type) {
  return [`${path}: ${type} is none of ${Object.keys(PANELS).join(", ")}`];
}

function classicFaults(dashboard) {
  const panels = dashboard.panels.flatMap((panel, index) => {
    const path = `/panels/${index}`;
    const name = panel.type === "row" ? "Row" : PANELS[panel.type];
    return name ? faultsOf(`classic#/definitions/${name}`, panel, path) : unknownPanel(`${path}/type`, panel.type);
  });
  return [...faultsOf("classic#/definitions/Dashboard", dashboard, ""), ...panels];
}

// The types let pass whatever a plugin reads, and every name of a panel: those are judged besides.
function resourceFaults(resource) {
  const { elements, layout } = resource.spec;
  const panels = Object.entries(elements).flatMap(([key, { spec }]) => {
    const path = `/spec/elements/${key}/spec`;
    const { group, spec: look } = spec.vizConfig;
    const queries = spec.data.spec.queries.flatMap(({ spec: { query } }, index) =>
      faultsOf("classic#/definitions/PrometheusQuery", query.spec, `${path}/data/spec/queries/${index}/spec/query/spec`),
    );
    const name = PANELS[group];
    const drawn = name
      ? faultsOf(`classic#/definitions/${name}Look`, look, `${path}/vizConfig/spec`)
      : unknownPanel(`${path}/vizConfig/group`, group);
    return [...queries, ...drawn];
  });
  const grids = layout.kind === "RowsLayout" ? layout.spec.rows.map(({ spec }) => spec.layout) : [layout];
  const placed = grids.flatMap(({ spec }) => spec.items.map(({ spec: { element } }) => element.name)).sort();
  const lost = placed.join() === Object.keys(elements).sort().join() ? [] : ["/spec/layout: it places other panels than there are"];
  return [...faultsOf("v2#/definitions/Resource", resource, ""), ...panels, ...lost];
}

const isResource = (dashboard) => dashboard.apiVersion !== undefined;
const faultsIn = (dashboard) => (isResource(dashboard) ? resourceFaults : classicFaults)(dashboard);
const read = (file) => JSON.parse(readFileSync(file, "utf8"));

const files = process.argv.slice(2);
assert.ok(files.length > 0, "no dashboard to judge");
let failed = false;
for (const file of files) {
  const faults = faultsIn(read(file));
  failed ||= faults.length > 0;
  console.log(`  ${faults.length === 0 ? "ok" : "wrong"} ${file.split("/").slice(-2).join("/")}`);
  for (const fault of faults) console.log(`    ${fault}`);
}

// A judge that finds nothing must be one that could: of each kind, a fault is planted.
const lines = (dashboard) => dashboard.panels.find(({ type }) => type === "timeseries");
const drawn = ({ spec }) => Object.values(spec.elements).find(({ spec }) => spec.vizConfig.group === "timeseries").spec;
const plants = {
  "a key of the dashboard": (dashboard) => (dashboard.graphToolTip = 1),
  "a key of a panel": (dashboard) => (lines(dashboard).fieldConfigs = {}),
  "an option": (dashboard) => (lines(dashboard).options.legend.displayMode = "grid"),
  "a setting of fields": (dashboard) => (lines(dashboard).fieldConfig.defaults.custom.fillOpacty = 10),
  "a number of Grafana's": (dashboard) => (dashboard.graphTooltip = 3),
  "a link": (dashboard) => delete dashboard.links[0].asDropdown,
};
const resourcePlants = {
  "a key of the resource": ({ spec }) => (spec.cursorsync = "Crosshair"),
  "a word of the model": ({ spec }) => (spec.variables.find(({ kind }) => kind === "QueryVariable").spec.sort = "alphabetical"),
  "a kind": (resource) => (drawn(resource).data.kind = "Queries"),
  "what a query asks": (resource) => (drawn(resource).data.spec.queries[0].spec.query.spec.expression = "up"),
  "an option of what draws": (resource) => (drawn(resource).vizConfig.spec.options.legend.displayMode = "grid"),
  "a panel's name": ({ spec }) => (spec.elements["panel-0"] = Object.values(spec.elements)[0]),
};
function plantIn(suited, plants) {
  const file = files.find((file) => suited(read(file)));
  assert.ok(file, "no dashboard to plant faults in");
  for (const [what, plant] of Object.entries(plants)) {
    const dashboard = read(file);
    plant(dashboard);
    assert.notDeepEqual(faultsIn(dashboard), [], `${what} that is wrong was not found`);
  }
  return Object.keys(plants).length;
}
const hasChoices = ({ spec }) => spec.variables.some(({ kind }) => kind === "QueryVariable");
const planted =
  plantIn((dashboard) => !isResource(dashboard) && lines(dashboard), plants) +
  plantIn((dashboard) => isResource(dashboard) && hasChoices(dashboard) && drawn(dashboard), resourcePlants);
console.log(`  ${files.length} dashboards, and ${planted} planted faults found`);
process.exit(failed ? 1 : 0);
