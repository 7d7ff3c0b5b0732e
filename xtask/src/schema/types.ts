// What the dashboards may hold: Grafana's own types, its panels with their options, its data source with its queries.
import type * as base from "./node_modules/@grafana/schema/dist/types/raw/dashboard/x/types.gen";
import type * as stat from "./node_modules/@grafana/schema/dist/types/raw/composable/stat/panelcfg/x/types.gen";
import type * as timeline from "./node_modules/@grafana/schema/dist/types/raw/composable/statetimeline/panelcfg/x/types.gen";
import type * as timeseries from "./node_modules/@grafana/schema/dist/types/raw/composable/timeseries/panelcfg/x/types.gen";

// The package has no types for Prometheus's queries; these are what Grafana's data source reads.
export interface PrometheusQuery {
  expr: string;
  legendFormat: string;
  range?: boolean;
  instant?: boolean;
  exemplar?: boolean;
}

interface Query extends PrometheusQuery {
  refId: string;
  datasource: base.DataSourceRef;
}

interface Annotation extends base.AnnotationQuery {
  expr: string;
  titleFormat: string;
  textFormat: string;
}

// Of each module's types, `Options` and `FieldConfig`, the schema would have but one: so each gets a name of its own.
interface StatOptions extends stat.Options {}
interface TimelineOptions extends timeline.Options {}
interface TimelineStyle extends timeline.FieldConfig {}
interface LinesOptions extends timeseries.Options {}
interface LinesStyle extends timeseries.FieldConfig {}

type Defaults = Omit<base.FieldConfig, "custom">;

interface Panel extends Omit<base.Panel, "type" | "options" | "fieldConfig" | "targets"> {
  targets: Query[];
}

// What draws a panel is the same in both models, where the types of the model V2 let everything pass.
export interface TimeSeriesLook {
  options: LinesOptions;
  fieldConfig: { defaults: Defaults & { custom: LinesStyle }; overrides: base.FieldConfigSource["overrides"] };
}

export interface StatLook {
  options: StatOptions;
  fieldConfig: { defaults: Defaults; overrides: base.FieldConfigSource["overrides"] };
}

export interface StateTimelineLook {
  options: TimelineOptions;
  fieldConfig: { defaults: Defaults & { custom: TimelineStyle }; overrides: base.FieldConfigSource["overrides"] };
}

export interface TimeSeries extends Panel, TimeSeriesLook {
  type: "timeseries";
}

export interface Stat extends Panel, StatLook {
  type: "stat";
}

export interface StateTimeline extends Panel, StateTimelineLook {
  type: "state-timeline";
}

export type Row = base.RowPanel;

export interface Dashboard extends Omit<base.Dashboard, "panels" | "annotations"> {
  uid: string;
  annotations: { list: Annotation[] };
  // Each is judged as what its type says it is.
  panels: unknown[];
}
