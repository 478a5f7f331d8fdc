//! What happens without anybody asking: access requests and grants expire, and what is old is forgotten.

use std::time::Duration;

use kubestile_core::event::{Accessed, Event};

use crate::access;
use crate::error::ApiError;
use crate::state::{App, ControlState};
use crate::{imports, news, tickets};

/// How soon an expiry is written down. It takes effect by itself, to the second.
const TICK: Duration = Duration::from_secs(1);
/// After so many ticks imports are looked for that have died.
const IMPORTS: u32 = 30;
/// After so many ticks what is old is forgotten.
const PURGE: u32 = 600;

/// Writes down what a restart has withdrawn, then what expires; follows tickets; delivers messages. Until
/// it is dropped.
pub async fn keep(state: ControlState) {
    let app = App::new(state);
    tokio::join!(
        settle(&app),
        tickets::follow(&app),
        news::spread(&app),
        app.outside.notifier.run(),
    );
}

async fn settle(app: &App) {
    for request in app.store.take_left() {
        let mut written = Accessed::new("withdrawn", "the gate", &request);
        written.detail = "the gate was restarted while it waited".to_owned();
        if let Err(error) = app.record(Event::Access(Box::new(written))).await {
            tracing::error!(access = %request.id, %error, "a withdrawal could not be recorded");
        }
    }
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut ticks = 0_u32;
    let mut reminded = app.now();
    loop {
        tick.tick().await;
        ticks = ticks.wrapping_add(1);
        let now = app.now();
        news::late_reviews(app, reminded);
        reminded = now;
        if ticks.is_multiple_of(IMPORTS)
            && let Err(error) = imports::settle(app).await
        {
            tracing::warn!(%error, "imports could not be looked after");
        }
        if let Err(error) = once(app, ticks.is_multiple_of(PURGE)).await {
            tracing::warn!(%error, "access requests and grants could not be looked after");
        }
    }
}

async fn once(app: &App, purge: bool) -> Result<(), ApiError> {
    access::settle(app).await?;
    if purge {
        app.store.purge_access(app.now()).await?;
        app.store.purge_sessions(app.now()).await?;
        app.store.purge_pipelines().await?;
    }
    Ok(())
}
