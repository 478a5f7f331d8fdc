//! What an API server's audit log says of a time without the gate, taken into the gate's own log: a marker,
//! the records, a marker. For the local administrator only.
//!
//! The gate cannot know whether what it is given is true; it sees to it that nothing of it looks like a
//! record of its own, that the markers say where it comes from, and that they count what is there.

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use kubestile_core::event::{Event, Gap, Record, Unfit};
use kubestile_core::{ClusterName, ImportId, Timestamp, Ttl};
use kubestile_store::{ImportRecord, Imports};
use uuid::Uuid;

use crate::api::{
    BATCH_RECORDS, BeginImport, EndImport, ImportBegun, ImportEnded, ImportRecords, ImportWritten,
    SOURCES,
};
use crate::error::ApiError;
use crate::journal::{LOCAL_ADMINISTRATOR, words};
use crate::json::{Body, Segment};
use crate::state::App;

/// An import to which nothing comes for so long has died.
const IDLE: Ttl = Ttl::from_secs(120);
/// How far the clock of an API server may be ahead.
const SKEW: Ttl = Ttl::from_secs(300);
/// Longest reason, and longest name, in characters.
const REASON: usize = 500;
const NAME: usize = 128;

/// Admin: `POST /v1/clusters/{name}/imports`.
pub(crate) async fn begin(
    State(app): State<App>,
    Segment(name): Segment,
    Body(request): Body<BeginImport>,
) -> Result<(StatusCode, Json<ImportBegun>), ApiError> {
    let cluster = known(&app, &name)?;
    let mut gap = marker(&app, cluster, &request)?;
    let imports = app.store.imports().await;
    let earlier = imports.of(&gap.cluster).await?;
    let cut_short = end_idle(&app, &imports, &earlier).await?;
    let mut changed = Vec::new();
    for one in earlier
        .iter()
        .filter(|e| e.gap.overlaps(&gap.from, &gap.until))
    {
        if one.gap.change == Gap::ENDED && !request.again {
            not_again(&one.gap, &gap)?;
        }
        gap.after = gap.after.or(Some(one.gap.import));
        changed.extend(changes(&one.gap, &gap));
    }
    changed.sort();
    changed.dedup();
    let begun = ImportBegun {
        import: gap.import,
        after: gap.after,
        cut_short,
        changed,
    };
    write(&app, &gap).await?;
    let mut kept = gap.clone();
    kept.records = 0;
    let kept = ImportRecord {
        gap: kept,
        announced: request.records,
        touched: app.now(),
    };
    if let Err(error) = imports.put(kept).await {
        let mut gap = gap;
        cut(&mut gap, "the gate's store failed");
        gap.records = 0;
        write(&app, &gap).await?;
        return Err(error.into());
    }
    Ok((StatusCode::CREATED, Json(begun)))
}

/// Admin: `POST /v1/imports/{id}/records`.
pub(crate) async fn records(
    State(app): State<App>,
    Segment(id): Segment,
    Body(request): Body<ImportRecords>,
) -> Result<Json<ImportWritten>, ApiError> {
    let imports = app.store.imports().await;
    let mut import = open(&imports, &id).await?;
    let times = check(&import, &request)?;
    import.touched = app.now();
    let result = append(&app, &mut import.gap, request, &times).await;
    // Also what is there although something failed behind it.
    let written = import.gap.records;
    imports.put(import).await?;
    result?;
    Ok(Json(ImportWritten { written }))
}

/// Admin: `POST /v1/imports/{id}/end`.
pub(crate) async fn end(
    State(app): State<App>,
    Segment(id): Segment,
    Body(request): Body<EndImport>,
) -> Result<Json<ImportEnded>, ApiError> {
    let imports = app.store.imports().await;
    let mut import = open(&imports, &id).await?;
    let failed = words(&request.failed, REASON);
    if !failed.is_empty() {
        cut(&mut import.gap, &failed);
    } else if import.gap.records != import.announced {
        let (written, announced) = (import.gap.records, import.announced);
        cut(
            &mut import.gap,
            &format!("{written} of {announced} records came"),
        );
    } else {
        Gap::ENDED.clone_into(&mut import.gap.change);
    }
    let gap = import.gap.clone();
    write(&app, &gap).await?;
    imports.put(import).await?;
    Ok(Json(ImportEnded { gap }))
}

/// Marks imports that have died, so that nobody takes them for complete.
pub(crate) async fn settle(app: &App) -> Result<(), ApiError> {
    let imports = app.store.imports().await;
    for import in imports.idle_since(before(app.now(), IDLE)).await? {
        end_idle(app, &imports, &[import]).await?;
    }
    Ok(())
}

/// Refuses if one is under way; marks one that has died.
async fn end_idle(
    app: &App,
    imports: &Imports,
    among: &[ImportRecord],
) -> Result<Option<ImportId>, ApiError> {
    let Some(open) = among.iter().find(|i| i.gap.is_open()) else {
        return Ok(None);
    };
    let id = open.gap.import;
    if app.now().since(open.touched) < IDLE {
        let text = format!("the import `{id}` of this cluster is under way");
        let wait =
            format!("if whoever ran it has gone, it ends by itself {IDLE} after their last word");
        return Err(ApiError::new(StatusCode::CONFLICT, text).hint(wait));
    }
    let mut dead = open.clone();
    cut(
        &mut dead.gap,
        "whoever imported has gone, or the gate was restarted",
    );
    write(app, &dead.gap).await?;
    imports.put(dead).await?;
    Ok(Some(id))
}

fn before(now: Timestamp, length: Ttl) -> Timestamp {
    Timestamp::from_micros(now.as_micros().saturating_sub(length.as_micros()))
}

