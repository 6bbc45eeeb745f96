//! Health, metrics and status over HTTP.

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use nft_backend::names::Name;
use nft_backend::nft::Nft;
use nft_backend::rule_counters;
use tokio::net::TcpListener;
use tokio::task::spawn_blocking;

use crate::status::Shared;

/// How the text for Prometheus is announced.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[derive(Debug, Clone)]
struct Site {
    shared: Shared,
    table: Name,
}

/// Serves until the listener fails.
///
/// - `/healthz`: the process answers.
/// - `/readyz`: a first complete view is in force.
/// - `/metrics`: for Prometheus.
/// - `/v1/status`: what is in force, as JSON.
pub async fn serve(listener: TcpListener, shared: Shared, table: Name) -> std::io::Result<()> {
    let site = Site { shared, table };
    axum::serve(listener, router(site)).await
}

/// Serves `/v1/status` alone until the listener fails: it may be heard by others than this node.
pub async fn serve_status(listener: TcpListener, shared: Shared) -> std::io::Result<()> {
    let document = async |State(shared): State<Shared>| Json(shared.document());
    let router = Router::new().route("/v1/status", get(document));
    axum::serve(listener, router.with_state(shared)).await
}

fn router(site: Site) -> Router {
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .route("/v1/status", get(status))
        .with_state(site)
}

async fn ready(State(site): State<Site>) -> impl IntoResponse {
    if site.shared.is_ready() {
        (StatusCode::OK, "ok\n")
    } else {
        let waiting = "the first complete view is not in force yet\n";
        (StatusCode::SERVICE_UNAVAILABLE, waiting)
    }
}

async fn metrics(State(site): State<Site>) -> impl IntoResponse {
    let (table, rules) = (site.table.clone(), site.shared.counted_rules());
    let asked = spawn_blocking(move || {
        let nft = Nft::new();
        let counts = if rules.is_empty() {
            Ok(None)
        } else {
            nft.counts(&table)
        };
        let by_rule = counts.map(|counts| {
            let (_, of_rules) = counts.unwrap_or_default();
            rule_counters::by_rule(&of_rules, rules)
        });
        (nft.counted(&table), by_rule)
    });
    // Without an answer the numbers stay as they were.
    let (counted, by_rule) = asked.await.ok().unzip();
    let counted = counted.and_then(Result::ok).flatten();
    let metrics = site.shared.metrics();
    if let Some(Ok(by_rule)) = by_rule {
        metrics.set_rules(&by_rule);
    }
    metrics.set_now(counted, site.shared.sync_age());
    ([(header::CONTENT_TYPE, OPEN_METRICS)], metrics.text())
}

async fn status(State(site): State<Site>) -> impl IntoResponse {
    Json(site.shared.document())
}
