// Reads a JSON list of objects on stdin; prints what the operators' own schemas say against each.
import { readFileSync } from "node:fs";
import { ScaledObject } from "@kubernetes-models/keda/keda.sh/v1alpha1/ScaledObject";
import { TriggerAuthentication } from "@kubernetes-models/keda/keda.sh/v1alpha1/TriggerAuthentication";
import { PodMonitor, PrometheusRule, ServiceMonitor } from "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1";

const known = { ScaledObject, TriggerAuthentication, PodMonitor, PrometheusRule, ServiceMonitor };
for (const one of JSON.parse(readFileSync(0, "utf8"))) {
  try {
    new known[one.kind](one).validate();
  } catch (error) {
    console.log(`${one.kind} ${one.metadata.name}: ${error.message}`);
  }
}