fn cut(gap: &mut Gap, why: &str) {
    Gap::CUT_SHORT.clone_into(&mut gap.change);
    why.clone_into(&mut gap.detail);
}

fn known(app: &App, name: &str) -> Result<ClusterName, ApiError> {
    let clusters = app.cluster_entries().into_iter();
    let found = clusters.map(|c| c.name).find(|c| c.as_str() == name);
    found.ok_or_else(|| {
        ApiError::not_found("there is no such cluster behind this gate")
            .hint("`kubestile cluster list` shows which there are")
    })
}

/// The marker of what is announced.
fn marker(app: &App, cluster: ClusterName, request: &BeginImport) -> Result<Gap, ApiError> {
    let refuse = |text: &str| Err(ApiError::bad_request(text));
    if request.from >= request.until {
        return refuse("the time without a gate begins before it ends");
    }
    if request.until > app.now().plus(SKEW) {
        return refuse("the time without a gate is over before it is imported");
    }
    let reason = words(&request.reason, REASON);
    if reason.is_empty() {
        return refuse("an import needs a reason");
    }
    if request.sources.is_empty() || request.sources.len() > SOURCES {
        return refuse("an import is of 1 to 50 files");
    }
    for source in &request.sources {
        source.check().map_err(unfit)?;
    }
    Ok(Gap {
        change: Gap::BEGAN.to_owned(),
        import: ImportId::from_uuid(Uuid::now_v7()),
        cluster,
        from: request.from.rfc3339(),
        until: request.until.rfc3339(),
        reason,
        by: LOCAL_ADMINISTRATOR.to_owned(),
        named: words(&request.named, NAME),
        sources: request.sources.clone(),
        records: request.records,
        first: String::new(),
        last: String::new(),
        left_out: request.left_out,
        after: None,
        detail: String::new(),
    })
}

/// Whether a file was imported already, whole and for an overlapping time.
fn not_again(earlier: &Gap, gap: &Gap) -> Result<(), ApiError> {
    let was = |sha256: &String| earlier.sources.iter().any(|s| s.sha256 == *sha256);
    let Some(same) = gap.sources.iter().find(|s| was(&s.sha256)) else {
        return Ok(());
    };
    let text = format!(
        "`{}` was imported for this time already: import {}, {} to {}",
        same.name, earlier.import, earlier.from, earlier.until
    );
    Err(ApiError::new(StatusCode::CONFLICT, text)
        .hint("--again imports what is missing; what is there already stays single"))
}

/// Names of files that had other contents then.
fn changes(earlier: &Gap, gap: &Gap) -> Vec<String> {
    let other = |name: &str, sha256: &str| {
        let mut of_name = earlier.sources.iter().filter(|s| s.name == name).peekable();
        of_name.peek().is_some() && of_name.all(|s| s.sha256 != sha256)
    };
    let changed = gap.sources.iter().filter(|s| other(&s.name, &s.sha256));
    changed.map(|s| s.name.clone()).collect()
}

async fn open(imports: &Imports, id: &str) -> Result<ImportRecord, ApiError> {
    let id: Option<ImportId> = id.parse().ok();
    let found = match id {
        Some(id) => imports.get(id).await?,
        None => None,
    };
    match found {
        Some(import) if import.gap.is_open() => Ok(import),
        Some(import) => {
            let text = format!(
                "the import is over: {} {}",
                import.gap.change, import.gap.detail
            );
            Err(ApiError::new(StatusCode::CONFLICT, text.trim_end()))
        }
        None => Err(ApiError::not_found("there is no such import")),
    }
}

/// The records' times, if all of them may be written.
fn check(import: &ImportRecord, request: &ImportRecords) -> Result<Vec<String>, ApiError> {
    let gap = &import.gap;
    if request.records.len() > BATCH_RECORDS {
        return Err(ApiError::bad_request("a call brings at most 100 records"));
    }
    if request.offset != gap.records {
        let text = format!(
            "{} records are written, not {}",
            gap.records, request.offset
        );
        return Err(ApiError::new(StatusCode::CONFLICT, text));
    }
    let more = u64::try_from(request.records.len()).unwrap_or(u64::MAX);
    if gap.records.saturating_add(more) > import.announced {
        return Err(ApiError::bad_request(
            "more records come than were announced",
        ));
    }
    let check = |record: &kubestile_core::event::Imported| {
        record.check(gap.import, &gap.cluster).map_err(unfit)?;
        match gap.from <= record.at && record.at <= gap.until {
            true => Ok(record.at.clone()),
            false => Err(ApiError::bad_request(
                "a record is of another time than the gap",
            )),
        }
    };
    request.records.iter().map(check).collect()
}

/// Writes the records, and counts those that are there.
async fn append(
    app: &App,
    gap: &mut Gap,
    request: ImportRecords,
    times: &[String],
) -> Result<(), ApiError> {
    let mut last = None;
    for (record, at) in request.records.into_iter().zip(times) {
        let record = Record::new(app.now(), Event::Imported(Box::new(record)));
        let appended = app.audit.append_change(&record);
        last = Some(appended.map_err(|e| ApiError::not_recorded(&e))?);
        gap.records += 1;
        if gap.first.is_empty() || *at < gap.first {
            gap.first.clone_from(at);
        }
        if *at > gap.last {
            gap.last.clone_from(at);
        }
    }
    match last {
        // They become durable in their order.
        Some(last) => last.wait().await.map_err(|e| ApiError::not_recorded(&e)),
        None => Ok(()),
    }
}

async fn write(app: &App, gap: &Gap) -> Result<(), ApiError> {
    app.record(Event::Gap(Box::new(gap.clone()))).await
}

fn unfit(unfit: Unfit) -> ApiError {
    ApiError::bad_request(unfit.to_string())
}
