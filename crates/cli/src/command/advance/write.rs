//! A plan as files in a new directory.

use std::path::Path;

use kubestile_assess::Snapshot;
use kubestile_assess::plan::files::{Content, PlanFile, kustomize, patches};
use kubestile_assess::plan::{Plan, pull_request};
use kubestile_cluster::advance::control_plane::Edit;

use crate::args::advance::Form;
use crate::exit::{During as _, Fail, Outcome};
use crate::files::private_dir;
use crate::output;

pub(super) fn run(
    form: Form,
    dir: Option<&Path>,
    plan: &Plan,
    snapshot: &Snapshot,
    edit: Option<&Edit>,
) -> Outcome {
    let Some(dir) = dir else {
        return Err(Fail::usage("where to write it is not said").hint("name it with --into"));
    };
    if dir.exists() {
        return Err(Fail::usage(format!("`{}` is there already", dir.display()))
            .hint("name a directory that is not there yet: nothing is written over"));
    }
    let mut files = match form {
        Form::Kustomize => kustomize(plan, snapshot),
        _ => patches(plan),
    };
    let mut text = |path: &str, content: String| {
        files.push(PlanFile {
            path: path.to_owned(),
            content: Content::Text(content),
        });
    };
    text("PULL_REQUEST.md", pull_request::body(plan));
    if let Some(edit) = edit {
        text("control-plane.diff", edit.diff());
    }
    private_dir(dir)?;
    for file in &files {
        let path = dir.join(&file.path);
        let content = match &file.content {
            Content::Text(text) => text.clone(),
            Content::Object(object) => serde_saphyr::to_string(object)
                .map_err(|_| Fail::failure(format!("`{}` cannot be written", file.path)))?,
        };
        let write = || {
            if let Some(parent) = path.parent() {
                std::fs::create_dir_all(parent)?;
            }
            std::fs::write(&path, content)
        };
        write().during_with(|| format!("cannot write `{}`", path.display()))?;
    }
    output::talk(&format!("{} file(s) in {}", files.len(), dir.display()));
    if form == Form::Kustomize {
        output::talk(&format!(
            "to see what they make: kubectl kustomize {}",
            dir.display()
        ));
    }
    Ok(())
}
