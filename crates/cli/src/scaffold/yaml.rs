//! The text, with comments that no serializer would write.

use std::fmt::{self, Write};

use anyhow::{Result, bail};
use image::inspect::World;
use image::{Inspection, Need};

use super::Kind;

/// The objects of one kind for a component.
pub fn text(kind: Kind, name: &str, image: &str, seen: &Inspection) -> Result<String> {
    let serves = matches!(seen.world, World::HttpServer(_));
    if matches!(seen.world, World::None) {
        bail!("it exports nothing that can be run");
    }
    if kind == Kind::Service && !serves {
        bail!("it serves no HTTP, so no Service leads to it: choose --kind pod, job or deployment");
    }
    if kind == Kind::Job && serves {
        bail!("it serves HTTP and never ends, which a Job waits for: choose --kind deployment or service");
    }
    let needs = Need::of(seen);
    let mut text = String::new();
    let mut writer = Yaml { out: &mut text, indent: 0 };
    writer.object(kind, name, image, seen, &needs).map_err(|_| anyhow::anyhow!("out of memory"))?;
    Ok(text)
}

struct Yaml<'a> {
    out: &'a mut String,
    indent: usize,
}

impl Yaml<'_> {
    fn line(&mut self, line: &str) -> fmt::Result {
        writeln!(self.out, "{:indent$}{line}", "", indent = self.indent)
    }

    fn within(&mut self, key: &str, body: impl FnOnce(&mut Self) -> fmt::Result) -> fmt::Result {
        self.line(key)?;
        self.indent += 2;
        body(self)?;
        self.indent -= 2;
        Ok(())
    }

    fn object(
        &mut self,
        kind: Kind,
        name: &str,
        image: &str,
        seen: &Inspection,
        needs: &[(Need, String)],
    ) -> fmt::Result {
        let (api, word) = match kind {
            Kind::Pod => ("v1", "Pod"),
            Kind::Deployment | Kind::Service => ("apps/v1", "Deployment"),
            Kind::Job => ("batch/v1", "Job"),
        };
        self.line(&format!("apiVersion: {api}"))?;
        self.line(&format!("kind: {word}"))?;
        match kind {
            Kind::Pod => {
                self.metadata(name, needs)?;
                self.within("spec:", |yaml| yaml.pod(name, image, seen, needs, None))?;
            }
            Kind::Job => {
                self.within("metadata:", |yaml| yaml.line(&format!("name: {name}")))?;
                self.within("spec:", |yaml| yaml.template(name, image, seen, needs, Some("Never")))?;
            }
            Kind::Deployment | Kind::Service => {
                self.within("metadata:", |yaml| yaml.line(&format!("name: {name}")))?;
                self.within("spec:", |yaml| {
                    yaml.line("replicas: 1")?;
                    yaml.line(&format!("selector: {{ matchLabels: {{ app: {name} }} }}"))?;
                    yaml.template(name, image, seen, needs, None)
                })?;
            }
        }
        if kind == Kind::Service {
            self.line("---")?;
            self.line("apiVersion: v1")?;
            self.line("kind: Service")?;
            self.within("metadata:", |yaml| yaml.line(&format!("name: {name}")))?;
            self.within("spec:", |yaml| {
                yaml.line(&format!("selector: {{ app: {name} }}"))?;
                yaml.line("ports: [{ port: 80, targetPort: 8080 }]")
            })?;
        }
        Ok(())
    }

    fn template(
        &mut self,
        name: &str,
        image: &str,
        seen: &Inspection,
        needs: &[(Need, String)],
        restart: Option<&str>,
    ) -> fmt::Result {
        self.within("template:", |yaml| {
            yaml.metadata(name, needs)?;
            yaml.within("spec:", |yaml| yaml.pod(name, image, seen, needs, restart))
        })
    }

    fn metadata(&mut self, name: &str, needs: &[(Need, String)]) -> fmt::Result {
        self.within("metadata:", |yaml| {
            yaml.line(&format!("name: {name}"))?;
            yaml.line(&format!("labels: {{ app: {name} }}"))?;
            let is_annotation = |need| matches!(need, Need::HttpEgress | Need::Sockets | Need::Plug);
            let annotations: Vec<_> = needs.iter().filter(|(need, _)| is_annotation(*need)).collect();
            if annotations.is_empty() {
                return Ok(());
            }
            yaml.line("# It connects to nothing, and nothing is linked to it. Uncomment what it needs, and name that:")?;
            yaml.line("# annotations:")?;
            for (need, why) in annotations {
                yaml.line(&format!("#   {}  # {}", need.example(), why.escape_debug()))?;
            }
            Ok(())
        })
    }

    fn pod(
        &mut self,
        name: &str,
        image: &str,
        seen: &Inspection,
        needs: &[(Need, String)],
        restart: Option<&str>,
    ) -> fmt::Result {
        self.line("runtimeClassName: run-wasm")?;
        self.line("automountServiceAccountToken: false")?;
        self.line("enableServiceLinks: false")?;
        if let Some(restart) = restart {
            self.line(&format!("restartPolicy: {restart}"))?;
        }
        self.within("containers:", |yaml| {
            yaml.line(&format!("- name: {name}"))?;
            yaml.indent += 2;
            yaml.line(&format!("image: {}", quoted(image)))?;
            if let World::Functions(functions) = &seen.world {
                let first = functions.first().map(String::as_str).unwrap_or_default();
                yaml.line(&format!(
                    "command: [{}]  # of its functions",
                    quoted(&format!("/{name}.wasm#{first}"))
                ))?;
            }
            for (need, why) in needs {
                match need {
                    Need::HttpPort => yaml.line("ports: [{ containerPort: 8080 }]")?,
                    Need::Files | Need::Config => {
                        yaml.line(&format!("# {}  # {}", need.example(), why.escape_debug()))?;
                    }
                    Need::Sockets => {
                        yaml.line(&format!(
                            "# ports: [{{ containerPort: 7000 }}]  # {}",
                            why.escape_debug()
                        ))?;
                    }
                    Need::HttpEgress | Need::Plug => {}
                }
            }
            yaml.line("resources: { limits: { memory: 64Mi } }")?;
            yaml.line("securityContext:")?;
            yaml.line("  runAsNonRoot: true")?;
            yaml.line("  runAsUser: 65532")?;
            yaml.line("  runAsGroup: 65532")?;
            yaml.line("  readOnlyRootFilesystem: true")?;
            yaml.line("  allowPrivilegeEscalation: false")?;
            yaml.indent -= 2;
            Ok(())
        })
    }
}

/// A double-quoted scalar: JSON's strings are YAML's.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
