// What a dashboard's resource may hold: Grafana's own types of its model V2. They are apart from those of the classic model, as
// both call different things alike.
import type * as v2 from "./node_modules/@grafana/schema/dist/types/schema/dashboard/v2/types.spec.gen";

export interface Resource {
  apiVersion: "dashboard.grafana.app/v2";
  kind: "Dashboard";
  metadata: { name: string };
  spec: v2.Spec;
}
