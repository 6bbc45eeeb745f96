//! Joins the parts of the agent and runs them until it is told to stop.

use std::convert::Infallible;

use anyhow::{Context, bail};
use nft_backend::names::Name;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, oneshot, watch as channel};
use tokio::task::{JoinError, JoinSet, spawn_blocking};

use crate::args::{self, Http, Mode, Run};
use crate::client::client;
use crate::cni;
use crate::cni::desk::Desk;
use crate::cni::leases::Leases;
use crate::dataplane::{Opened, open};
use crate::enforcer::Enforcer;
use crate::install::{self, InstallError, Installer};
use crate::state::Store;
use crate::status::Shared;
use crate::sync::{self, Alarm, SyncError, Timing};
use crate::{http, quarantine, report, spoofing, topology, watch};

/// How many batches may wait between watches and sync; watches pause when there are more.
const QUEUE: usize = 1024;

/// Enforces the policies of a cluster for one node until SIGTERM or SIGINT. The rules stay in force after that.
///
/// # Errors
/// When it cannot start, or a part of it came to an end that should not.
pub async fn run(options: Run) -> anyhow::Result<()> {
    let Some(node) = options.node.clone().filter(|node| !node.is_empty()) else {
        bail!("which node is this? give --node NAME, or set NODE_NAME");
    };
    let config = options.config()?;
    let table = config.table.clone();
    let installer = installer(&options.cni)?;
    let store = Store::new(&options.place.state_dir);
    let shared = Shared::in_mode(&node, options.mode);
    let opened = spawn_blocking({
        let (node, store) = (node.clone(), store.clone());
        move || open(config, &node, &store)
    });
    let Opened {
        dataplane,
        lock,
        has_rules,
    } = opened.await.context("opening the table")??;
    let is_asked_for = options.anti_spoofing;
    let spoofing = spawn_blocking(move || spoofing::prepare(is_asked_for));
    let spoofing = spoofing
        .await
        .context("preparing against forged sources")??;
    let alarm = Alarm::of(&dataplane).context("cannot wait for changes of tables")?;
    if options.mode == Mode::Audit {
        tracing::warn!(
            "audit mode: nothing is denied; what policies would deny is counted and told"
        );
    }
    let mut site = tokio::spawn(serve([options.http, options.status], shared.clone(), table));
    let client = client(options.kubeconfig.as_deref()).await?;
    let (sender, queue) = mpsc::channel(QUEUE);
    let (reporter, events) = report::start(client.clone(), &node);
    let mut plugin = JoinSet::new();
    let sender = match &options.cni.cni_socket {
        Some(socket) => {
            let leases = Leases::new(&options.place.state_dir);
            let api = Some(client.clone());
            let desk = Desk::guarding(&node, leases, sender, api, shared.clone(), spoofing.clone());
            cni::start(socket, desk, QUEUE, &mut plugin)?
        }
        None => sender,
    };
    if let Some(installer) = installer {
        plugin.spawn(installer.keep());
    }
    let mut watches = watch::start(&client, &sender, &shared);
    drop(sender);
    let (wiring, addresses) = channel::channel(topology::Addresses::new());
    let quarantine = tokio::spawn(quarantine::look_after(
        addresses.clone(),
        options.cni.cni_on_failure,
        shared.clone(),
    ));
    let wired = tokio::spawn(topology::look_after(addresses, shared.clone(), spoofing));
    let enforcer = Enforcer::new(&node, dataplane, shared.clone())
        .in_place_of_found_rules(has_rules)
        .telling_addresses_to(wiring)
        .saving_to(store)
        .reporting_to(reporter);
    tracing::info!(node, "following the cluster");
    let (running, given_up) = oneshot::channel();
    let stop = stop(given_up)?;
    let mut sync =
        spawn_blocking(|| sync::run(enforcer, queue, alarm, Timing::default(), shared, stop));
    let ended = tokio::select! {
        done = &mut sync => synced(done),
        Some(ended) = watches.join_next() => {
            ended.context("a watch came to a sudden end").and_then(|()| bail!("a watch ended"))
        }
        Some(ended) = plugin.join_next() => {
            ended.context("a part for the CNI plugin came to a sudden end")
                .and_then(|()| bail!("a part for the CNI plugin ended"))
        }
        ended = &mut site => match ended {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(error),
            Err(error) => Err(error).context("the HTTP server came to a sudden end"),
        },
    };
    drop(running);
    let ended = if sync.is_finished() {
        ended
    } else {
        ended.and(synced(sync.await))
    };
    watches.abort_all();
    plugin.abort_all();
    events.abort();
    wired.abort();
    quarantine.abort();
    site.abort();
    drop(lock);
    tracing::info!("ended; the rules stay in force");
    ended
}

/// How the thread of the sync ended.
fn synced(done: Result<Result<(), SyncError>, JoinError>) -> anyhow::Result<()> {
    Ok(done.context("the sync came to a sudden end")??)
}

/// What installs the CNI plugin, if it is to be installed.
///
/// # Errors
/// When the CNI enforces policies itself: two that do so must not be combined, and nothing is touched. Any other reason
/// why it cannot be installed may pass.
fn installer(options: &args::Cni) -> anyhow::Result<Option<Installer>> {
    let Some(conf_dir) = &options.place.cni_conf_dir else {
        return Ok(None);
    };
    let Some(socket) = &options.cni_socket else {
        bail!(
            "--cni-conf-dir installs a plugin that nobody would answer; give --cni-socket FILE, too"
        );
    };
    let own = std::env::current_exe().context("cannot tell where this program is")?;
    let beside = own.with_file_name(install::conflist::PLUGIN);
    let program = options.cni_plugin.clone().unwrap_or(beside);
    let mut entry = install::conflist::entry(socket, &options.cni_exempt_namespace);
    if options.cni_on_failure == args::OnFailure::Open {
        entry["onFailure"] = "failOpen".into();
    }
    let installer = Installer {
        conf_dir: conf_dir.clone(),
        bin_dir: options.place.cni_bin_dir.clone(),
        program,
        entry,
    };
    if let Err(error @ InstallError::Enforces { .. }) = installer.check() {
        return Err(error.into());
    }
    Ok(Some(installer))
}

/// Serves over HTTP where that is asked for, until a server fails.
async fn serve([all, status]: [Http; 2], shared: Shared, table: Name) -> anyhow::Result<()> {
    let all = async {
        let Some(listener) = listen(all, "--http").await? else {
            return std::future::pending().await;
        };
        Ok(http::serve(listener, shared.clone(), table).await?)
    };
    let status = async {
        let Some(listener) = listen(status, "--status").await? else {
            return std::future::pending().await;
        };
        Ok(http::serve_status(listener, shared.clone()).await?)
    };
    let failed: anyhow::Result<((), ())> = futures::future::try_join(all, status).await;
    failed.map(|_| ()).context("the HTTP server failed")
}

async fn listen(place: Http, option: &str) -> anyhow::Result<Option<TcpListener>> {
    let Http::At(address) = place else {
        return Ok(None);
    };
    let listener = TcpListener::bind(address).await;
    let listener = listener
        .with_context(|| format!("cannot listen on {address}; {option} chooses another"))?;
    Ok(Some(listener))
}

/// Ends when the process is told to stop, or when nobody holds the other end of `given_up` any more.
fn stop(given_up: oneshot::Receiver<Infallible>) -> anyhow::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot wait for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot wait for SIGINT")?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            _ = given_up => {}
        }
    })
}
