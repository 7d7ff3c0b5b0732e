//! The generated files as objects of Kubernetes: `ConfigMap`s to mount, and what the prometheus-operator reads.
//!
//! No object states a namespace: it is where they are applied to, `kubectl apply --namespace monitoring -f …`.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_yaml::Value;

use crate::output::GeneratedFile;

/// How long the name of an object may be.
const NAME_LIMIT: usize = 253;

/// Why there are no objects of Kubernetes.
#[derive(Debug, thiserror::Error)]
pub enum KubernetesError {
    /// What would name an object is no name of Kubernetes.
    #[error("`{0}` is no name for an object of Kubernetes: small letters, digits and `-`, no more than 253 of them")]
    Name(String),
    /// An object could not be written as YAML.
    #[error("an object of Kubernetes cannot be written as YAML")]
    Yaml(#[from] serde_yaml::Error),
}

/// What identifies an object.
#[derive(Debug, Serialize)]
pub(crate) struct Metadata {
    name: String,
    labels: BTreeMap<&'static str, &'static str>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<&'static str, &'static str>,
}

/// A file as an object that a pod can mount.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ConfigMap<'a> {
    api_version: &'static str,
    kind: &'static str,
    metadata: Metadata,
    data: BTreeMap<&'a str, &'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PrometheusRule {
    api_version: &'static str,
    kind: &'static str,
    metadata: Metadata,
    spec: Value,
}

/// These files' rules, configuration and templates as objects.
pub(crate) fn files(files: &[GeneratedFile]) -> Result<Vec<GeneratedFile>, KubernetesError> {
    let mut objects = Vec::new();
    for file in files {
        let Some((folder, name)) = file.path.rsplit_once('/') else { continue };
        let stem = name.split('.').next().unwrap_or(name);
        let path = |kind: &str, object: &str| format!("kubernetes/{kind}/{object}.yaml");
        match folder {
            "prometheus" => {
                let object = format!("rules-{stem}");
                objects.push(GeneratedFile::yaml(
                    path("config-maps", &object),
                    &ConfigMap::new(&object, name, &file.contents)?,
                )?);
                objects
                    .push(GeneratedFile::yaml(path("operator", &object), &prometheus_rule(&object, &file.contents)?)?);
            }
            "alertmanager" => {
                objects.push(GeneratedFile::yaml(
                    path("config-maps", stem),
                    &ConfigMap::new(stem, name, &file.contents)?,
                )?);
            }
            // The operator takes templates from a map too.
            "alertmanager/templates" => {
                let object = ConfigMap::new("alertmanager-templates", name, &file.contents)?;
                objects.push(GeneratedFile::yaml(path("config-maps", "alertmanager-templates"), &object)?);
                objects.push(GeneratedFile::yaml(path("operator", "alertmanager-templates"), &object)?);
            }
            _ => {}
        }
    }
    Ok(objects)
}

/// The name of our object for this part.
pub(crate) fn object_name(part: &str) -> Result<String, KubernetesError> {
    let name = format!("futura-{part}");
    let is_label = |label: &str| {
        let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let ends = [label.bytes().next(), label.bytes().last()];
        label.bytes().all(|byte| inner(byte) || byte == b'-') && ends.iter().all(|end| end.is_some_and(inner))
    };
    if name.len() <= NAME_LIMIT && is_label(&name) { Ok(name) } else { Err(KubernetesError::Name(name)) }
}

/// The operator wants under `spec` what stands in a rule file.
fn prometheus_rule(object: &str, contents: &str) -> Result<PrometheusRule, KubernetesError> {
    Ok(PrometheusRule {
        api_version: "monitoring.coreos.com/v1",
        kind: "PrometheusRule",
        metadata: Metadata::new(object_name(object)?),
        spec: serde_yaml::from_str(contents)?,
    })
}

// === impl ConfigMap ===

impl<'a> ConfigMap<'a> {
    /// The map of this part of what is generated, with these contents under this key.
    ///
    /// # Errors
    /// When Kubernetes would refuse the name.
    pub fn new(part: &str, key: &'a str, contents: &'a str) -> Result<Self, KubernetesError> {
        let (metadata, data) = (Metadata::new(object_name(part)?), BTreeMap::from([(key, contents)]));
        Ok(Self { api_version: "v1", kind: "ConfigMap", metadata, data })
    }

    /// With this label besides.
    #[must_use]
    pub fn labeled(mut self, name: &'static str, value: &'static str) -> Self {
        self.metadata.labels.insert(name, value);
        self
    }

    /// With this annotation besides.
    #[must_use]
    pub fn annotated(mut self, name: &'static str, value: &'static str) -> Self {
        self.metadata.annotations.insert(name, value);
        self
    }
}

// === impl Metadata ===

impl Metadata {
    pub(crate) fn new(name: String) -> Self {
        Self { name, labels: BTreeMap::from([("app.kubernetes.io/part-of", "futura")]), annotations: BTreeMap::new() }
    }
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::{GeneratedFile, files, object_name};

    fn rules(path: &str) -> GeneratedFile {
        let contents = "groups:\n- name: own\n  rules:\n  - record: a:b\n    expr: sum(b) # \"'\n".to_owned();
        GeneratedFile { path: path.to_owned(), contents }
    }

    #[test]
    fn rules_become_a_map_and_a_resource() {
        let objects = files(&[rules("prometheus/own.yaml"), rules("prometheus/tests/own.yaml")]).unwrap();
        let texts: Vec<_> = objects.into_iter().map(|object| format!("{}\n{}", object.path, object.contents)).collect();
        assert_snapshot!(texts.join("\n"), @r#"
        kubernetes/config-maps/rules-own.yaml
        # Generated by generate-dashboards. Do not edit.
        apiVersion: v1
        kind: ConfigMap
        metadata:
          name: futura-rules-own
          labels:
            app.kubernetes.io/part-of: futura
        data:
          own.yaml: |
            groups:
            - name: own
              rules:
              - record: a:b
                expr: sum(b) # "'

        kubernetes/operator/rules-own.yaml
        # Generated by generate-dashboards. Do not edit.
        apiVersion: monitoring.coreos.com/v1
        kind: PrometheusRule
        metadata:
          name: futura-rules-own
          labels:
            app.kubernetes.io/part-of: futura
        spec:
          groups:
          - name: own
            rules:
            - record: a:b
              expr: sum(b)
        "#);
    }

    #[test]
    fn what_kubernetes_would_refuse_as_a_name_is_refused_before() {
        let error = files(&[rules("prometheus/Own_rules.yaml")]).unwrap_err();
        assert!(error.to_string().starts_with("`futura-rules-Own_rules` is no name"), "{error}");
        assert!(object_name(&"a".repeat(247)).is_err());
        assert!(object_name("trailing-").is_err());
        assert_eq!(object_name(&"a".repeat(246)).unwrap().len(), 253);
    }
}
